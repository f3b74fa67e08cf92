//! What a component exports, and the call itself in its types.

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{AsContextMut as _, Result, Store};

use super::bindings::autoexec::tool::types;
use super::bindings::exports::autoexec::tool::{dry_run, effect_probe, tool};
use crate::call::{Answer, Ask, Change, Effect, FailureKind, ToolCall, ToolFailure, ToolOutcome};
use crate::state::CallState;

/// Where a component's exports are.
#[derive(Clone)]
pub(crate) struct Exports {
    run: tool::GuestIndices,
    check: Option<dry_run::GuestIndices>,
    probe: Option<effect_probe::GuestIndices>,
}

impl Exports {
    /// Finds them. `has_check` and `has_probe` say what the component's outline names.
    pub(crate) fn find(pre: &InstancePre<CallState>, has_check: bool, has_probe: bool) -> Result<Self> {
        Ok(Self {
            run: tool::GuestIndices::new(pre)?,
            check: if has_check { Some(dry_run::GuestIndices::new(pre)?) } else { None },
            probe: if has_probe { Some(effect_probe::GuestIndices::new(pre)?) } else { None },
        })
    }

    /// Whether the component can answer this.
    pub(crate) fn can(&self, ask: Ask) -> bool {
        match ask {
            Ask::Run => true,
            Ask::Check => self.check.is_some(),
            Ask::Probe => self.probe.is_some(),
        }
    }

    /// Calls the export. None when the component has no such export.
    pub(crate) async fn call(
        &self,
        ask: Ask,
        store: &mut Store<CallState>,
        instance: &Instance,
        call: ToolCall,
    ) -> Result<Option<Answer>> {
        let invocation = invocation(call);
        Ok(match (ask, &self.check, &self.probe) {
            (Ask::Run, ..) => {
                let guest = self.run.load(store.as_context_mut(), instance)?;
                Some(Answer::Run(outcome(guest.call_run(store, &invocation).await?)))
            }
            (Ask::Check, Some(check), _) => {
                let guest = check.load(store.as_context_mut(), instance)?;
                let changes = guest.call_check(store, &invocation).await?;
                let changes = changes.map(|changes| changes.into_iter().map(change).collect());
                Some(Answer::Check(changes.map_err(failure)))
            }
            (Ask::Probe, _, Some(probe)) => {
                let guest = probe.load(store.as_context_mut(), instance)?;
                Some(Answer::Probe(guest.call_probe(store, &invocation).await?.map(effect).map_err(failure)))
            }
            (Ask::Check | Ask::Probe, ..) => None,
        })
    }
}

fn invocation(call: ToolCall) -> types::Invocation {
    let options = call.options.into_iter();
    types::Invocation {
        options: options.map(|(name, value)| types::OptionValue { name, value: value.to_string() }).collect(),
        arguments: call.arguments.into_iter().map(|value| value.to_string()).collect(),
    }
}

fn outcome(answer: Result<types::Outcome, types::Failure>) -> ToolOutcome {
    match answer {
        Ok(outcome) => ToolOutcome::Succeeded { message: outcome.message },
        Err(error) => ToolOutcome::Failed(failure(error)),
    }
}

fn failure(failure: types::Failure) -> ToolFailure {
    ToolFailure {
        kind: failure_kind(failure.kind),
        message: failure.message,
        // A failure must not look like success to whoever reads only the status.
        exit_code: failure.exit_code.max(1),
    }
}

fn failure_kind(kind: types::FailureKind) -> FailureKind {
    use types::FailureKind as Wit;
    match kind {
        Wit::InvalidOption(name) => FailureKind::InvalidOption(name),
        Wit::NotFound => FailureKind::NotFound,
        Wit::CheckFailed => FailureKind::CheckFailed,
        Wit::Unreachable => FailureKind::Unreachable,
        Wit::TimedOut => FailureKind::TimedOut,
        Wit::Denied => FailureKind::Denied,
        Wit::Other(kind) => FailureKind::Other(kind),
    }
}

fn change(change: dry_run::Change) -> Change {
    Change { subject: change.subject, before: change.before, after: change.after }
}

fn effect(effect: effect_probe::Effect) -> Effect {
    match effect {
        effect_probe::Effect::Complete => Effect::Complete,
        effect_probe::Effect::None => Effect::None,
        effect_probe::Effect::Unknown => Effect::Unknown,
    }
}
