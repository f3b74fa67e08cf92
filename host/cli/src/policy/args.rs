//! `autoexec policy`: what can be typed.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `autoexec policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Read the policy as a run would; exit code 65 when it can not be used.
    Check(CheckArgs),
    /// Say what a tool may do, or whether it may do one thing, and which rule says so.
    Explain(ExplainArgs),
    /// Compare two policies: which changes let tools do more, and which less.
    Diff(DiffArgs),
    /// Write the least policy that would have allowed a run, from the decisions recorded in mode "learn" or "monitor".
    Learn(LearnArgs),
    /// Look at all installed tools and all rules: what each tool may do, and what is broader than it need be.
    Audit(AuditArgs),
    /// Print the policy of a home that has none of its own.
    Default,
}

/// `autoexec policy check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = ReviewFormat::Table)]
    pub output: ReviewFormat,
}

/// `autoexec policy explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  autoexec policy explain demo/summary
  autoexec policy explain basic/tcpcheck --node 10.0.0.7 net-probe:10.0.0.7:22
  autoexec policy explain basic/tcpcheck net-probe:www.example.com:443 --address 10.0.0.1
  autoexec policy explain x/fetch 'http:GET https://api.example.com/v1'
  autoexec policy explain x/fetch 'secret:option:token to https://api.example.com:443'
  autoexec policy explain x/disk 'target:run df -h' --node 10.0.0.7
  autoexec policy explain x/report 'filesystem:write /srv/reports/today.html'

Requests of each capability:
  http:METHOD URL               sockets:HOST:PORT        snmp:HOST:PORT
  net-probe:HOST:PORT           net-probe:icmp:HOST      step-outputs:PHASE.OPERATION.OUTPUT
  secret:NAME to PLACE          PLACE: https://HOST:PORT, connection HOST:PORT, snmp HOST:PORT, node, program NAME
  target:run COMMAND            target:session           target:read PATH, target:write PATH
  filesystem:read PATH          filesystem:write PATH    documents:read COLLECTION, documents:write COLLECTION
  server:CALL                   lock:NAME                program:[VARIABLE=]... NAME ARGUMENTS
  job-nodes:PHASE               interact:TITLE

Exit code 77 when it is denied.")]
pub struct ExplainArgs {
    /// The tool, bundle/name.
    pub tool: String,
    /// A request as below, or just a capability. IPv6 stands in brackets.
    pub request: Option<String>,
    /// The node the tool is called for: the value of ${node.host}.
    #[arg(long, value_name = "HOST")]
    pub node: Option<String>,
    /// The job whose directory is the value of ${job.dir}.
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
    /// Decide as if the host of the request had resolved to this address.
    #[arg(long, value_name = "IP", requires = "request")]
    pub address: Option<IpAddr>,
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = ReviewFormat::Table)]
    pub output: ReviewFormat,
}

/// `autoexec policy diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The policy before: a file, or a directory of `*.toml`.
    pub old: PathBuf,
    /// The policy after.
    pub new: PathBuf,
    /// What to print.
    #[arg(long, value_enum, default_value_t = ReviewFormat::Table)]
    pub output: ReviewFormat,
}

/// `autoexec policy learn`.
#[derive(Debug, Args)]
#[command(
    after_help = "The policy is printed for review; nothing is changed. Hosts that were the node's become ${node.host}, paths in
the job's directory ${job.dir}. What allows more than was seen is marked, and what could not be written is listed at the end."
)]
pub struct LearnArgs {
    /// The run: its job id.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only what this tool did; may be given several times.
    #[arg(long = "tool", value_name = "BUNDLE/NAME")]
    pub tools: Vec<String>,
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to print: `table` is the policy itself.
    #[arg(long, value_enum, default_value_t = ReviewFormat::Table)]
    pub output: ReviewFormat,
}

/// `autoexec policy audit`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 77 when there is a finding at least as severe as --fail-on.")]
pub struct AuditArgs {
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The least severe finding that makes the command fail.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// What to print.
    #[arg(long, value_enum, default_value_t = ReviewFormat::Table)]
    pub output: ReviewFormat,
}

/// When an audit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// At any finding.
    Note,
    /// At what is broader than it need be.
    Warning,
    /// At what can not work, or takes away what the policy is for.
    Error,
    /// At none.
    Never,
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    /// Text for people.
    Table,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for tools that show findings beside the code.
    Sarif,
}
