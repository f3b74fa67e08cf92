//! Built-in operations: what `native/*` with its resolved inputs asks for (`spec/native-ops.md`).

mod loop_items;
mod output_key;
mod shell_text;

pub use loop_items::{item_mark, loop_items};
pub use output_key::{OutputKey, OutputKeyError};
pub use shell_text::ShellText;

use crate::secret::Secret;
use crate::selector::{
    JsonSelector, JsonSelectorError, PatternSelector, PatternSelectorError, SelectorKind, UnknownSelectorKind,
};
use crate::value::{Inputs, Recipient, ResolvedValue, is_refused_environment_name};
use crate::window::MaintenanceWindows;

/// A built-in operation. Blocks (`IF-Block`, `LOOP-Block`) are part of the job's structure and not here.
#[derive(Debug, Clone)]
pub enum NativeOp {
    /// Writes a line to the node log.
    Echo {
        /// The texts joined without separator; secrets are masked.
        text: String,
    },
    /// Sends environment variables to the server.
    Export {
        /// Names; those that are not set are left out.
        names: Vec<String>,
        /// Whether the server hides their values.
        hidden: bool,
    },
    /// Sets a variable.
    SetEnv {
        /// Its name.
        name: String,
        /// Its value as text; see `shell`.
        value: Secret,
        /// Where it is set.
        scope: Scope,
        /// Whether its value is hidden.
        hidden: bool,
        /// Whether the value asks a shell for a part of it. Evaluated only where the site allows it
        /// (defect 76).
        shell: ShellText,
    },
    /// Changes a global parameter at the server.
    UpdateGlobalParam {
        /// Its name.
        name: String,
        /// Its new value.
        value: Secret,
    },
    /// Arms the fail patterns of the node log.
    FailKeys {
        /// How several patterns combine.
        operator: PatternOperator,
        /// A line that matches this is never a hit.
        exclude: Option<String>,
        /// Regular expressions, none empty.
        patterns: Vec<String>,
    },
    /// Writes `ERROR: ` and a text to the node log and fails.
    FailJob {
        /// The texts joined without separator; secrets are masked.
        text: String,
    },
    /// Puts the status of the operation before into a variable.
    ExtractPreStepStatus {
        /// The variable.
        name: String,
        /// Where it is set.
        scope: Scope,
    },
    /// Succeeds only inside a time window.
    MaintainWindow {
        /// The windows.
        windows: MaintenanceWindows,
    },
    /// Takes a value out of an earlier output.
    ExtractOutVal {
        /// The output, or the data itself.
        source: OutputKey,
        /// What to take.
        selector: Selector,
    },
    /// Takes a value out of a JSON text.
    GetValFromJson {
        /// The JSON text.
        text: Secret,
        /// What to take.
        selector: JsonSelector,
    },
    /// Takes a value out of a text.
    GetValFromTxt {
        /// The text.
        text: Secret,
        /// What to take.
        selector: PatternSelector,
    },
}

/// Where a variable is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// In the node's variables, saved with its outputs.
    #[default]
    Node,
    /// In the environment of the job, on all runners and at the server.
    Global,
}

/// How several fail patterns combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PatternOperator {
    /// All must match the same line.
    #[default]
    And,
    /// Any may match.
    Or,
}

/// A parsed selector of either kind.
#[derive(Debug, Clone)]
pub enum Selector {
    /// A path into JSON.
    Json(JsonSelector),
    /// A regular expression.
    Pattern(PatternSelector),
}

/// Why the inputs of a built-in operation cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeOpError {
    /// A needed option is missing or empty.
    #[error("native/{tool}: option `{option}` is missing")]
    Missing {
        /// The operation.
        tool: &'static str,
        /// The option.
        option: &'static str,
    },
    /// An option with a word that is not in its vocabulary.
    #[error("native/{tool}: option `{option}` is `{word}`, expected {expected}")]
    Word {
        /// The operation.
        tool: &'static str,
        /// The option.
        option: &'static str,
        /// The word found.
        word: String,
        /// The vocabulary.
        expected: &'static str,
    },
    /// A variable that must not be set.
    #[error(
        "native/{tool}: the environment variable `{name}` must not be set by a job, because the executor and its plugins depend on it"
    )]
    RefusedName {
        /// The operation.
        tool: &'static str,
        /// The variable.
        name: String,
    },
    /// A selector type that does not exist.
    #[error("native/extractoutval: {0}")]
    SelectorKind(#[from] UnknownSelectorKind),
    /// A path selector that cannot be read.
    #[error(transparent)]
    JsonSelector(#[from] JsonSelectorError),
    /// A pattern selector that cannot be read.
    #[error(transparent)]
    PatternSelector(#[from] PatternSelectorError),
    /// An output key that is not one.
    #[error("native/extractoutval: {0}")]
    OutputKey(#[from] OutputKeyError),
}

impl NativeOp {
    /// Reads the inputs of the tool `native/<tool>`. `None` when no such operation is built in; a plugin of
    /// that name is run then.
    pub fn from_operation(tool: &str, inputs: &Inputs) -> Result<Option<Self>, NativeOpError> {
        let reader = Reader { inputs };
        let operation = match tool {
            "echo" => Ok(Self::Echo { text: reader.shown_text() }),
            "failjob" => Ok(Self::FailJob { text: reader.shown_text() }),
            "export" => reader.export(),
            "setenv" => reader.set_env(),
            "updategparam" => reader.update_global_param(),
            "failkeys" => reader.fail_keys(),
            "extractprestepstatus" => reader.extract_status(),
            "maintainwindow" => Ok(reader.maintain_window()),
            "extractoutval" => reader.extract_output(),
            "getvalfromjson" => reader.value_from_json(),
            "getvalfromtxt" => reader.value_from_text(),
            _ => return Ok(None),
        };
        operation.map(Some)
    }
}

/// Inputs with the defaults and vocabularies of the table.
struct Reader<'a> {
    inputs: &'a Inputs,
}

impl Reader<'_> {
    fn argument_texts(&self) -> impl Iterator<Item = String> {
        self.inputs.arguments.iter().map(|value| value.text(Recipient::Runner))
    }

    fn shown_text(&self) -> String {
        self.inputs.arguments.iter().map(|value| value.display(Recipient::Runner)).collect()
    }

    fn needed(&self, tool: &'static str, option: &'static str) -> Result<String, NativeOpError> {
        self.inputs.option(option).ok_or(NativeOpError::Missing { tool, option })
    }

    fn flag(&self, tool: &'static str, option: &'static str) -> Result<bool, NativeOpError> {
        let word = self.inputs.option(option).unwrap_or_default();
        match word.trim() {
            "" | "0" | "false" => Ok(false),
            "1" | "true" => Ok(true),
            _ => Err(NativeOpError::Word { tool, option, word, expected: "0 or 1" }),
        }
    }

    fn scope(&self, tool: &'static str) -> Result<Scope, NativeOpError> {
        let word = self.inputs.option("scope").unwrap_or_default();
        match word.trim().to_ascii_lowercase().as_str() {
            "" | "node" => Ok(Scope::Node),
            "global" => Ok(Scope::Global),
            _ => Err(NativeOpError::Word { tool, option: "scope", word, expected: "node or global" }),
        }
    }

    fn export(&self) -> Result<NativeOp, NativeOpError> {
        let names = self.argument_texts().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Ok(NativeOp::Export { names: names.collect(), hidden: self.flag("export", "hidden")? })
    }

    /// A variable name, and for the process environment one that may be set.
    fn checked_name(
        tool: &'static str,
        option: &'static str,
        name: String,
        scope: Scope,
    ) -> Result<String, NativeOpError> {
        if name.contains(['=', '\0']) {
            let expected = "a name without `=`";
            return Err(NativeOpError::Word {
                tool,
                option,
                word: name.escape_debug().to_string(),
                expected,
            });
        }
        if scope == Scope::Global && is_refused_environment_name(&name) {
            return Err(NativeOpError::RefusedName { tool, name });
        }
        Ok(name)
    }

    fn set_env(&self) -> Result<NativeOp, NativeOpError> {
        let scope = self.scope("setenv")?;
        let name = self.needed("setenv", "name")?.trim().to_owned();
        if name.is_empty() {
            return Err(NativeOpError::Missing { tool: "setenv", option: "name" });
        }
        let value = self.inputs.option("value").unwrap_or_default();
        let from_secret = self.inputs.options.get("value").is_some_and(ResolvedValue::is_hidden);
        Ok(NativeOp::SetEnv {
            name: Self::checked_name("setenv", "name", name, scope)?,
            shell: ShellText::of(&value),
            value: Secret::new(value),
            scope,
            // a variable made from a secret must not show it either
            hidden: self.flag("setenv", "hidden")? || from_secret,
        })
    }

    fn update_global_param(&self) -> Result<NativeOp, NativeOpError> {
        Ok(NativeOp::UpdateGlobalParam {
            name: self.needed("updategparam", "name")?,
            value: Secret::new(self.inputs.option("value").unwrap_or_default()),
        })
    }

    fn fail_keys(&self) -> Result<NativeOp, NativeOpError> {
        let word = self.inputs.option("operator").unwrap_or_default();
        let operator = match word.trim().to_ascii_lowercase().as_str() {
            "" | "and" => PatternOperator::And,
            "or" => PatternOperator::Or,
            _ => {
                let expected = "and or or";
                return Err(NativeOpError::Word { tool: "failkeys", option: "operator", word, expected });
            }
        };
        let patterns = self.argument_texts().filter(|pattern| !pattern.is_empty()).collect();
        Ok(NativeOp::FailKeys { operator, exclude: self.inputs.option("exclude"), patterns })
    }

    fn extract_status(&self) -> Result<NativeOp, NativeOpError> {
        let tool = "extractprestepstatus";
        let scope = self.scope(tool)?;
        let name = self.inputs.option("envname").unwrap_or_else(|| "PRE_STEP_STATUS".to_owned());
        let name = Self::checked_name(tool, "envname", name, scope)?;
        Ok(NativeOp::ExtractPreStepStatus { name, scope })
    }

    fn maintain_window(&self) -> NativeOp {
        let texts: Vec<String> = self.argument_texts().collect();
        let windows = MaintenanceWindows::parse(texts.iter().map(String::as_str));
        NativeOp::MaintainWindow { windows }
    }

    fn extract_output(&self) -> Result<NativeOp, NativeOpError> {
        let tool = "extractoutval";
        let source = OutputKey::parse(&self.needed(tool, "outputkey")?)?;
        let selector = self.needed(tool, "selector")?;
        let kind = match self.inputs.option("selectortype") {
            Some(word) => word.parse()?,
            None => SelectorKind::default(),
        };
        let selector = match kind {
            SelectorKind::JsonObject => Selector::Json(JsonSelector::parse(&selector)?),
            SelectorKind::RegExp => Selector::Pattern(PatternSelector::parse(&selector)?),
        };
        Ok(NativeOp::ExtractOutVal { source, selector })
    }

    fn value_from_json(&self) -> Result<NativeOp, NativeOpError> {
        let text = Secret::new(self.needed("getvalfromjson", "jsontxt")?);
        let selector = JsonSelector::parse(&self.needed("getvalfromjson", "selector")?)?;
        Ok(NativeOp::GetValFromJson { text, selector })
    }

    fn value_from_text(&self) -> Result<NativeOp, NativeOpError> {
        let text = Secret::new(self.needed("getvalfromtxt", "txtval")?);
        let selector = PatternSelector::parse(&self.needed("getvalfromtxt", "selector")?)?;
        Ok(NativeOp::GetValFromTxt { text, selector })
    }
}

#[cfg(test)]
mod tests;
