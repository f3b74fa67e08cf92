//! The tool descriptor in the form the server registers (spec/tool-descriptor.md), with its rules checked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the console shows a tool and what job authors bind. Misspelt keys are errors; the format this replaces
/// ignored them, and tools meant to be off were registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Descriptor {
    /// Where it runs.
    pub op_type: OperationType,
    /// Category in the console, such as `BASIC`.
    pub type_name: String,
    /// `LOW`, `MEDIUM` or `HIGH`.
    pub risk_name: String,
    /// Informative for built-in tools; kept because the server expects one it knows.
    pub interpreter: String,
    /// Short display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_desc: Option<String>,
    /// Server-side preset group that pre-fills the options.
    #[serde(default)]
    pub default_profile: Option<String>,
    /// Named options, in display order.
    #[serde(default)]
    pub option: Vec<OptionDescriptor>,
    /// The free arguments, if it takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<ArgumentDescriptor>,
    /// Named outputs.
    #[serde(default)]
    pub output: Vec<OutputDescriptor>,
}

/// Where a tool runs. Components run on the runner only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationType {
    /// Once, for the runner itself.
    Runner,
    /// On the runner, once per target.
    RunnerTarget,
    /// A step that the executor offers; runs on the runner for any node.
    Native,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OptionDescriptor {
    /// Name in the job and in the invocation.
    pub opt: String,
    /// Label.
    pub name: String,
    /// Text beside the field.
    pub help: String,
    /// Kind of value.
    #[serde(rename = "type")]
    pub option_type: OptionType,
    /// Whether the job must set it.
    pub required: Flag,
    /// Value the console fills in.
    #[serde(default)]
    pub default_value: Value,
    /// Rules the console checks: `""` or an array of names.
    #[serde(default = "no_rules")]
    pub validate: Value,
    /// What can be chosen; for select and multiselect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_source: Option<Choices>,
}

/// The choices of a select.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Choices {
    /// In display order.
    pub data_list: Vec<Choice>,
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Label.
    pub text: String,
    /// What the tool gets.
    pub value: Value,
}

/// The free arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ArgumentDescriptor {
    /// Label.
    pub name: String,
    /// Text beside the field.
    pub help: String,
    /// Kind of each value.
    #[serde(rename = "type")]
    pub argument_type: OptionType,
    /// How many; 0 is any number.
    pub count: u32,
    /// Whether there must be one.
    pub required: Flag,
    /// Value the console fills in.
    #[serde(default)]
    pub default_value: Value,
    /// Always empty, kept for the server.
    #[serde(default = "no_rules")]
    pub validate: Value,
    /// Always false, kept for the server.
    #[serde(default)]
    pub is_const: Flag,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OutputDescriptor {
    /// Name in the output object and in references.
    pub opt: String,
    /// Label.
    pub name: String,
    /// What it holds.
    pub help: String,
    /// Kind of value.
    #[serde(rename = "type")]
    pub output_type: OptionType,
    /// Value when the tool sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Value>,
}

/// Kinds of values (spec/tool-descriptor.md, option types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the spec's own and explained there")]
pub enum OptionType {
    Text,
    Select,
    Password,
    Textarea,
    Json,
    Node,
    File,
    Filepath,
    Date,
    Time,
    Datetime,
    Multiselect,
    Phase,
    Account,
    Userselect,
    Checkbox,
    Switch,
}

/// A yes or no that the server spells as the text `"true"` or `"false"`. Authors may write a real boolean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlagSpelling", into = "&'static str")]
pub struct Flag(pub bool);

#[derive(Deserialize)]
#[serde(untagged)]
enum FlagSpelling {
    Real(bool),
    Text(TextFlag),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TextFlag {
    True,
    False,
}

impl From<FlagSpelling> for Flag {
    fn from(spelling: FlagSpelling) -> Self {
        Self(matches!(spelling, FlagSpelling::Real(true) | FlagSpelling::Text(TextFlag::True)))
    }
}

impl From<Flag> for &'static str {
    fn from(flag: Flag) -> Self {
        if flag.0 { "true" } else { "false" }
    }
}

fn no_rules() -> Value {
    Value::String(String::new())
}

/// A descriptor that breaks a rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DescriptorError {
    /// The same name twice.
    #[error("{kind} `{name}` is described twice")]
    Repeated {
        /// `option` or `output`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that no job could bind.
    #[error("{kind} name \"{name}\" is not usable: letters, digits, `-` and `_` only")]
    Name {
        /// `option` or `output`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A select without choices, or choices without a select.
    #[error("option `{0}`: exactly the types select and multiselect have a dataSource")]
    Choices(String),
    /// Not one of the three.
    #[error("riskName is \"{0}\", but must be LOW, MEDIUM or HIGH")]
    Risk(String),
}

impl Descriptor {
    /// Checks the rules that types alone do not express.
    pub fn check(&self) -> Result<(), DescriptorError> {
        if !matches!(self.risk_name.as_str(), "LOW" | "MEDIUM" | "HIGH") {
            return Err(DescriptorError::Risk(self.risk_name.clone()));
        }
        check_names("option", self.option.iter().map(|option| option.opt.as_str()))?;
        check_names("output", self.output.iter().map(|output| output.opt.as_str()))?;
        let selects = |option: &OptionDescriptor| {
            matches!(option.option_type, OptionType::Select | OptionType::Multiselect)
        };
        match self.option.iter().find(|option| selects(option) != option.data_source.is_some()) {
            Some(option) => Err(DescriptorError::Choices(option.opt.clone())),
            None => Ok(()),
        }
    }
}

fn check_names<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), DescriptorError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            return Err(DescriptorError::Name { kind, name: name.to_owned() });
        }
        if !seen.insert(name) {
            return Err(DescriptorError::Repeated { kind, name: name.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(changes: Value) -> Result<Descriptor, String> {
        let mut object = json!({
            "opType": "runner", "typeName": "BASIC", "riskName": "LOW", "interpreter": "python",
            "option": [{"opt": "a", "name": "A", "help": "", "type": "text", "required": "true"}],
        });
        for (key, value) in changes.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).map_err(|e| e.to_string())
    }

    #[test]
    fn misspelt_keys_are_refused() {
        assert!(descriptor(json!({"enable": 0})).unwrap_err().contains("unknown field `enable`"));
    }

    #[test]
    fn both_spellings_of_required_are_read_and_one_is_written() {
        let real = descriptor(json!({
            "option": [{"opt": "a", "name": "A", "help": "", "type": "text", "required": true}]
        }));
        let (real, text) = (real.unwrap(), descriptor(json!({})).unwrap());
        assert_eq!(real, text);
        assert_eq!(serde_json::to_value(&real).unwrap()["option"][0]["required"], "true");
    }

    #[test]
    fn rules_beyond_types_are_checked() {
        let option = |opt: &str, kind: &str| json!({"opt": opt, "name": "", "help": "", "type": kind, "required": false});
        let check = |options: Value| descriptor(json!({"option": options})).unwrap().check();
        assert_eq!(check(json!([option("a", "select")])), Err(DescriptorError::Choices("a".into())));
        assert!(matches!(
            check(json!([option("a", "text"), option("a", "text")])),
            Err(DescriptorError::Repeated { .. })
        ));
        assert!(matches!(check(json!([option("a b", "text")])), Err(DescriptorError::Name { .. })));
        let risky = descriptor(json!({"riskName": "NONE"})).unwrap();
        assert_eq!(risky.check(), Err(DescriptorError::Risk("NONE".into())));
    }
}
