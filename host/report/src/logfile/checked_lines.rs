//! Lines of a node log on their way to the file: counted, and checked against the fail patterns.

use autoexec_events::Level;

use super::Line;
use super::appender::LineAppender;
use super::decoder::MAX_LINE;
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
    /// What was written so far of a line of output that has not ended: patterns are for whole lines. At most
    /// [`MAX_LINE`] bytes; a longer line is checked in parts.
    open: String,
}

impl CheckedLines {
    pub(super) fn new(out: LineAppender) -> Self {
        Self { out, warnings: 0, patterns: None, hit: false, told_too_complex: false, open: String::new() }
    }

    /// Checks every line from now on.
    pub(super) fn arm(&mut self, patterns: FailPatterns) {
        self.patterns = Some(patterns);
        self.told_too_complex = false;
    }

    /// Adds a line of ours, and what the fail patterns have to say about it.
    pub(super) fn add(&mut self, line: &str) -> Result<(), LogError> {
        self.warnings += u64::from(lines::is_warning(line));
        self.out.push(line)?;
        self.judge(line)
    }

    /// Adds a line of output, or a piece of one.
    pub(super) fn add_output(&mut self, line: &Line<'_>) -> Result<(), LogError> {
        if line.starts_line || self.open.len() + line.text.len() > MAX_LINE {
            self.end_line()?;
        }
        self.out.push(&line.text)?;
        if line.starts_line && line.ends_line {
            self.warnings += u64::from(lines::is_warning(&line.text));
            return self.judge(&line.text);
        }
        // The prefix may itself come in pieces, so it is looked for again in what there is so far.
        let counted = lines::is_warning(&self.open);
        let is_head = line.starts_line || !self.open.is_empty();
        self.open.push_str(&line.text);
        self.warnings += u64::from(is_head && !counted && lines::is_warning(&self.open));
        if line.ends_line { self.end_line() } else { Ok(()) }
    }

    /// Checks a line that was written in pieces. To be called at the end of the output as well: the line end may come
    /// without a further piece, or not at all.
    pub(super) fn end_line(&mut self) -> Result<(), LogError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.open);
        self.judge(&line)
    }

    fn judge(&mut self, line: &str) -> Result<(), LogError> {
        match self.verdict(line) {
            Some(extra) => {
                self.warnings += u64::from(lines::is_warning(&extra));
                self.out.push(&extra)
            }
            None => Ok(()),
        }
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
