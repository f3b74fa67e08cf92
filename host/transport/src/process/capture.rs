//! A process that gets an input and whose two outputs are kept apart, in memory and bounded.

use std::io::{self, PipeWriter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;

use super::group::Output;
use super::{LINGER, ProcessEnd, ProcessError, ProcessSpec, Tree, exit_of, launch};
use crate::output::OutputSink;
use crate::stop::{StopHandle, StopLevel, StopToken};

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub struct CapturedEnd {
    /// Its end.
    pub end: ProcessEnd,
    /// Its standard output, as far as it was read.
    pub stdout: Vec<u8>,
    /// Its standard error, as far as it was read.
    pub stderr: Vec<u8>,
    /// It wrote more than the limit and was stopped for that.
    pub too_large: bool,
}

/// Runs `spec` to its end, with `input` as its standard input, which then ends. Stops as [`run`](super::run) does; also when
/// both outputs together are more than `limit` bytes.
///
/// # Errors
/// It can not be started, or not be waited for.
pub async fn capture(
    spec: ProcessSpec,
    input: &[u8],
    limit: u64,
    stop: StopToken,
) -> Result<CapturedEnd, ProcessError> {
    let launch::Apart { child, group, stdin, stdout, stderr } = launch::start_apart(&spec).await?;
    let mut tree = Tree { program: spec.program, group, child, status: None };
    let budget = Arc::new(Budget::new(limit));
    let (kept_out, kept_err) = (Arc::new(Kept::new(&budget)), Arc::new(Kept::new(&budget)));
    let mut out = Output::new(stdout, Arc::clone(&kept_out) as Arc<dyn OutputSink>);
    let mut err = Output::new(stderr, Arc::clone(&kept_err) as Arc<dyn OutputSink>);

    let ended = async {
        tokio::select! {
            waited = tree.wait() => waited.map(|()| true),
            () = stop.reached(StopLevel::Terminate) => Ok(false),
            () = budget.exceeded() => Ok(false),
            // It may end without having read all of its input.
            never = async { feed(stdin, input).await; std::future::pending().await } => never,
        }
    };
    let mut stopped = None;
    if !out.alongside(err.alongside(ended)).await? {
        stopped = Some(out.alongside(err.alongside(tree.stop(&stop))).await?);
    }
    let lingering = tokio::join!(out.drain(LINGER, &stop), err.drain(LINGER, &stop));
    if (lingering.0 || lingering.1)
        && stopped.is_none()
        && (stop.level() >= StopLevel::Terminate || budget.is_exceeded())
    {
        stopped = Some(tree.stop(&stop).await?);
    }
    let status = tree
        .status
        .ok_or_else(|| ProcessError::StillRunning { program: tree.program.clone(), pid: tree.group.id() })?;
    drop((out, err));
    Ok(CapturedEnd {
        end: ProcessEnd { exit: exit_of(status), stopped },
        stdout: kept_out.take(),
        stderr: kept_err.take(),
        too_large: budget.is_exceeded(),
    })
}

/// Hands the input over and ends it. A program that does not read is no error.
async fn feed(stdin: PipeWriter, input: &[u8]) {
    let fed: io::Result<()> = async {
        let mut pipe = Sender::from_owned_fd(stdin.into())?;
        pipe.write_all(input).await
    }
    .await;
    if let Err(error) = fed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::warn!(%error, "the input of a process cannot be handed over");
    }
}

/// What both outputs may hold together.
struct Budget {
    left: Mutex<u64>,
    is_exceeded: AtomicBool,
    /// Raised when it is exceeded.
    signal: StopHandle,
    token: StopToken,
}

impl Budget {
    fn new(limit: u64) -> Self {
        let signal = StopHandle::new();
        let token = signal.token();
        Self { left: Mutex::new(limit), is_exceeded: AtomicBool::new(false), signal, token }
    }

    /// How many of these bytes may be kept.
    fn take(&self, wanted: usize) -> usize {
        let mut left = self.left.lock();
        let given = usize::try_from(*left).unwrap_or(usize::MAX).min(wanted);
        *left -= given as u64;
        if given < wanted {
            self.is_exceeded.store(true, Ordering::Relaxed);
            self.signal.raise(StopLevel::Terminate);
        }
        given
    }

    fn is_exceeded(&self) -> bool {
        self.is_exceeded.load(Ordering::Relaxed)
    }

    async fn exceeded(&self) {
        self.token.reached(StopLevel::Terminate).await;
    }
}

struct Kept {
    budget: Arc<Budget>,
    bytes: Mutex<Vec<u8>>,
}

impl Kept {
    fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: Mutex::default() }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes.lock())
    }
}

impl OutputSink for Kept {
    fn output(&self, bytes: &[u8]) {
        let given = self.budget.take(bytes.len());
        self.bytes.lock().extend_from_slice(bytes.get(..given).unwrap_or_default());
    }
}
