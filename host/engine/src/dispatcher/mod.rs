//! The dispatcher: owner of the run's state, and the only part that reports.
//!
//! Whatever happens becomes one [`Input`]; the synchronous [`RunState::handle`] changes the state and says
//! what to report; the loop here stamps and reports it, and only then answers whoever waits. State change and
//! side effect are apart, so the state machine is tested without a runtime.

mod input;
mod state;
#[cfg(test)]
mod tests;

pub use input::Request;
pub(crate) use input::{
    Input, Permission, SchedulerMessage, UnitEnd, UnitMessage, UnitMessageKind, UnitRequest,
};
pub(crate) use state::Gate;
use state::RunState;

use autoexec_events::{Level, Outcome, RunEvent, Stamper, StopReason};
use autoexec_model::PhaseName;
use tokio::sync::{mpsc, watch};

use crate::environment::JobVariables;
use crate::ports::Reporter;

/// The last round that the server released, by phase.
pub(crate) type ReleasedRound = Option<(PhaseName, u64)>;

/// The sending ends that the scheduler and the units hold.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    inputs: mpsc::UnboundedSender<Input>,
}

impl Inbox {
    /// Tells the dispatcher. It outlives everybody who sends, so a failure can only mean that the run is over.
    pub(crate) fn send(&self, input: Input) {
        if self.inputs.send(input).is_err() {
            tracing::error!("the dispatcher is gone");
        }
    }
}

pub(crate) struct Dispatcher {
    state: RunState,
    inputs: mpsc::UnboundedReceiver<Input>,
    requests: mpsc::Receiver<Request>,
    gate: watch::Sender<Gate>,
    released: watch::Sender<ReleasedRound>,
    reporters: Vec<Box<dyn Reporter>>,
    variables: JobVariables,
    stamper: Stamper,
}

/// What the rest of the engine needs of a dispatcher.
pub(crate) struct DispatcherHandles {
    pub(crate) inbox: Inbox,
    pub(crate) gate: watch::Receiver<Gate>,
    pub(crate) released: watch::Receiver<ReleasedRound>,
}

impl Dispatcher {
    pub(crate) fn new(
        reporters: Vec<Box<dyn Reporter>>,
        requests: mpsc::Receiver<Request>,
        variables: JobVariables,
    ) -> (Self, DispatcherHandles) {
        // Unbounded: every unit has a few messages under way at most, and the width bounds the units.
        let (inputs_sender, inputs) = mpsc::unbounded_channel();
        let (gate, gate_receiver) = watch::channel(Gate::default());
        let (released, released_receiver) = watch::channel(None);
        let dispatcher = Self {
            state: RunState::new(),
            inputs,
            requests,
            gate,
            released,
            reporters,
            variables,
            stamper: Stamper::default(),
        };
        let inbox = Inbox { inputs: inputs_sender };
        (dispatcher, DispatcherHandles { inbox, gate: gate_receiver, released: released_receiver })
    }

    /// Runs until every [`Inbox`] is dropped. Returns how the run ended.
    pub(crate) async fn run(mut self, first: RunEvent) -> Outcome {
        self.report(first);
        let mut requests_open = true;
        loop {
            tokio::select! {
                biased;
                request = self.requests.recv(), if requests_open => match request {
                    Some(Request::RoundContinue { phase, round }) => {
                        self.released.send_replace(Some((phase, round)));
                    }
                    Some(Request::SetEnv { items, only_in_process }) => self.set_variables(items, only_in_process),
                    Some(request) => self.handle(Input::Request(request)),
                    None => requests_open = false,
                },
                input = self.inputs.recv() => match input {
                    Some(input) => self.handle(input),
                    None => break,
                },
            }
        }
        let outcome = self.state.outcome();
        self.report(RunEvent::JobFinished {
            failed: outcome.failed,
            stopped: outcome.stopped,
            phases_run: outcome.phases_run,
            millis: self.state.millis(),
        });
        outcome
    }

    fn handle(&mut self, input: Input) {
        let reaction = self.state.handle(input);
        let mut recorded = true;
        for event in reaction.events {
            recorded &= self.report(event);
        }
        let gate = self.state.gate();
        self.gate.send_if_modified(|present| std::mem::replace(present, gate) != gate);
        if let Some(reply) = reaction.reply {
            reply.send(recorded);
        }
    }

    fn set_variables(&mut self, items: Vec<(String, String)>, only_in_process: bool) {
        for text in self.variables.set(items, only_in_process) {
            self.handle(Input::Request(Request::Message { level: Level::Error, text }));
        }
    }

    /// Tells every reporter; false if one failed. A failure stops the run from starting anything new: what
    /// cannot be recorded must not happen.
    fn report(&mut self, event: RunEvent) -> bool {
        let stamped = self.stamper.stamp(event);
        let mut failures = Vec::new();
        for reporter in &mut self.reporters {
            if let Err(error) = reporter.report(&stamped) {
                failures.push(format!("Reporter {} failed: {error}", reporter.name()));
            }
        }
        if failures.is_empty() {
            return true;
        }
        let is_news = self.state.gate().stop.is_none();
        for text in failures {
            tracing::error!("{text}");
            if !is_news {
                continue;
            }
            self.handle(Input::Request(Request::Stop(StopReason::Pause)));
            self.handle(Input::Request(Request::Message { level: Level::Error, text }));
        }
        false
    }
}
