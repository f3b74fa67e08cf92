//! The readable form of a job (`docs/standalone.md`). Unknown fields are errors.

use std::path::PathBuf;

use autoexec_model::Interpreter;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::vault::SecretSource;

/// A job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobFile {
    /// What people call it.
    pub(super) name: String,
    /// Round count of phases that have none of their own; 1 runs all nodes of a phase side by side.
    #[serde(default)]
    pub(super) rounds: Option<i64>,
    /// Options with their defaults; null is one that must be set on the command line.
    #[serde(default)]
    pub(super) options: IndexMap<String, Spanned<Value>>,
    /// Options whose values are secret and come from elsewhere.
    #[serde(default)]
    pub(super) secrets: IndexMap<String, SecretSource>,
    /// Variables of the environment of tools on this machine.
    #[serde(default)]
    pub(super) environment: IndexMap<String, Spanned<Value>>,
    /// Phases that run one after the other: each is a group of its own.
    #[serde(default)]
    pub(super) phases: Option<Vec<Spanned<PhaseFile>>>,
    /// Groups that run one after the other.
    #[serde(default)]
    pub(super) groups: Option<Vec<Spanned<GroupFile>>>,
}

/// A group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupFile {
    /// How its phases are run.
    #[serde(default)]
    pub(super) strategy: Strategy,
    /// Number of rounds.
    #[serde(default)]
    pub(super) rounds: Option<i64>,
    /// Its phases.
    pub(super) phases: Vec<Spanned<PhaseFile>>,
}

/// How the phases of a group are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// Side by side, each over all its nodes.
    #[default]
    OneShot,
    /// The nodes in rounds, the phases in turn within a round.
    GrayScale,
}

/// A phase.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhaseFile {
    /// Unique name.
    pub(super) name: String,
    /// Where its steps run.
    pub(super) on: On,
    /// Number of rounds; overrides the group's.
    #[serde(default)]
    pub(super) rounds: Option<i64>,
    /// In which round of a gray-scale group a `runner` phase runs.
    #[serde(default)]
    pub(super) in_round: Option<InRound>,
    /// What it does on each node.
    pub(super) steps: Vec<Spanned<StepFile>>,
}

/// Where something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum On {
    /// On this machine, once.
    Runner,
    /// On this machine, once for each node.
    RunnerTarget,
    /// On each node.
    Target,
    /// On this machine, once, for SQL files.
    Sqlfile,
}

impl On {
    /// The word in the file and in the parameters.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::RunnerTarget => "runner_target",
            Self::Target => "target",
            Self::Sqlfile => "sqlfile",
        }
    }
}

/// In which round of a gray-scale group a `runner` phase runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InRound {
    /// The first.
    First,
    /// The one in the middle.
    Middle,
    /// The last.
    Last,
}

impl InRound {
    /// The word in the parameters.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Middle => "middle",
            Self::Last => "last",
        }
    }
}

/// A step: a tool, a script, a condition or a loop. Which of them decides which fields go with it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepFile {
    /// The last part of the operation id; the number of the step by default.
    pub(super) id: Option<String>,
    /// Text for people, written to the log.
    pub(super) name: Option<String>,
    /// Where it runs, if not where its phase does.
    pub(super) on: Option<On>,
    /// `bundle/name` of a tool.
    pub(super) tool: Option<String>,
    /// Text of a script.
    pub(super) script: Option<String>,
    /// A script beside the job file.
    pub(super) script_file: Option<PathBuf>,
    /// What runs the script.
    pub(super) interpreter: Option<Interpreter>,
    /// Options of the tool or script.
    pub(super) with: Option<IndexMap<String, Spanned<Value>>>,
    /// Free arguments.
    pub(super) args: Option<Vec<Spanned<Value>>>,
    /// Outputs: name → type.
    pub(super) outputs: Option<IndexMap<String, String>>,
    /// A failure is tolerated.
    pub(super) ignore_failure: Option<bool>,
    /// Print the outputs at the end of the run.
    pub(super) report: Option<bool>,
    /// A condition.
    #[serde(rename = "if")]
    pub(super) condition: Option<String>,
    /// Steps when it holds.
    pub(super) then: Option<Vec<Spanned<StepFile>>>,
    /// Steps when it does not.
    #[serde(rename = "else")]
    pub(super) otherwise: Option<Vec<Spanned<StepFile>>>,
    /// Items of a loop: a list, or a text that gives one.
    #[serde(rename = "loop")]
    pub(super) items: Option<Spanned<Value>>,
    /// Name of the variable that holds the current item.
    #[serde(rename = "as")]
    pub(super) item_name: Option<String>,
    /// Steps of a loop.
    pub(super) steps: Option<Vec<Spanned<StepFile>>>,
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// Calls a tool.
    Tool,
    /// Runs a script.
    Script,
    /// Chooses between two lists of steps.
    If,
    /// Repeats a list of steps.
    Loop,
}

impl StepKind {
    fn field(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Script => "script",
            Self::If => "if",
            Self::Loop => "loop",
        }
    }

    fn takes(self, field: &str) -> bool {
        let own: &[&str] = match self {
            Self::Tool | Self::Script => {
                &["on", "with", "args", "outputs", "interpreter", "ignore_failure", "report"]
            }
            Self::If => &["then", "else"],
            Self::Loop => &["as", "steps"],
        };
        own.contains(&field)
    }
}

impl StepFile {
    /// What the step is; the error is a text for people.
    pub(super) fn kind(&self) -> Result<StepKind, String> {
        let script = self.script.is_some() || self.script_file.is_some();
        let given = [
            (self.tool.is_some(), StepKind::Tool),
            (script, StepKind::Script),
            (self.condition.is_some(), StepKind::If),
            (self.items.is_some(), StepKind::Loop),
        ];
        let kinds: Vec<StepKind> = given.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
        let kind = match kinds.as_slice() {
            [kind] => *kind,
            [] => return Err("a step needs `tool`, `script`, `script_file`, `if` or `loop`".to_owned()),
            [one, two, ..] => {
                return Err(format!("a step is one thing, not both `{}` and `{}`", one.field(), two.field()));
            }
        };
        if self.script.is_some() && self.script_file.is_some() {
            return Err(
                "give the text of a script as `script` or its file as `script_file`, not both".to_owned()
            );
        }
        match self.optional_fields().find(|field| !kind.takes(field)) {
            Some(field) => Err(format!("`{field}` does not go with `{}`", kind.field())),
            None => Ok(kind),
        }
    }

    /// Fields that are given and belong to some kinds of steps only.
    fn optional_fields(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            (self.on.is_some(), "on"),
            (self.with.is_some(), "with"),
            (self.args.is_some(), "args"),
            (self.outputs.is_some(), "outputs"),
            (self.interpreter.is_some(), "interpreter"),
            (self.ignore_failure.is_some(), "ignore_failure"),
            (self.report.is_some(), "report"),
            (self.then.is_some(), "then"),
            (self.otherwise.is_some(), "else"),
            (self.item_name.is_some(), "as"),
            (self.steps.is_some(), "steps"),
        ];
        given.into_iter().filter(|(is, _)| *is).map(|(_, field)| field)
    }
}
