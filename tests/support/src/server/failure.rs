//! Failures on demand.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::{Call, CallName};

/// How a request fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailMode {
    /// An HTTP code without a body.
    Status(u16),
    /// An HTTP code with `Status` and `Message`.
    Refuse(u16, String),
    /// 200 with `Status` = `ERROR` and `Message`.
    NotOk(String),
    /// 429 with `Retry-After` in seconds.
    RateLimit(u64),
    /// 302 to another address.
    Redirect(String),
    /// A proxy's page with code 502.
    NonJson502,
    /// 200 with a page instead of JSON.
    NonJson200,
    /// The connection is closed without an answer.
    CloseConnection,
    /// No answer at all.
    Hang,
    /// The head and the first byte of the body, then nothing.
    SlowBody,
}

type Choose = dyn FnMut(&Call) -> Option<FailMode> + Send;

/// Chooses a failure for a request, or none.
pub(super) struct Chooser(Box<Choose>);

impl Chooser {
    pub(super) fn new(choose: impl FnMut(&Call) -> Option<FailMode> + Send + 'static) -> Self {
        Self(Box::new(choose))
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser(..)")
    }
}

/// The failures still to come.
#[derive(Debug, Default)]
pub(super) struct Failures {
    planned: HashMap<CallName, VecDeque<(FailMode, Option<usize>)>>,
    pub(super) chooser: Option<Chooser>,
}

impl Failures {
    pub(super) fn add(&mut self, name: CallName, mode: FailMode, times: Option<usize>) {
        self.planned.entry(name).or_default().push_back((mode, times));
    }

    /// The failure of this request.
    pub(super) fn next(&mut self, call: &Call) -> Option<FailMode> {
        if let Some(mode) = self.next_planned(call.name) {
            return Some(mode);
        }
        self.chooser.as_mut().and_then(|chooser| (chooser.0)(call))
    }

    fn next_planned(&mut self, name: CallName) -> Option<FailMode> {
        let queue = self.planned.get_mut(&name)?;
        while queue.front().is_some_and(|(_, times)| *times == Some(0)) {
            queue.pop_front();
        }
        let (mode, times) = queue.front_mut()?;
        if let Some(times) = times {
            *times -= 1;
        }
        Some(mode.clone())
    }
}
