//! Answers host calls from a recording.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::recorder::Line;
use super::{FORMAT, Heading, has_no_answer};

/// Bytes of arguments that an error shows.
const SHOWN: usize = 300;

/// What is left of a recording.
pub(crate) struct Player {
    path: PathBuf,
    /// Calls with an answer, with the numbers of their lines.
    left: VecDeque<(usize, Line)>,
    problem: Option<String>,
}

impl Player {
    pub(super) fn open(path: &Path, heading: &Heading) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the recording {} can not be read: {error}", path.display()))?;
        let wrong = |line: usize, why: &dyn std::fmt::Display| {
            format!("{}, line {line}: this is no line of a recording: {why}", path.display())
        };
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().ok_or_else(|| wrong(1, &"the file is empty"))?;
        let recorded: Heading = serde_json::from_str(first).map_err(|error| wrong(1, &error))?;
        if recorded.autoexec_recording != FORMAT {
            return Err(wrong(1, &format!("format {} is not known", recorded.autoexec_recording)));
        }
        if (&recorded.tool, &recorded.export) != (&heading.tool, &heading.export) {
            return Err(format!(
                "the recording {} is of `{}` of the tool {}, not of `{}` of {}",
                path.display(),
                recorded.export,
                recorded.tool,
                heading.export,
                heading.tool
            ));
        }
        let mut left = VecDeque::new();
        for (number, line) in lines {
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(number + 1, &error))?;
            if !has_no_answer(&line.call) {
                left.push_back((number + 1, line));
            }
        }
        Ok(Self { path: path.to_owned(), left, problem: None })
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The answer to the next call, which must be this one. After the first that is not, there are no answers any more.
    pub(super) fn answer(&mut self, call: &str, with: &Value) -> Result<Value, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        match self.left.pop_front() {
            Some((_, line)) if line.call == call && line.with == *with => Ok(line.answer),
            Some((number, line)) => Err(self.fail(format!(
                "the tool does something else than in {}, line {number}: expected {}, got {}",
                self.path.display(),
                shown(&line.call, &line.with),
                shown(call, with)
            ))),
            None => Err(self.fail(format!(
                "the tool does more than in {}: after its last call came {}",
                self.path.display(),
                shown(call, with)
            ))),
        }
    }

    /// Whether a part of a call is as it was.
    pub(super) fn compare(&mut self, what: &str, recorded: &Value, now: &Value) -> Result<(), String> {
        if recorded == now {
            return Ok(());
        }
        Err(self.fail(format!(
            "the tool does something else than in {}: expected {}, got {}",
            self.path.display(),
            shown(what, recorded),
            shown(what, now)
        )))
    }

    /// The tool has ended; whatever it did not call is a difference, too.
    pub(super) fn finish(&mut self) {
        let (None, Some((number, line))) = (&self.problem, self.left.front()) else { return };
        let expected = shown(&line.call, &line.with);
        self.fail(format!(
            "the tool does less than in {}, line {number}: expected {expected}, but the tool has ended",
            self.path.display()
        ));
    }

    fn fail(&mut self, problem: String) -> String {
        let problem = format!("{problem}; record it again if that is right");
        self.problem = Some(problem.clone());
        problem
    }
}

fn shown(call: &str, with: &Value) -> String {
    let mut text = format!("{call} {with}");
    if text.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}
