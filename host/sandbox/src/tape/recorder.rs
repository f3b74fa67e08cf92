//! Writes host calls down, in the order in which they were begun.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Heading;

/// A host call in a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// `interface.function`.
    pub(super) call: String,
    /// Its arguments.
    pub(super) with: Value,
    /// Its answer; none where it has none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) answer: Value,
}

/// The place of a call whose answer is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// The file of a recording.
pub(crate) struct Recorder {
    path: PathBuf,
    file: File,
    /// Number of the first call that waits.
    first: u64,
    /// Calls that were begun and not written, because an earlier one waits for its answer.
    waiting: VecDeque<(Line, bool)>,
    problem: String,
}

impl Recorder {
    pub(super) fn create(path: &Path, heading: &Heading) -> Result<Self, String> {
        let mut options = OpenOptions::new();
        // What a tool is answered is nobody else's business.
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file =
            file.map_err(|error| format!("the recording {} can not be written: {error}", path.display()))?;
        let mut recorder =
            Self { path: path.to_owned(), file, first: 0, waiting: VecDeque::new(), problem: String::new() };
        recorder.write(heading)?;
        Ok(recorder)
    }

    pub(super) fn problem(&self) -> &str {
        &self.problem
    }

    pub(super) fn begin(&mut self, call: &str, with: Value) -> Place {
        let place = Place(self.first + self.waiting.len() as u64);
        self.waiting.push_back((Line { call: call.to_owned(), with, answer: Value::Null }, false));
        place
    }

    pub(super) fn end(&mut self, place: Place, answer: Value) -> Result<(), String> {
        let waiting = place.0.checked_sub(self.first).and_then(|number| usize::try_from(number).ok());
        if let Some((line, done)) = waiting.and_then(|number| self.waiting.get_mut(number)) {
            line.answer = answer;
            *done = true;
        }
        while let Some((line, true)) = self.waiting.front() {
            let line = line.clone();
            self.write(&line)?;
            self.waiting.pop_front();
            self.first += 1;
        }
        Ok(())
    }

    /// Writes what still waits: calls whose answer the tool did not wait for.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        while let Some((line, _)) = self.waiting.pop_front() {
            self.first += 1;
            self.write(&line)?;
        }
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), String> {
        let mut text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|error| {
            self.problem = format!("the recording {} can not be written: {error}", self.path.display());
            self.problem.clone()
        })
    }
}
