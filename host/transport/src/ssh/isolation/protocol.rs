//! What the run and a worker say to each other about one connection.
//!
//! A frame is its length (`u32`, little endian), one byte that says what it is, and that many bytes. Towards the worker all are
//! [`Message`]s; back come pieces of output as they are, and [`Event`]s. Both sides are the same program: there are no
//! versions.
//!
//! A worker opens no file, looks up no name and knows no login: it asks for each when it needs it ([`Question`]). A file comes
//! as a descriptor beside the [`Reply`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::plain;
use crate::entry::{FileFact, UploadEntry};
use crate::exit::StopOutcome;
use crate::ssh::become_user::Account;
use crate::ssh::credential::Credential;
use crate::ssh::error::SshErrorKind;
use crate::ssh::exec::{ExecRequest, RemoteEnd};
use crate::ssh::files::RemoteDir;
use crate::ssh::inventory::State;
use crate::ssh::kept::Keeping;
use crate::ssh::known_hosts::{HostKey, KnownHost, Verdict};
use crate::ssh::remote::RemotePid;
use crate::ssh::settings::SshTarget;
use crate::ssh::task::{RemoteTask, TaskEnd};
use crate::stop::StopLevel;

/// Length and kind.
pub(super) const HEADER: usize = 5;
/// A piece of output, as it is.
pub(super) const OUTPUT: u8 = 0;
/// A message or an event.
pub(super) const RECORD: u8 = 1;

/// The longest frame to a worker: files that are given as bytes are the large part.
pub(super) const LONGEST_MESSAGE: usize = 512 * 1024 * 1024;
/// The longest event, without the content of the file that was asked for.
pub(super) const LONGEST_EVENT: usize = 16 * 1024 * 1024;
/// The longest error in an event.
pub(super) const LONGEST_ERROR: usize = 256 * 1024;

/// From the run to the worker.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) enum Message {
    /// The first one: whom to connect to.
    Connect(SshTarget),
    /// Something to do, after what was asked before, and how urgently it has to end already.
    Do(Operation, StopLevel),
    /// How urgently the operation that was asked last has to end.
    Level(StopLevel),
    /// Nobody waits for the operation that was asked last.
    Abandon,
    /// The answer to the question of that number.
    Reply(u32, Box<Reply>),
    /// The connection is not needed any more. An end without it is the end of the run's process.
    Close,
}

/// What is done over a connection.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) enum Operation {
    Exec(ExecRequest),
    /// With what is known of the files among its entries, in their order.
    Run {
        task: Box<RemoteTask>,
        files: Vec<Option<FileFact>>,
    },
    Attach(Box<RemoteTask>),
    StopGroup {
        pid: RemotePid,
        account: Option<Account>,
    },
    MakeDir(RemoteDir),
    RemoveDir {
        dir: RemoteDir,
        accounts: Vec<Account>,
    },
    KeepDir {
        dir: RemoteDir,
        keeping: Keeping,
    },
    Upload {
        entries: Vec<UploadEntry>,
        files: Vec<Option<FileFact>>,
        dir: String,
    },
    /// What has arrived of it is file 0.
    Download(Download),
    Read {
        remote: String,
        max_bytes: u64,
    },
    OpenTerminal {
        columns: u16,
        rows: u16,
    },
    Type(#[serde(with = "plain::wiped_bytes")] Zeroizing<Vec<u8>>),
    Receive {
        timeout: Duration,
    },
}

/// A file to fetch.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) struct Download {
    pub(in crate::ssh) remote: String,
    /// The name it is to have, for errors.
    #[serde(with = "plain::path")]
    pub(in crate::ssh) local: PathBuf,
    pub(in crate::ssh) max_bytes: u64,
    /// Who reads it, where it is not the one that logs in.
    pub(in crate::ssh) account: Option<Account>,
}

impl Operation {
    /// The longest event that may answer.
    pub(super) fn longest_answer(&self) -> usize {
        let content = match self {
            Self::Read { max_bytes, .. } => *max_bytes,
            Self::Run { task, .. } | Self::Attach(task) => {
                task.wanted.as_ref().map_or(0, |wanted| wanted.max_bytes)
            }
            _ => 0,
        };
        LONGEST_EVENT.saturating_add(usize::try_from(content).unwrap_or(usize::MAX))
    }
}

/// From the worker to the run.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) enum Event {
    /// The command's process group.
    Started(RemotePid),
    /// Large files are being sent, and nothing else yet; or no longer.
    Sending(bool),
    /// Something is needed; the number is that of the reply.
    Ask(u32, Question),
    /// The end of what was asked first of all that was not answered yet.
    Answer {
        result: Result<Answer, SshErrorKind>,
        /// What stands on the target now, where that has changed.
        inventory: Option<Box<State>>,
    },
}

/// What a worker needs of the run. Hosts are counted from 0, the first jump host, to the target.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) enum Question {
    /// The addresses of the first host on the way.
    Addresses,
    /// How to know a host and how to log in to it.
    Host(u32),
    /// A host's key is to be recorded on first use.
    Record { host: u32, key: HostKey },
    /// A file of the operation under way is to be opened.
    Open(u32),
}

/// What the run says to that.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) enum Reply {
    Addresses(Vec<SocketAddr>),
    Host(HostInfo),
    Recorded(Verdict),
    /// A descriptor comes with it.
    Opened,
    Refused(SshErrorKind),
}

/// How to know a host and how to log in to it.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) struct HostInfo {
    /// What the known-hosts file says.
    pub(in crate::ssh) known: KnownHost,
    pub(in crate::ssh) credentials: Vec<Credential>,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(in crate::ssh) enum Answer {
    Done,
    /// Whether the directory is still there.
    Kept(bool),
    Ended(RemoteEnd),
    Task(TaskEnd),
    Stopped(StopOutcome),
    Length(Option<u64>),
    Content(#[serde(with = "plain::maybe_bytes")] Option<Vec<u8>>),
    Output(#[serde(with = "plain::bytes")] Vec<u8>),
}

/// A record as a whole frame, in memory that is wiped: it may hold a secret.
pub(super) fn frame(record: &impl Serialize, longest: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let length = postcard::experimental::serialized_size(record).map_err(|error| error.to_string())?;
    let short = u32::try_from(length).ok().filter(|_| length <= longest);
    let Some(short) = short else {
        return Err(format!("{length} bytes are more than the {longest} that are passed on at once"));
    };
    // Of its size from the beginning: a vector that grows leaves copies.
    let mut frame = Zeroizing::new(vec![0; HEADER + length]);
    let (header, body) = frame.split_at_mut(HEADER);
    header.copy_from_slice(&self::header(short, RECORD));
    postcard::to_slice(record, body).map_err(|error| error.to_string())?;
    Ok(frame)
}

/// The beginning of a frame.
pub(super) fn header(length: u32, kind: u8) -> [u8; HEADER] {
    let [a, b, c, d] = length.to_le_bytes();
    [a, b, c, d, kind]
}

/// Length and kind out of a beginning.
pub(super) fn parse_header(header: [u8; HEADER]) -> (usize, u8) {
    let [a, b, c, d, kind] = header;
    (usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX), kind)
}

/// A record out of the bytes of a frame, all of them.
pub(super) fn record<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        Ok((_, rest)) => Err(format!("a record with {} bytes behind it", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}
