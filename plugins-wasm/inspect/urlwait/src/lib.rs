//! Tool `inspect/urlwait`: waits until a list of HTTP requests gets through, or one fails
//! (spec/tools-behaviour/03-checks.md, waiting tools).

use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, log};
use http_session::{Session, Trouble, requests, run};
use serde::Deserialize;
use waiting::{Patience, State};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Which state is waited for, and how long.
    #[serde(flatten)]
    patience: Patience,
}

struct UrlWait;

impl Tool for UrlWait {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let requests = requests(call.text_arguments())?;
        let patience = call.options.patience;
        let is_seen = patience.wait_for(|| match run(&mut Session::new(patience.timeout()), &requests) {
            Ok(()) => Ok(true),
            Err(Trouble::Failed(why)) => {
                log::warn(why);
                Ok(false)
            }
            Err(Trouble::Unusable(failure)) => Err(failure),
        })?;
        let state = patience.targetstatus;
        if !is_seen {
            return Err(Failure::timed_out(format!("Wait url {} failed(timeout).", state.as_str())));
        }
        Ok(Outcome::with_message(match state {
            State::Up => "Wait url up succeed.",
            State::Down => "Wait url down success.",
        }))
    }
}

autoexec_sdk::export_tool!(UrlWait);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::http::HttpError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;
    use std::time::Duration;

    const URL: &str = "http://web/health";

    fn wait(host: &Host, options: serde_json::Value) -> ToolResult {
        host.run_with_arguments::<UrlWait>(options, [json!(format!("GET,{URL}"))])
    }

    #[test]
    fn it_waits_until_the_page_is_there() {
        let host = Host::new();
        host.http().request("GET", URL).fails(HttpError::Refused);
        host.http().request("GET", URL).responds(503, "");
        host.http().request("GET", URL).responds(200, "");
        let outcome = wait(&host, json!({"timeout": "4"})).unwrap();
        assert_eq!(outcome.message.as_deref(), Some("Wait url up succeed."));
        assert_eq!(host.waited(), Duration::from_secs(8));
    }

    #[test]
    fn it_waits_until_the_page_is_gone_and_gives_up() {
        let host = Host::new();
        host.http().request("GET", URL).responds(200, "");
        host.http().request("GET", URL).responds(404, "");
        wait(&host, json!({"targetstatus": "down"})).unwrap();
        host.http().request("GET", URL).responds(200, "");
        let failure = wait(&host, json!({"targetstatus": "down", "retrycount": "1"})).unwrap_err();
        assert_eq!(failure.message(), "Wait url down failed(timeout).");
    }

    #[test]
    fn a_denial_is_not_taken_for_a_page_that_is_gone() {
        let host = Host::new();
        host.http().request("GET", URL).fails(HttpError::Denied("no rule".into()));
        let failure = wait(&host, json!({"targetstatus": "down"})).unwrap_err();
        assert!(failure.message().contains("not granted"), "{failure}");
    }
}
