//! Why an SSH operation failed. No text holds a secret.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use encoding_rs::GB18030;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::isolation::plain;

/// An SSH error with the account it is about.
#[derive(Debug, Error)]
#[error("{target}: {kind}")]
pub struct SshError {
    target: String,
    kind: Box<SshErrorKind>,
}

impl SshError {
    pub(super) fn new(target: &impl fmt::Display, kind: SshErrorKind) -> Self {
        Self { target: target.to_string(), kind: Box::new(kind) }
    }

    /// What went wrong.
    pub fn kind(&self) -> &SshErrorKind {
        &self.kind
    }

    /// `user@host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// The part of an exchange that was going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Waiting for a name server and for TCP.
    Connect,
    /// Key exchange.
    Handshake,
    /// Authentication.
    Auth,
    /// Opening a channel and starting a command.
    Start,
    /// Sending data.
    Send,
    /// Waiting for output.
    Output,
    /// Closing a channel.
    Close,
    /// File transfer over SFTP.
    Sftp,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Handshake => "the key exchange",
            Self::Auth => "authentication",
            Self::Start => "starting a command",
            Self::Send => "sending data",
            Self::Output => "waiting for output",
            Self::Close => "closing a channel",
            Self::Sftp => "a file transfer (SFTP)",
        })
    }
}

/// A host key that is not the recorded one.
#[derive(Debug, Error, Serialize, Deserialize)]
#[error(
    "THE HOST KEY HAS CHANGED: {file} line {line} has {known_type} {known}, the host shows {key_type} {fingerprint}. \
     Somebody may be listening in, or the host was installed anew. Nothing was sent. If the new key is right, remove \
     that line and connect again", file = .file.display()
)]
pub struct HostKeyChange {
    /// The known-hosts file.
    #[serde(with = "plain::path")]
    pub file: PathBuf,
    /// Line of the recorded key, from 1.
    pub line: usize,
    /// Type of the recorded key.
    pub known_type: String,
    /// Fingerprint of the recorded key, as OpenSSH prints it.
    pub known: String,
    /// Type of the key shown.
    pub key_type: String,
    /// Fingerprint of the key shown.
    pub fingerprint: String,
}

/// The kinds of SSH errors.
#[derive(Debug, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SshErrorKind {
    /// The name has no address.
    #[error("the host name cannot be resolved: {source}; check the name and the name server")]
    Resolve {
        /// What the resolver said.
        #[serde(with = "plain::io_error")]
        source: io::Error,
    },
    /// No address accepted a TCP connection.
    #[error("cannot connect ({tried}); check address, port and firewall, and that sshd runs")]
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
    /// The peers could not agree, or the peer is no SSH server.
    #[error(
        "the key exchange failed: {detail}; {}", handshake_advice(.detail)
    )]
    Handshake {
        /// What libssh2 said.
        detail: String,
    },
    /// The host has no line in the known-hosts file.
    #[error("the host key is not known: {file} has no line for this host (it shows {key_type} {fingerprint}); compare \
             the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub) and add its key",
            file = .file.display())]
    HostKeyUnknown {
        /// The known-hosts file.
        #[serde(with = "plain::path")]
        file: PathBuf,
        /// Type of the key shown.
        key_type: String,
        /// Its fingerprint, as OpenSSH prints it.
        fingerprint: String,
    },
    /// The host shows another key than the recorded one.
    #[error("{0}")]
    HostKeyChanged(Box<HostKeyChange>),
    /// The key shown is marked `@revoked`.
    #[error("the host key {fingerprint} is revoked by {file} line {line}; do not connect until the host has a new key",
            file = .file.display())]
    HostKeyRevoked {
        /// The known-hosts file.
        #[serde(with = "plain::path")]
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Fingerprint of the key shown.
        fingerprint: String,
    },
    /// The certificate of the host does not hold.
    #[error("the certificate of the host is refused: {problem}. Nothing was sent")]
    HostCertificate {
        /// What is wrong with it.
        problem: String,
    },
    /// Old algorithms were allowed for the host, but no longer.
    #[error(
        "the old algorithms ({algorithms}) for {hosts} were allowed until {until}. Bring the host up to date, or have \
             the end moved (`until` of that rule in conf/ssh.toml)"
    )]
    LegacyExpired {
        /// Patterns of the rule.
        hosts: String,
        /// The algorithms.
        algorithms: String,
        /// When it ended.
        until: String,
    },
    /// A jump host could not be reached or logged in to.
    #[error("jump host {jump}: {problem}")]
    Jump {
        /// `user@host:port` of the jump host.
        jump: String,
        /// The error there.
        #[serde(with = "plain::nested")]
        problem: Box<SshErrorKind>,
    },
    /// A jump host did not connect us further.
    #[error(
        "jump host {jump} does not connect to {to}: {detail}; check that it may (AllowTcpForwarding, PermitOpen) and \
             that sshd runs at that address as seen from there"
    )]
    JumpRefused {
        /// `user@host:port` of the jump host.
        jump: String,
        /// `host:port` of the next one.
        to: String,
        /// What libssh2 said.
        detail: String,
    },
    /// The known-hosts file cannot be read or written.
    #[error("the known-hosts file {file} cannot be {action}: {source}", file = .file.display())]
    KnownHosts {
        /// The file.
        #[serde(with = "plain::path")]
        file: PathBuf,
        /// What was tried: `read`, `locked`, `written`.
        action: Cow<'static, str>,
        /// What the system said.
        #[serde(with = "plain::io_error")]
        source: io::Error,
    },
    /// No method logged in.
    #[error("login refused; tried {tried}; the server offers {offered}", tried = list(.tried), offered = list(.offered))]
    Auth {
        /// Methods tried or passed over, with the reason.
        tried: Vec<String>,
        /// Methods the server offers.
        offered: Vec<String>,
    },
    /// The server refused to open another channel.
    #[error("the server refused a session: {detail}; its MaxSessions may be too low")]
    SessionRefused {
        /// What libssh2 said.
        detail: String,
    },
    /// A channel operation failed.
    #[error("{step} failed: {detail}")]
    Channel {
        /// Where.
        step: Step,
        /// What libssh2 said.
        detail: String,
    },
    /// The connection broke or was closed.
    #[error("the connection was lost in {step}: {detail}")]
    ConnectionLost {
        /// Where.
        step: Step,
        /// What is known.
        detail: String,
    },
    /// The process that served the connection is gone, and the connection with it.
    #[error(
        "the connection was lost: the process that served it {how}{}. From now on this host is served by a process of its own; \
             if that ends as well, something that the host sends is the reason: look at its SSH server, or leave it out",
            beside(*.others)
    )]
    WorkerEnded {
        /// How it ended, such as `ended by signal 11 (SIGSEGV)`.
        how: String,
        /// How many other connections were in it.
        others: usize,
    },
    /// The operation was told to stop.
    #[error("stopped")]
    Stopped,
    /// The account's shell did not run our script.
    #[error("the remote shell did not start the command{}", said(.output))]
    NotStarted {
        /// What it wrote instead, shortened.
        output: String,
    },
    /// The account can log in, and the target lets it do nothing but change its password.
    #[error(
        "the password of the account has expired, and the target runs nothing before it is changed there{}; then change it where \
             the node's password is kept", said(.output)
    )]
    PasswordExpired {
        /// What the target said, shortened.
        output: String,
    },
    /// The account's shell has not come to our script in time.
    #[error(
        "the remote shell has not begun within {limit:?}{}, and may still begin; look at what the login scripts of the account \
             do there (a question, a loop)", said(.output)
    )]
    NotBegun {
        /// The limit.
        limit: Duration,
        /// What it wrote instead, shortened.
        output: String,
    },
    /// `sudo` or `su` did not let us become another user.
    #[error(
        "the target did not let us become {user} (exit code {code}); what it said is in the log above. Check the user, the \
             password and the rules of sudo or su"
    )]
    NotBecome {
        /// The user.
        user: String,
        /// Exit code of `sudo` or `su`.
        code: i32,
    },
    /// The remote shell went away without reporting how the command ended.
    #[error(
        "the remote shell ended without reporting an exit code; whether the command took effect is not known"
    )]
    NoExit,
    /// The connection broke while a large file was on its way; nothing was run, and the rest can be sent later.
    #[error("{problem}")]
    Interrupted {
        /// What broke.
        #[serde(with = "plain::nested")]
        problem: Box<SshErrorKind>,
    },
    /// A detached command is gone, and nothing says how it ended.
    #[error(
        "the command is no longer running on the target and left no exit code (it was killed, or the target was started \
             anew); whether it took effect is not known"
    )]
    CommandGone,
    /// A detached command succeeded, but there was no room for all that it wrote.
    #[error(
        "the command ended with exit code 0, but its output, and what it wrote itself, may be cut off{}", said(.message)
    )]
    OutputCut {
        /// What is wrong with the file system.
        message: String,
    },
    /// The directory to run in is not there or cannot be entered.
    #[error("cannot change to the remote directory {dir}; it is missing or not accessible to this user")]
    RemoteDirectory {
        /// The directory.
        dir: String,
    },
    /// A request that cannot be expressed.
    #[error("{what}: {detail}")]
    Invalid {
        /// The field.
        what: Cow<'static, str>,
        /// What is wrong with it.
        detail: String,
    },
    /// A file operation failed on the target.
    #[error("{action} failed on the target (exit code {code}){}", said(.message))]
    Remote {
        /// What was done, with its path.
        action: String,
        /// Exit code of the remote command.
        code: i32,
        /// What it wrote to stderr, shortened.
        message: String,
    },
    /// A local file cannot be read or written.
    #[error("local file {path}: {source}", path = .path.display())]
    LocalFile {
        /// The file.
        #[serde(with = "plain::path")]
        path: PathBuf,
        /// What the system said.
        #[serde(with = "plain::io_error")]
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
    /// This machine could not provide what a connection needs (thread, descriptor, random numbers).
    #[error("cannot set up {what} for a connection: {detail}")]
    Local {
        /// What was needed.
        what: Cow<'static, str>,
        /// What the system said.
        detail: String,
    },
}

fn beside(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => ", with one more connection in it".to_owned(),
        others => format!(", with {others} more connections in it"),
    }
}

/// What to do about a key exchange that failed, by what the library says of it.
fn handshake_advice(detail: &str) -> &'static str {
    if detail.contains("exchange encryption keys") {
        "the server may offer only algorithms that are not accepted any more: `ssh -v` shows them, and `legacy` in \
         conf/ssh.toml allows old ones for a host until a date"
    } else {
        "check that an SSH server listens there and is not turning connections away (MaxStartups)"
    }
}

fn fate(proved_dead: bool) -> &'static str {
    if proved_dead { "is dead" } else { "its processes may still be there" }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

fn said(output: &str) -> String {
    let text = output.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// The end of a peer's message as a text fit for one error line: bounded, control characters replaced.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const LIMIT: usize = 500;
    let text = text_of(bytes);
    let begin = text.len().saturating_sub(LIMIT);
    let begin = (begin..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let tail = text.get(begin..).unwrap_or_default();
    tail.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// UTF-8, else GB18030, as for the output of operations (`spec/execution.md` §6.13). What was cut off in front may have left a
/// part of a character.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    let cut = bytes.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
    let utf_8 = bytes.get(cut..).and_then(|text| std::str::from_utf8(text).ok());
    utf_8
        .map(Cow::Borrowed)
        .or_else(|| GB18030.decode_without_bom_handling_and_without_replacement(bytes))
        .unwrap_or_else(|| String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_bounded_and_printable() {
        assert_eq!(excerpt(b"  a\x1b[31m\nb\n"), "a [31m b");
        assert_eq!(excerpt(&[b'x'; 4000]).len(), 500);
        let text = "\u{78c1}\u{76d8}\u{5df2}\u{6ee1}";
        assert_eq!(excerpt(&GB18030.encode(text).0), text);
        for length in 0..4 {
            let long = text.repeat(100) + &"x".repeat(length);
            for bytes in [long.as_bytes(), &GB18030.encode(&long).0] {
                let shown = excerpt(bytes);
                assert!(long.ends_with(&shown) && shown.len() > 400, "{shown}");
            }
        }
        assert_eq!(excerpt(text.as_bytes().get(1..).unwrap()), "\u{76d8}\u{5df2}\u{6ee1}");
        assert_eq!(excerpt(b"\xe9t caf\xe9"), "\u{fffd}t caf\u{fffd}");
    }

    #[test]
    fn texts_name_the_account_and_what_to_do() {
        let kind = SshErrorKind::Auth { tried: vec!["password".into()], offered: vec![] };
        let text = SshError::new(&"app@h:22", kind).to_string();
        assert_eq!(text, "app@h:22: login refused; tried password; the server offers nothing");
    }
}
