//! Tool `inspect/setresjobid`: links the node to this job for the console's inspection pages
//! (spec/tools-behaviour/12-inspection-report.md).

use autoexec_sdk::{Call, Change, Checkable, Failure, Outcome, Tool, ToolResult, job, log};
use console_calls::{call_again, job_id, now_ms};
use serde::de::IgnoredAny;
use serde_json::json;

/// The server call that links a resource and a job.
const UPDATE: &str = "rest/autoexec/job/resource/inspect/update";

struct SetResJobId;

impl Tool for SetResJobId {
    type Options = IgnoredAny;

    fn run(_: Call<IgnoredAny>) -> ToolResult {
        let (node, context) = (job::node(), job::context());
        let parameters = json!({
            "resourceId": node.resource_id,
            "jobId": job_id(),
            "phaseName": context.phase,
            "inspectTime": now_ms(),
        });
        call_again(UPDATE, &parameters)?;
        log::info(format_args!("Set current node({}) job({}) success.", node.resource_id, context.job_id));
        Ok(Outcome::default())
    }
}

impl Checkable for SetResJobId {
    fn check(_: Call<IgnoredAny>) -> Result<Vec<Change>, Failure> {
        let node = job::node();
        let subject = format!("inspection job of {} ({})", node.host, node.resource_id);
        Ok(vec![Change::created(subject, job::context().job_id)])
    }
}

autoexec_sdk::export_tool!(SetResJobId: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::server::ServerError;
    use autoexec_sdk::testing::Host;

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| node.resource_id = 7);
        host.set_context(|context| {
            context.job_id = "620011".into();
            context.phase = "begin".into();
        });
        host
    }

    fn parameters() -> serde_json::Value {
        json!({"resourceId": 7, "jobId": 620_011, "phaseName": "begin", "inspectTime": 1_704_067_200_000_u64})
    }

    #[test]
    fn the_console_is_told() {
        let host = host();
        host.server().call(UPDATE, parameters()).answers(Ok(json!(null)));
        host.run::<SetResJobId>(json!({})).unwrap();
        assert_eq!(host.log_lines(), ["INFO: Set current node(7) job(620011) success."]);
    }

    #[test]
    fn a_no_of_the_console_fails_the_step() {
        let host = host();
        host.server()
            .call(UPDATE, parameters())
            .answers(Err(ServerError::Refused("no such resource".into())));
        let failure = host.run::<SetResJobId>(json!({})).unwrap_err();
        assert!(failure.message().contains("no such resource"), "{failure}");
    }

    #[test]
    fn a_check_tells_nobody() {
        assert_eq!(host().check::<SetResJobId>(json!({})).unwrap()[0].after.as_deref(), Some("620011"));
    }
}
