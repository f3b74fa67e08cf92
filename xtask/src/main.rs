//! Developer commands: `cargo xtask <command>`. Each has a module of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod demo;
mod guests;
mod lint;
mod packages;
mod stage;
mod step;
mod test_suite;
mod tools_doc;
mod workspace;

/// Developer commands of autoexec.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a job over three throw-away SSH targets on this machine, and clean up.
    Demo(demo::Options),
    /// Install what is missing to build and test, and build the guests.
    Prepare,
    /// Run the whole test suite.
    Test(test_suite::Options),
    /// Check the rules about the shape of the source tree.
    Lint,
    /// Measure the release build beside what people would use instead.
    Bench(bench::Options),
    /// Build the WebAssembly tools and the guests of the tests.
    Guests(guests::Options),
    /// Write docs/tools.md from what the tools say of themselves.
    ToolsDoc(tools_doc::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not as `main` would print it: a failed test run is no occasion for a backtrace.
            step::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(options) => demo::run(&options),
        Command::Prepare => test_suite::prepare(),
        Command::Test(options) => test_suite::run(&options),
        Command::Lint => lint::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Guests(options) => guests::run(&options),
        Command::ToolsDoc(options) => tools_doc::run(&options),
    }
}
