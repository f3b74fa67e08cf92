//! Local processes: started in a group of their own, read through one pipe, stopped as a whole tree.
//!
//! The process starts with a pipe on stdin that stays open and empty, and with stdout and stderr on one pipe so that
//! their order is kept (plugin contract §8.3). Unlike the replaced system it leads its own process group, because
//! signalling only the direct child left grandchildren behind (defect 57).

mod capture;
mod error;
mod group;
mod launch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

pub use capture::{CapturedEnd, capture};
pub use error::ProcessError;
use group::{Group, Output};

use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::stop::{StopLevel, StopToken};

/// Time between the first TERM and KILL (execution §6.10: TERM, three more a second apart, then KILL).
pub const GRACE: Duration = Duration::from_secs(4);
/// How long the output of a finished process is still read when a descendant keeps the pipe open.
pub const LINGER: Duration = Duration::from_secs(2);

const TERM_INTERVAL: Duration = Duration::from_secs(1);
const KILL_WAIT: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What to start. No shell is involved.
#[derive(Clone)]
pub struct ProcessSpec {
    /// Path of the program or of a script with a `#!` line.
    pub program: PathBuf,
    /// Arguments after the program name.
    pub args: Vec<OsString>,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<OsString, OsString>,
    /// Working directory.
    pub cwd: PathBuf,
}

impl std::fmt::Debug for ProcessSpec {
    /// Leaves arguments and environment out: both carry secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("program", &self.program)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// How a local process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessEnd {
    /// Exit of the process itself.
    pub exit: Exit,
    /// Set when it was stopped by us: what is known about its group.
    pub stopped: Option<StopOutcome>,
}

/// Runs `spec` to its end. `on_start` gets the process id, which is also the id of its process group.
///
/// At [`StopLevel::Terminate`] the group gets TERM, again each second, and KILL after [`GRACE`]; at
/// [`StopLevel::Kill`] it gets KILL at once. A descendant that keeps the output pipe open after the process has
/// exited is waited for [`LINGER`] and then left alone: starting a daemon is a legal thing to do. Dropping the
/// future kills the group.
pub async fn run(
    spec: ProcessSpec,
    sink: Arc<dyn OutputSink>,
    stop: StopToken,
    on_start: impl FnOnce(u32),
) -> Result<ProcessEnd, ProcessError> {
    let started = launch::start(&spec).await?;
    let mut tree = Tree { program: spec.program, group: started.group, child: started.child, status: None };
    // Held to the end: a program that reads its stdin has to wait, not to see the end of it.
    let _stdin = started.stdin;
    let mut output = Output::new(started.output, sink);
    on_start(tree.group.id());

    let mut stopped = None;
    if !tree.ended_before_stop(&mut output, &stop).await? {
        stopped = Some(output.alongside(tree.stop(&stop)).await?);
    }
    let lingering = output.drain(LINGER, &stop).await;
    if lingering && stopped.is_none() && stop.level() >= StopLevel::Terminate {
        stopped = Some(output.alongside(tree.stop(&stop)).await?);
    }
    let status = tree
        .status
        .ok_or(ProcessError::StillRunning { program: tree.program.clone(), pid: tree.group.id() })?;
    Ok(ProcessEnd { exit: exit_of(status), stopped })
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// The process we started and its group. Only this task reaps the process, so its id cannot be given to another
/// process between looking at it and signalling it.
struct Tree {
    program: PathBuf,
    group: Group,
    child: Child,
    status: Option<ExitStatus>,
}

impl Tree {
    /// True when the process ended by itself, false when it was told to stop first.
    async fn ended_before_stop(
        &mut self,
        output: &mut Output,
        stop: &StopToken,
    ) -> Result<bool, ProcessError> {
        output
            .alongside(async {
                tokio::select! {
                    waited = self.wait() => waited.map(|()| true),
                    () = stop.reached(StopLevel::Terminate) => Ok(false),
                }
            })
            .await
    }

    async fn wait(&mut self) -> Result<(), ProcessError> {
        if self.status.is_none() {
            let waited = self.child.wait().await;
            let status =
                waited.map_err(|source| ProcessError::Wait { program: self.program.clone(), source })?;
            self.status = Some(status);
        }
        Ok(())
    }

    async fn wait_gone(&mut self) -> Result<(), ProcessError> {
        self.wait().await?;
        while self.group.has_live_members() {
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    async fn stop(&mut self, stop: &StopToken) -> Result<StopOutcome, ProcessError> {
        let gone = self.terminate(stop).await? || self.kill().await?;
        Ok(StopOutcome { proved_dead: gone })
    }

    /// TERM each second for the grace time. True when nothing of the group is left.
    async fn terminate(&mut self, stop: &StopToken) -> Result<bool, ProcessError> {
        let deadline = Instant::now() + GRACE;
        while stop.level() < StopLevel::Kill && Instant::now() < deadline {
            self.group.terminate();
            tokio::select! {
                gone = self.wait_gone() => return gone.map(|()| true),
                () = stop.reached(StopLevel::Kill) => {}
                () = sleep(TERM_INTERVAL) => {}
            }
        }
        Ok(false)
    }

    async fn kill(&mut self) -> Result<bool, ProcessError> {
        self.group.kill();
        match timeout(KILL_WAIT, self.wait_gone()).await {
            Ok(gone) => gone.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Not reaped: the caller dropped the run. The runtime reaps what is left.
        if self.status.is_none() {
            self.group.kill();
        }
    }
}
