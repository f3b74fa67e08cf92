//! Tool `inspect/urlcheck`: whether a list of HTTP requests gets through (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::job::Node;
use autoexec_sdk::{Call, Failure, Options, Tool, ToolResult, clock, job, log};
use availability::{Precision, Record, service_port};
use http_session::{Session, Trouble, requests, run};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Seconds for each request
    #[option(default = 10, required = true)]
    timeout: Duration,
}

struct UrlCheck;

impl Tool for UrlCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let node = job::node();
        let mut requests = requests(call.text_arguments())?;
        for request in &mut requests {
            request.url = filled_in(&request.url, &node)?;
        }
        log::info("Begin url check...");
        let begin = clock::Instant::now();
        let outcome = run(&mut Session::new(call.options.timeout), &requests);
        let response_time = begin.elapsed();
        let error = match outcome {
            Ok(()) => {
                log::fine("Http requests all complete succeed.");
                None
            }
            Err(Trouble::Failed(why)) => {
                log::warn(&why);
                Some(why)
            }
            Err(Trouble::Unusable(failure)) => return Err(failure),
        };
        Record { port: service_port(&node), response_time, precision: Precision::Seconds, error }.put_out()
    }
}

/// Puts values of the node into a URL.
fn filled_in(url: &str, node: &Node) -> Result<String, Failure> {
    if let Some(name) = ["${password}", "${pass}"].into_iter().find(|name| url.contains(name)) {
        let message = format!(
            "{name} in a URL is not supported: a tool in the sandbox never has a password. Use a page that needs none, or \
             check from the target with svcinspect/urlcheck"
        );
        return Err(Failure::invalid_option("arguments", message));
    }
    let port = service_port(node).map(|port| port.to_string()).unwrap_or_default();
    let values = [
        ("${host}", node.host.as_str()),
        ("${ip}", &node.host),
        ("${port}", &port),
        ("${username}", &node.username),
        ("${user}", &node.username),
    ];
    Ok(values.iter().fold(url.to_owned(), |url, (name, value)| url.replace(name, value)))
}

autoexec_sdk::export_tool!(UrlCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::http::HttpError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "web".into();
            node.port = Some(0);
            node.protocol_port = Some(8080);
            node.username = "app".into();
        });
        host
    }

    #[test]
    fn requests_are_sent_in_one_session_with_values_of_the_node() {
        let host = host();
        let login = host.http().request("POST", "http://web:8080/login/app");
        login.with_header("set-cookie", "s=1").responds(200, "");
        let page = host.http().request("GET", "http://web:8080/login/home");
        page.checked(|sent| {
            assert_eq!((sent.header("cookie"), sent.timeout), (Some("s=1"), Duration::from_secs(7)));
        })
        .responds(200, "");
        let arguments = [
            "POST,http://${host}:${port}/login/${user},{\"a\": 1, \"b\": 2}",
            "GET, http://${ip}:${port}/login/home",
        ];
        host.run_with_arguments::<UrlCheck>(json!({"timeout": "7"}), arguments.map(|text| json!(text)))
            .unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!(
            (&data["AVAILABILITY"], &data["PORT"], &data["ERROR_MESSAGE"]),
            (&json!(1), &json!(8080), &json!(""))
        );
        let log = host.log_lines();
        assert_eq!(log.first().unwrap(), "INFO: Begin url check...");
        assert_eq!(log.last().unwrap(), "FINE: Http requests all complete succeed.");
    }

    #[test]
    fn a_failure_is_recorded() {
        let host = host();
        host.http().request("GET", "http://web/").fails(HttpError::TimedOut);
        host.run_with_arguments::<UrlCheck>(json!({}), [json!("GET,http://web/")]).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!(
            (&data["AVAILABILITY"], &data["ERROR_MESSAGE"]),
            (&json!(0), &json!("GET http://web/: no answer in time"))
        );
        assert_eq!(host.log_lines().last().unwrap(), "WARN: GET http://web/: no answer in time");
    }

    #[test]
    fn what_can_not_be_asked_fails_the_step_and_records_nothing() {
        let host = host();
        for argument in ["GET,http://web/?p=${password}", "GET,http://u:p@web/", "nonsense"] {
            let failure = host.run_with_arguments::<UrlCheck>(json!({}), [json!(argument)]).unwrap_err();
            assert!(!failure.message().contains(":p@"), "{failure}");
        }
        host.http().request("GET", "http://web/").fails(HttpError::Denied("no rule".into()));
        assert!(host.run_with_arguments::<UrlCheck>(json!({}), [json!("GET,http://web/")]).is_err());
        assert_eq!(host.output("DATA"), None);
    }
}
