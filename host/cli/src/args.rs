//! The command line: what was typed, and the quirks of the runner that types it (`spec/cli.md` §1.2).

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use autoexec_events::ExitCode;
use autoexec_model::{GroupNo, PhaseName, ResourceId};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value};

/// Runs automation jobs: groups, phases and operations over nodes, with sandboxed tools.
///
/// Without a subcommand it takes the flags of the job runner, as the executor it replaces did.
#[derive(Debug, Parser)]
#[command(name = "autoexec", version, infer_long_args = true, args_override_self = true, after_help = exit_codes())]
pub struct Cli {
    /// Flags of the job runner.
    #[command(flatten)]
    pub drop_in: DropIn,
    /// Commands for people.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands for people.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job from files, without a server.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Show what a run would do, without doing it.
    Plan(PlanArgs),
    /// Show what became of the nodes of a job so far.
    Status(StatusArgs),
    /// Check, explain and compare policies: what tools may do.
    Policy(crate::policy::PolicyArgs),
    /// Make, test, build, try, sign and register tools of your own.
    Plugin(crate::plugin::PluginArgs),
    /// Show installed tools, check where they come from, and approve them.
    Tool(crate::tool::ToolArgs),
    /// Check the installation: files, configuration, policy, tools, the machine, the server.
    Doctor(crate::doctor::DoctorArgs),
    /// Print a shell completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const RUN_HELP: &str = "\
Examples:
  autoexec run check.job.yaml -i hosts.yaml
  autoexec run check.job.yaml -i hosts.yaml --limit web --phases check -o version=1.4.0
  autoexec run check.job.yaml -i hosts.yaml --id 20261122215803123    continue after a failure
  autoexec run check.job.yaml -i hosts.yaml --check                   what would be changed
  autoexec run check.job.yaml -i hosts.yaml --output json | jq -c .event

docs/standalone.md describes job and inventory. Without -i only `runner` phases can run.";

/// A job in files and what of it is meant.
#[derive(Debug, Default, Args)]
pub struct JobArgs {
    /// The job: YAML or JSON, in the readable form or as the server sends it.
    pub job: PathBuf,
    /// The nodes: YAML or JSON inventory, or a node file as the server sends it.
    #[arg(short = 'i', long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Job id; the same id continues an earlier run. A new one is made from the time by default.
    #[arg(long)]
    pub id: Option<String>,
    /// Only these phases (comma list).
    #[arg(long, value_name = "LIST")]
    pub phases: Option<String>,
    /// Only nodes of these names, hosts or groups of the inventory (comma list).
    #[arg(short = 'l', long, value_name = "LIST")]
    pub limit: Option<String>,
    /// Only nodes of these ids (comma list).
    #[arg(long, value_name = "LIST", conflicts_with = "limit")]
    pub nodes: Option<String>,
    /// Set a job option. Not for secrets: others can read command lines.
    #[arg(short = 'o', long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// Run nodes and operations even when they have succeeded before.
    #[arg(short, long)]
    pub force: bool,
}

/// `autoexec run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Dry run: ask the tools that can tell what they would change, and change nothing. Makes a job of its own.
    #[arg(long, conflicts_with = "id")]
    pub check: bool,
    /// For `plugin run --record`: write the host calls of the one component that is called to this file.
    #[arg(long, value_name = "FILE", hide = true)]
    pub record_calls: Option<PathBuf>,
    /// For `plugin run --replay`: answer its host calls from this file.
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "record_calls")]
    pub replay_calls: Option<PathBuf>,
    /// What to print on standard output: progress and a table, or one JSON event per line.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// `autoexec plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// What to print: text for people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// `autoexec status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The job's id.
    pub id: String,
    /// What to print: a table for people, or one JSON document.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Human,
    /// JSON for programs.
    Json,
}

/// The flags of the job runner. Names and meaning are a contract.
#[derive(Debug, Default, Args)]
pub struct DropIn {
    /// No effect; accepted because older callers pass it.
    #[arg(short, long)]
    pub verbose: bool,
    /// Job id.
    #[arg(short, long, default_value = "0")]
    pub jobid: String,
    /// User who runs the job; part of history file names.
    #[arg(short = 'u', long)]
    pub execuser: Option<String>,
    /// Number of this fire; names the job socket.
    #[arg(long)]
    pub execid: Option<String>,
    /// Use this parameter file and do not ask the server.
    #[arg(short, long, value_name = "FILE")]
    pub paramsfile: Option<PathBuf>,
    /// Use this node file and do not ask the server.
    #[arg(short, long, value_name = "FILE")]
    pub nodesfile: Option<PathBuf>,
    /// Run nodes and operations even when they have succeeded before.
    #[arg(short, long)]
    pub force: bool,
    /// First start of the job: fetch parameters and nodes anew, start a new console log.
    #[arg(short = 'i', long)]
    pub firstfire: bool,
    /// Keep an existing console log file (its standard error is already open).
    #[arg(long)]
    pub reuseconslog: bool,
    /// Mode: abort the running job.
    #[arg(short = 'k', long)]
    pub abort: bool,
    /// Mode: pause the running job.
    #[arg(short = 's', long)]
    pub pause: bool,
    /// Mode: register the descriptions of all tools for a tenant.
    #[arg(short, long, value_name = "TENANT", default_value = "")]
    pub register: String,
    /// Mode: forget all node statuses of the job.
    #[arg(short, long)]
    pub cleanstatus: bool,
    /// Mode: delete job data older than this many days.
    #[arg(long, value_name = "DAYS", default_value = "0")]
    pub purgejobdata: String,
    /// Send no callbacks.
    #[arg(short, long)]
    pub devmode: bool,
    /// Do not ask the server for the next group at the end.
    #[arg(long)]
    pub nofirenext: bool,
    /// JSON object that the server wants back with every callback.
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
    pub passthroughenv: String,
    /// Run only these groups.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub phasegroups: Option<String>,
    /// Run only these phases.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub phases: Option<String>,
    /// Run only these resource ids.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub nodes: Option<String>,
    /// JSON list of SQL files, handed to the SQL tools.
    #[arg(long, value_name = "JSON")]
    pub sqlfiles: Option<String>,
}

/// A command line and what was left out of it.
#[derive(Debug)]
pub struct Parsed {
    /// What was typed.
    pub cli: Cli,
    /// Arguments nobody knows, each worth a warning.
    pub unknown: Vec<String>,
}

/// What the job runner asks for. The first that applies wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Forget statuses.
    CleanStatus,
    /// Register tools for a tenant.
    Register(String),
    /// Pause the running job.
    Pause,
    /// Abort the running job.
    Abort,
    /// Delete job data older than this many days.
    Purge(String),
    /// Run the job.
    Run,
}

impl DropIn {
    /// The mode (`spec/cli.md` §1.2: first match wins).
    pub fn mode(&self) -> Mode {
        if self.cleanstatus {
            Mode::CleanStatus
        } else if !self.register.is_empty() {
            Mode::Register(self.register.clone())
        } else if self.pause {
            Mode::Pause
        } else if self.abort {
            Mode::Abort
        } else if self.purgejobdata != "0" {
            Mode::Purge(self.purgejobdata.clone())
        } else {
            Mode::Run
        }
    }

    /// The pass-through object of the flag, else of `PASSTHROUGH_ENV`.
    ///
    /// # Errors
    /// The text is not repeated in the error: it holds a token.
    pub fn pass_through(&self, from_environment: Option<&str>) -> Result<Map<String, Value>, String> {
        let flag = self.passthroughenv.trim();
        let (text, source) = match from_environment {
            Some(text) if matches!(flag, "" | "{}") && !text.trim().is_empty() => (text, "PASSTHROUGH_ENV"),
            _ if flag.is_empty() => ("{}", "--passthroughenv"),
            _ => (flag, "--passthroughenv"),
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(format!("{source} is not a JSON object")),
            Err(error) => Err(format!("{source} is not JSON (column {})", error.column())),
        }
    }
}

/// Splits a list as the runner joins it: `11','12` (`spec/cli.md` §1.2).
pub fn split_list(text: &str) -> Vec<String> {
    let strip = |piece: &str| {
        let piece = piece.trim();
        let piece = piece.strip_prefix('\'').unwrap_or(piece);
        piece.strip_suffix('\'').unwrap_or(piece).to_owned()
    };
    text.split(',').map(strip).filter(|piece| !piece.is_empty()).collect()
}

/// Reads a list of group numbers.
///
/// # Errors
/// Names the piece that is not a number.
pub fn group_list(text: Option<&str>) -> Result<Vec<GroupNo>, String> {
    numbers("--phasegroups", text).map(|numbers| numbers.into_iter().map(GroupNo).collect())
}

/// Reads a list of resource ids.
///
/// # Errors
/// Names the piece that is not a number.
pub fn node_list(text: Option<&str>) -> Result<Vec<ResourceId>, String> {
    numbers("--nodes", text).map(|numbers| numbers.into_iter().map(ResourceId).collect())
}

/// Reads a list of phase names.
///
/// # Errors
/// Names the piece that is not a phase name.
pub fn phase_list(text: Option<&str>) -> Result<Vec<PhaseName>, String> {
    let pieces = split_list(text.unwrap_or_default()).into_iter();
    pieces.map(|piece| PhaseName::new(piece).map_err(|error| format!("--phases: {error}"))).collect()
}

fn numbers(flag: &str, text: Option<&str>) -> Result<Vec<i64>, String> {
    let pieces = split_list(text.unwrap_or_default()).into_iter();
    pieces.map(|piece| piece.parse().map_err(|_| format!("{flag}: `{piece}` is not a number"))).collect()
}

/// Parses a command line. Flags that nobody knows are left out, because a newer runner may pass newer flags and
/// must not be answered with the exit code 2 (defect 1).
///
/// # Errors
/// The exit code, after help, version or the complaint were printed.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, ExitCode> {
    understand(arguments).map_err(|error| complain(&error))
}

/// As [`parse`], without a word: also for the command lines of other processes.
///
/// # Errors
/// The complaint, not printed yet.
pub fn understand(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut unknown = Vec::new();
    loop {
        let error = match Cli::command().try_get_matches_from(&arguments) {
            Ok(matches) => match Cli::from_arg_matches(&matches) {
                Ok(cli) => return Ok(Parsed { cli, unknown }),
                Err(error) => error,
            },
            Err(error) => error,
        };
        match unknown_argument(&error, &arguments) {
            Some(position) if is_drop_in(&arguments) => {
                let removed = arguments.remove(position);
                unknown.push(flag_name(&removed.to_string_lossy()));
            }
            _ => return Err(error),
        }
    }
}

/// People get a complaint about a misspelt flag; the runner's command lines start with a flag.
fn is_drop_in(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|first| first.to_string_lossy().starts_with('-'))
}

/// A value after `=` may be a secret.
fn flag_name(argument: &str) -> String {
    match argument.split_once('=') {
        Some((flag, _)) if flag.starts_with('-') => flag.to_owned(),
        _ if argument.starts_with('-') => argument.to_owned(),
        _ => "(a value)".to_owned(),
    }
}

fn unknown_argument(error: &clap::Error, arguments: &[OsString]) -> Option<usize> {
    if !matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand) {
        return None;
    }
    let context = error.get(ContextKind::InvalidArg).or_else(|| error.get(ContextKind::InvalidSubcommand))?;
    let ContextValue::String(invalid) = context else { return None };
    let is_it = |argument: &&OsString| {
        let argument = argument.to_string_lossy();
        argument == *invalid || argument.split_once('=').is_some_and(|(flag, _)| flag == invalid)
    };
    let found = arguments.iter().skip(1).position(|argument| is_it(&argument));
    // `-xq` is reported as `-q`; then the whole cluster goes.
    let cluster = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        let letter = invalid.strip_prefix('-').filter(|letter| letter.chars().count() == 1);
        argument.starts_with('-')
            && !argument.starts_with("--")
            && letter.is_some_and(|letter| argument.contains(letter))
    };
    found.or_else(|| arguments.iter().skip(1).position(cluster)).map(|position| position + 1)
}

fn complain(error: &clap::Error) -> ExitCode {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Success,
        _ => ExitCode::Usage,
    };
    // A terminal that is gone cannot be told anything.
    let _ = error.print();
    let _ = std::io::stderr().flush();
    code
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for code in ExitCode::ALL {
        // Writing to a string cannot fail.
        let _ =
            std::fmt::Write::write_fmt(&mut text, format_args!("  {:>3}  {}\n", code.code(), code.meaning()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop_in(arguments: &[&str]) -> (DropIn, Vec<String>) {
        let all = std::iter::once("autoexec").chain(arguments.iter().copied()).map(OsString::from);
        let parsed = parse(all).unwrap();
        (parsed.cli.drop_in, parsed.unknown)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_runners_exec_call_is_understood() {
        let (flags, unknown) = drop_in(&[
            "--jobid",
            "620011223344",
            "--execuser",
            "u-77",
            "--execid",
            "9",
            "--firstfire",
            "--nofirenext",
            "--passthroughenv",
            r#"{"runnerId":1}"#,
            "--phasegroups",
            "0','1",
            "--phases",
            "检查','b c",
            "--nodes",
            "11','12",
            "--sqlfiles",
            "[]",
            "--reuseconslog",
        ]);
        assert!(unknown.is_empty());
        assert_eq!((flags.jobid.as_str(), flags.mode()), ("620011223344", Mode::Run));
        assert_eq!(group_list(flags.phasegroups.as_deref()).unwrap(), [GroupNo(0), GroupNo(1)]);
        assert_eq!(node_list(flags.nodes.as_deref()).unwrap(), [ResourceId(11), ResourceId(12)]);
        let phases = phase_list(flags.phases.as_deref()).unwrap();
        assert_eq!(phases.iter().map(PhaseName::as_str).collect::<Vec<_>>(), ["检查", "b c"]);
        assert_eq!(flags.pass_through(None).unwrap()["runnerId"], 1);
    }

    #[test]
    fn lists_are_split_trimmed_and_unquoted() {
        for (text, pieces) in [
            ("11','12", vec!["11", "12"]),
            ("'11', 12 ,", vec!["11", "12"]),
            ("a", vec!["a"]),
            ("it's", vec!["it's"]),
            ("''x''", vec!["'x'"]),
            (" , ", vec![]),
        ] {
            assert_eq!(split_list(text), pieces, "{text}");
        }
        assert_eq!(node_list(Some("1,x")).unwrap_err(), "--nodes: `x` is not a number");
    }

    #[test]
    fn flags_of_a_newer_runner_are_left_out_and_reported_without_their_values() {
        let (flags, unknown) = drop_in(&[
            "--jobid",
            "1",
            "--newflag=s3cret",
            "--other",
            "value",
            "--firstfire",
            "-z",
            "--abort",
        ]);
        assert!(flags.firstfire && flags.abort);
        assert_eq!(unknown, ["--newflag", "--other", "(a value)", "-z"]);
    }

    #[test]
    fn unique_prefixes_and_short_flags_work() {
        let (flags, _) = drop_in(&["-j", "5", "-u", "me", "--firstf", "-dfi"]);
        assert_eq!((flags.jobid.as_str(), flags.execuser.as_deref()), ("5", Some("me")));
        assert!(flags.firstfire && flags.devmode && flags.force);
    }

    #[test]
    fn the_first_mode_that_applies_wins() {
        let mode = |arguments: &[&str]| drop_in(arguments).0.mode();
        assert_eq!(mode(&["-c", "-k", "-s"]), Mode::CleanStatus);
        assert_eq!(mode(&["--register", "demo", "-s"]), Mode::Register("demo".to_owned()));
        assert_eq!(mode(&["-k", "-s"]), Mode::Pause);
        assert_eq!(mode(&["-k", "--purgejobdata", "3"]), Mode::Abort);
        assert_eq!(mode(&["--purgejobdata", "3"]), Mode::Purge("3".to_owned()));
        assert_eq!(mode(&[]), Mode::Run);
    }

    #[test]
    fn the_pass_through_object_is_never_repeated_in_an_error() {
        let (flags, _) = drop_in(&["--passthroughenv", r#"{"EXECUSER_TOKEN": "hunter2" x"#]);
        let error = flags.pass_through(None).unwrap_err();
        assert!(error.contains("not JSON") && !error.contains("hunter2"), "{error}");
        let (flags, _) = drop_in(&[]);
        assert_eq!(flags.pass_through(Some(r#"{"runnerId": 7}"#)).unwrap()["runnerId"], 7);
    }

    #[test]
    fn people_are_told_about_a_misspelt_flag() {
        let arguments = ["autoexec", "run", "job.yaml", "--forse"].map(OsString::from);
        assert_eq!(parse(arguments).unwrap_err(), ExitCode::Usage);
    }
}
