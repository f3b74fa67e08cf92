//! What an agent's answers mean (spec §4). Pure.

use super::charset::Charset;
use super::error::TagentErrorKind;
use super::handshake::excerpt;

const READY: &str = "Status:200";
/// The status an answer without a number stands for.
const NO_STATUS: i32 = -1;

/// How a command ended, as the text of the final chunk says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEnd {
    /// Its exit status. The agent gives a signal's bare number, which cannot be told from a code.
    Status(i32),
    /// The agent could not run it, or ended it.
    Refused(String),
}

impl CommandEnd {
    /// Reads the text of the final chunk.
    pub fn parse(text: &[u8], charset: Charset) -> Self {
        let said = charset.decode_lossy(text);
        let trimmed = said.trim();
        if trimmed.is_empty() {
            return Self::Status(0);
        }
        if trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than a status can have is still a failure.
            return Self::Status(trimmed.parse().unwrap_or(NO_STATUS));
        }
        Self::Refused(printable(trimmed))
    }
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
        assert_eq!(end(b"99999999999999999999"), CommandEnd::Status(-1));
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
