//! Running something to its end, with bounds on its output and time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use autoexec_sandbox::TargetError;
use autoexec_transport::ssh::RemoteEnd;
use autoexec_transport::{Exit, OutputSink, StopHandle, StopLevel};

use crate::node_shell::NodeShell;

/// Output of a command, bounded.
pub(super) struct Collected {
    bytes: Mutex<Vec<u8>>,
    /// What the caller takes.
    limit: u64,
    /// What our own marks need besides.
    slack: u64,
    full: StopHandle,
}

impl Collected {
    pub(super) fn new(limit: u64, slack: u64) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::default(), limit, slack, full: StopHandle::new() })
    }

    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn gather(
        self: &Arc<Self>,
        shell: &dyn NodeShell,
        line: &str,
        env: Vec<(String, String)>,
        timeout: Option<Duration>,
    ) -> Result<Exit, TargetError> {
        let sink = Arc::clone(self) as Arc<dyn OutputSink>;
        let token = self.full.token();
        let end = limited(shell.run(line, env, sink, &token), timeout, &self.full).await?;
        match end {
            None => Err(TargetError::TimedOut),
            Some(end) if end.stopped.is_some() => Err(TargetError::TooLarge(self.limit)),
            Some(end) => exit_of(end),
        }
    }
}

impl OutputSink for Collected {
    fn output(&self, bytes: &[u8]) {
        let mut all = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if (all.len() + bytes.len()) as u64 > self.limit.saturating_add(self.slack) {
            self.full.raise(StopLevel::Kill);
        } else {
            all.extend_from_slice(bytes);
        }
    }
}

pub(super) async fn run_within(
    shell: &dyn NodeShell,
    line: &str,
    env: Vec<(String, String)>,
    sink: Arc<dyn OutputSink>,
    timeout: Option<Duration>,
) -> Result<Exit, TargetError> {
    let handle = StopHandle::new();
    let token = handle.token();
    match limited(shell.run(line, env, sink, &token), timeout, &handle).await? {
        None => Err(TargetError::TimedOut),
        Some(end) => exit_of(end),
    }
}

fn exit_of(end: RemoteEnd) -> Result<Exit, TargetError> {
    end.exit.ok_or_else(|| TargetError::Other("the command did not say how it ended".to_owned()))
}

/// Stops a command after its time and waits for that; none when it took too long.
async fn limited<T>(
    work: impl Future<Output = Result<T, TargetError>>,
    timeout: Option<Duration>,
    handle: &StopHandle,
) -> Result<Option<T>, TargetError> {
    tokio::pin!(work);
    let Some(timeout) = timeout else { return work.await.map(Some) };
    if let Ok(done) = tokio::time::timeout(timeout, &mut work).await {
        return done.map(Some);
    }
    handle.raise(StopLevel::Terminate);
    work.await.map(|_| None)
}
