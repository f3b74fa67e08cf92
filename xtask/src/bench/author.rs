//! The loop of a tool's author: a new tool, its tests, its build; from nothing, and after a change.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::job::quietly;
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::{self, StagedHome};
use crate::{step, workspace};

/// What is measured from nothing compiles the SDK each time: that often is enough.
const MOST_RUNS: u32 = 3;

pub(super) fn measure(home: &StagedHome, runs: u32) -> Result<Table> {
    let place = tempfile::tempdir().context("making a directory for tools")?;
    let clean = Author { program: home.program().clone(), dir: place.path().join("clean") };
    let warm = Author { program: home.program().clone(), dir: place.path().join("warm") };
    warm.make()?;
    let variants = vec![
        Variant::new("`plugin new`", || clean.make()),
        Variant::new("`plugin test`, clean", || clean.does("test")),
        Variant::new("`plugin build`, clean", || clean.does("build")),
        Variant::new("`plugin test` after a change", || warm.change().and_then(|()| warm.does("test"))),
        Variant::new("`plugin build` after a change", || warm.change().and_then(|()| warm.does("build"))),
        Variant::new("`plugin run` (new home, builds, compiles, one call)", || warm.call()),
    ];
    let note = "A tool in Rust as `autoexec plugin new` makes it. Clean: nothing is compiled, cargo's downloads are there. The first \
                three rows together are the way from nothing to a tested, built tool.";
    Ok(measure_series("The loop of an author", 1, runs.min(MOST_RUNS), variants)?.note(note))
}

/// How often each tool is started.
const STARTS: u32 = 1_000;

/// The program that measures it.
const EXAMPLE: &str = "tool_starts";

fn build() -> Result<PathBuf> {
    step::say("building the measurements of tools");
    let mut cargo = workspace::cargo()?;
    step::run(cargo.args(["build", "--release", "--package", "autoexec-sandbox", "--example", EXAMPLE]))?;
    Ok(stage::target()?.join("release/examples").join(EXAMPLE))
}

/// Size of every tool of plugins-wasm, and how long making an instance of it takes. `measure` is another example that was
/// built together with the one for this.
pub(super) fn tools(measure: Option<&Path>, quick: bool) -> Result<String> {
    let dir = workspace::root()?.join("target/plugins/wasm");
    step::say("measuring: the start of each tool");
    let program = measure.map_or_else(build, |measure| Ok(measure.with_file_name(EXAMPLE)))?;
    let mut starts = Command::new(&program);
    let text = step::output(starts.arg(&dir).arg(if quick { 10 } else { STARTS }.to_string()))?;
    let mut table = String::from(
        "### Size and start of each tool\n\n| tool | KiB | instance p50, µs | p99, µs |\n|---|---:|---:|---:|\n",
    );
    for line in text.lines() {
        let start: Start = serde_json::from_str(line).with_context(|| format!("reading `{line}`"))?;
        let Start { tool, size, p50, p99 } = start;
        // Writing to a text can not fail.
        let _ = writeln!(table, "| `{tool}` | {} | {p50:.0} | {p99:.0} |", size.div_ceil(1024));
    }
    table.push_str("\nMaking an instance of a tool that is compiled and loaded, one after the other; a call needs one.\n");
    Ok(table)
}

/// A line of the example `tool_starts`.
#[derive(serde::Deserialize)]
struct Start {
    tool: String,
    size: u64,
    p50: f64,
    p99: f64,
}

struct Author {
    program: PathBuf,
    dir: PathBuf,
}

impl Author {
    fn plugin(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("plugin").args(words);
        for name in ["CARGO_TARGET_DIR", "RUSTFLAGS"] {
            command.env_remove(name);
        }
        command
    }

    fn make(&self) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).with_context(|| format!("removing {}", self.dir.display()))?;
        }
        quietly(self.plugin(&["new", "bench/author", "--dir"]).arg(&self.dir))
    }

    fn does(&self, what: &str) -> Result<()> {
        quietly(self.plugin(&[what, "--dir"]).arg(&self.dir))
    }

    fn change(&self) -> Result<()> {
        append(&self.dir.join("src/lib.rs"), "// one more line\n")
    }

    fn call(&self) -> Result<()> {
        let mut run = self.plugin(&["run", "-o", "host=127.0.0.1", "-o", "port=9", "--dir"]);
        run.arg(&self.dir);
        let output = run.output().context("starting `autoexec plugin run`")?;
        // Nobody listens on the port, or the policy says no: either way the tool was called and has answered.
        anyhow::ensure!(
            matches!(output.status.code(), Some(0 | 1 | 77)),
            "`plugin run` ended with {}",
            output.status
        );
        Ok(())
    }
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut content = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    content.push_str(text);
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}
