//! What an agent's answers mean (spec §4). Pure.

use std::borrow::Cow;

use super::charset::Charset;
use super::error::TagentErrorKind;
use super::handshake::excerpt;

const READY: &str = "Status:200";
/// The status of a number that is none of a process.
const NO_STATUS: i32 = -1;

/// How a command ended, as the text of the final chunk says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEnd {
    /// Its exit status. The agent gives a signal's bare number, which cannot be told from a code. Codes of Windows have
    /// 32 bits; those with the highest bit are negative here, as they are to its own programs.
    Status(i32),
    /// The agent could not run it, or ended it.
    Refused(String),
}

impl CommandEnd {
    /// Reads the text of the final chunk.
    pub fn parse(text: &[u8], charset: Charset) -> Self {
        if text.is_empty() {
            return Self::Status(0);
        }
        let said = charset.decode_lossy(text);
        let trimmed = said.trim();
        if trimmed.is_empty() {
            return Self::Refused("nothing but blanks".to_owned());
        }
        if trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than a status can have is still a failure.
            return Self::Status(trimmed.parse::<u32>().map_or(NO_STATUS, u32::cast_signed));
        }
        Self::Refused(printable(&without_command(trimmed)))
    }
}

/// An agent that cannot start a command says `Launch '<command>' failed: <why>`. The command may hold secrets, and
/// quotes; so all but the end goes.
fn without_command(said: &str) -> Cow<'_, str> {
    const BEFORE: &str = "Launch ";
    const AFTER: &str = "' failed:";
    let Some((start, rest)) = said.split_once(BEFORE) else { return said.into() };
    let why = rest.rsplit_once(AFTER).map_or("", |(_, why)| why);
    format!("{start}Launch failed:{why}").into()
}

/// Reads the chunk that lets an upload begin.
pub fn upload_ready(payload: &[u8]) -> Result<(), TagentErrorKind> {
    if payload == READY.as_bytes() {
        return Ok(());
    }
    Err(TagentErrorKind::Unexpected { wanted: READY, said: excerpt(payload) })
}

/// What a download brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Download {
    /// The bytes of a file.
    File,
    /// A tar stream of a directory's contents.
    Folder,
    /// The path was a pattern, or is one by accident; the agent wants to be asked for one of these.
    Several(Vec<String>),
}

impl Download {
    /// Reads the status chunk.
    pub fn parse(payload: &[u8], charset: Charset) -> Result<Self, TagentErrorKind> {
        let said = charset.decode_lossy(payload);
        let unexpected =
            || TagentErrorKind::Unexpected { wanted: "Status:200,FileType:…", said: excerpt(payload) };
        let kind = said
            .strip_prefix(READY)
            .and_then(|rest| rest.strip_prefix(",FileType:"))
            .ok_or_else(unexpected)?;
        match kind.trim_end() {
            "file" => Ok(Self::File),
            "dir" | "windir" => Ok(Self::Folder),
            kind => {
                let paths = kind.strip_prefix("multiple,").ok_or_else(unexpected)?;
                Ok(Self::Several(paths.split('|').map(str::to_owned).collect()))
            }
        }
    }
}

/// A failure's text for one error line.
pub(super) fn failure(text: &[u8], charset: Charset) -> String {
    printable(charset.decode_lossy(text).trim())
}

/// The end of a text, without control characters: what a tool says last is what matters.
fn printable(text: &str) -> String {
    const LIMIT: usize = 500;
    let skip = text.chars().count().saturating_sub(LIMIT);
    text.chars().skip(skip).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf8() -> Charset {
        Charset::for_label("UTF-8").unwrap()
    }

    #[test]
    fn ends_of_commands() {
        let end = |text: &[u8]| CommandEnd::parse(text, utf8());
        assert_eq!(end(b""), CommandEnd::Status(0));
        assert_eq!(end(b"3"), CommandEnd::Status(3));
        assert_eq!(end(b"255\r\n"), CommandEnd::Status(255));
        assert_eq!(end(b"3221225477"), CommandEnd::Status(-1_073_741_819), "0xC0000005");
        assert_eq!(end(b"99999999999999999999"), CommandEnd::Status(-1));
        for blank in [&b"\n"[..], b" ", b"\r\n"] {
            assert_eq!(end(blank), CommandEnd::Refused("nothing but blanks".to_owned()), "{blank:?}");
        }
        assert_eq!(
            end(b"execute timeout(2 seconds)\n"),
            CommandEnd::Refused("execute timeout(2 seconds)".to_owned())
        );
        let CommandEnd::Refused(long) = end(&[b'x'; 5000]) else { panic!("a number?") };
        assert_eq!(long.len(), 500);
        let gbk = Charset::for_label("cp936").unwrap();
        assert_eq!(CommandEnd::parse(b"\xd6\xd0", gbk), CommandEnd::Refused("中".to_owned()));
    }

    #[test]
    fn a_command_that_cannot_start_is_not_repeated() {
        for (text, wanted) in [
            ("Launch 'x --password p1' failed: No such file", "Launch failed: No such file"),
            ("Launch 'x 'p1' failed: p2' failed: No such file", "Launch failed: No such file"),
            ("ERROR: Launch asynchronized 'x p1' failed: why", "ERROR: Launch failed: why"),
            ("Launch 'x p1' failed: ", "Launch failed:"),
            ("Launch 'x p1", "Launch failed:"),
        ] {
            let end = CommandEnd::parse(text.as_bytes(), utf8());
            assert_eq!(end, CommandEnd::Refused(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn answers_to_transfers() {
        let parse = |text: &str| Download::parse(text.as_bytes(), utf8());
        assert_eq!(parse("Status:200,FileType:file").unwrap(), Download::File);
        assert_eq!(parse("Status:200,FileType:windir").unwrap(), Download::Folder);
        assert_eq!(
            parse("Status:200,FileType:multiple,/a/1|/a/2").unwrap(),
            Download::Several(vec!["/a/1".into(), "/a/2".into()])
        );
        for bad in ["Status:200", "Status:404,FileType:file", "Status:200,FileType:socket", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(upload_ready(b"Status:200").is_ok());
        assert!(upload_ready(b"Status:500").is_err());
    }
}
