//! Tools are asked instead of run: whether an earlier run took effect, and, in a dry run, what they would change.

use autoexec_events::{Change, Level};
use autoexec_model::command_line::Purpose;
use autoexec_model::native::NativeOp;
use autoexec_model::value::Inputs;
use autoexec_model::{Call, Operation, Place};
use serde_json::{Map, Value};

use super::call::Done;
use super::{Unit, operation_ref};
use crate::dispatcher::UnitMessageKind;
use crate::ports::{LogLine, OperationExit, PROBE_COMPLETE, PROBE_NONE, ToolInfo, ToolProblem};

impl Unit<'_> {
    pub(super) fn is_dry_run(&self) -> bool {
        self.teller.shared.settings.check
    }

    /// An earlier run did not see how the operation ended, and its tool can be asked whether it took effect. `None` when it
    /// did not and may run.
    pub(super) async fn probe_tool(
        &mut self,
        operation: &Operation,
        call: &Call,
        inputs: &Inputs,
    ) -> Option<Done> {
        if let Err(error) = self.prepare_files(operation) {
            self.warn(&error.to_string());
            return Some(Done::Unknown);
        }
        self.info(&format!(
            "An earlier run did not see how {} ended; its tool is asked whether it took effect.",
            operation.id
        ));
        let end = self.run_and_listen(operation, call, inputs, Purpose::Probe).await;
        self.log.end_output();
        match end.exit {
            OperationExit::Code(PROBE_COMPLETE) => {
                self.info(&format!("{} took effect then and is not run again.", operation.id));
                Some(match (end.output, &call.outputs) {
                    (Some(values), _) => self.keep_outputs(operation, call, values),
                    (None, Some(_)) => self.keep_outputs(operation, call, Map::new()),
                    (None, None) => Done::Succeeded,
                })
            }
            OperationExit::Code(PROBE_NONE) => {
                self.info(&format!("{} did not take effect then.", operation.id));
                None
            }
            OperationExit::Stopped { proved_dead } => {
                self.effect_unknown = true;
                Some(Done::Stopped { proved_dead })
            }
            OperationExit::Code(code) => {
                self.warn(&format!("The tool of {} can not tell (code {code}).", operation.id));
                Some(Done::Unknown)
            }
            OperationExit::Signal(signal) => {
                self.warn(&format!(
                    "The tool of {} was ended by signal {signal} when it was asked.",
                    operation.id
                ));
                Some(Done::Unknown)
            }
            OperationExit::Error(problem) => {
                self.warn(&problem);
                Some(Done::Unknown)
            }
        }
    }

    /// What a dry run does not even ask for.
    pub(super) fn left_out_of_dry_run(
        &self,
        operation: &Operation,
        inputs: &Inputs,
        tool: Result<&ToolInfo, &ToolProblem>,
    ) -> Option<Done> {
        if !self.is_dry_run() {
            return None;
        }
        let built_in = operation.place == Place::Native && !tool.is_ok_and(|tool| tool.is_component);
        let native = NativeOp::from_operation(operation.name.tool(), inputs);
        let why = match (built_in, native, tool) {
            (true, Ok(Some(NativeOp::Export { .. } | NativeOp::UpdateGlobalParam { .. })), _) => {
                "it would only tell the server"
            }
            // A tool that is not installed fails as in any run.
            (true, Ok(Some(_)) | Err(_), _) | (_, _, Err(_)) => return None,
            (_, _, Ok(tool)) if tool.can_check => return None,
            _ if operation_is_script(operation) => "a script can not say what it would change",
            _ => "its tool can not say what it would change",
        };
        Some(Done::NotChecked(format!("{} is left out of the dry run: {why}.", operation.id)))
    }

    /// Asks the tool what it would change.
    pub(super) async fn check_tool(&mut self, operation: &Operation, call: &Call, inputs: &Inputs) -> Done {
        if let Err(error) = self.prepare_files(operation) {
            return Done::Failed(error.to_string());
        }
        self.prepare(operation);
        let end = self.run_and_listen(operation, call, inputs, Purpose::Check).await;
        self.log.end_output();
        match end.exit {
            OperationExit::Code(0) => match changes(end.output) {
                Ok(changes) => {
                    for change in changes.iter().flatten() {
                        self.info(&format!("Would change {change}"));
                    }
                    if changes.as_ref().is_some_and(Vec::is_empty) {
                        self.info("Would change nothing.");
                    }
                    let (operation, found) = (operation_ref(operation), Ok(changes.unwrap_or_default()));
                    self.teller.tell(UnitMessageKind::Checked { operation, found });
                    Done::Succeeded
                }
                Err(problem) => Done::Failed(format!("The check of {}: {problem}", operation.id)),
            },
            OperationExit::Code(code) => {
                Done::Failed(format!("The check of {} ended with exit code {code}.", operation.id))
            }
            OperationExit::Signal(signal) => {
                Done::Failed(format!("The check of {} was ended by signal {signal}.", operation.id))
            }
            OperationExit::Stopped { proved_dead } => Done::Stopped { proved_dead },
            OperationExit::Error(problem) => Done::Failed(problem),
        }
    }

    /// An operation of a dry run of which nobody knows what it would change.
    pub(super) fn not_checked(&self, operation: &Operation, reason: String) {
        self.warn(&reason);
        let operation = operation_ref(operation);
        self.teller.tell(UnitMessageKind::Checked { operation, found: Err(reason) });
    }

    pub(super) fn info(&self, text: &str) {
        self.log.line(LogLine::Text(Level::Info, text));
    }
}

fn operation_is_script(operation: &Operation) -> bool {
    matches!(&operation.body, autoexec_model::OperationBody::Call(call) if call.script.is_some())
}

/// The list `changes` of a check's output; none from a tool that tells only people, in its log.
fn changes(output: Option<Map<String, Value>>) -> Result<Option<Vec<Change>>, String> {
    match output.and_then(|mut output| output.shift_remove("changes")) {
        None | Some(Value::Null) => Ok(None),
        Some(list) => serde_json::from_value(list).map(Some).map_err(|error| {
            format!(
                "`changes` of its output must be a list of objects with subject, before and after: {error}"
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_read_strictly() {
        let read = |value: Value| changes(value.as_object().cloned());
        assert_eq!((read(json!({})), changes(None)), (Ok(None), Ok(None)));
        assert_eq!(read(json!({"changes": []})), Ok(Some(Vec::new())));
        let found = read(json!({"changes": [{"subject": "/etc/x", "after": "new"}]})).unwrap().unwrap();
        assert_eq!(found[0].to_string(), "/etc/x: (none) -> new");
        for wrong in [json!({"changes": "many"}), json!({"changes": [{"before": "a"}]})] {
            assert!(read(wrong).unwrap_err().contains("subject"));
        }
    }
}
