//! What a script on a target says, in the order in which it comes: reports and output.

use std::time::Instant;

use super::marker::{Part, Report, Token};
use super::resident::{Afterwards, NO_SIGNAL};

/// The most that is kept of a list of checked files; what is cut off counts as changed.
const MAX_LIST: usize = 1024 * 1024;

/// What is told while a command runs.
pub(super) enum Told<'a> {
    /// The command's process group.
    Group(i32),
    /// The next piece of output.
    Output(&'a [u8]),
}

/// Who is told.
pub(super) type Tell<'a> = Box<dyn FnMut(Told<'_>) + 'a>;

/// For who wants to know of output only.
pub(super) fn output<'a>(mut take: impl FnMut(&[u8]) + 'a) -> Tell<'a> {
    Box::new(move |told| {
        if let Told::Output(bytes) = told {
            take(bytes);
        }
    })
}

/// For where nobody wants to know.
pub(super) fn nobody() -> Tell<'static> {
    Box::new(|_| {})
}

/// A file that the script sends after the command's output.
#[derive(Debug, Default)]
pub(super) struct WantedFile {
    pub(super) length: usize,
    /// Its bytes are kept.
    keep: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) complete: bool,
}

/// A shell that goes on after its line.
pub(super) struct Staying {
    /// Its process.
    pub(super) pid: Option<i32>,
    /// What ends the line on each stream.
    mark: Vec<u8>,
    /// See [`Afterwards::StaysAlone`].
    alone: bool,
    /// Which streams have ended so.
    stdout: bool,
    stderr: bool,
}

impl Staying {
    /// None for a shell that ends with its line.
    pub(super) fn after(line: Afterwards, token: &Token) -> Option<Self> {
        let mark = token.rendered("over", 0);
        let alone = line == Afterwards::StaysAlone;
        (line != Afterwards::Ends).then_some(Self { pid: None, mark, alone, stdout: false, stderr: false })
    }

    fn is_over(&self, exit: Option<i32>) -> bool {
        let says_nothing = self.alone && exit.is_none_or(|code| code <= NO_SIGNAL);
        self.stdout && (self.stderr || says_nothing)
    }

    /// Looks for the end of the line on stderr, and takes it away.
    pub(super) fn look_at(&mut self, stderr: &mut Vec<u8>) {
        let at = stderr.windows(self.mark.len()).position(|window| window == self.mark.as_slice());
        if let Some(at) = at {
            self.stderr = true;
            stderr.truncate(at);
        }
    }
}

/// What was heard of a script so far.
pub(super) struct Heard<'a> {
    /// The command's process group.
    pub(super) group: Option<i32>,
    /// Exit code reported by our script, and when.
    pub(super) exit: Option<(i32, Instant)>,
    /// The signal that ended the command.
    pub(super) signal: Option<i32>,
    /// The last other report.
    pub(super) last: Option<Report>,
    /// A wanted file: its announced length and its bytes, and whether it is complete.
    pub(super) file: Option<WantedFile>,
    /// The directory is gone.
    pub(super) removed: bool,
    /// The most bytes that are kept of one.
    pub(super) most: u64,
    /// The shell, where it goes on after the line.
    pub(super) staying: Option<Staying>,
    tell: Tell<'a>,
}

impl<'a> Heard<'a> {
    pub(super) fn new(tell: Tell<'a>) -> Self {
        Self {
            group: None,
            exit: None,
            signal: None,
            last: None,
            file: None,
            removed: false,
            most: 0,
            staying: None,
            tell,
        }
    }

    /// True when the shell goes on, and nothing of the line is still to come.
    pub(super) fn line_is_over(&self) -> bool {
        let exit = self.exit.map(|(code, _)| code);
        self.staying.as_ref().is_some_and(|staying| staying.is_over(exit))
    }

    /// Hears the next part.
    pub(super) fn take(&mut self, part: Part<'_>) {
        match (part, &mut self.file) {
            (Part::Data(_), Some(file)) if !file.complete && !file.keep => {}
            (Part::Data(bytes), Some(file)) if !file.complete => {
                // The script has promised the length; what goes beyond it is not kept.
                let room = file.length.saturating_add(1).saturating_sub(file.bytes.len()).min(bytes.len());
                file.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            (Part::Data(bytes), _) => (self.tell)(Told::Output(bytes)),
            (Part::Report(Report::File(length)), _) => {
                let length = usize::try_from(length).unwrap_or(0);
                // Too much is an error, whatever it is.
                let keep = length as u64 <= self.most;
                self.file = Some(WantedFile { length, keep, ..WantedFile::default() });
            }
            (Part::Report(Report::List), _) => {
                self.file = Some(WantedFile { length: MAX_LIST, keep: true, ..WantedFile::default() });
            }
            (Part::Report(Report::End), Some(file)) => file.complete = true,
            (Part::Report(report), _) => self.hear(report),
        }
    }

    fn hear(&mut self, report: Report) {
        match report {
            // Only the first: a program that prints such a line itself must not choose what we signal.
            Report::Group(group) if self.group.is_none() && group > 1 => {
                self.group = Some(group);
                (self.tell)(Told::Group(group));
            }
            Report::Exit(code) if self.exit.is_none() => self.exit = Some((code, Instant::now())),
            Report::Removed => self.removed = true,
            Report::Signal(signal) if self.signal.is_none() => self.signal = Some(signal),
            Report::Shell(pid) => {
                if let Some(staying) = &mut self.staying {
                    staying.pid = staying.pid.or(Some(pid));
                }
            }
            Report::Over => {
                if let Some(staying) = &mut self.staying {
                    staying.stdout = true;
                }
            }
            // The end of its output is that of the channel, and there is no shell to be ended.
            Report::Left => {
                if let Some(staying) = &mut self.staying {
                    staying.pid = None;
                }
            }
            // The first one says why, a later one only that it ended.
            _ if self.last.is_some_and(Report::is_refusal) => {}
            other => self.last = Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_no_more_is_kept_than_is_wanted() {
        for (announced, sent, kept) in
            [(100, 100, 100), (100, 5000, 101), (101, 5000, 0), (i32::MAX, 5000, 0)]
        {
            let mut heard = Heard::new(output(|_| panic!("it is no output")));
            heard.most = 100;
            heard.take(Part::Report(Report::File(announced)));
            for _ in 0..sent {
                heard.take(Part::Data(b"x"));
            }
            let file = heard.file.unwrap();
            assert_eq!((file.bytes.len(), file.length), (kept, usize::try_from(announced).unwrap()));
        }
    }

    #[test]
    fn group_and_output_are_told_in_the_order_in_which_they_come() {
        let mut told = Vec::new();
        let mut heard = Heard::new(Box::new(|what| {
            told.push(match what {
                Told::Group(group) => group.to_string(),
                Told::Output(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            });
        }));
        heard.take(Part::Data(b"sudo says"));
        heard.take(Part::Report(Report::Group(7)));
        heard.take(Part::Data(b"out"));
        heard.take(Part::Report(Report::Group(8)));
        heard.take(Part::Data(b"end"));
        drop(heard);
        assert_eq!(told, ["sudo says", "7", "out", "end"]);
    }
}
