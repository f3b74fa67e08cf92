//! Which worker holds a connection.

use std::collections::HashSet;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;

use super::answering::Answering;
use super::line::Line;
use super::process::{Place, Process};
use crate::ssh::error::SshErrorKind;
use crate::ssh::link::local;
use crate::ssh::rules::{self, JumpHost};
use crate::ssh::settings::{SshSettings, SshTarget};
use crate::ssh::shaping::Shaper;

/// Most direct connections in one worker: so many are lost with it. A worker costs some megabytes and milliseconds.
const DIRECT: usize = 16;
/// Most connections in one worker behind the same jump hosts: as many as share one connection to those.
const BEHIND: usize = 64;
/// A worker that ends between being chosen and being given a connection is nobody's fault once or twice.
const TRIES: usize = 3;
/// How long the end of a run waits for its workers; their connections are closed, or say good-bye to a host that is gone.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// The workers of a run. Those without a connection stay: the next phase has the same hosts.
#[derive(Debug)]
pub(in crate::ssh) struct Pool {
    settings: Arc<SshSettings>,
    roster: Mutex<Roster>,
    /// How many workers were started and not yet waited for.
    living: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Roster {
    processes: Vec<Arc<Process>>,
    /// Targets that were in a worker when it ended, and have not got through an operation since: each is alone, so
    /// that the one that is the reason hits nobody else again.
    suspects: HashSet<String>,
}

/// A connection's place in a worker.
#[derive(Debug)]
pub(super) struct Seat {
    pool: Arc<Pool>,
    pub(super) process: Arc<Process>,
    target: String,
    suspect: bool,
    /// Of all connections of the run.
    _slot: Arc<OwnedSemaphorePermit>,
}

impl Seat {
    /// The target got through an operation.
    pub(super) fn proved(&mut self) {
        if std::mem::take(&mut self.suspect) {
            self.pool.roster().suspects.remove(&self.target);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.process.leave(&self.target);
    }
}

impl Pool {
    pub(in crate::ssh) fn new(settings: Arc<SshSettings>) -> Self {
        Self { settings, roster: Mutex::default(), living: watch::Sender::new(0) }
    }

    /// Connects in the worker that is the right one.
    pub(in crate::ssh) async fn connect(
        self: &Arc<Self>,
        target: &SshTarget,
        jumps: &[Arc<JumpHost>],
        shaper: &Shaper,
        slot: OwnedSemaphorePermit,
    ) -> Result<Line, SshErrorKind> {
        let slot = Arc::new(slot);
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let seat = self.seat(target, jumps, shaper, &slot).await?;
            let process = Arc::clone(&seat.process);
            let answering = Answering::new(Arc::clone(&self.settings), target);
            let error = match Self::place(seat, answering) {
                Ok(mut line) => {
                    line.connect(target, self.settings.connect_timeout).await?;
                    return Ok(line);
                }
                Err(error) => error,
            };
            // It has just ended; who was in it is told by its end.
            let death = if tries == 0 { None } else { process.death().await };
            tracing::debug!(%target, %error, ?death, "an SSH process takes no connection");
            if death.is_none() {
                return Err(local("a connection in an SSH process", &error));
            }
        }
    }

    /// Lets the workers end and waits for them, so that the run leaves none behind and what they used counts as its own.
    pub(in crate::ssh) async fn close(&self) {
        self.roster().processes.clear();
        let mut living = self.living.subscribe();
        if timeout(FINISH_LIMIT, living.wait_for(|living| *living == 0)).await.is_err() {
            tracing::warn!("SSH processes are still closing connections");
        }
    }

    fn place(seat: Seat, answering: Answering) -> std::io::Result<Line> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        seat.process.hand(&theirs)?;
        Line::new(ours, seat, answering)
    }

    async fn seat(
        self: &Arc<Self>,
        target: &SshTarget,
        jumps: &[Arc<JumpHost>],
        shaper: &Shaper,
        slot: &Arc<OwnedSemaphorePermit>,
    ) -> Result<Seat, SshErrorKind> {
        let (seat, new) = self.take_seat(target, jumps, slot)?;
        if new {
            // It will log in to each of the jump hosts; the limits of those are the run's, not the worker's.
            for (at, jump) in jumps.iter().enumerate() {
                let before = jumps.get(..at).unwrap_or_default();
                shaper.login_turn(&self.settings.rules, &jump.target, before).await;
            }
        }
        Ok(seat)
    }

    /// A place, and whether its worker was started for it.
    fn take_seat(
        self: &Arc<Self>,
        target: &SshTarget,
        jumps: &[Arc<JumpHost>],
        slot: &Arc<OwnedSemaphorePermit>,
    ) -> Result<(Seat, bool), SshErrorKind> {
        let name = target.to_string();
        let mut roster = self.roster();
        roster.processes.retain(|process| !process.has_ended());
        let suspect = roster.suspects.contains(&name);
        let (place, places) = match jumps {
            _ if suspect => (Place::Alone, 1),
            [] => (Place::Direct, DIRECT),
            jumps => (Place::Behind(rules::way(jumps.iter().map(|jump| &**jump))), BEHIND),
        };
        let found =
            roster.processes.iter().find(|process| process.place == place && process.take(&name, places));
        let (process, new) = if let Some(process) = found {
            (Arc::clone(process), false)
        } else {
            let process = Process::start(&self.settings, place, Arc::downgrade(self), &self.living)?;
            process.take(&name, places);
            // One for a suspect ends with its connection.
            if !suspect {
                roster.processes.push(Arc::clone(&process));
            }
            (process, true)
        };
        let seat = Seat { pool: Arc::clone(self), process, target: name, suspect, _slot: Arc::clone(slot) };
        Ok((seat, new))
    }

    /// A worker ended with connections to these in it.
    pub(super) fn suspect(&self, targets: impl Iterator<Item = String>) {
        self.roster().suspects.extend(targets);
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
