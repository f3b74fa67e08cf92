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

Exit code 77 when it is denied.")]
pub struct ExplainArgs {
    /// The tool, bundle/name.
    pub tool: String,
    /// A request: net-probe:HOST:PORT (IPv6 in brackets), step-outputs, or just a capability.
    pub request: Option<String>,
    /// The node the tool is called for: the value of ${node.host}.
    #[arg(long, value_name = "HOST")]
    pub node: Option<String>,
    /// Decide as if the host of the request had resolved to this address.
    #[arg(long, value_name = "IP", requires = "request")]
    pub address: Option<IpAddr>,
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
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

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Table,
    /// One JSON document.
    Json,
}

/// What a command for reviews prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    /// Text for people.
    Table,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for tools that show findings beside the code.
    Sarif,
}
