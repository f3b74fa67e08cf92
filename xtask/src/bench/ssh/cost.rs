//! What a run of a tool costs, as GNU time sees the tool and the processes it waits for.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::stage::StagedHome;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Seconds.
    pub(super) wall: f64,
    /// Seconds of all its processes.
    pub(super) cpu: f64,
    /// MiB of its largest process.
    pub(super) memory: f64,
}

/// Measures what `run` starts under the given command.
pub(super) fn of(home: &StagedHome, run: impl FnOnce(Command) -> Result<()>) -> Result<Cost> {
    let answer = home.path().join("cost");
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%e %U %S %M", "-o"]).arg(&answer);
    run(time)?;
    let text = std::fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
    parse(&text).with_context(|| format!("GNU time wrote `{}`", text.trim()))
}

fn parse(text: &str) -> Result<Cost> {
    let line = text.lines().last().unwrap_or_default();
    let numbers: Vec<f64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall, user, system, kib] = numbers[..] else { bail!("not four numbers") };
    Ok(Cost { wall, cpu: user + system, memory: kib / 1024.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_gnu_time_is_read() {
        let cost = parse("1.50 0.25 0.50 2048\n").unwrap();
        assert!((cost.wall - 1.5).abs() < 1e-9 && (cost.cpu - 0.75).abs() < 1e-9);
        assert!((cost.memory - 2.0).abs() < 1e-9);
        assert!(parse("Command exited with non-zero status 1").is_err());
    }
}
