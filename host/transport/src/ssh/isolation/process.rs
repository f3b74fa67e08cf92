//! A worker process as the run sees it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::handing;
use super::pool::Pool;
use crate::ssh::WORKER_ARGUMENT;
use crate::ssh::error::SshErrorKind;
use crate::ssh::link::local;
use crate::ssh::settings::SshSettings;

/// This program, whichever file it was started from, also after that file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What a worker gets of the environment: where the agent is, and how the libraries are found and set up.
const ENVIRONMENT: [&str; 5] =
    ["SSH_AUTH_SOCK", "LD_LIBRARY_PATH", "OPENSSL_CONF", "OPENSSL_MODULES", "MALLOC_ARENA_MAX"];
/// The end of a connection is seen before that of its process; how long the second is waited for.
const REAPED_WITHIN: Duration = Duration::from_secs(2);
/// Of a line that a worker writes.
const LONGEST_LINE: usize = 4096;

/// What is started to hold connections: a program that becomes a [`super::ConnectionWorker`] when its first argument is
/// [`WORKER_ARGUMENT`].
#[derive(Debug, Clone)]
pub struct WorkerProgram {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Default for WorkerProgram {
    /// The running program itself.
    fn default() -> Self {
        Self { path: OWN_PROGRAM.into(), arguments: vec![WORKER_ARGUMENT.into()] }
    }
}

/// What connections of a process have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A direct way.
    Direct,
    /// These jump hosts.
    Behind(String),
    /// Only this one.
    Alone,
}

/// A live worker, or one that has just ended. It is told to finish when nobody holds this any more.
#[derive(Debug)]
pub(super) struct Process {
    id: u32,
    pub(super) place: Place,
    control: UnixStream,
    /// How many connections are in it, by target.
    seats: Mutex<HashMap<String, usize>>,
    ended: watch::Receiver<Option<Arc<Death>>>,
    /// Why it is not believed any more.
    condemned: watch::Sender<Option<String>>,
}

/// The end of a worker.
#[derive(Debug)]
pub(super) struct Death {
    /// Such as `ended by signal 11 (SIGSEGV)`.
    pub(super) how: String,
    /// How many connections were in it.
    pub(super) connections: usize,
}

impl Process {
    /// Starts one.
    pub(super) fn start(
        settings: &SshSettings,
        place: Place,
        pool: Weak<Pool>,
        living: &watch::Sender<usize>,
    ) -> Result<Arc<Self>, SshErrorKind> {
        let failed = |error: &dyn std::fmt::Display| local("a process", error);
        let (control, theirs) = UnixStream::pair().map_err(|error| failed(&error))?;
        let environment = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let WorkerProgram { path, arguments } = &settings.worker;
        let mut child = Command::new(path)
            // What `ps` shows.
            .arg0("autoexec")
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for the run, which decides what is stopped.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&format_args!("{}: {error}", path.display())))?;
        let id = child.id().unwrap_or_default();
        if let Some(said) = child.stderr.take() {
            tokio::spawn(pass_on(said, id));
        }
        let (tell, ended) = watch::channel(None);
        let (condemned, verdict) = watch::channel(None);
        let process = Arc::new(Self { id, place, control, seats: Mutex::default(), ended, condemned });
        living.send_modify(|living| *living += 1);
        let (weak, living) = (Arc::downgrade(&process), living.clone());
        tokio::spawn(async move {
            reap(child, verdict, weak, pool, tell).await;
            living.send_modify(|living| *living = living.saturating_sub(1));
        });
        handing::send_settings(&process.control, settings).map_err(|error| failed(&error))?;
        tracing::debug!(id, place = ?process.place, "SSH process started");
        Ok(process)
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Takes a place for a connection to a target, if there is one.
    pub(super) fn take(&self, target: &str, places: usize) -> bool {
        let mut seats = self.seats();
        let free = seats.values().sum::<usize>() < places;
        if free {
            *seats.entry(target.to_owned()).or_default() += 1;
        }
        free
    }

    pub(super) fn leave(&self, target: &str) {
        let mut seats = self.seats();
        if let Some(count) = seats.get_mut(target) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                seats.remove(target);
            }
        }
    }

    pub(super) fn hand(&self, end: &UnixStream) -> std::io::Result<()> {
        handing::hand(&self.control, end)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// How it ended; none if it seems to live.
    pub(super) async fn death(&self) -> Option<Arc<Death>> {
        let mut ended = self.ended.clone();
        let told = tokio::time::timeout(REAPED_WITHIN, ended.wait_for(Option::is_some)).await;
        told.ok()?.ok()?.clone()
    }

    /// Ends it: what it sent is nothing that ours sends, so something else is in it, and nothing that it says counts.
    pub(super) fn condemn(&self, why: &str) {
        self.condemned.send_if_modified(|condemned| {
            let first = condemned.is_none();
            if first {
                *condemned = Some(format!("was killed, because {why}"));
            }
            first
        });
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        handing::finish(&self.control);
    }
}

/// Waits for the end of a worker. Those whose connections were in it are suspects before they hear of it.
async fn reap(
    mut child: Child,
    mut verdict: watch::Receiver<Option<String>>,
    process: Weak<Process>,
    pool: Weak<Pool>,
    tell: watch::Sender<Option<Arc<Death>>>,
) {
    let id = child.id().unwrap_or_default();
    let condemned = async { verdict.wait_for(Option::is_some).await.is_ok() };
    let ended = tokio::select! {
        ended = child.wait() => ended,
        true = condemned => child.kill().await.and(child.wait().await),
    };
    let why = verdict.borrow().clone();
    let how = match (why, ended) {
        (Some(why), Ok(_)) => why,
        (None, Ok(status)) => words(status),
        (_, Err(error)) => format!("can not be waited for ({error})"),
    };
    // Nobody held it any more: it has finished.
    let Some(process) = process.upgrade() else { return };
    let seats = process.seats().clone();
    let connections = seats.values().sum();
    if connections > 0 {
        let targets = seats.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::error!(process = id, how, targets, "an SSH process ended with connections in it");
    }
    if let Some(pool) = pool.upgrade() {
        pool.suspect(seats.into_keys());
    }
    tell.send_replace(Some(Arc::new(Death { how, connections })));
}

fn words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => {
            let name = Signal::try_from(number).map(|signal| format!(" ({signal})")).unwrap_or_default();
            format!("ended by signal {number}{name}")
        }
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What a worker has to say goes where our own log goes, line by line.
async fn pass_on(mut said: impl AsyncRead + Unpin, id: u32) {
    let mut line = Vec::with_capacity(256);
    let mut bytes = [0; 1024];
    while let Ok(length @ 1..) = said.read(&mut bytes).await {
        for byte in bytes.get(..length).unwrap_or_default() {
            if *byte != b'\n' && line.len() < LONGEST_LINE {
                line.push(*byte);
            } else if *byte == b'\n' {
                log(id, &line);
                line.clear();
            }
        }
    }
    log(id, &line);
}

fn log(process: u32, line: &[u8]) {
    let text = crate::ssh::error::excerpt(line);
    let text = text.trim();
    if let Some(text) = text.strip_prefix("ERROR ") {
        tracing::error!(process, "{text}");
    } else if let Some(text) = text.strip_prefix("WARN ") {
        tracing::warn!(process, "{text}");
    } else if !text.is_empty() {
        tracing::debug!(process, "{text}");
    }
}
