//! Lines of a node log on their way to the file: counted, and checked against the fail patterns.

use autoexec_events::Level;

use super::appender::LineAppender;
use super::error::LogError;
use super::fail_patterns::FailPatterns;
use super::lines;

/// Lines on their way to the file: counted, and checked against the fail patterns.
#[derive(Debug)]
pub(super) struct CheckedLines {
    pub(super) out: LineAppender,
    pub(super) warnings: u64,
    patterns: Option<FailPatterns>,
    pub(super) hit: bool,
    told_too_complex: bool,
}

impl CheckedLines {
    pub(super) fn new(out: LineAppender) -> Self {
        Self { out, warnings: 0, patterns: None, hit: false, told_too_complex: false }
    }

    /// Checks every line from now on.
    pub(super) fn arm(&mut self, patterns: FailPatterns) {
        self.patterns = Some(patterns);
        self.told_too_complex = false;
    }

    /// Adds a line, and what the fail patterns have to say about it.
    pub(super) fn add(&mut self, line: &str, starts_line: bool) -> Result<(), LogError> {
        self.append(line, starts_line)?;
        match self.verdict(line) {
            Some(extra) => self.append(&extra, true),
            None => Ok(()),
        }
    }

    fn append(&mut self, line: &str, starts_line: bool) -> Result<(), LogError> {
        self.warnings += u64::from(starts_line && lines::is_warning(line));
        self.out.push(line)
    }

    /// The line to add after `line`, if the fail patterns have something to say about it.
    fn verdict(&mut self, line: &str) -> Option<String> {
        let patterns = self.patterns.as_ref()?;
        match patterns.check(line) {
            Ok(None) => None,
            Ok(Some(matched)) => {
                let tolerated = patterns.is_tolerated();
                self.hit |= !tolerated;
                let level = if tolerated { Level::Warn } else { Level::Error };
                Some(lines::message(level, &format!("Fail pattern {matched} matched for pre line.")))
            }
            Err(_) if self.told_too_complex => None,
            Err(_) => {
                self.told_too_complex = true;
                Some(lines::message(
                    Level::Warn,
                    "A fail pattern is too complex to be tried on pre line, not checked.",
                ))
            }
        }
    }
}
