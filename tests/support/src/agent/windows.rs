//! What a Windows agent makes of a command: the forms of the contract (plugin-contract.md §8.2, §8.5), taken apart by
//! the rules of the command processor and of the programs it starts. A form that is not in the contract fails as an
//! unknown command does there, with status 9009.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::conversation::Talk;
use super::{AgentOptions, AgentRequest, files, session};

/// What `%TMPDIR%` says.
const TMP: &str = r"C:\tagent\tmp";
const NO_SUCH_COMMAND: i32 = 9009;
const POLICY: &str = r#"powershell -Command "Set-ExecutionPolicy -Force RemoteSigned""#;

pub(super) fn is_windows(options: &AgentOptions) -> bool {
    options.os.eq_ignore_ascii_case("windows")
}

/// A text of a request in the announced charset.
pub(super) fn decode(charset: &str, bytes: &[u8]) -> String {
    match charset {
        "UTF-8" | "cp65001" => String::from_utf8_lossy(bytes).into_owned(),
        _ => encoding_rs::GBK.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// The place here of a path there; slashes of either kind.
pub(super) fn place(tmp: &Path, path: &str) -> PathBuf {
    let path = path.replace('/', "\\");
    match path.strip_prefix(TMP) {
        Some(rest) => tmp.join(rest.trim_start_matches('\\').replace('\\', "/")),
        // Not on this drive: a place that does not exist.
        None => tmp.join("no such drive").join(path.replace(['\\', ':'], "/")),
    }
}

/// The parts of a command line between `&`, `&&` outside of quotes, and whether the one before must have succeeded.
fn parts(line: &str) -> Vec<(bool, String)> {
    let (mut parts, mut part, mut quoted, mut needs) = (Vec::new(), String::new(), false, false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                part.push(character);
            }
            '^' if !quoted => part.extend(['^'].into_iter().chain(characters.next())),
            '&' if !quoted => {
                parts.push((needs, part.trim().to_owned()));
                part.clear();
                needs = characters.next_if_eq(&'&').is_some();
            }
            _ => part.push(character),
        }
    }
    parts.push((needs, part.trim().to_owned()));
    parts
}

/// How a program splits its command line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// The Microsoft C rules: a backslash before a quote is an escape.
    C,
    /// Batch files and Windows Script Host: there is no escape.
    Plain,
}

/// The command processor takes its escapes out outside of quotes, then the program splits by its rules.
fn arguments(text: &str, rules: Rules) -> Vec<String> {
    let mut seen = String::new();
    let (mut quoted, mut characters) = (false, text.chars());
    while let Some(character) = characters.next() {
        match character {
            '^' if !quoted => seen.extend(characters.next()),
            '"' => {
                quoted = !quoted;
                seen.push(character);
            }
            _ => seen.push(character),
        }
    }
    let (mut found, mut word, mut in_word, mut quoted) = (Vec::new(), String::new(), false, false);
    let mut characters = seen.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if rules == Rules::C => {
                let mut count = 1;
                while characters.next_if_eq(&'\\').is_some() {
                    count += 1;
                }
                in_word = true;
                if characters.peek() == Some(&'"') {
                    word.extend(std::iter::repeat_n('\\', count / 2));
                    if count % 2 == 1 {
                        characters.next();
                        word.push('"');
                    }
                } else {
                    word.extend(std::iter::repeat_n('\\', count));
                }
            }
            '"' => {
                quoted = !quoted;
                in_word = true;
            }
            ' ' | '\t' if !quoted => {
                if in_word {
                    found.push(std::mem::take(&mut word));
                }
                in_word = false;
            }
            _ => {
                word.push(character);
                in_word = true;
            }
        }
    }
    if in_word {
        found.push(word);
    }
    found
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// One command processor: where it stands and what it has said.
struct Processor {
    tmp: PathBuf,
    shown: String,
    here: PathBuf,
}

enum Next {
    /// The part ended with this status.
    Status(i32),
    /// A script is to run: interpreter, file and arguments.
    Script(Vec<String>),
}

pub(super) fn execute(talk: &mut Talk<'_>, request: &AgentRequest) -> Result<()> {
    let raw = decode(&talk.options.charset, request.fields.first().map_or(&b""[..], Vec::as_slice));
    let line = raw.replace("%TMPDIR%", TMP).replace("$TMPDIR", TMP);
    let tmp = talk.shared.tmp.path().to_owned();
    let mut processor = Processor { here: tmp.clone(), tmp, shown: String::new() };
    let mut status = 0;
    for (needs_success, part) in parts(&line) {
        if needs_success && status != 0 {
            continue;
        }
        if let Some(encoded) = part.strip_prefix("powershell -NoProfile -NonInteractive -EncodedCommand ") {
            status = stop(talk, encoded)?;
            continue;
        }
        match processor.part(&part) {
            Next::Status(ended) => status = ended,
            Next::Script(words) => return run(talk, request, &processor.here, words, &line),
        }
    }
    session::say(talk, &processor.shown, status)
}

impl Processor {
    fn part(&mut self, part: &str) -> Next {
        let (name, rest) = part.split_once(' ').unwrap_or((part, ""));
        let status = match name {
            "cd" if rest.is_empty() => {
                let below = self.here.strip_prefix(&self.tmp).unwrap_or(Path::new(""));
                let mut path = TMP.to_owned();
                if below != Path::new("") {
                    path = format!("{TMP}\\{}", below.display().to_string().replace('/', "\\"));
                }
                self.shown.push_str(&path);
                self.shown.push_str("\r\n");
                0
            }
            "cd" => self.enter(unquoted(rest.strip_prefix("/d ").unwrap_or(rest))),
            "mkdir" => i32::from(std::fs::create_dir(self.place(unquoted(rest))).is_err()),
            // Its status says nothing.
            "rd" => {
                if let Some(path) = rest.strip_prefix("/s /q ") {
                    let _ = std::fs::remove_dir_all(self.place(unquoted(path)));
                }
                0
            }
            "if" => match rest.strip_prefix("exist ").and_then(|rest| rest.strip_suffix(" exit 1")) {
                Some(path) => i32::from(self.place(unquoted(path)).exists()),
                None => NO_SUCH_COMMAND,
            },
            "copy" => self.copy(rest),
            _ if part == POLICY => 0,
            _ => return self.script(part),
        };
        Next::Status(status)
    }

    /// A path of a command: on this drive, or from where it stands.
    fn place(&self, path: &str) -> PathBuf {
        if path.contains(':') { place(&self.tmp, path) } else { self.here.join(path.replace('\\', "/")) }
    }

    fn enter(&mut self, path: &str) -> i32 {
        let place = self.place(path);
        if place.is_dir() {
            self.here = place;
            0
        } else {
            self.shown.push_str("The system cannot find the path specified.\r\n");
            1
        }
    }

    fn copy(&self, rest: &str) -> i32 {
        let words = rest
            .strip_prefix("/y ")
            .and_then(|rest| rest.strip_suffix(" >NUL"))
            .map(|words| arguments(words, Rules::C));
        let Some([from, to]) = words.as_deref() else { return NO_SUCH_COMMAND };
        i32::from(std::fs::copy(self.place(from), self.place(to)).is_err())
    }

    fn script(&mut self, part: &str) -> Next {
        let start = |words: &str, interpreter: &str, rules| {
            let mut words = arguments(words, rules);
            words.insert(0, interpreter.to_owned());
            Next::Script(words)
        };
        if let Some(rest) = part.strip_prefix("cmd /c call ").or_else(|| part.strip_prefix("cmd /c ")) {
            return start(rest, "cmd", Rules::Plain);
        }
        if let Some(rest) = part.strip_prefix("powershell -f ") {
            return start(rest, "powershell", Rules::C);
        }
        if let Some(rest) = part.strip_prefix("cscript ") {
            return start(rest, "cscript", Rules::Plain);
        }
        let words = arguments(part, Rules::C);
        let known = ["node", "perl", "python", "ruby", "sh", "bash"];
        if words.first().is_some_and(|word| known.contains(&word.as_str())) {
            return Next::Script(words);
        }
        self.shown.push_str("is not recognized as an internal or external command.\r\n");
        Next::Status(NO_SUCH_COMMAND)
    }
}

/// Runs the script by `sh`, for there is no other interpreter everywhere; it is read in the agent's charset.
fn run(
    talk: &mut Talk<'_>,
    request: &AgentRequest,
    here: &Path,
    words: Vec<String>,
    line: &str,
) -> Result<()> {
    let file = words.get(1).map(|name| here.join(name.replace('\\', "/"))).context("a script has a file")?;
    if !file.is_file() {
        return session::say(talk, "The system cannot find the file specified.\r\n", 1);
    }
    // Ends of lines are another thing that `sh` does not know from there.
    let text: Vec<u8> = files::content(&file)?.into_iter().filter(|byte| *byte != b'\r').collect();
    let variables: BTreeMap<String, String> = session::variables(request);
    talk.shared.started.lock().unwrap_or_else(PoisonError::into_inner).push(words.clone());
    let script = talk.shared.tmp.path().join(format!(".run-{}", std::process::id()));
    std::fs::write(&script, text)?;
    let mut process = Command::new("setsid");
    process.arg("/bin/sh").arg(&script).args(words.get(2..).unwrap_or_default());
    process.envs(variables).current_dir(here);
    let ended = session::run(talk, process, line, None);
    let _ = std::fs::remove_file(&script);
    ended
}

/// The script that ends processes: it finds them by a text in their command line. 0 when there were some and they are
/// gone, 3 when there were none.
fn stop(talk: &Talk<'_>, encoded: &str) -> Result<i32> {
    let units: Vec<u16> = STANDARD
        .decode(encoded)?
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let script = String::from_utf16(&units)?;
    let text = script.split("Contains('").nth(1).and_then(|rest| rest.split("')").next());
    let text = text.context("no text to look for")?;
    Ok(if talk.shared.sessions.kill_matching(text) > 0 { 0 } else { 3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_outside_of_quotes() {
        assert_eq!(
            parts(r#"cd a & copy /y b c >NUL & cmd /c b "x&y" ^"z^&"#),
            [
                (false, "cd a".to_owned()),
                (false, "copy /y b c >NUL".to_owned()),
                (false, r#"cmd /c b "x&y" ^"z^&"#.to_owned())
            ]
        );
        assert_eq!(parts("a && b"), [(false, "a".to_owned()), (true, "b".to_owned())]);
    }

    #[test]
    fn arguments_follow_the_microsoft_rules() {
        assert_eq!(arguments(r#"a "b c" "d\\" "e\f" """#, Rules::C), ["a", "b c", r"d\", r"e\f", ""]);
        assert_eq!(arguments(r#"/a:"b c\" "" d"#, Rules::Plain), [r"/a:b c\", "", "d"]);
        assert_eq!(arguments(r#"^"say \^"hi\^" ^& go^""#, Rules::C), [r#"say "hi" & go"#]);
    }
}
