//! Requests (spec §4): one chunk of `user|verb|charset|hex…`.

use std::io;

use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use super::charset::Charset;
use super::error::TagentErrorKind;
use super::frame::MAX_PAYLOAD;

/// What an agent is asked for. Texts are encoded in the agent's charset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// `execmd`: run a command line and send its output.
    Run {
        /// The command line.
        command: &'a str,
        /// Variables for it.
        env: &'a [(String, String)],
        /// The agent ends it after this many seconds.
        limit_secs: u64,
    },
    /// `upload`: take a file (`file`) or a tar stream (`dir`).
    Upload {
        /// What comes.
        kind: UploadKind,
        /// Where it is from: its base name is used where `dest` is a directory.
        source: &'a str,
        /// Where it goes.
        dest: &'a str,
    },
    /// `download`: send a file, or a directory's contents as a tar stream.
    Download {
        /// The path; variables and patterns in it are expanded by the agent.
        path: &'a str,
        /// Send what links lead to instead of links.
        follow_links: bool,
    },
    /// `echo`: say this text.
    Echo {
        /// The text.
        text: &'a str,
    },
}

/// What an upload brings. The folder kinds of the protocol differ in the sender's archiver only; ours writes tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// The bytes of a file.
    File,
    /// A tar stream of a directory's contents.
    Folder,
}

impl UploadKind {
    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "dir",
        }
    }
}

impl Request<'_> {
    /// The verb, for error texts.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Run { .. } => "execmd",
            Self::Upload { .. } => "upload",
            Self::Download { .. } => "download",
            Self::Echo { .. } => "echo",
        }
    }

    /// The request's payload.
    pub fn encode(&self, user: &str, charset: Charset) -> Result<Vec<u8>, TagentErrorKind> {
        if user.is_empty() || user.contains(['|', '\n', '\0']) {
            let detail = format!("{user:?} is no name of an account");
            return Err(TagentErrorKind::Invalid { what: "user", detail });
        }
        let mut payload = encoded("user", user, charset)?;
        payload.extend_from_slice(format!("|{}|{}", self.verb(), charset.label()).as_bytes());
        let mut field = |bytes: &[u8]| {
            payload.push(b'|');
            payload.extend_from_slice(hex::encode(bytes).as_bytes());
        };
        match self {
            Self::Run { command, env, limit_secs } => {
                field(&encoded("command", command, charset)?);
                // No end pattern: the end of the command is its end.
                field(b"");
                field(environment(env).as_bytes());
                field(limit_secs.to_string().as_bytes());
            }
            Self::Upload { kind, source, dest } => {
                field(kind.word().as_bytes());
                field(&encoded("path", source, charset)?);
                field(&encoded("path", dest, charset)?);
                // The agent drops trailing empty fields; one zero byte is what its own client sends for "no".
                field(&[0]);
            }
            Self::Download { path, follow_links: true } => {
                field(&encoded("path", path, charset)?);
                field(b"1");
            }
            Self::Download { path, follow_links: false } => {
                field(&encoded("path", path, charset)?);
                // Not encoded, as the agent's own client sends it: no hex, so no wish to follow.
                payload.extend_from_slice(b"|0");
            }
            Self::Echo { text } => field(&encoded("text", text, charset)?),
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(TagentErrorKind::RequestTooLong { verb: self.verb(), length: payload.len() });
        }
        Ok(payload)
    }
}

/// A text in the agent's charset. It is refused where that does not have all of it: the agent's own client sends `?`,
/// which is another name, and on Windows a pattern for others. The text itself is in no error: it may hold secrets.
fn encoded(what: &'static str, text: &str, charset: Charset) -> Result<Vec<u8>, TagentErrorKind> {
    match charset.encode(text) {
        (bytes, 0) => Ok(bytes),
        (_, missing) => {
            let detail = format!(
                "{missing} of its characters are not in the agent's charset {}; use others, pass them in a file, or \
                 give the machine a code page that has them, such as 65001",
                charset.label()
            );
            Err(TagentErrorKind::Invalid { what, detail })
        }
    }
}

/// The variables as a JSON object in the form of the agent's own client: a blank after each comma and colon, and
/// nothing but ASCII, so that no charset can damage it.
fn environment(env: &[(String, String)]) -> String {
    if env.is_empty() {
        return String::new();
    }
    let object: Map<String, Value> =
        env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Ascii);
    // Writing into memory cannot fail.
    match Value::Object(object).serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

struct Ascii;

impl Formatter for Ascii {
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for character in fragment.chars() {
            if character.is_ascii() {
                writer.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(request: &Request<'_>, user: &str, charset: &str) -> String {
        String::from_utf8(request.encode(user, Charset::for_label(charset).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn the_requests_of_the_captured_sessions() {
        let env = [("DEMO_VAR".to_owned(), "v1".to_owned())];
        let command = r#"echo hello; echo oops >&2; printf "%s\n" "$DEMO_VAR"; exit 3"#;
        let run = Request::Run { command, env: &env, limit_secs: 10 };
        assert_eq!(
            encoded(&run, "root", "UTF-8"),
            "root|execmd|UTF-8|6563686f2068656c6c6f3b206563686f206f6f7073203e26323b207072696e7466202225735c6e2220\
             222444454d4f5f564152223b20657869742033||7b2244454d4f5f564152223a20227631227d|3130"
        );
        let upload = Request::Upload { kind: UploadKind::File, source: "w.txt", dest: "/tmp/demo/w.txt" };
        assert_eq!(
            encoded(&upload, "root", "UTF-8"),
            "root|upload|UTF-8|66696c65|772e747874|2f746d702f64656d6f2f772e747874|00"
        );
        let download = Request::Download { path: "/tmp/demo/none", follow_links: false };
        assert_eq!(encoded(&download, "root", "UTF-8"), "root|download|UTF-8|2f746d702f64656d6f2f6e6f6e65|0");
        let download = Request::Download { path: "/tmp/demo/none", follow_links: true };
        assert!(encoded(&download, "root", "UTF-8").ends_with("|31"));
        assert_eq!(
            encoded(&Request::Echo { text: "heartbeat" }, "none", "UTF-8"),
            "none|echo|UTF-8|686561727462656174"
        );
    }

    #[test]
    fn texts_are_in_the_agents_charset_and_the_environment_is_ascii() {
        let env = [("名".to_owned(), "值 😀 \" \\".to_owned()), ("B".to_owned(), String::new())];
        let run = Request::Run { command: "echo 中", env: &env, limit_secs: 0 };
        let payload = run.encode("app", Charset::for_label("cp936").unwrap()).unwrap();
        let text = String::from_utf8(payload).unwrap();
        let fields: Vec<&str> = text.split('|').collect();
        assert_eq!(fields[..3], ["app", "execmd", "cp936"]);
        assert_eq!(hex::decode(fields[3]).unwrap(), b"echo \xd6\xd0");
        let json = String::from_utf8(hex::decode(fields[5]).unwrap()).unwrap();
        assert_eq!(json, r#"{"\u540d": "\u503c \ud83d\ude00 \" \\", "B": ""}"#);
    }

    #[test]
    fn what_the_agents_charset_does_not_have_is_refused_and_not_repeated() {
        let charset = Charset::for_label("cp1252").unwrap();
        let run = Request::Run { command: "del 数据.txt", env: &[], limit_secs: 1 };
        for (request, user, what) in [
            (run, "app", "command: 2 of"),
            (Request::Upload { kind: UploadKind::File, source: "x", dest: "数/x" }, "app", "path: 1 of"),
            (Request::Download { path: "数", follow_links: false }, "app", "path: 1 of"),
            (Request::Download { path: "数", follow_links: true }, "app", "path: 1 of"),
            (Request::Echo { text: "é" }, "用户", "user: 2 of"),
        ] {
            let error = request.encode(user, charset).unwrap_err().to_string();
            assert!(error.starts_with(what) && error.contains("cp1252"), "{error}");
            assert!(error.is_ascii(), "the text is not repeated: {error}");
        }
        assert!(Request::Echo { text: "é" }.encode("app", charset).is_ok());
    }

    #[test]
    fn what_cannot_be_a_request_is_refused() {
        let charset = Charset::for_label("UTF-8").unwrap();
        let long = "x".repeat(MAX_PAYLOAD / 2);
        let request = Request::Echo { text: &long };
        assert!(matches!(request.encode("u", charset), Err(TagentErrorKind::RequestTooLong { .. })));
        for user in ["", "a|b", "a\nb"] {
            assert!(Request::Echo { text: "x" }.encode(user, charset).is_err(), "{user:?}");
        }
    }
}
