//! Tool `inspect/notifyinspectreport`: lets the console send the inspection report to people
//! (spec/tools-behaviour/12-inspection-report.md).

use autoexec_sdk::{Call, Change, Checkable, Failure, Options, Outcome, Tool, ToolResult, job, server};
use console_calls::job_id;
use serde_json::{Value, json};

/// The server call that sends the report.
const NOTIFY: &str = "rest/inspect/autoexec/job/report/notify";

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// How it is sent
    #[option(
        name = "notifyHandler",
        label = "Handler",
        choices = "EmailNotifyHandler",
        default = "EmailNotifyHandler",
        required = true
    )]
    handler: String,
    /// Who gets it: a list of user#id, team#id and role#id
    #[option(name = "notifyTargets", label = "Receivers", kind = "userselect")]
    targets: Vec<String>,
}

struct NotifyInspectReport;

impl NotifyInspectReport {
    /// The receivers, each of a kind that the console knows.
    fn receivers(options: &Options) -> Result<&[String], Failure> {
        let unusable = |why: String| Failure::invalid_option("notifyTargets", why).with_exit_code(2);
        let is_known = |target: &&String| {
            let parts = target.split_once('#');
            parts.is_some_and(|(kind, id)| matches!(kind, "user" | "team" | "role") && !id.trim().is_empty())
        };
        if options.targets.is_empty() {
            return Err(unusable("nobody is to get the report: name users, teams or roles".to_owned()));
        }
        match options.targets.iter().find(|target| !is_known(target)) {
            None => Ok(&options.targets),
            Some(target) => {
                Err(unusable(format!("\"{target}\" is nobody: write user#id, team#id or role#id")))
            }
        }
    }
}

impl Tool for NotifyInspectReport {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let receivers = Self::receivers(&call.options)?;
        let parameters =
            json!({"jobId": job_id(), "notifyHandler": call.options.handler, "notifyTargets": receivers});
        server::call::<Value>(NOTIFY, &parameters)?;
        Ok(Outcome::with_message(format!("Notify inspect report job({}) success.", job::context().job_id)))
    }
}

impl Checkable for NotifyInspectReport {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let receivers = Self::receivers(&call.options)?.join(", ");
        let subject = format!("report of the job {} by {}", job::context().job_id, call.options.handler);
        Ok(vec![Change::created(subject, format!("sent to {receivers}"))])
    }
}

autoexec_sdk::export_tool!(NotifyInspectReport: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::server::ServerError;
    use autoexec_sdk::testing::Host;

    #[test]
    fn the_console_is_told_whom() {
        for targets in [json!(["user#1", "role#2"]), json!("[\"user#1\", \"role#2\"]")] {
            let host = Host::new();
            let expected = json!({"jobId": 1, "notifyHandler": "EmailNotifyHandler", "notifyTargets": ["user#1", "role#2"]});
            host.server().call(NOTIFY, expected).answers(Ok(Value::Null));
            let outcome = host.run::<NotifyInspectReport>(json!({"notifyTargets": targets})).unwrap();
            assert_eq!(outcome.message.as_deref(), Some("Notify inspect report job(1) success."));
        }
    }

    #[test]
    fn nobody_is_no_receiver() {
        let host = Host::new();
        for targets in [json!([]), json!(["ann"]), json!(["user#"]), json!(["group#1"])] {
            assert_eq!(
                host.run::<NotifyInspectReport>(json!({"notifyTargets": targets})).unwrap_err().exit_code(),
                2
            );
        }
    }

    #[test]
    fn it_is_sent_once_only() {
        let host = Host::new();
        let expected =
            json!({"jobId": 1, "notifyHandler": "EmailNotifyHandler", "notifyTargets": ["team#1"]});
        host.server().call(NOTIFY, expected).answers(Err(ServerError::Unavailable("timed out".into())));
        assert!(host.run::<NotifyInspectReport>(json!({"notifyTargets": ["team#1"]})).is_err());
        assert_eq!(host.check::<NotifyInspectReport>(json!({"notifyTargets": ["team#1"]})).unwrap().len(), 1);
    }
}
