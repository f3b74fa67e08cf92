//! The reports that our remote scripts weave into their output, and the filter that takes them out again.
//!
//! A report is `RS token SP name SP number RS` (RS = byte 0x1e) with a random token per run. Everything before the
//! `start` report is noise of the login shell (defect 45) and is kept only for an error text.

use super::error::SshErrorKind;

const RS: u8 = 0x1e;
const MAX_REPORT: usize = 32;
const MAX_NOISE: usize = 4096;

/// What a script tells us. The names are those in the scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// The script runs; what follows is its output.
    Start,
    /// The process that reads our lines, and goes on after this one.
    Shell(i32),
    /// The process group of the command.
    Group(i32),
    /// The directory cannot be entered.
    NoDirectory,
    /// The target has no tar.
    NoTar,
    /// The target has no gzip.
    NoGzip,
    /// So many bytes of a large file are there already; the rest is wanted.
    Have(u64),
    /// What a check of digests found follows, up to the next report.
    List,
    /// Files that were left out are not there as they were.
    Stale,
    /// The target has no sha256sum.
    NoSums,
    /// The directory to take over is not there, or not as it was left.
    Gone,
    /// Something before the command failed, with this code.
    Failed(i32),
    /// A wanted file of this many bytes follows, up to the next report.
    File(i32),
    /// The end of that file.
    End,
    /// A signal ended the command; its exit code has been reported before.
    Signal(i32),
    /// A detached command is gone without an exit code.
    Lost,
    /// The directory is gone.
    Removed,
    /// There is no room for output of a detached command any more.
    Cut,
    /// The exit code.
    Exit(i32),
    /// Nothing more of this line is to come, and the shell waits for another.
    Over,
    /// The command left processes behind, and the shell ends.
    Left,
}

impl Report {
    /// True when the script has ended before the command, because the target or its directory lacks something.
    pub(super) fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::NoTar | Self::NoGzip | Self::NoDirectory | Self::NoSums | Self::Stale | Self::Gone
        )
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (name, number) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        if name == "have" {
            return number.parse().ok().map(Self::Have);
        }
        let number: i32 = number.parse().ok()?;
        match name {
            "start" => Some(Self::Start),
            "shell" => Some(Self::Shell(number)),
            "group" => Some(Self::Group(number)),
            "nodir" => Some(Self::NoDirectory),
            "notar" => Some(Self::NoTar),
            "nogzip" => Some(Self::NoGzip),
            "failed" => Some(Self::Failed(number)),
            "file" => Some(Self::File(number)),
            "end" => Some(Self::End),
            "signal" => Some(Self::Signal(number)),
            "lost" => Some(Self::Lost),
            "removed" => Some(Self::Removed),
            "cut" => Some(Self::Cut),
            "list" => Some(Self::List),
            "stale" => Some(Self::Stale),
            "nosums" => Some(Self::NoSums),
            "gone" => Some(Self::Gone),
            "exit" => Some(Self::Exit(number)),
            "over" => Some(Self::Over),
            "left" => Some(Self::Left),
            _ => None,
        }
    }
}

/// A random word that output does not hold by accident.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    pub(super) fn random() -> Result<Self, SshErrorKind> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| SshErrorKind::Local {
            what: "random numbers".into(),
            detail: error.to_string(),
        })?;
        Ok(Self(hex::encode(bytes)))
    }

    /// The token's text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// A report as it arrives.
    pub(super) fn rendered(&self, name: &str, number: i32) -> Vec<u8> {
        format!("\u{1e}{} {name} {number}\u{1e}", self.0).into_bytes()
    }

    /// Shell text that writes a report; `number` is a number or a quoted expansion.
    pub(super) fn report(&self, name: &str, number: &str) -> String {
        format!(r"printf '\036{} {name} %s\036' {number}", self.0)
    }
}

/// A piece of a script's output.
pub(super) enum Part<'a> {
    /// Output.
    Data(&'a [u8]),
    /// A report.
    Report(Report),
}

/// Splits a script's output into reports and data.
pub(super) struct Filter {
    opening: Vec<u8>,
    held: Vec<u8>,
    started: bool,
    noise: Vec<u8>,
}

impl Filter {
    pub(super) fn new(token: &Token) -> Self {
        let mut opening = vec![RS];
        opening.extend_from_slice(token.text().as_bytes());
        opening.push(b' ');
        Self { opening, held: Vec::new(), started: false, noise: Vec::new() }
    }

    /// True once the script has reported its start.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// What came before the start, shortened.
    pub(super) fn noise(&self) -> &[u8] {
        &self.noise
    }

    /// Takes the next bytes and hands over output and reports in their order.
    pub(super) fn feed(&mut self, bytes: &[u8], take: &mut dyn FnMut(Part<'_>)) {
        if self.held.is_empty() {
            let rest = self.split(bytes, take);
            self.held = bytes.get(rest..).unwrap_or_default().to_vec();
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let rest = self.split(&held, take);
            held.drain(..rest);
            self.held = held;
        }
    }

    /// The end of the output: what looked like the beginning of a report was data.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(Part<'_>)) {
        let held = std::mem::take(&mut self.held);
        self.emit(&held, take);
    }

    /// Handles `bytes` up to the returned position; what follows needs more bytes to be judged.
    fn split(&mut self, bytes: &[u8], take: &mut dyn FnMut(Part<'_>)) -> usize {
        let mut done = 0;
        let mut from = 0;
        while let Some(position) = bytes.get(from..).and_then(|rest| memchr::memchr(RS, rest)) {
            let at = from + position;
            let candidate = bytes.get(at..).unwrap_or_default();
            match self.judge(candidate) {
                Judged::Data => from = at + 1,
                Judged::Undecided => {
                    self.emit(bytes.get(done..at).unwrap_or_default(), take);
                    return at;
                }
                Judged::Report(report, length) => {
                    self.emit(bytes.get(done..at).unwrap_or_default(), take);
                    self.started |= report == Report::Start;
                    take(Part::Report(report));
                    done = at + length;
                    from = done;
                }
            }
        }
        self.emit(bytes.get(done..).unwrap_or_default(), take);
        bytes.len()
    }

    fn judge(&self, candidate: &[u8]) -> Judged {
        let Some(body) = candidate.strip_prefix(self.opening.as_slice()) else {
            return if self.opening.starts_with(candidate) { Judged::Undecided } else { Judged::Data };
        };
        match body.iter().take(MAX_REPORT).position(|byte| *byte == RS) {
            Some(end) => Report::parse(body.get(..end).unwrap_or_default())
                .map_or(Judged::Data, |report| Judged::Report(report, self.opening.len() + end + 1)),
            None if body.len() < MAX_REPORT => Judged::Undecided,
            None => Judged::Data,
        }
    }

    fn emit(&mut self, bytes: &[u8], take: &mut dyn FnMut(Part<'_>)) {
        if bytes.is_empty() {
        } else if self.started {
            take(Part::Data(bytes));
        } else {
            let room = MAX_NOISE.saturating_sub(self.noise.len()).min(bytes.len());
            self.noise.extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
    }
}

enum Judged {
    Data,
    Undecided,
    Report(Report, usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token("f00d".into())
    }

    fn run(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Report>, Vec<u8>) {
        let mut filter = Filter::new(&token());
        let mut data = Vec::new();
        let mut reports = Vec::new();
        let mut take = |part: Part<'_>| match part {
            Part::Data(bytes) => data.extend_from_slice(bytes),
            Part::Report(report) => reports.push(report),
        };
        for chunk in chunks {
            filter.feed(chunk, &mut take);
        }
        filter.finish(&mut take);
        (data, reports, filter.noise().to_vec())
    }

    const STREAM: &[u8] =
        b"motd\x1ef00d start 0\x1e\x1ef00d group 77\x1eout\x1eput \x1ef00d bad\x1eend\x1ef00d exit 3\x1etail\x1ef00";

    #[test]
    fn every_way_to_cut_the_stream_gives_the_same() {
        let want = (
            b"out\x1eput \x1ef00d bad\x1eendtail\x1ef00".to_vec(),
            vec![Report::Start, Report::Group(77), Report::Exit(3)],
            b"motd".to_vec(),
        );
        for cut in 0..STREAM.len() {
            let (a, b) = STREAM.split_at(cut);
            assert_eq!(run(&[a, b]), want, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(run(&bytes), want);
    }

    #[test]
    fn an_endless_report_is_data_and_noise_is_bounded() {
        let mut stream = b"\x1ef00d start 0\x1e\x1ef00d ".to_vec();
        stream.extend_from_slice(&[b'9'; 5000]);
        assert_eq!(run(&[&stream]).0.len(), 5000 + 6);
        assert_eq!(run(&[&[b'n'; 10_000]]).2.len(), MAX_NOISE);
    }

    #[test]
    fn a_shell_writes_reports_as_parsed() {
        let script = format!("{}; {}", token().report("start", "0"), token().report("exit", "\"$((40+2))\""));
        let output = std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(run(&[&output.stdout]).1, vec![Report::Start, Report::Exit(42)]);
    }
}
