//! `autoexec plugin`: what can be typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::args::Output;

/// `autoexec plugin`.
#[derive(Debug, Args)]
pub struct PluginArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PluginCommand,
}

/// What to do with a tool of one's own.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make the directory of a new tool: code, description, a test, and the SDK.
    #[command(
        after_help = "Examples:\n  autoexec plugin new shop/portcheck\n  autoexec plugin new shop/portcheck --lang \
                            python --dir tools/portcheck\n\nIt works as it is: cd portcheck && autoexec plugin test && autoexec \
                            plugin build"
    )]
    New(NewArgs),
    /// Build the tool: dist/BUNDLE/NAME.wasm. Exit code 65 when code or tool.toml are wrong.
    #[command(
        after_help = "Rust needs a compiler for wasm32-unknown-unknown. For Python and JavaScript the first build installs the \
                            tool chain below\n~/.cache/autoexec/toolchains, or in the directory that AUTOEXEC_TOOLCHAINS names."
    )]
    Build(ProjectArgs),
    /// Run the tool's own tests, without a host. Exit code 1 when one fails.
    Test(ProjectArgs),
    /// Call the tool once, as a job of one step would. Exit code 1 when it fails, 77 when a policy denied it
    /// something.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Show what is in a tool: version, capabilities, imports, options, size, signature.
    #[command(
        after_help = "Examples:\n  autoexec plugin inspect\n  autoexec plugin inspect /opt/autoexec/plugins/wasm/basic/sleep.wasm \
                            --output json | jq .capabilities"
    )]
    Inspect(InspectArgs),
    /// Make one archive of tool, signature and README, to be unpacked in a home.
    #[command(
        after_help = "Example:\n  autoexec plugin pack && tar xf dist/shop-portcheck-0.1.0.tar -C \"$AUTOEXEC_HOME\""
    )]
    Pack(ProjectArgs),
    /// Sign the built tool: NAME.wasm.minisig beside it.
    #[command(after_help = "Example:\n  autoexec plugin sign --new-key author.key\n\nThe public key is \
                            written beside the secret one (author.pub); a site trusts it as conf/trust/author.pub.")]
    Sign(SignArgs),
    /// Tell the server of this home about the tool: its options, outputs and risk.
    #[command(
        after_help = "Example:\n  AUTOEXEC_HOME=/opt/autoexec autoexec plugin register --tenant develop\n\nThe tool has to be \
                            built; the address of the server and the key come from the home's configuration. Exit code 69 when \
                            the server can not be reached or refuses."
    )]
    Register(RegisterArgs),
}

const RUN_HELP: &str = "\
Examples:
  autoexec plugin run -o host=db.example.net -o port=5432 --policy policy.toml
  autoexec plugin run -o path=/etc/hosts -i hosts.yaml --node web1
  autoexec plugin run --output json | jq .outputs
  autoexec plugin run -o host=db.example.net --record calls.jsonl
  autoexec plugin run --replay calls.jsonl

What the policy denies is listed at the end with the lines that would allow it; with --output json as `refusals`.
Without --policy the built-in policy holds (`autoexec policy default`). Without --node the tool runs for the runner itself.";

/// `autoexec plugin new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the tool, BUNDLE/NAME: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Language of its code.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub lang: Language,
    /// Directory to make [default: NAME without the bundle, here].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Refer to this SDK (the directory with `sdk` and `wit`) instead of putting the one of this program into the project.
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// Languages with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust: small and fast tools.
    Rust,
    /// Python, with componentize-py.
    Python,
    /// JavaScript, with componentize-js.
    Js,
}

/// Which tool is meant.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    /// The directory of the tool: that of its tool.toml [default: here or above].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// `autoexec plugin run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The tool.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Run this file instead of building.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Set an option of the tool. Not for secrets: others can read command lines; see --options.
    #[arg(short = 'o', long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// Options as a JSON object in a file, `-` for standard input.
    #[arg(long = "options", value_name = "FILE")]
    pub options_file: Option<PathBuf>,
    /// Policy that holds for the call: a file, or a directory of `*.toml`.
    #[arg(long, value_name = "PATH")]
    pub policy: Option<PathBuf>,
    /// Inventory with the node.
    #[arg(short = 'i', long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// The node to call it for, by its name or host in the inventory.
    #[arg(short = 'n', long, value_name = "NAME", requires = "inventory")]
    pub node: Option<String>,
    /// Ask the tool what it would change, instead of running it.
    #[arg(long)]
    pub check: bool,
    /// Write each host call with its answer to this file, one JSON line each. Secrets stand there by name only.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Answer host calls from a recording: no network, node or server, and no policy unless one is given. The first call that differs
    /// ends the tool. Options that are not given are those of the recording.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "inventory"])]
    pub replay: Option<PathBuf>,
    /// Free arguments of the tool.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// `autoexec plugin inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The tool's file [default: the one that was built here].
    pub file: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// `autoexec plugin sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The tool.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// The secret key (minisign).
    #[arg(long, value_name = "FILE", required_unless_present = "new_key")]
    pub key: Option<PathBuf>,
    /// Make a new secret key here first, and the public one beside it.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub new_key: Option<PathBuf>,
    /// File with the password of the key. With --new-key the key is protected with it.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `autoexec plugin register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// The tool.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Tenant to register it for.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
}
