//! Built-in operations (`spec/native-ops.md` §7).

use autoexec_events::Level;
use autoexec_model::native::{NativeOp, OutputKey, PatternOperator, Scope, Selector, ShellText};
use autoexec_model::value::{Inputs, MASK};
use autoexec_model::window::MaintenanceWindows;
use autoexec_model::{OpStatus, Operation, Place, Secret};
use autoexec_store::EnvValue;
use serde_json::{Map, Value};

use super::{Unit, blocking, outputs};
use crate::dispatcher::UnitMessageKind;
use crate::ports::{FailKeys, LogLine};

/// Output of the value extractors.
const EXTRACTED: &str = "extractTxtVal";

/// Whether the operation is a `native/setenv` that asks for its value not to be shown: it stands in an option of a
/// type that would be.
pub(super) fn hides_its_value(tool: &str, inputs: &Inputs) -> bool {
    matches!(NativeOp::from_operation(tool, inputs), Ok(Some(NativeOp::SetEnv { hidden: true, .. })))
}

/// What a built-in operation did.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Node variables changed and have to be saved.
    pub(super) variables_changed: bool,
    /// Its outputs.
    pub(super) outputs: Map<String, Value>,
}

impl Applied {
    fn extracted(value: &str) -> Self {
        let outputs = Map::from_iter([(EXTRACTED.to_owned(), Value::from(value))]);
        Self { variables_changed: false, outputs }
    }
}

impl Unit<'_> {
    /// Applies a built-in operation; `is_secret` tells that a secret is among its inputs. The error is a text for the node log; empty when the log has it already.
    pub(super) async fn apply_native(
        &mut self,
        operation: NativeOp,
        fail_ignore: bool,
        is_secret: bool,
    ) -> Result<Applied, String> {
        match operation {
            NativeOp::Echo { text } => self.print(&text),
            NativeOp::FailJob { text } => return Err(text),
            NativeOp::Export { names, hidden } => self.export(&names, hidden),
            NativeOp::SetEnv { name, value, scope, hidden, shell } => {
                let value = self.evaluated(value.expose(), shell, hidden).await?;
                return self.set_variable(&name, &value, scope, hidden);
            }
            NativeOp::UpdateGlobalParam { name, value } => {
                let services = &self.teller.shared.services;
                services.update_global_parameter(&name, value.expose()).await?;
            }
            NativeOp::FailKeys { operator, exclude, patterns } => {
                self.arm(operator, exclude, patterns, fail_ignore);
            }
            NativeOp::ExtractPreStepStatus { name, scope } => return self.extract_status(&name, scope),
            NativeOp::MaintainWindow { windows } => self.require_window(&windows)?,
            NativeOp::ExtractOutVal { source, selector } => {
                return self.extract_output(&source, &selector, is_secret);
            }
            NativeOp::GetValFromJson { text, selector } => {
                return self.select(text.expose(), &Selector::Json(selector), is_secret);
            }
            NativeOp::GetValFromTxt { text, selector } => {
                return self.select(text.expose(), &Selector::Pattern(selector), is_secret);
            }
        }
        Ok(Applied::default())
    }

    fn arm(
        &self,
        operator: PatternOperator,
        exclude: Option<String>,
        patterns: Vec<String>,
        only_warn: bool,
    ) {
        let all = operator == PatternOperator::And;
        for warning in self.log.arm(&FailKeys { patterns, all, exclude, only_warn }) {
            self.warn(&warning);
        }
    }

    /// Fail patterns guard one run of a node, so they are armed again when the operation is skipped: otherwise a
    /// run after a failure would let the very line pass that failed it.
    pub(super) fn arm_again(&self, operation: &Operation, inputs: &Inputs) {
        if operation.place != Place::Native {
            return;
        }
        // Inputs that no longer make sense did so when the operation succeeded; it is not run again.
        if let Ok(Some(NativeOp::FailKeys { operator, exclude, patterns })) =
            NativeOp::from_operation(operation.name.tool(), inputs)
        {
            self.arm(operator, exclude, patterns, operation.fail_ignore);
        }
    }

    fn print(&self, text: &str) {
        self.log.output(text.as_bytes());
        self.log.output(b"\n");
        self.log.end_output();
    }

    fn export(&self, names: &[String], hidden: bool) {
        let environment = self.teller.shared.environment.snapshot();
        let hidden_names = self.teller.shared.environment.hidden();
        for name in names {
            match environment.get(name) {
                Some(value) => {
                    let hidden = hidden || hidden_names.contains(name);
                    let (name, value) = (name.clone(), Secret::new(value.as_str()));
                    self.teller.tell(UnitMessageKind::Export { name, value, hidden });
                }
                None => self.warn(&format!("The variable {name} is not set and is not exported.")),
            }
        }
    }

    /// A value that asks a shell for a part of it is evaluated only where the site allows it (defect 76).
    async fn evaluated(&self, value: &str, shell: ShellText, hidden: bool) -> Result<String, String> {
        match shell {
            ShellText::None => Ok(value.to_owned()),
            ShellText::Harmless if self.teller.shared.settings.shell_in_setenv => {
                let evaluated = self.teller.shared.services.evaluate_in_shell(value).await;
                // A shell quotes what it does not understand.
                evaluated.map_err(
                    |problem| if hidden { "The shell failed on the value.".to_owned() } else { problem },
                )
            }
            ShellText::Harmless => {
                self.warn("The value holds $( ) and is used as it is: evaluation by a shell is off (setenv.shell in conf/config.ini).");
                Ok(value.to_owned())
            }
            ShellText::Refused => {
                Err("The value holds $( ) with rm, cp or a redirection: it is not evaluated.".to_owned())
            }
        }
    }

    fn set_variable(
        &mut self,
        name: &str,
        value: &str,
        scope: Scope,
        hidden: bool,
    ) -> Result<Applied, String> {
        match scope {
            Scope::Node => {
                self.variables.set(name, value, hidden);
                self.changed.insert(name.to_owned());
                Ok(Applied { variables_changed: true, ..Applied::default() })
            }
            Scope::Global => {
                let shared = &self.teller.shared;
                if hidden {
                    shared.environment.set_hidden(name, value);
                } else {
                    shared.environment.set(name, value);
                }
                let stored = EnvValue { value: value.to_owned(), is_hidden: hidden };
                blocking(|| shared.records.set_env(name, stored)).map_err(|error| error.to_string())?;
                let (name, value) = (name.to_owned(), Secret::new(value));
                self.teller.tell(UnitMessageKind::Export { name, value, hidden });
                Ok(Applied::default())
            }
        }
    }

    fn extract_status(&mut self, name: &str, scope: Scope) -> Result<Applied, String> {
        let Some(previous) = self.previous else { return Ok(Applied::default()) };
        let word = match previous {
            OpStatus::Succeed | OpStatus::Ignored | OpStatus::Failed => previous.as_str(),
            _ => OpStatus::Pending.as_str(),
        };
        self.set_variable(name, word, scope, false)
    }

    fn require_window(&self, windows: &MaintenanceWindows) -> Result<(), String> {
        for problem in windows.malformed() {
            self.warn(&problem.to_string());
        }
        let now = jiff::Zoned::now().datetime();
        match windows.matching(now) {
            Some(window) => {
                self.log
                    .line(LogLine::Text(Level::Fine, &format!("The time is inside the window {window}.")));
                Ok(())
            }
            None => Err("The time is outside of every maintenance window.".to_owned()),
        }
    }

    fn extract_output(
        &self,
        source: &OutputKey,
        selector: &Selector,
        is_secret: bool,
    ) -> Result<Applied, String> {
        let (operation, key) = match source {
            OutputKey::Data(data) => return self.select(data.expose(), selector, is_secret),
            OutputKey::Output { op_id, key } => (op_id, key),
        };
        let local;
        let entry = if let Some(entry) = self.outputs.get(operation.as_str()) {
            Some(entry)
        } else {
            local = outputs::local(self.teller)?;
            local.get(operation.as_str())
        };
        let value = entry.and_then(|entry| entry.get(key)).filter(|value| !value.is_null());
        let value = value
            .ok_or_else(|| format!("Can not find node output for operation id:{operation} output:{key}"))?;
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let declared = &self.teller.shared.settings.secret_outputs;
        let is_secret = is_secret || declared.contains(&(operation.clone(), key.clone()));
        self.select(&text, selector, is_secret)
    }

    fn select(&self, text: &str, selector: &Selector, is_secret: bool) -> Result<Applied, String> {
        let value = match selector {
            Selector::Json(selector) => {
                let data: Value =
                    serde_json::from_str(text).map_err(|_| "The data is not JSON.".to_owned())?;
                selector.select_text(&data).map_err(|error| error.to_string())?
            }
            Selector::Pattern(selector) => selector
                .select(text)
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "Nothing matches the selector.".to_owned())?
                .to_owned(),
        };
        self.info(&format!("Extracted value:{}", if is_secret { MASK } else { value.as_str() }));
        Ok(Applied::extracted(&value))
    }
}
