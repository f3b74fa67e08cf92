//! `policy learn`: from the decision log of a run to the least policy that would have allowed it.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use autoexec_events::ExitCode;
use autoexec_grants::{Capability, Learned, Seen, learn};
use autoexec_model::JobId;
use autoexec_store::Home;
use serde::Deserialize;
use serde_json::json;

use super::args::{LearnArgs, ReviewFormat};
use super::load;
use super::review::print_json;
use super::sarif::{Finding, document};
use crate::{CliError, print};

/// The longest line that is read, in bytes: what the log holds is far below.
const LONGEST_LINE: u64 = 1 << 20;

pub(super) fn run(home: &Home, arguments: &LearnArgs) -> Result<ExitCode, CliError> {
    let job =
        JobId::new(&arguments.run).map_err(|error| CliError::new(ExitCode::Usage, error.to_string()))?;
    let log = home.policy_audit();
    let recorded = recorded(&log, &arguments.run, &arguments.tools)
        .map_err(|(path, error)| CliError::files(format!("decision log {}: {error}", path.display())))?;
    if recorded.seen.is_empty() {
        return Err(CliError::bad_input(format!(
            "the decision log {} has nothing of job {}",
            log.display(),
            arguments.run
        ))
        .hint("run the job with a policy in mode \"learn\"; older decisions are in the files beside it until they are rotated out"));
    }
    let current = load::of_home(home)?;
    let job_dir = home.job(&job).root().display().to_string();
    let heading = format!(
        "Learned from {} decision(s) of job {}. Read it before it is used: what is here was seen, not judged.\nBeside each value: how often, on which nodes, and where for example.",
        recorded.seen.len(),
        arguments.run
    );
    let mut learned = learn(&recorded.seen, Some(&job_dir), &current, &heading);
    if recorded.incomplete {
        learned.left_out.push("calls with very many decisions recorded only the first of them".to_owned());
    }
    if recorded.unreadable > 0 {
        learned.left_out.push(format!("{} line(s) of the log can not be read", recorded.unreadable));
    }
    show(&learned, arguments.output)?;
    Ok(ExitCode::Success)
}

fn show(learned: &Learned, output: ReviewFormat) -> Result<(), CliError> {
    match output {
        ReviewFormat::Table => {
            let mut text = learned.text.clone();
            for (heading, lines) in [
                ("Wider than what was seen:", &learned.wider),
                ("Seen, but not in this policy:", &learned.left_out),
            ] {
                if !lines.is_empty() {
                    let _ = writeln!(text, "\n# {heading}");
                }
                for line in lines {
                    let _ = writeln!(text, "# - {}", line.replace(char::is_control, " "));
                }
            }
            print(&text)
        }
        ReviewFormat::Json => {
            print_json(&json!({"policy": learned.text, "wider": learned.wider, "leftOut": learned.left_out}))
        }
        ReviewFormat::Sarif => {
            let finding =
                |kind, level| move |text: &String| Finding { kind, level, text: text.clone(), place: None };
            let wider = learned.wider.iter().map(finding("learned-wider", "warning"));
            let left_out = learned.left_out.iter().map(finding("learned-left-out", "note"));
            print_json(&document(&wider.chain(left_out).collect::<Vec<_>>()))
        }
    }
}

/// What the log has of a job.
#[derive(Debug, Default)]
struct Recorded {
    seen: Vec<Seen>,
    /// Some call had more decisions than are recorded.
    incomplete: bool,
    unreadable: usize,
}

/// The fields of a line that matter here.
#[derive(Deserialize)]
struct Line {
    job: String,
    phase: Option<String>,
    operation: Option<String>,
    node: Option<String>,
    tool: String,
    capability: Option<String>,
    argument: Option<String>,
    decision: Option<String>,
    reason: Option<String>,
}

/// Reads the log with its older files, the oldest first.
fn recorded(log: &Path, job: &str, tools: &[String]) -> Result<Recorded, (PathBuf, io::Error)> {
    let mut recorded = Recorded::default();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    for path in files(log).map_err(failed(log))? {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err((path, error)),
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(failed(&path))? == 0 {
                break;
            }
            recorded.add(&line, job, tools);
        }
    }
    Ok(recorded)
}

/// The log's files, the oldest first: the higher the number, the older.
fn files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Ok(vec![log.to_owned()]);
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbered = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let other = path.file_name().and_then(|other| other.to_str()).unwrap_or_default();
        let number = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        if let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) {
            numbered.push((number, path));
        }
    }
    numbered.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(numbered.into_iter().map(|(_, path)| path).chain([log.to_owned()]).collect())
}

impl Recorded {
    fn add(&mut self, line: &[u8], job: &str, tools: &[String]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            self.unreadable += 1;
            return;
        };
        if line.job != job || !(tools.is_empty() || tools.contains(&line.tool)) {
            return;
        }
        let (Some(capability), Some(decision)) = (&line.capability, &line.decision) else {
            self.incomplete = true;
            return;
        };
        let Some(capability) = Capability::from_interface(capability) else {
            self.unreadable += 1;
            return;
        };
        let place = match (&line.operation, &line.phase) {
            (Some(operation), Some(phase)) => format!("{operation} of phase {phase}"),
            _ => format!("job {job}"),
        };
        let refused =
            (decision == "denied").then(|| line.reason.unwrap_or_else(|| "it was denied".to_owned()));
        let Line { tool, argument, node, .. } = line;
        self.seen.push(Seen { tool, capability, argument, node, place, refused });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(job: &str, argument: &str) -> String {
        json!({"time": "t", "job": job, "phase": "p", "operation": "a/b_1", "node": "n", "tool": "a/b", "digest": "d",
            "capability": "lock", "argument": argument, "decision": "learned", "rule": null, "reason": "r"})
        .to_string()
    }

    #[test]
    fn the_log_is_read_with_its_older_files_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("policy-audit.jsonl");
        std::fs::write(dir.path().join("policy-audit.jsonl.10"), line("1", "oldest") + "\n").unwrap();
        std::fs::write(dir.path().join("policy-audit.jsonl.2"), line("1", "older") + "\n").unwrap();
        std::fs::write(dir.path().join("policy-audit.jsonl.bak"), line("1", "no") + "\n").unwrap();
        let note = json!({"time": "t", "job": "1", "tool": "a/b", "note": "further decisions"}).to_string();
        let text = [line("2", "another job"), "torn {".to_owned(), String::new(), note, line("1", "young")]
            .join("\n");
        std::fs::write(&log, text).unwrap();
        let recorded = recorded(&log, "1", &[]).unwrap();
        let arguments: Vec<&str> = recorded.seen.iter().filter_map(|seen| seen.argument.as_deref()).collect();
        assert_eq!(arguments, ["oldest", "older", "young"]);
        assert!(recorded.incomplete && recorded.unreadable == 1);
        assert_eq!(recorded.seen[0].place, "a/b_1 of phase p");
        assert!(super::recorded(&log, "1", &["c/d".to_owned()]).unwrap().seen.is_empty());
        assert!(super::recorded(&dir.path().join("x/none.jsonl"), "1", &[]).unwrap().seen.is_empty());
    }

    #[test]
    fn a_decision_that_was_a_refusal_stays_one() {
        let mut recorded = Recorded::default();
        recorded.add(line("1", "x").replace("\"learned\"", "\"denied\"").as_bytes(), "1", &[]);
        assert_eq!(recorded.seen[0].refused.as_deref(), Some("r"));
    }
}
