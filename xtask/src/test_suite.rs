//! `cargo xtask test`: the whole test suite. Guests are built from source first; the host is built once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::{guests, packages, stage, step, workspace};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only prepare and build; run nothing.
    #[arg(long)]
    no_run: bool,
    /// Names that tests must contain, or other arguments of the test runner, for the host's tests only.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Installs what is missing, says so before, and builds the guests.
pub(crate) fn prepare() -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::SSHD, packages::TESTS, packages::TARGETS])?;
    guests::run(&guests::Options::default())
}

/// Runs everything; what fails does not keep the rest from running.
pub(crate) fn run(options: &Options) -> Result<()> {
    prepare()?;
    let runner = Runner::find();
    build_host()?;
    if options.no_run {
        return Ok(());
    }
    let mut failed = Vec::new();
    for (name, mut command) in suites(runner, options)? {
        step::say(format_args!("tests: {name}"));
        if let Err(error) = step::run(&mut command) {
            step::say(format_args!("{error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("tests failed: {}", failed.join(", "));
    }
    Ok(())
}

/// One command with the features of the test build, so that nothing is compiled a second time. The binary is part of
/// it because the end-to-end tests start it.
fn build_host() -> Result<()> {
    step::say("building the host and its tests");
    step::run(workspace::cargo()?.args(["build", "--workspace", "--lib", "--bins", "--tests"]))
}

/// What runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    /// cargo-nextest: a process per test, time limits, a clear report.
    Nextest,
    /// Cargo itself, where nextest is not installed.
    Cargo,
}

impl Runner {
    fn find() -> Self {
        let answer = Command::new("cargo").args(["nextest", "--version"]).output();
        if answer.is_ok_and(|output| output.status.success()) {
            Self::Nextest
        } else {
            step::say("cargo-nextest is not installed: using `cargo test`, which has no time limits");
            Self::Cargo
        }
    }

    fn command(self, root: &Path) -> Result<Command> {
        let mut cargo = workspace::cargo()?;
        match self {
            Self::Nextest => {
                cargo.args(["nextest", "run", "--config-file"]).arg(root.join(".config/nextest.toml"));
                if std::env::var_os("CI").is_some() {
                    cargo.args(["--profile", "ci"]);
                }
            }
            Self::Cargo => {
                cargo.args(["test", "--no-fail-fast"]);
            }
        }
        Ok(cargo)
    }
}

/// The suites in their order: the largest comes last, so that its summary is what a reader sees first.
fn suites(runner: Runner, options: &Options) -> Result<Vec<(&'static str, Command)>> {
    let root = workspace::root()?;
    let mut suites = Vec::new();
    for (name, manifest) in [("SDK", "sdk/rust"), ("logic of the WebAssembly tools", "plugins-wasm")] {
        let mut command = runner.command(&root)?;
        command.arg("--manifest-path").arg(root.join(manifest).join("Cargo.toml"));
        if manifest == "plugins-wasm" {
            command.arg("--workspace");
        }
        // Not the target directory of the components: those are built for another target, maybe by another compiler.
        command.arg("--target-dir").arg(root.join("target/guest-tests"));
        suites.push((name, command));
    }
    if runner == Runner::Nextest {
        let mut doc = workspace::cargo()?;
        doc.args(["test", "--quiet", "--workspace", "--doc"]);
        suites.push(("examples in the documentation", doc));
    }
    suites.push(("host", host(runner, &root, options)?));
    Ok(suites)
}

fn host(runner: Runner, root: &Path, options: &Options) -> Result<Command> {
    let mut command = runner.command(root)?;
    command.arg("--workspace");
    if runner == Runner::Nextest {
        // As in the build before; examples would be compiled for nothing.
        command.args(["--lib", "--bins", "--tests"]);
    }
    command.args(&options.arguments).env("AUTOEXEC_BIN", built_program()?);
    Ok(command)
}

fn built_program() -> Result<PathBuf> {
    let program = stage::target()?.join("debug/autoexec");
    ensure!(program.is_file(), "{} was not built", program.display());
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_suite_is_last_and_each_runner_gets_arguments_it_knows() {
        let root = workspace::root().unwrap();
        let words = |command: &Command| {
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        for (runner, first) in [(Runner::Nextest, "nextest"), (Runner::Cargo, "test")] {
            let command = words(&runner.command(&root).unwrap());
            assert_eq!(command.first().unwrap(), first);
            assert_eq!(command.iter().any(|word| word == "--config-file"), runner == Runner::Nextest);
        }
        assert!(root.join(".config/nextest.toml").is_file(), "the file the command names exists");
    }
}
