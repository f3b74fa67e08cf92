//! Tool `basic/waitjob`: waits until jobs of the console have ended (spec/tools-behaviour/08-interaction-and-jobs.md).

use std::time::Duration;

use autoexec_sdk::server::{self, ServerError};
use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, clock, log};
use serde::Deserialize;
use serde_json::{Value, json};

/// The server call for the status of a job.
const STATUS: &str = "rest/autoexec/job/status/get";

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(3);

/// Looks between two lines about a job that still runs.
const TOLD_EVERY: u32 = 5;

/// Looks in a row without an answer of the server, after which a job counts as failed.
const PATIENCE: u32 = 10;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Ids of the jobs, separated by commas.
    #[serde(default)]
    jobids: String,
    /// Address of another site's server.
    proxytourl: Option<String>,
    /// Whether failed jobs are no failure of this step.
    #[serde(default)]
    ignorefailed: Flag,
}

/// A yes or no as jobs write it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
struct Flag(bool);

impl TryFrom<Value> for Flag {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str() {
            "0" | "false" => Ok(Self(false)),
            "1" | "true" => Ok(Self(true)),
            other => Err(format!("\"{other}\" is neither 0 nor 1")),
        }
    }
}

/// A job that is waited for.
struct Waited {
    id: String,
    unanswered: u32,
}

/// What one look showed.
enum Look {
    Done,
    Failed,
    Runs,
}

struct WaitJob;

impl Tool for WaitJob {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { jobids, proxytourl, ignorefailed } = call.options;
        // The console's default is a reference to a global parameter, which stays as it is where there is none.
        if proxytourl.is_some_and(|url| !url.trim().is_empty() && !url.starts_with("${global:")) {
            let message = "`proxytourl` names another site's server, which tools in the sandbox do not reach: leave it \
                           empty, or use the native tool of the old plugin tree";
            return Err(Failure::invalid_option("proxytourl", message));
        }
        let ids = jobids.split(',').map(str::trim).filter(|id| !id.is_empty());
        let mut waiting: Vec<Waited> = ids.map(|id| Waited { id: id.to_owned(), unanswered: 0 }).collect();
        let mut failed = Vec::new();
        let mut round = 0_u32;
        while !waiting.is_empty() {
            let is_told = round.is_multiple_of(TOLD_EVERY);
            waiting.retain_mut(|job| match look(job, is_told) {
                Look::Runs => true,
                Look::Done => false,
                Look::Failed => {
                    failed.push(job.id.clone());
                    false
                }
            });
            if !waiting.is_empty() {
                clock::sleep(PAUSE);
            }
            round = round.wrapping_add(1);
        }
        if failed.is_empty() || ignorefailed.0 {
            return Ok(Outcome::default());
        }
        Err(Failure::check_failed(format!("These jobs failed: {}", failed.join(", "))))
    }
}

fn look(job: &mut Waited, is_told: bool) -> Look {
    let id = &job.id;
    let answer = match server::call::<Value>(STATUS, &json!({"jobId": id})) {
        Ok(answer) => answer,
        // One call that did not come through says nothing about the job.
        Err(error) if matches!(error.reason, ServerError::Unavailable(_)) && job.unanswered < PATIENCE => {
            job.unanswered += 1;
            log::warn(format_args!("can not get job status for job-{id}, trying again: {error}"));
            return Look::Runs;
        }
        Err(error) => {
            log::error(format_args!("can not get job status for job-{id}, error {error}"));
            return Look::Failed;
        }
    };
    job.unanswered = 0;
    let status = answer.get("status").and_then(Value::as_str).unwrap_or_default();
    match status {
        "completed" | "succeed" | "checked" => {
            log::fine(format_args!("job-{id} on {status}"));
            Look::Done
        }
        "running" | "waiting" | "pending" => {
            if is_told {
                log::info(format_args!("job-{id} on {status}, waiting..."));
            }
            Look::Runs
        }
        "" => {
            log::error(format_args!("can not get job status for job-{id}: the server knows none"));
            Look::Failed
        }
        other => {
            log::error(format_args!("job-{id} on {other}"));
            Look::Failed
        }
    }
}

autoexec_sdk::export_tool!(WaitJob);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    fn answers(host: &Host, id: &str, statuses: &[&str]) {
        for status in statuses {
            host.server().call(STATUS, json!({"jobId": id})).answers(Ok(json!({"status": status})));
        }
    }

    #[test]
    fn it_waits_for_all_jobs() {
        let host = Host::new();
        answers(&host, "1", &["running", "completed"]);
        answers(&host, "2", &["waiting", "running", "succeed"]);
        host.run::<WaitJob>(json!({"jobids": "1, 2"})).unwrap();
        assert_eq!(host.waited(), Duration::from_secs(6));
        assert_eq!(
            host.log_lines(),
            [
                "INFO: job-1 on running, waiting...",
                "INFO: job-2 on waiting, waiting...",
                "FINE: job-1 on completed",
                "FINE: job-2 on succeed",
            ]
        );
    }

    #[test]
    fn a_failed_job_fails_the_step_unless_ignored() {
        for (ignore, succeeds) in [("0", false), ("1", true)] {
            let host = Host::new();
            answers(&host, "1", &["failed"]);
            let result = host.run::<WaitJob>(json!({"jobids": "1", "ignorefailed": ignore}));
            assert_eq!(result.is_ok(), succeeds);
        }
    }

    #[test]
    fn a_server_that_is_away_for_a_moment_is_asked_again_but_not_for_ever() {
        let host = Host::new();
        let away = || Err(ServerError::Unavailable("timed out".into()));
        host.server().call(STATUS, json!({"jobId": "1"})).answers(away());
        answers(&host, "1", &["completed"]);
        host.run::<WaitJob>(json!({"jobids": "1"})).unwrap();
        host.server().call(STATUS, json!({"jobId": "1"})).answers_times(11, away());
        assert!(host.run::<WaitJob>(json!({"jobids": "1"})).is_err());
    }

    #[test]
    fn no_status_is_a_failure_and_no_job_is_done() {
        let host = Host::new();
        host.server().call(STATUS, json!({"jobId": "1"})).answers(Ok(json!({})));
        assert!(host.run::<WaitJob>(json!({"jobids": "1"})).is_err());
        host.run::<WaitJob>(json!({"jobids": ""})).unwrap();
    }
}
