//! Job parameters: `params.json` as the server sends it (`spec/job-params.md`).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json_path::{At, Complaint, flag, integer, text};
use crate::{GroupNo, JobId, OpId, OpName, PhaseName, json_text};

/// Blocks may hold blocks; a file that nests them deeper than this is refused instead of overflowing the stack.
const MAX_BLOCK_DEPTH: usize = 32;

/// Why job parameters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    /// Not JSON at all.
    #[error("{source_name} is not JSON: {problem}")]
    Json {
        /// The file or call the text came from.
        source_name: String,
        /// Kind of error and its position.
        problem: String,
    },
    /// A member is missing, has the wrong type or an unusable value.
    #[error("{source_name}: member `{path}`: {problem}")]
    Member {
        /// The file or call the text came from.
        source_name: String,
        /// Path of the member, such as `runFlow[0].phases[1].operations[2].opName`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The parameters of a job.
#[derive(Debug, Clone)]
pub struct JobParams {
    /// The job's id in callbacks; the command line's when absent.
    pub job: Option<JobId>,
    /// Tenant header from now on.
    pub tenant: Option<String>,
    /// User, only used when the command line names none.
    pub exec_user: Option<String>,
    /// Default round count; 0 means one node at a time.
    pub round_count: i64,
    /// Job options as sent (§2.6).
    pub options: IndexMap<String, Value>,
    /// Second lookup table for references; current servers never send it.
    pub global_options: IndexMap<String, Value>,
    /// Process environment; values that are not text are JSON text.
    pub environment: IndexMap<String, String>,
    /// Merged under `--passthroughenv`.
    pub pass_through: Map<String, Value>,
    /// Groups in execution order.
    pub groups: Vec<Group>,
    /// Ad-hoc targets that replace the node file.
    pub run_nodes: Option<Vec<Map<String, Value>>>,
}

/// A group of phases.
#[derive(Debug, Clone)]
pub struct Group {
    /// Number, from 0.
    pub number: GroupNo,
    /// How its phases are run.
    pub strategy: ExecStrategy,
    /// Overrides the job's round count.
    pub round_count: Option<i64>,
    /// The phases.
    pub phases: Vec<Phase>,
}

/// How the phases of a group are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ExecStrategy {
    /// Side by side, each over all its nodes.
    OneShot,
    /// In rounds of nodes, the phases in turn within a round.
    GrayScale,
}

/// A phase: operations run in order on each of its nodes.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Unique name.
    pub name: PhaseName,
    /// What kind of nodes it runs on.
    pub kind: PhaseType,
    /// In which round a local phase of a gray-scale group runs.
    pub exec_round: ExecRound,
    /// Overrides the group's round count (one-shot groups only).
    pub round_count: Option<i64>,
    /// The operations.
    pub operations: Vec<Operation>,
}

/// What kind of nodes a phase runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PhaseType {
    /// The local pseudo node, once.
    Runner,
    /// On this machine, once for each node.
    RunnerTarget,
    /// On each node.
    Target,
    /// SQL files, driven from the local pseudo node.
    SqlFile,
}

impl PhaseType {
    /// Whether the phase runs once, on the local pseudo node.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Runner | Self::SqlFile)
    }
}

/// In which round of a gray-scale group a local phase runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ExecRound {
    /// The first round.
    First,
    /// The first round `i` with `i ≥ rounds / 2`.
    Middle,
    /// The last round.
    Last,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Unique id.
    pub id: OpId,
    /// Tool name.
    pub name: OpName,
    /// Where it runs.
    pub place: Place,
    /// Whether a failure is tolerated.
    pub fail_ignore: bool,
    /// Text for the node log; may have several lines.
    pub help: String,
    /// What it does.
    pub body: OperationBody,
}

/// Where an operation runs. The words are those of the log markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Place {
    /// On this machine, once.
    Runner,
    /// On this machine, once for each node.
    RunnerTarget,
    /// On the node.
    Target,
    /// Built in.
    Native,
}

impl Place {
    /// The normalised word in log markers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "local",
            Self::RunnerTarget => "localremote",
            Self::Target => "remote",
            Self::Native => "native",
        }
    }
}

/// What an operation does.
#[derive(Debug, Clone)]
pub enum OperationBody {
    /// Calls a tool or script.
    Call(Call),
    /// `native/IF-Block`.
    If(IfBlock),
    /// `native/LOOP-Block`.
    Loop(LoopBlock),
}

/// A call of a tool or script.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where a custom script comes from; `None` for a tool.
    pub script: Option<ScriptSource>,
    /// Interpreter of a script or a remote tool.
    pub interpreter: Option<Interpreter>,
    /// Named options in order.
    pub options: Vec<OpOption>,
    /// Free arguments in order.
    pub arguments: Vec<Argument>,
    /// Declared outputs; `Some` (even empty) means the operation has an output file.
    pub outputs: Option<IndexMap<String, OutputDescription>>,
}

/// Where a custom script comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptSource {
    /// Downloaded by operation id and script id.
    Server {
        /// Library id of the script.
        script_id: Option<String>,
    },
    /// The text itself.
    Inline(String),
}

/// A named option.
#[derive(Debug, Clone)]
pub struct OpOption {
    /// Name, without dashes.
    pub name: String,
    /// Declared type.
    pub kind: ValueType,
    /// Value as sent; never `null`.
    pub value: Value,
}

/// A free argument.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Declared type.
    pub kind: ValueType,
    /// Value as sent; `null` when absent.
    pub value: Value,
}

/// A declared output.
#[derive(Debug, Clone)]
pub struct OutputDescription {
    /// Whether the value names a file to bring back.
    pub is_file: bool,
    /// Whether the value is a secret.
    pub is_secret: bool,
    /// Value when the operation did not produce one.
    pub default: Value,
}

/// `native/IF-Block`.
#[derive(Debug, Clone)]
pub struct IfBlock {
    /// Condition text (`spec/native-ops.md` §7.3).
    pub condition: String,
    /// Operations when true.
    pub then: Vec<Operation>,
    /// Operations when false.
    pub otherwise: Vec<Operation>,
}

/// `native/LOOP-Block`.
#[derive(Debug, Clone)]
pub struct LoopBlock {
    /// Value text that gives the items.
    pub items: String,
    /// Node variable that holds the current item.
    pub variable: String,
    /// Operations of one iteration.
    pub operations: Vec<Operation>,
}

/// Type of an option or argument (`spec/job-params.md` §2.8), compared without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum ValueType {
    /// Plain text, and every type the executor does not know.
    Text,
    /// A secret.
    Password,
    /// `user/accountId/protocol`, looked up at the server; becomes `user/password`.
    Account,
    /// File ids, downloaded to the job.
    File,
    /// A path relative to the job directory.
    FilePath,
    /// Text with line breaks.
    TextArea,
    /// A node or several, as JSON.
    Node,
    /// JSON.
    Json,
    /// A JSON array of choices.
    MultiSelect,
    /// Like [`Self::MultiSelect`].
    CheckBox,
    /// `true` or `false`.
    Switch,
}

impl ValueType {
    /// Reads a type word; unknown words are text.
    pub fn from_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "password" => Self::Password,
            "account" => Self::Account,
            "file" => Self::File,
            "filepath" => Self::FilePath,
            "textarea" => Self::TextArea,
            "node" => Self::Node,
            "json" => Self::Json,
            "multiselect" => Self::MultiSelect,
            "checkbox" => Self::CheckBox,
            "switch" => Self::Switch,
            _ => Self::Text,
        }
    }
}

/// Interpreter of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Interpreter {
    Python,
    Ruby,
    VbScript,
    Perl,
    PowerShell,
    Cmd,
    Bash,
    Ksh,
    Csh,
    Sh,
    JavaScript,
    /// A tar archive with several files.
    Package,
}

impl Interpreter {
    /// Reads an interpreter word, without regard to case.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "python" => Self::Python,
            "ruby" => Self::Ruby,
            "vbscript" => Self::VbScript,
            "perl" => Self::Perl,
            "powershell" => Self::PowerShell,
            "cmd" => Self::Cmd,
            "bash" => Self::Bash,
            "ksh" => Self::Ksh,
            "csh" => Self::Csh,
            "sh" => Self::Sh,
            "javascript" => Self::JavaScript,
            "package" => Self::Package,
            _ => return None,
        })
    }

    /// The word as the server sends it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Ruby => "ruby",
            Self::VbScript => "vbscript",
            Self::Perl => "perl",
            Self::PowerShell => "powershell",
            Self::Cmd => "cmd",
            Self::Bash => "bash",
            Self::Ksh => "ksh",
            Self::Csh => "csh",
            Self::Sh => "sh",
            Self::JavaScript => "javascript",
            Self::Package => "package",
        }
    }

    /// File extension of a script, with the dot (`spec/plugin-contract.md` §8.6).
    pub fn script_extension(self) -> &'static str {
        match self {
            Self::Perl => ".pl",
            Self::Python => ".py",
            Self::Ruby => ".rb",
            Self::Cmd => ".bat",
            Self::PowerShell => ".ps1",
            Self::VbScript => ".vbs",
            Self::Bash | Self::Ksh | Self::Csh | Self::Sh => ".sh",
            Self::JavaScript => ".js",
            Self::Package => ".tar",
        }
    }

    /// File extension of a library, with the dot.
    pub fn library_extension(self) -> &'static str {
        if self == Self::Perl { ".pm" } else { self.script_extension() }
    }
}

impl JobParams {
    /// Reads the parameters. `source_name` is the file or call they came from, for error texts.
    pub fn parse(text: &[u8], source_name: &str) -> Result<Self, ParamsError> {
        let value: Value = serde_json::from_slice(text).map_err(|error| ParamsError::Json {
            source_name: source_name.to_owned(),
            // serde's text may quote input, and the input holds secrets
            problem: format!(
                "{:?} error at line {}, column {}",
                error.classify(),
                error.line(),
                error.column()
            )
            .to_lowercase(),
        })?;
        Self::from_value(&value, source_name)
    }

    /// Reads parameters that are JSON already.
    pub fn from_value(value: &Value, source_name: &str) -> Result<Self, ParamsError> {
        read_job(&At::root(value)).map_err(|complaint| ParamsError::Member {
            source_name: source_name.to_owned(),
            path: complaint.path,
            problem: complaint.problem,
        })
    }
}

fn read_job(at: &At<'_>) -> Result<JobParams, Complaint> {
    at.object()?;
    let groups = at.get("runFlow").ok_or_else(|| at.missing("runFlow"))?.each(read_group)?;
    let job = JobParams {
        job: optional(at, "jobId", |at| JobId::new(at.text()?).map_err(|error| at.complain(error)))?,
        tenant: optional(at, "tenant", text)?,
        exec_user: optional(at, "execUser", text)?,
        round_count: optional(at, "roundCount", integer)?.unwrap_or(0),
        options: optional(at, "opt", table)?.unwrap_or_default(),
        global_options: optional(at, "globalOpt", table)?.unwrap_or_default(),
        environment: optional(at, "environment", environment)?.unwrap_or_default(),
        pass_through: optional(at, "passThroughEnv", |at| at.object().cloned())?.unwrap_or_default(),
        run_nodes: optional(at, "runNode", |at| at.each(|node| node.object().cloned()))?,
        groups,
    };
    refuse_repeated_names(&job, at)?;
    Ok(job)
}

/// A phase name is a directory name and an operation id the key of status and output: a second one with
/// the same name in the same phase would silently overwrite the first.
fn refuse_repeated_names(job: &JobParams, at: &At<'_>) -> Result<(), Complaint> {
    let mut phases = std::collections::HashSet::new();
    for phase in job.groups.iter().flat_map(|group| &group.phases) {
        if !phases.insert(&phase.name) {
            return Err(at.complain(format_args!("two phases are named `{}`", phase.name)));
        }
        let mut ids = std::collections::HashSet::new();
        let mut repeated = None;
        for_each_operation(&phase.operations, &mut |operation| {
            if !ids.insert(&operation.id) {
                repeated = Some(&operation.id);
            }
        });
        if let Some(id) = repeated {
            return Err(
                at.complain(format_args!("two operations of phase `{}` have the id `{id}`", phase.name))
            );
        }
    }
    Ok(())
}

/// Calls `visit` for every operation, those inside blocks included.
pub fn for_each_operation<'a>(operations: &'a [Operation], visit: &mut impl FnMut(&'a Operation)) {
    for operation in operations {
        visit(operation);
        match &operation.body {
            OperationBody::Call(_) => {}
            OperationBody::If(block) => {
                for_each_operation(&block.then, visit);
                for_each_operation(&block.otherwise, visit);
            }
            OperationBody::Loop(block) => for_each_operation(&block.operations, visit),
        }
    }
}

impl Phase {
    /// Calls `visit` for every operation, those inside blocks included.
    pub fn for_each_operation<'a>(&'a self, mut visit: impl FnMut(&'a Operation)) {
        for_each_operation(&self.operations, &mut visit);
    }

    /// Whether some operation, one inside a block included, runs on the targets themselves.
    pub fn has_work_on_targets(&self) -> bool {
        self.last_on_targets().is_some()
    }

    /// The last operation, one inside a block included, that runs on the targets themselves.
    pub fn last_on_targets(&self) -> Option<&Operation> {
        let mut last = None;
        self.for_each_operation(|operation| {
            last = (operation.place == Place::Target).then_some(operation).or(last);
        });
        last
    }
}

fn read_group(at: &At<'_>) -> Result<Group, Complaint> {
    at.object()?;
    let number = at.get("groupNo").ok_or_else(|| at.missing("groupNo"))?.integer()?;
    let strategy = match optional(at, "execStrategy", text)?.as_deref() {
        Some("grayScale") => ExecStrategy::GrayScale,
        _ => ExecStrategy::OneShot,
    };
    Ok(Group {
        number: GroupNo(number),
        strategy,
        round_count: optional(at, "roundCount", integer)?,
        phases: optional(at, "phases", |at| at.each(read_phase))?.unwrap_or_default(),
    })
}

fn read_phase(at: &At<'_>) -> Result<Phase, Complaint> {
    at.object()?;
    let name_at = at.get("phaseName").ok_or_else(|| at.missing("phaseName"))?;
    let name = PhaseName::new(name_at.text()?).map_err(|error| name_at.complain(error))?;
    let kind_at = at.get("phaseType").ok_or_else(|| at.missing("phaseType"))?;
    let kind = match kind_at.text()?.as_str() {
        "runner" | "local" => PhaseType::Runner,
        "target" | "remote" => PhaseType::Target,
        "runner_target" | "localremote" => PhaseType::RunnerTarget,
        "sqlfile" => PhaseType::SqlFile,
        other => {
            return Err(kind_at.complain(format_args!(
                "`{other}` is not a phase type: expected runner, target, runner_target or sqlfile"
            )));
        }
    };
    let exec_round = match optional(at, "execRound", text)?.as_deref() {
        Some("middle") => ExecRound::Middle,
        Some("last") => ExecRound::Last,
        _ => ExecRound::First,
    };
    Ok(Phase {
        name,
        kind,
        exec_round,
        round_count: optional(at, "roundCount", integer)?,
        operations: optional(at, "operations", |at| at.each(|at| read_operation(at, 0)))?.unwrap_or_default(),
    })
}

fn read_operation(at: &At<'_>, depth: usize) -> Result<Operation, Complaint> {
    if depth > MAX_BLOCK_DEPTH {
        return Err(at.complain(format_args!("blocks are nested deeper than {MAX_BLOCK_DEPTH}")));
    }
    at.object()?;
    let id_at = at.get("opId").ok_or_else(|| at.missing("opId"))?;
    let id = OpId::new(id_at.text()?).map_err(|error| id_at.complain(error))?;
    let name_at = at.get("opName").ok_or_else(|| at.missing("opName"))?;
    let name = OpName::new(name_at.text()?).map_err(|error| name_at.complain(error))?;
    let inner = |at: &At<'_>| at.each(|at| read_operation(at, depth + 1));
    let body = match name.as_str() {
        "native/IF-Block" => OperationBody::If(IfBlock {
            condition: optional(at, "condition", text)?.ok_or_else(|| at.missing("condition"))?,
            then: optional(at, "if", inner)?.unwrap_or_default(),
            otherwise: optional(at, "else", inner)?.unwrap_or_default(),
        }),
        "native/LOOP-Block" => OperationBody::Loop(read_loop(at, inner)?),
        _ => OperationBody::Call(read_call(at)?),
    };
    Ok(Operation {
        place: read_place(at, &name)?,
        fail_ignore: optional(at, "failIgnore", flag)?.unwrap_or(false),
        help: optional(at, "help", text)?.unwrap_or_default(),
        id,
        name,
        body,
    })
}

fn read_loop(
    at: &At<'_>,
    inner: impl Fn(&At<'_>) -> Result<Vec<Operation>, Complaint>,
) -> Result<LoopBlock, Complaint> {
    let non_blank = |member| {
        let text = optional(at, member, text)?.ok_or_else(|| at.missing(member))?;
        if text.trim().is_empty() { Err(at.complain(format_args!("`{member}` is blank"))) } else { Ok(text) }
    };
    Ok(LoopBlock {
        items: non_blank("loopItems")?,
        variable: non_blank("loopItemVar")?,
        operations: optional(at, "operations", inner)?.unwrap_or_default(),
    })
}

fn read_place(at: &At<'_>, name: &OpName) -> Result<Place, Complaint> {
    if name.bundle() == "native" {
        return Ok(Place::Native);
    }
    let kind_at = at.get("opType").ok_or_else(|| at.missing("opType"))?;
    Ok(match kind_at.text()?.as_str() {
        "runner" | "local" | "sqlfile" => Place::Runner,
        "target" | "remote" => Place::Target,
        "runner_target" | "localremote" => Place::RunnerTarget,
        "native" => Place::Native,
        other => {
            return Err(kind_at.complain(format_args!(
                "`{other}` is not an operation type: expected runner, target, runner_target, sqlfile or native"
            )));
        }
    })
}

fn read_call(at: &At<'_>) -> Result<Call, Complaint> {
    let script = if optional(at, "isScript", flag)?.unwrap_or(false) {
        Some(match optional(at, "scriptContent", text)?.filter(|content| !content.is_empty()) {
            Some(content) => ScriptSource::Inline(content),
            None => ScriptSource::Server { script_id: optional(at, "scriptId", text)? },
        })
    } else {
        None
    };
    let interpreter = optional(at, "interpreter", |at| {
        let word = at.text()?;
        if word.is_empty() {
            return Ok(None);
        }
        Interpreter::from_word(&word)
            .map(Some)
            .ok_or_else(|| at.complain(format_args!("`{word}` is not a known interpreter")))
    })?
    .flatten();
    let types: IndexMap<String, ValueType> = optional(at, "desc", type_table)?.unwrap_or_default();
    let options = optional(at, "opt", table)?.unwrap_or_default();
    let options = options
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let kind = types.get(&name).copied().unwrap_or(ValueType::Text);
            OpOption { name, kind, value }
        })
        .collect();
    Ok(Call {
        script,
        interpreter,
        options,
        arguments: optional(at, "arg", |at| at.each(read_argument))?.unwrap_or_default(),
        outputs: optional(at, "output", outputs)?,
    })
}

fn read_argument(at: &At<'_>) -> Result<Argument, Complaint> {
    at.object()?;
    Ok(Argument {
        kind: optional(at, "type", text)?.map_or(ValueType::Text, |word| ValueType::from_word(&word)),
        value: at.get("value").map_or(Value::Null, |at| at.value().clone()),
    })
}

fn type_table(at: &At<'_>) -> Result<IndexMap<String, ValueType>, Complaint> {
    let types = at.object()?.iter();
    // a type that is not text is an unknown type, and unknown types are text
    Ok(types.map(|(name, word)| (name.clone(), ValueType::from_word(word.as_str().unwrap_or("")))).collect())
}

fn outputs(at: &At<'_>) -> Result<IndexMap<String, OutputDescription>, Complaint> {
    at.object()?
        .keys()
        .map(|name| {
            let entry = at.get(name);
            let kind = entry.as_ref().map_or(Ok(None), |entry| optional(entry, "type", text))?;
            let default = entry
                .as_ref()
                .and_then(|entry| entry.get("defaultValue").map(|at| at.value().clone()))
                .unwrap_or(Value::Null);
            let kind = kind.map_or(ValueType::Text, |kind| ValueType::from_word(&kind));
            let (is_file, is_secret) = (kind == ValueType::FilePath, kind == ValueType::Password);
            Ok((name.clone(), OutputDescription { is_file, is_secret, default }))
        })
        .collect()
}

fn environment(at: &At<'_>) -> Result<IndexMap<String, String>, Complaint> {
    let members = at.object()?.iter();
    Ok(members
        .map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => json_text(other),
            };
            (name.clone(), text)
        })
        .collect())
}

fn table(at: &At<'_>) -> Result<IndexMap<String, Value>, Complaint> {
    // The server writes an empty table as `[]` now and then.
    if at.value().as_array().is_some_and(Vec::is_empty) {
        return Ok(IndexMap::new());
    }
    Ok(at.object()?.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn optional<T>(
    at: &At<'_>,
    member: &str,
    read: impl FnOnce(&At<'_>) -> Result<T, Complaint>,
) -> Result<Option<T>, Complaint> {
    at.get(member).map(|at| read(&at)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: &Value) -> Result<JobParams, String> {
        JobParams::from_value(value, "params.json").map_err(|error| error.to_string())
    }

    fn job_with(operation: Value) -> Value {
        json!({"runFlow": [{"groupNo": 0, "phases": [
            {"phaseName": "p", "phaseType": "runner", "operations": [operation]}]}]})
    }

    #[test]
    fn the_last_operation_on_targets_is_found_in_blocks() {
        let last = |operations: Value| {
            let phase = json!({"phaseName": "p", "phaseType": "target", "operations": operations});
            let job = parse(&json!({"runFlow": [{"groupNo": 0, "phases": [phase]}]})).unwrap();
            job.groups[0].phases[0].last_on_targets().map(|operation| operation.id.as_str().to_owned())
        };
        let call = |id: &str, kind: &str| json!({"opId": id, "opName": "b/x", "opType": kind});
        let block = json!({"opId": "L_2", "opName": "native/LOOP-Block", "opType": "native", "loopItems": "1,2",
            "loopItemVar": "J", "operations": [call("y_3", "target"), call("y_4", "runner_target")]});
        assert_eq!(last(json!([call("x_1", "target"), block, call("z_5", "runner")])).unwrap(), "y_3");
        assert_eq!(
            last(json!([call("x_1", "target"), call("x_6", "target"), call("z_5", "native")])).unwrap(),
            "x_6"
        );
        assert_eq!(last(json!([call("z_5", "runner_target")])), None);
    }

    #[test]
    fn the_example_of_the_specification() {
        let job = parse(&json!({
            "jobId": 620_011_223_344_i64, "tenant": "demo", "execUser": "u-77", "roundCount": 2,
            "opt": {"region": "north", "dbpw": "{RC4}d94cf101ca62a06c8680c8", "packs": [901, 902]},
            "arg": {}, "environment": {"VERSION": "1.4.0", "DEPLOY_RUNNERGROUP": {"1": "10.0.0.5"}},
            "runFlow": [
              {"groupNo": 0, "execStrategy": "oneShot", "phases": [
                {"phaseName": "check", "phaseType": "target", "execRound": "first", "operations": [
                  {"opId": "basic/free_501", "opName": "basic/free", "opType": "target", "interpreter": "bash",
                   "isScript": 0, "scriptId": 31, "failIgnore": 0, "help": "free space",
                   "arg": [{"key": 1, "type": "text", "value": "${region}"}],
                   "opt": {"path": "/data", "limit": "${check.basic/df_500.free}", "none": null},
                   "desc": {"path": "text", "limit": "PassWord"},
                   "output": {"report": {"opt": "report", "type": "filepath", "defaultValue": ""}}}]}]},
              {"groupNo": 1, "execStrategy": "grayScale", "roundCount": 3, "phases": []}]
        }))
        .unwrap();
        assert_eq!(job.job.unwrap().as_str(), "620011223344");
        assert_eq!(job.environment["DEPLOY_RUNNERGROUP"], r#"{"1": "10.0.0.5"}"#);
        assert_eq!((job.groups.len(), job.groups[1].strategy), (2, ExecStrategy::GrayScale));
        let operation = &job.groups[0].phases[0].operations[0];
        assert_eq!((operation.place, operation.place.as_str()), (Place::Target, "remote"));
        let OperationBody::Call(call) = &operation.body else { panic!("not a call") };
        assert_eq!(call.options.len(), 2, "null options are left out");
        assert_eq!(call.options[1].kind, ValueType::Password);
        assert!(call.outputs.as_ref().unwrap()["report"].is_file);
        assert!(call.script.is_none());
    }

    #[test]
    fn every_complaint_names_file_and_member() {
        let operation = |members: Value| job_with(members);
        for (value, expected) in [
            (json!([]), "params.json: member ``: expected an object, found an array"),
            (json!({}), "params.json: member `runFlow`: missing"),
            (
                json!({"runFlow": [{"groupNo": "x"}]}),
                "member `runFlow[0].groupNo`: expected a whole number, found other text",
            ),
            (
                json!({"runFlow": [{"groupNo": 0, "phases": [{"phaseName": "a/b", "phaseType": "runner"}]}]}),
                "member `runFlow[0].phases[0].phaseName`: phase name `a/b` is not usable",
            ),
            (
                operation(json!({"opName": "a/b"})),
                "member `runFlow[0].phases[0].operations[0].opId`: missing",
            ),
            (
                operation(json!({"opId": "../x", "opName": "a/b"})),
                "operations[0].opId`: operation id `../x` is not usable",
            ),
            (
                operation(json!({"opId": "a/b_1", "opName": "a/b", "opType": "moon"})),
                "operations[0].opType`: `moon` is not an operation type",
            ),
            (
                operation(
                    json!({"opId": "a/b_1", "opName": "a/b", "opType": "runner", "arg": [{"type": {}}]}),
                ),
                "operations[0].arg[0].type`: expected text, found an object",
            ),
            (
                operation(json!({"opId": "n_1", "opName": "native/IF-Block"})),
                "operations[0].condition`: missing",
            ),
        ] {
            let error = parse(&value).unwrap_err();
            assert!(error.contains(expected), "{error}\n  should contain\n{expected}");
        }
    }

    #[test]
    fn a_json_error_gives_the_position_and_not_the_text() {
        let error = JobParams::parse(b"{\"opt\": {\"pw\": \"hunter2\" \"x\"}}", "params.json")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("params.json is not JSON: syntax error at line 1"), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn blocks_nest_but_not_without_end() {
        let mut block = json!({"opId": "x/y_1", "opName": "x/y", "opType": "runner"});
        for depth in 0..10 {
            block = json!({"opId": format!("native/IF-Block_{depth}"), "opName": "native/IF-Block",
                "condition": "1 == 1", "if": [block]});
        }
        assert!(parse(&job_with(block.clone())).is_ok());
        for depth in 10..40 {
            block = json!({"opId": format!("native/IF-Block_{depth}"), "opName": "native/IF-Block",
                "condition": "1 == 1", "else": [block]});
        }
        assert!(parse(&job_with(block)).unwrap_err().contains("nested deeper than 32"));
    }

    #[test]
    fn repeated_names_are_refused() {
        let phase = json!({"phaseName": "p", "phaseType": "runner"});
        let twice =
            json!({"runFlow": [{"groupNo": 0, "phases": [phase]}, {"groupNo": 1, "phases": [phase]}]});
        assert!(parse(&twice).unwrap_err().contains("two phases are named `p`"));
        let operation = json!({"opId": "x/y_1", "opName": "x/y", "opType": "runner"});
        let twice = json!({"runFlow": [{"groupNo": 0, "phases": [
            {"phaseName": "p", "phaseType": "runner", "operations": [operation, operation]}]}]});
        assert!(parse(&twice).unwrap_err().contains("have the id `x/y_1`"));
    }
}
