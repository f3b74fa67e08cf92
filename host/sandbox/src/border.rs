//! What all host functions of one call share: the way to the host, which is closed when the call is over, and what is
//! left of its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use autoexec_grants::{Access, DataDirection, TargetUse};

use crate::clock::{CallClock, CpuMeter};
use crate::grants::Grants;
use crate::host::{Denied, LogLevel, ToolHost};
use crate::limits::{LimitName, LimitReached, Limits};
use crate::net::Network;
use crate::secrets::Secrets;
use crate::tape::Running;

/// Questions that one call may put to a person. Its time does not run meanwhile, so nothing else would end a tool that asks for ever.
const QUESTIONS: u64 = 100;

/// Why the host ended a call from inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostTrap {
    #[error("stopped")]
    Stopped,
    #[error("time limit reached")]
    TimedOut,
    #[error("log limit reached")]
    LogLimit,
    #[error("{0}")]
    Limit(LimitReached),
    #[error("{0}")]
    Misuse(String),
    #[error("{0}")]
    Tape(String),
}

/// The border between one call's guest and the host.
pub(crate) struct Border {
    host: Arc<dyn ToolHost>,
    /// Set when the call is over for its caller. A guest that still has its thread must have no effect after that.
    closed: AtomicBool,
    pub(crate) clock: CallClock,
    pub(crate) cpu: Arc<CpuMeter>,
    /// What the tool asked for and was granted.
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    pub(crate) secrets: Secrets,
    pub(crate) network: Arc<Network>,
    /// What becomes of host calls.
    pub(crate) tape: Running,
    /// A call that must change nothing: a dry run, or a look whether a run took effect.
    only_looks: bool,
    log_left: AtomicU64,
    output_left: AtomicU64,
    questions_left: AtomicU64,
    sockets: Arc<Counter>,
    files: Arc<Counter>,
}

impl Border {
    pub(crate) fn new(
        host: Arc<dyn ToolHost>,
        grants: Grants,
        limits: Limits,
        secrets: Secrets,
        network: Arc<Network>,
        tape: Running,
        only_looks: bool,
    ) -> Self {
        Self {
            host,
            closed: AtomicBool::new(false),
            clock: CallClock::start(limits.time),
            cpu: Arc::default(),
            grants,
            limits,
            secrets,
            network,
            tape,
            only_looks,
            log_left: AtomicU64::new(limits.log),
            output_left: AtomicU64::new(limits.output),
            questions_left: AtomicU64::new(QUESTIONS),
            sockets: Counter::new(LimitName::Sockets, limits.sockets),
            files: Counter::new(LimitName::Files, limits.files),
        }
    }

    /// From here on the guest reaches the host no more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The host, unless the call is over. Every host function goes through here.
    pub(crate) fn host(&self) -> Result<&Arc<dyn ToolHost>, HostTrap> {
        self.check_alive().map(|()| &self.host)
    }

    /// Whether the guest may go on.
    pub(crate) fn check_alive(&self) -> Result<(), HostTrap> {
        if self.closed.load(Ordering::Acquire) {
            Err(HostTrap::Stopped)
        } else if self.clock.is_over() {
            Err(HostTrap::TimedOut)
        } else {
            self.tape.check()
        }
    }

    /// Whether the guest has processor time left.
    pub(crate) fn check_cpu(&self) -> Result<(), HostTrap> {
        if self.cpu.used() < self.limits.cpu {
            return Ok(());
        }
        let value = u64::try_from(self.limits.cpu.as_millis()).unwrap_or(u64::MAX);
        Err(HostTrap::Limit(LimitReached { name: LimitName::Cpu, value }))
    }

    /// Whether the tool may do this now: it asked for the capability, was granted it, and the policy allows the argument.
    pub(crate) fn permit(&self, access: &Access<'_>) -> Result<(), Denied> {
        let capability = access.capability();
        if !self.grants.has(capability) {
            return Err(Denied(format!(
                "the tool was not given `{capability}`: its manifest must ask for it, and the policy must grant it"
            )));
        }
        if self.only_looks && writes(access) {
            return Err(Denied("a dry run and a look at an earlier run must change nothing".into()));
        }
        self.host().map_err(|over| Denied(over.to_string()))?.permit(access)
    }

    /// The direction that is left of a granted one.
    pub(crate) fn direction(&self, granted: DataDirection) -> DataDirection {
        if self.only_looks { DataDirection::Read } else { granted }
    }

    /// Takes bytes from the log budget.
    pub(crate) fn spend_log(&self, bytes: usize) -> Result<(), HostTrap> {
        // A line costs its line break too, or a flood of empty lines would be free.
        if spend(&self.log_left, bytes.saturating_add(1)) { Ok(()) } else { Err(HostTrap::LogLimit) }
    }

    /// Takes bytes from the output budget.
    pub(crate) fn spend_output(&self, bytes: usize) -> Result<(), HostTrap> {
        if spend(&self.output_left, bytes.saturating_add(1)) {
            return Ok(());
        }
        Err(HostTrap::Limit(LimitReached { name: LimitName::Output, value: self.limits.output }))
    }

    /// One more question to a person. False when the call has asked often enough.
    pub(crate) fn question(&self) -> bool {
        spend(&self.questions_left, 1)
    }

    /// One more open socket, until the permit is dropped.
    pub(crate) fn socket(&self) -> Result<Counted, LimitReached> {
        self.sockets.one_more()
    }

    /// One more open file, until the permit is dropped.
    pub(crate) fn file(&self) -> Result<Counted, LimitReached> {
        self.files.one_more()
    }

    /// Tells a limit that the guest's interface has no words for in the node's log.
    pub(crate) fn tell(&self, reached: &LimitReached) {
        if let Ok(host) = self.host()
            && self.spend_log(0).is_ok()
        {
            host.log(LogLevel::Warn, &format!("Sandbox: {reached}."));
        }
    }
}

/// Whether it plainly changes something. A command, a request or a program may, too; that is up to the tool.
fn writes(access: &Access<'_>) -> bool {
    matches!(
        access,
        Access::Filesystem { direction: DataDirection::Write, .. }
            | Access::Documents { direction: DataDirection::Write, .. }
            | Access::Target(TargetUse::File { direction: DataDirection::Write, .. })
    )
}

fn spend(left: &AtomicU64, bytes: usize) -> bool {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes)).is_ok()
}

/// Things that are open at the same time, up to a limit.
#[derive(Debug)]
struct Counter {
    name: LimitName,
    limit: u32,
    open: AtomicU32,
}

impl Counter {
    fn new(name: LimitName, limit: u32) -> Arc<Self> {
        Arc::new(Self { name, limit, open: AtomicU32::new(0) })
    }

    fn one_more(self: &Arc<Self>) -> Result<Counted, LimitReached> {
        let more = |open: u32| (open < self.limit).then(|| open + 1);
        match self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(Counted(Arc::clone(self))),
            Err(_) => Err(LimitReached { name: self.name, value: u64::from(self.limit) }),
        }
    }
}

/// Something open that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Counter>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
