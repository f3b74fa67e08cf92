//! Developer commands: `cargo xtask <command>`. Each has a module of its own.

use clap::{Parser, Subcommand};

mod guests;

/// Developer commands of autoexec.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the WebAssembly tools and the guests of the tests.
    Guests(guests::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Guests(options) => guests::run(&options),
    }
}
