//! The other side of a session or connection, as a script.

use std::collections::VecDeque;
use std::time::Duration;

use super::{always, unexpected};

/// What the other side shows, and what it expects to be typed, in their order.
#[derive(Debug, Clone, Default)]
#[must_use = "a script does nothing by itself"]
pub struct Script {
    steps: VecDeque<Step>,
    ends: bool,
    typed: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Step {
    Shows(Vec<u8>),
    Expects(Vec<u8>),
    Pauses(Duration),
}

/// What a reader of the script gets.
pub(super) enum Heard {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

impl Script {
    /// An empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows text.
    pub fn shows(self, text: &str) -> Self {
        self.shows_bytes(text.as_bytes())
    }

    /// Shows bytes, which the tool gets in one piece.
    pub fn shows_bytes(mut self, bytes: &[u8]) -> Self {
        self.steps.push_back(Step::Shows(bytes.to_vec()));
        self
    }

    /// Is silent for so many seconds.
    pub fn pauses(mut self, seconds: u64) -> Self {
        self.steps.push_back(Step::Pauses(Duration::from_secs(seconds)));
        self
    }

    /// Expects that exactly this is sent, however many pieces it takes.
    pub fn expects(self, text: &str) -> Self {
        self.expects_bytes(text.as_bytes())
    }

    /// Expects that exactly these bytes are sent.
    pub fn expects_bytes(mut self, bytes: &[u8]) -> Self {
        self.steps.push_back(Step::Expects(bytes.to_vec()));
        self
    }

    /// Ends after the last step. Without it the other side stays there and is silent.
    pub fn ends(mut self) -> Self {
        self.ends = true;
        self
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.typed.extend_from_slice(bytes);
        let Some(Step::Expects(expected)) = self.steps.front() else {
            let typed = String::from_utf8_lossy(bytes);
            unexpected(&format!("the tool sent what was not expected: {typed:?}; the script is at {self:?}"));
        };
        if !expected.starts_with(&self.typed) {
            let (typed, expected) = (String::from_utf8_lossy(&self.typed), String::from_utf8_lossy(expected));
            unexpected(&format!("the tool sent {typed:?}, but {expected:?} was expected"));
        }
        if expected.len() == self.typed.len() {
            self.typed.clear();
            self.steps.pop_front();
        }
    }

    pub(super) fn hear(&mut self, limit: usize, timeout: Duration) -> Heard {
        match self.steps.front_mut() {
            Some(Step::Shows(bytes)) => {
                let rest = bytes.split_off(bytes.len().min(limit));
                let piece = std::mem::replace(bytes, rest);
                if bytes.is_empty() {
                    self.steps.pop_front();
                }
                Heard::Bytes(piece)
            }
            Some(Step::Pauses(left)) => {
                let passed = timeout.min(*left);
                *left = left.saturating_sub(passed);
                let is_over = left.is_zero();
                always::pass(passed);
                if is_over {
                    self.steps.pop_front();
                    return self.hear(limit, timeout.saturating_sub(passed));
                }
                Heard::Nothing
            }
            None if self.ends => Heard::End,
            Some(Step::Expects(_)) | None => {
                always::pass(timeout);
                Heard::Nothing
            }
        }
    }

    /// What was expected to be sent and was not.
    pub(super) fn missing(&self) -> Option<String> {
        self.steps.iter().find_map(|step| match step {
            Step::Expects(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Step::Shows(_) | Step::Pauses(_) => None,
        })
    }
}

/// A script in use. What it still expected when it is dropped fails the test.
#[derive(Debug)]
pub(super) struct Running(pub(super) Script);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(missing) = self.0.missing().filter(|_| !std::thread::panicking()) {
            unexpected(&format!("the tool ended the session, but was expected to send {missing:?}"));
        }
    }
}
