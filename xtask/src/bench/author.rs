//! The loop of a tool's author: a new tool, its tests, its build; from nothing, and after a change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::job::quietly;
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::StagedHome;

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
