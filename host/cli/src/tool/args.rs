//! `autoexec tool`: what can be typed.

use std::path::PathBuf;

use autoexec_supply::KeyId;
use clap::{Args, Subcommand, ValueEnum};

/// `autoexec tool`.
#[derive(Debug, Args)]
pub struct ToolArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ToolCommand,
}

/// What to do with tools.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// List the installed tools: version, signature, and whether they are as they were approved.
    List(ListArgs),
    /// Show one tool: what it is, what it asks for and why, who signed it, what an approval would change.
    Show(ShowArgs),
    /// Check signatures and the lock, as a run would: all components, or the ones named.
    Verify(VerifyArgs),
    /// Say whose signatures count: list, add or remove public keys in conf/trust.
    Trust(TrustArgs),
    /// Approve tools as they are installed: write them into plugins.lock after showing what changes.
    Lock(LockArgs),
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Shared {
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Table,
    /// One JSON document.
    Json,
}

/// `autoexec tool list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Home and format.
    #[command(flatten)]
    pub shared: Shared,
}

/// `autoexec tool show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The tool, bundle/name.
    pub tool: String,
    /// Home and format.
    #[command(flatten)]
    pub shared: Shared,
}

/// `autoexec tool verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0   every tool has a signature by a trusted key, and is as plugins.lock has it (if there is one)
  65  a component, the lock or a key can not be read
  76  a signature is missing or does not hold; with --lenient only if plugins.signatures = require
  77  a tool is not, or not as it is, in plugins.lock")]
pub struct VerifyArgs {
    /// The tools, bundle/name [default: all components].
    pub tools: Vec<String>,
    /// Judge as the configuration does (plugins.signatures), not as if signatures were required.
    #[arg(long)]
    pub lenient: bool,
    /// Home and format.
    #[command(flatten)]
    pub shared: Shared,
}

/// `autoexec tool trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TrustCommand,
}

/// What to do with trusted keys.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// List the trusted keys.
    List(ListArgs),
    /// Trust a key: copy its file into conf/trust.
    Add {
        /// The public key's file (minisign).
        file: PathBuf,
        /// Name at this site [default: the file's name].
        #[arg(long)]
        name: Option<String>,
        /// Home and format.
        #[command(flatten)]
        shared: Shared,
    },
    /// No longer trust a key: remove its file from conf/trust.
    Remove {
        /// The key's id, as `list` shows it.
        key: KeyId,
        /// Home and format.
        #[command(flatten)]
        shared: Shared,
    },
}

/// `autoexec tool lock`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows every change before it is written. What a person has to approve (a new tool, more capabilities, an older version,
other content under the same version, another signer) is asked for on a terminal; elsewhere --yes has to be given.

Exit code 77 when something was not approved; nothing is written then.")]
pub struct LockArgs {
    /// The tools, bundle/name [default: all components and native tools with a manifest].
    pub tools: Vec<String>,
    /// Approve everything that is shown.
    #[arg(long)]
    pub yes: bool,
    /// Also forget tools that are no longer installed.
    #[arg(long)]
    pub prune: bool,
    /// Home and format.
    #[command(flatten)]
    pub shared: Shared,
}
