//! Waits for prompts and answers them, as `expect` does: for devices and programs made for a person at a keyboard.

use std::time::Duration;

use crate::clock::Instant;
use crate::failure::{Failure, FailureKind};

/// Something one can type into and read from.
pub trait Talk {
    /// Sends bytes.
    fn say(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// Waits for bytes at most this long.
    fn hear(&mut self, timeout: Duration) -> Result<Arrived, Failure>;
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// At least one byte.
    Bytes(Vec<u8>),
    /// Nothing in time.
    Nothing,
    /// Nothing will come any more.
    End,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This text, anywhere.
    Text(String),
    /// A prompt: the last line, without blanks at its end, ends with one of these characters, and nothing follows.
    Prompt(Vec<char>),
    /// A prompt as above of a device with this name: the name begins the line, behind brackets and marks as in
    /// `<name>`, `[~name]` or `name(config)#`. Learned with [`Dialogue::learn_prompt`].
    NamedPrompt {
        /// The device's name.
        name: String,
        /// Characters that a prompt ends with.
        ends: Vec<char>,
    },
}

/// What may stand in front of a device's name in its prompt.
const BEFORE_NAME: [char; 8] = ['<', '[', '(', '{', '~', '*', '@', ' '];

impl Pattern {
    /// The prompts of most network devices and shells: `>`, `#`, `$`, `%` and `]`.
    pub fn usual_prompt() -> Self {
        Self::Prompt(vec!['>', '#', '$', '%', ']'])
    }

    /// Where the match begins and ends in the text.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self {
            Self::Text(wanted) => text.find(wanted.as_str()).map(|at| (at, at + wanted.len())),
            Self::Prompt(ends) => {
                let start = last_line(text);
                let line = text[start..].trim_end_matches(' ');
                // A line that only holds the mark, as in a drawing, is taken too: some devices have no name.
                line.ends_with(ends.as_slice()).then_some((start, text.len()))
            }
            Self::NamedPrompt { name, ends } => {
                let start = last_line(text);
                let line = text[start..].trim_end_matches(' ');
                let is_named = line.trim_start_matches(BEFORE_NAME).starts_with(name.as_str());
                (is_named && line.ends_with(ends.as_slice())).then_some((start, text.len()))
            }
        }
    }

    fn explain(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{}\"", text.escape_debug()),
            Self::Prompt(ends) => {
                let ends: Vec<String> = ends.iter().map(|end| format!("`{end}`")).collect();
                format!("a prompt that ends with {}", ends.join(" or "))
            }
            Self::NamedPrompt { name, .. } => format!("the prompt of {}", name.escape_debug()),
        }
    }
}

fn last_line(text: &str) -> usize {
    text.rfind('\n').map_or(0, |at| at + 1)
}

/// The name in a prompt: `sw1` of `sw1(config-if)#`, `core-1` of `[~core-1-GE1/0/1]`.
fn name_in(prompt: &str, ends: &[char]) -> Option<String> {
    let line = prompt[last_line(prompt)..].trim();
    let name = line.trim_start_matches(BEFORE_NAME);
    let end = name.find(['(', ':', ' ']).unwrap_or(name.len());
    let name = name[..end].trim_end_matches(ends);
    (!name.is_empty()).then(|| name.to_owned())
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What was seen when a pattern came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which of the patterns, counted from 0.
    pub which: usize,
    /// The text before the match.
    pub before: String,
    /// The match.
    pub matched: String,
}

/// Characters kept of what was seen last, for the failure.
const SHOWN: usize = 120;

/// Characters a dialogue keeps while it waits. More without a match is a device out of control.
const MOST_TEXT: usize = 8 << 20;

/// A dialogue with a device. Text is taken as UTF-8; terminal control sequences, carriage returns and characters taken
/// back with backspace are removed.
#[derive(Debug)]
pub struct Dialogue<T> {
    talk: T,
    timeout: Duration,
    raw: Vec<u8>,
    text: String,
    pagers: Vec<(String, Vec<u8>)>,
    newline: &'static str,
    on_silence: bool,
    /// A carriage return has come, and what follows decides: a line break, or the line is written anew.
    returned: bool,
}

impl<T: Talk> Dialogue<T> {
    /// A dialogue whose every step may take that long. Answers the usual `--More--` with a blank.
    pub fn new(talk: T, timeout: Duration) -> Self {
        let pagers = ["--More--", "---- More ----", "-- More --", "<--- More --->"];
        let pagers = pagers.iter().map(|&text| (text.to_owned(), b" ".to_vec())).collect();
        Self {
            talk,
            timeout,
            raw: Vec::new(),
            text: String::new(),
            pagers,
            newline: "\n",
            on_silence: false,
            returned: false,
        }
    }

    /// Answers one more text at the end of a page with these bytes.
    #[must_use]
    pub fn pager(mut self, text: impl Into<String>, answer: impl Into<Vec<u8>>) -> Self {
        self.pagers.push((text.into(), answer.into()));
        self
    }

    /// What the return key sends; a line feed without it.
    #[must_use]
    pub fn newline(mut self, newline: &'static str) -> Self {
        self.newline = newline;
        self
    }

    /// The time limit is one on silence: it begins again with whatever comes. A device that never stops is ended by
    /// the limits of the call.
    #[must_use]
    pub fn on_silence(mut self) -> Self {
        self.on_silence = true;
        self
    }

    /// Waits for any of the usual prompts, and returns one that fits only those of the same device. What a prompt's
    /// mark ends by accident, such as a line of a drawing, is not taken for it then.
    pub fn learn_prompt(&mut self) -> Result<Pattern, Failure> {
        let usual = Pattern::usual_prompt();
        let seen = self.wait_for_any(std::slice::from_ref(&usual))?;
        let Pattern::Prompt(ends) = usual else { return Ok(usual) };
        Ok(match name_in(&seen.matched, &ends) {
            Some(name) => Pattern::NamedPrompt { name, ends },
            None => Pattern::Prompt(ends),
        })
    }

    /// The time limit of each step from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Types text as it is. May hold references to secrets.
    pub fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.talk.say(text.as_bytes())
    }

    /// Types text and the return key.
    pub fn send_line(&mut self, text: &str) -> Result<(), Failure> {
        self.send(&format!("{text}{}", self.newline))
    }

    /// Waits for one pattern; returns the text before it.
    pub fn wait_for(&mut self, pattern: impl Into<Pattern>) -> Result<String, Failure> {
        Ok(self.wait_for_any(&[pattern.into()])?.before)
    }

    /// Waits for the first of several patterns to come.
    pub fn wait_for_any(&mut self, patterns: &[Pattern]) -> Result<Seen, Failure> {
        let mut begin = Instant::now();
        loop {
            if let Some(seen) = self.take(patterns) {
                return Ok(seen);
            }
            self.turn_pages()?;
            let left = self.timeout.saturating_sub(begin.elapsed());
            match self.talk.hear(left)? {
                Arrived::Bytes(bytes) => {
                    self.add(&bytes)?;
                    if self.on_silence {
                        begin = Instant::now();
                    }
                }
                Arrived::Nothing if left.is_zero() || begin.elapsed() >= self.timeout => {
                    return Err(self.failure(FailureKind::TimedOut, "did not come in time", patterns));
                }
                Arrived::Nothing => {}
                Arrived::End => {
                    return Err(self.failure(
                        FailureKind::Unreachable,
                        "did not come before the end",
                        patterns,
                    ));
                }
            }
        }
    }

    /// Types a command and returns what it puts out until the next prompt, without the echo of the command.
    pub fn command(&mut self, line: &str, prompt: &Pattern) -> Result<String, Failure> {
        self.text.clear();
        self.send_line(line)?;
        // The echo comes first: without waiting for it the old prompt in it would end the command at once.
        let output = self.wait_for(prompt.clone())?;
        let body = output.trim_start_matches('\n');
        let is_echo = |first: &str| !line.is_empty() && first.trim_end().ends_with(line.trim());
        match body.split_once('\n') {
            Some((first, rest)) if is_echo(first) => Ok(rest.to_owned()),
            None if is_echo(body) => Ok(String::new()),
            _ => Ok(body.to_owned()),
        }
    }

    fn take(&mut self, patterns: &[Pattern]) -> Option<Seen> {
        let found = patterns.iter().enumerate().filter_map(|(which, pattern)| {
            let (start, end) = pattern.find(&self.text)?;
            Some((start, end, which))
        });
        let (start, end, which) = found.min()?;
        let seen =
            Seen { which, before: self.text[..start].to_owned(), matched: self.text[start..end].to_owned() };
        self.text.drain(..end);
        Some(seen)
    }

    /// Asks for the next page where the text ends with a pager's mark, and takes the mark out of the text.
    fn turn_pages(&mut self) -> Result<(), Failure> {
        let shown = self.text.trim_end_matches(' ');
        let pager = self.pagers.iter().find(|(mark, _)| shown.ends_with(mark.as_str()));
        if let Some((mark, answer)) = pager {
            let kept = shown.len() - mark.len();
            let answer = answer.clone();
            self.text.truncate(kept);
            self.talk.say(&answer)?;
        }
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.raw.extend_from_slice(bytes);
        let whole = whole_part(&self.raw);
        let rest = self.raw.split_off(whole);
        let piece = std::mem::replace(&mut self.raw, rest);
        append_plain(&mut self.text, &mut self.returned, &String::from_utf8_lossy(&piece));
        if self.text.len() > MOST_TEXT {
            let message = format!("more than {MOST_TEXT} bytes came without a prompt");
            return Err(Failure::other("too-large", message));
        }
        Ok(())
    }

    fn failure(&self, kind: FailureKind, what: &str, patterns: &[Pattern]) -> Failure {
        let wanted: Vec<String> = patterns.iter().map(Pattern::explain).collect();
        let skipped = self.text.chars().count().saturating_sub(SHOWN);
        let last: String = self.text.chars().skip(skipped).collect();
        let message = format!(
            "{} {what} of the dialogue; the last that came is \"{}\"",
            wanted.join(" or "),
            last.escape_debug()
        );
        Failure::new(kind, message)
    }
}

/// The number of bytes in front that form whole characters and whole control sequences.
fn whole_part(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    // A sequence that has begun is at most this long; a longer one is text.
    let tail = bytes.len().saturating_sub(32);
    if let Some(escape) = bytes[tail..].iter().rposition(|&byte| byte == 0x1b) {
        let begun = &bytes[tail + escape..];
        let is_whole = match begun.get(1) {
            None => false,
            Some(b'[') => begun[2..].iter().any(|byte| (0x40..=0x7e).contains(byte)),
            Some(_) => true,
        };
        if !is_whole {
            end = tail + escape;
        }
    }
    match std::str::from_utf8(&bytes[..end]) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => end,
    }
}

/// Adds text as a terminal would show it, without its control sequences.
fn append_plain(text: &mut String, returned: &mut bool, piece: &str) {
    let mut chars = piece.chars();
    while let Some(c) = chars.next() {
        if c == '\r' {
            *returned = true;
            continue;
        }
        if std::mem::take(returned) && c != '\n' {
            text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
        }
        match c {
            '\u{1b}' => {
                if chars.next() == Some('[') {
                    let _ = chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            '\u{8}' => {
                if text.chars().next_back().is_some_and(|last| last != '\n') {
                    text.pop();
                }
            }
            '\n' | '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, Script};

    fn dialogue(host: &Host, script: Script) -> Dialogue<crate::target::Session> {
        host.target().session(script);
        crate::target::Session::open(200, 50).unwrap().dialogue(Duration::from_secs(5))
    }

    #[test]
    fn it_logs_in_and_runs_a_command_over_pages() {
        let host = Host::new();
        let script = Script::new()
            .shows("Username: ")
            .expects("admin\n")
            .shows("Password: ")
            .expects("secret-ref\n")
            .shows("\r\nsw1#")
            .expects("show run\n")
            .shows("show run\r\nline 1\r\n --More-- ")
            .expects(" ")
            .shows("\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}line 2\r\r\n --More-- ")
            .expects(" ")
            .shows("\r          \rline 3\r\n\u{1b}[1msw1#\u{1b}[0m ");
        let mut dialogue = dialogue(&host, script);
        dialogue.wait_for("Username:").unwrap();
        dialogue.send_line("admin").unwrap();
        dialogue.wait_for("Password:").unwrap();
        dialogue.send_line("secret-ref").unwrap();
        dialogue.wait_for(Pattern::usual_prompt()).unwrap();
        let output = dialogue.command("show run", &Pattern::usual_prompt()).unwrap();
        assert_eq!(output, "line 1\nline 2\nline 3\n");
    }

    #[test]
    fn a_learned_prompt_is_not_taken_for_a_drawing() {
        let host = Host::new();
        let script = Script::new()
            .shows("Welcome!\r\n<core-1>")
            .expects("display version\n")
            .shows("display version\r\n-->")
            .shows("\r\nVersion 8 [x]")
            .shows("\r\n[~core-1-GE1/0/1]");
        let mut dialogue = dialogue(&host, script);
        let prompt = dialogue.learn_prompt().unwrap();
        assert!(matches!(&prompt, Pattern::NamedPrompt { name, .. } if name == "core-1"), "{prompt:?}");
        let output = dialogue.command("display version", &prompt).unwrap();
        assert_eq!(output, "-->\nVersion 8 [x]\n");
    }

    #[test]
    fn names_in_prompts() {
        let ends = ['>', '#', '$', '%', ']'];
        for (prompt, name) in [
            ("\nsw1# ", Some("sw1")),
            ("sw1(config-if)#", Some("sw1")),
            ("[admin@fw ~]$ ", Some("admin@fw")),
            ("<HUAWEI>", Some("HUAWEI")),
            ("RP/0/RSP0/CPU0:asr#", Some("RP/0/RSP0/CPU0")),
            ("> ", None),
        ] {
            assert_eq!(name_in(prompt, &ends).as_deref(), name, "{prompt}");
        }
    }

    #[test]
    fn a_limit_on_silence_begins_again_with_what_comes() {
        let host = Host::new();
        host.target().session(Script::new().shows("a").pauses(4).shows("b").pauses(4).shows("sw#"));
        let session = crate::target::Session::open(80, 24).unwrap();
        let mut dialogue = session.dialogue(Duration::from_secs(5)).on_silence();
        assert_eq!(dialogue.wait_for("sw#").unwrap(), "ab");
        host.target().session(Script::new().shows("a").pauses(4).shows("b").pauses(4).shows("sw#"));
        let session = crate::target::Session::open(80, 24).unwrap();
        assert!(session.dialogue(Duration::from_secs(5)).wait_for("sw#").is_err());
    }

    #[test]
    fn what_does_not_come_is_named_with_what_came() {
        let host = Host::new();
        let mut silent = dialogue(&host, Script::new().shows("% Bad command\r\n"));
        let failure = silent.wait_for("sw1#").unwrap_err();
        assert_eq!(failure.kind(), &FailureKind::TimedOut);
        assert!(
            failure.message().contains("sw1#") && failure.message().contains("% Bad command"),
            "{failure}"
        );
        let mut ended = dialogue(&host, Script::new().shows("bye\n").ends());
        let failure = ended.wait_for("sw1#").unwrap_err();
        assert_eq!(failure.kind(), &FailureKind::Unreachable);
    }

    #[test]
    fn the_first_of_several_patterns_wins() {
        let host = Host::new();
        let mut both = dialogue(&host, Script::new().shows("[y/n]? yes"));
        let seen = both.wait_for_any(&["yes".into(), "[y/n]".into()]).unwrap();
        assert_eq!((seen.which, seen.before.as_str()), (1, ""));
    }

    #[test]
    fn characters_and_sequences_in_two_pieces_are_kept_together() {
        let host = Host::new();
        let script = Script::new().shows_bytes(b"\xe4\xb8").shows_bytes(b"\xad\x1b[3").shows_bytes(b"1m>");
        let mut pieces = dialogue(&host, script);
        let seen = pieces.wait_for_any(&[Pattern::usual_prompt()]).unwrap();
        assert_eq!(seen.matched, "\u{4e2d}>");
    }
}
