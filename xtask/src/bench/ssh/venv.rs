//! The tools of the comparison that come from `PyPI`, in a virtual environment below `target`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{packages, stage, step};

/// Fixed, so that two runs compare the same things.
const TOOLS: [&str; 3] = ["ansible-core==2.17.14", "pyinfra==3.5.1", "parallel-ssh==2.14.0"];
const PYTHON: &str = "/usr/bin/python3";

/// Makes the environment where it is missing; returns its directory of programs.
pub(super) fn ensure() -> Result<PathBuf> {
    let directory = stage::target()?.join("bench-venv");
    let programs = directory.join("bin");
    let mark = directory.join("tools.txt");
    let wanted = TOOLS.join("\n");
    if std::fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        return Ok(programs);
    }
    packages::ensure(&[packages::PYTHON])?;
    step::say(format_args!("installing {} into {}", TOOLS.join(", "), directory.display()));
    step::run(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&directory))?;
    step::run(pip(&programs).args(TOOLS))?;
    std::fs::write(&mark, wanted)?;
    Ok(programs)
}

fn pip(programs: &Path) -> Command {
    let mut pip = Command::new(programs.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip
}
