//! What the call of a tool or script gets and gives: options by its description, and outputs.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::job_file::StepFile;
use super::source::{At, FileError};
use super::tools::{Description, OptionDescription, OutputDescription};

/// Options of an operation.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Name → value.
    pub(super) values: Map<String, Value>,
    /// Name → type.
    pub(super) types: Map<String, Value>,
}

impl Options {
    /// Adds what the job does not mention.
    pub(super) fn add_defaults(&mut self, at: &At<'_>, description: &Description) -> Result<(), FileError> {
        for (name, option) in &description.options {
            if self.types.contains_key(name) {
                continue;
            }
            match option.usable_default() {
                Some(default) => {
                    self.values.insert(name.clone(), default.clone());
                    self.types.insert(name.clone(), option.kind.clone().into());
                }
                None if option.required => {
                    return Err(at.complain(format_args!("the tool needs the option `{name}`")));
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// The description of an option; `None` for a tool that has none.
pub(super) fn described<'d>(
    at: &At<'_>,
    name: &str,
    description: Option<&'d Description>,
) -> Result<Option<&'d OptionDescription>, FileError> {
    let Some(description) = description else { return Ok(None) };
    let option = description.options.get(name);
    option.map(Some).ok_or_else(|| {
        at.complain(format_args!("the tool has no such option; it has: {}", names(&description.options)))
    })
}

/// Declared outputs: the descriptor's and the step's own.
pub(super) fn outputs(
    at: &At<'_>,
    step: &StepFile,
    description: Option<&Description>,
) -> Result<Map<String, Value>, FileError> {
    let mut outputs: IndexMap<String, OutputDescription> =
        description.map(|description| description.outputs.clone()).unwrap_or_default();
    for (name, kind) in step.outputs.iter().flatten() {
        if name.is_empty() || name.contains(['.', '}']) {
            return Err(at
                .field("outputs")
                .complain(format_args!("`{name}` is no name that references can use")));
        }
        let known = ["text", "json", "filepath", "password", "textarea", "file", "node"];
        if !known.contains(&kind.as_str()) {
            let problem = format!("`{kind}` is not a type of an output: {}", known.join(", "));
            return Err(at.field("outputs").field(name).complain(problem));
        }
        outputs.insert(name.clone(), OutputDescription { kind: kind.clone(), default: Value::Null });
    }
    let entry = |(name, output): (String, OutputDescription)| {
        let value = json!({"opt": name, "type": output.kind, "defaultValue": output.default});
        (name, value)
    };
    Ok(outputs.into_iter().map(entry).collect())
}

fn names<T>(table: &IndexMap<String, T>) -> String {
    if table.is_empty() {
        return "none".to_owned();
    }
    table.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}
