//! Why something over an agent failed. No text holds a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// An agent's error with the account it is about.
#[derive(Debug, Error)]
#[error("{target}: {kind}")]
pub struct TagentError {
    target: String,
    kind: Box<TagentErrorKind>,
}

impl TagentError {
    pub(super) fn new(target: &impl fmt::Display, kind: TagentErrorKind) -> Self {
        Self { target: target.to_string(), kind: Box::new(kind) }
    }

    /// What went wrong.
    pub fn kind(&self) -> &TagentErrorKind {
        &self.kind
    }

    /// `user@host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// The part of a conversation that was going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Waiting for a name server and for TCP.
    Connect,
    /// Greeting, challenge and verdict.
    Handshake,
    /// Sending the request.
    Request,
    /// Waiting for the answer to a request.
    Answer,
    /// Waiting for output of a command.
    Output,
    /// Sending a file.
    Upload,
    /// Receiving a file.
    Download,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Handshake => "the agent's handshake",
            Self::Request => "sending a request",
            Self::Answer => "waiting for an answer",
            Self::Output => "waiting for output",
            Self::Upload => "an upload",
            Self::Download => "a download",
        })
    }
}

/// The kinds of errors.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TagentErrorKind {
    /// The name has no address.
    #[error("the host name cannot be resolved: {source}; check the name and the name server")]
    Resolve {
        /// What the resolver said.
        source: io::Error,
    },
    /// No address accepted a TCP connection.
    #[error("cannot connect ({tried}); check address, port and firewall, and that the agent runs")]
    Connect {
        /// Each address with its error.
        tried: String,
    },
    /// A limit passed.
    #[error("timed out after {limit:?} in {step}")]
    Timeout {
        /// Where.
        step: Step,
        /// The limit.
        limit: Duration,
    },
    /// A command wrote nothing for longer than the read timeout.
    #[error("no output for {limit:?}; the command was stopped and {}", fate(*.proved_dead))]
    Silent {
        /// The limit.
        limit: Duration,
        /// True when none of its processes was left.
        proved_dead: bool,
    },
    /// The connection broke or was closed.
    #[error("the connection was lost in {step}: {detail}{}", consequence(*.step))]
    ConnectionLost {
        /// Where.
        step: Step,
        /// What is known.
        detail: String,
    },
    /// Something else listens there.
    #[error("what listens there is not an agent (it says `{said}`); check the port")]
    NotAnAgent {
        /// What it sent, shortened.
        said: String,
    },
    /// An agent of another protocol.
    #[error("the agent speaks `{version}`; Tagent1.1 and Tagent1.1s are known")]
    Version {
        /// What it announced.
        version: String,
    },
    /// A charset that is not known here.
    #[error("the agent announces the charset `{charset}`, which is not known here")]
    Charset {
        /// What it announced.
        charset: String,
    },
    /// There is no credential to log in with.
    #[error("there is no credential for the agent; give the node the agent's credential as its password")]
    NoCredential,
    /// The challenge cannot be read with our credential.
    #[error("the agent has another credential; check the node's password. Nothing was sent")]
    Credential,
    /// The agent did not accept the answer.
    #[error("the agent refused the login; check the node's password, which is the agent's credential")]
    Refused,
    /// The handshake went another way.
    #[error("the agent's handshake failed: `{said}`")]
    Handshake {
        /// What it sent, shortened.
        said: String,
    },
    /// The peer sent bytes that are no chunks, or too many.
    #[error("the agent breaks the protocol in {step}: {detail}")]
    Protocol {
        /// Where.
        step: Step,
        /// What is wrong.
        detail: String,
    },
    /// Another answer than the protocol has.
    #[error("the agent answered `{said}` instead of `{wanted}`")]
    Unexpected {
        /// What had to come.
        wanted: &'static str,
        /// What came, shortened.
        said: String,
    },
    /// The agent did not do what it was asked for.
    #[error("{action} failed: the agent says `{said}`")]
    Failed {
        /// What was asked, with its path.
        action: String,
        /// What the agent said, shortened.
        said: String,
    },
    /// Requests are one chunk.
    #[error(
        "the request ({verb}) is {length} bytes long, the protocol takes at most 65535; pass long values by a file"
    )]
    RequestTooLong {
        /// The verb.
        verb: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// A request that cannot be expressed.
    #[error("{what}: {detail}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The operation was told to stop.
    #[error("stopped")]
    Stopped,
    /// A local file cannot be read or written.
    #[error("local file {path}: {source}", path = .path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A remote file is larger than the caller takes.
    #[error("remote file {path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A remote path is there but no regular file.
    #[error("remote path {path} is not a regular file")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// This machine could not provide what a connection needs.
    #[error("cannot set up {what} for a connection: {detail}")]
    Local {
        /// What was needed.
        what: &'static str,
        /// What the system said.
        detail: String,
    },
}

fn fate(proved_dead: bool) -> &'static str {
    if proved_dead { "is dead" } else { "its processes may still be there" }
}

fn consequence(step: Step) -> &'static str {
    match step {
        Step::Output => "; the agent kills a command whose client is gone, how far it got is not known",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_account_and_what_to_do() {
        let error = TagentError::new(&"app@h:3939", TagentErrorKind::Credential);
        assert_eq!(
            error.to_string(),
            "app@h:3939: the agent has another credential; check the node's password. Nothing was sent"
        );
        let lost = TagentErrorKind::ConnectionLost { step: Step::Output, detail: "reset".to_owned() };
        assert!(lost.to_string().contains("how far it got is not known"));
    }
}
