//! Tool `inspect/endpointcheck`: whether a business access point answers (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::http::HttpError;
use autoexec_sdk::job::{self, Node};
use autoexec_sdk::net_probe::{self, ProbeError};
use autoexec_sdk::{Call, Failure, Options, Outcome, Reason, Tool, ToolResult, clock, log, output};
use availability::Precision;
use http_session::{Request, Session, shown};
use serde_json::json;

mod endpoint;
mod sequence;

use endpoint::{AccessType, Endpoint};

/// Exit status when it could not be looked at, as the old tool ended with any error.
const NOT_LOOKED: u8 = 2;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Seconds to wait for each answer
    #[option(default = 10, required = true)]
    timeout: Duration,
}

/// What came of a look.
enum Look {
    /// It answers.
    Available,
    /// It does not, and why.
    Not(String),
}

struct EndpointCheck;

impl Tool for EndpointCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        check(&job::node(), call.options.timeout).map_err(|failure| {
            output::set("DATA", &json!({"AVAILABILITY": 0, "ERROR_MESSAGE": failure.message()}));
            failure.with_exit_code(NOT_LOOKED)
        })
    }
}

fn check(node: &Node, timeout: Duration) -> ToolResult {
    let endpoint = Endpoint::of_node(node)?;
    let place = shown(&endpoint.address);
    log::info(format_args!("Try to access {place} by {}.", endpoint.access));
    let begin = clock::Instant::now();
    let look = match endpoint.access {
        AccessType::Http => page(&endpoint.address, timeout)?,
        AccessType::Tcp => {
            let (host, port) = endpoint.host_and_port()?;
            probed(net_probe::tcp_connect(&host, port, timeout))?
        }
        AccessType::Ping => probed(net_probe::icmp_echo(endpoint.host(), timeout))?,
        AccessType::UrlSequence => sequence::look(&sequence::of_node(node)?, timeout)?,
    };
    let response_time = match look {
        Look::Available => begin.elapsed(),
        Look::Not(_) => Duration::ZERO,
    };
    let error = match look {
        Look::Available => {
            log::fine(format_args!("Access {place} succeed."));
            None
        }
        Look::Not(why) => {
            log::warn(format_args!("Access {place} failed, {why}"));
            Some(why)
        }
    };
    let precision = if endpoint.access == AccessType::Ping { Precision::Fine } else { Precision::Seconds };
    let record = json!({
        "_OBJ_CATEGORY": "EMPTY",
        "_OBJ_TYPE": "EMPTY",
        "ACCESS_TYPE": endpoint.access.to_string(),
        "ACCESS_ENDPOINT": endpoint.address,
        "AVAILABILITY": i32::from(error.is_none()),
        "ERROR_MESSAGE": error,
        "RESPONSE_TIME": precision.seconds(response_time),
    });
    output::set("DATA", &record);
    Ok(Outcome::default())
}

fn page(url: &str, timeout: Duration) -> Result<Look, Failure> {
    match Session::new(timeout).send(&Request::get(url)) {
        Ok(answer) if answer.status >= 400 => {
            Ok(Look::Not(format!("the answer has the status {}", answer.status)))
        }
        Ok(_) => Ok(Look::Available),
        Err(reason) => unanswered(&reason, &format!("GET {}", shown(url))),
    }
}

/// What was never asked says nothing about the access point.
fn unanswered(reason: &HttpError, doing: &str) -> Result<Look, Failure> {
    let text = format!("{doing}: {}", reason.explain());
    match reason {
        HttpError::Denied(_) | HttpError::InvalidUrl(_) => Err(Failure::new(reason.kind(), text)),
        _ => Ok(Look::Not(text)),
    }
}

fn probed(probe: Result<Duration, net_probe::Error>) -> Result<Look, Failure> {
    match probe {
        Ok(_) => Ok(Look::Available),
        Err(error) if matches!(error.reason, ProbeError::Denied(_)) => Err(error.into()),
        Err(error) => Ok(Look::Not(error.to_string())),
    }
}

autoexec_sdk::export_tool!(EndpointCheck);

#[cfg(test)]
mod tests;
