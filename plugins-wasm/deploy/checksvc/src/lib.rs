//! Tool `deploy/checksvc`: waits until addresses and URLs all answer (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::http::HttpError;
use autoexec_sdk::net_probe::{self, ProbeError};
use autoexec_sdk::{Call, Failure, FailureKind, Options, Outcome, Reason, Tool, ToolResult, clock, log};
use http_session::{Request, Session, shown};
use value_selector::first_match;

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(3);

/// Longest time of one try.
const TRY: Duration = Duration::from_secs(6);

/// Exit status when not all have answered.
const NOT_STARTED: u8 = 2;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Whether each try is logged
    #[option(choices = "1=Yes, 0=No", default = "1", required = true)]
    verbose: bool,
    /// Seconds to wait for all of them
    #[option(default = 300, required = true)]
    timeout: Duration,
    /// Pattern that the body of a URL must have, ignoring case
    keyword: Option<String>,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp { host: String, port: u16 },
    Url(String),
}

impl Address {
    fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.contains("://") {
            return Ok(Self::Url(text.to_owned()));
        }
        let host_and_port = text.rsplit_once(':').and_then(|(host, port)| {
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let port = port.parse().ok().filter(|port| *port != 0)?;
            (!host.is_empty() && !host.contains('/')).then(|| Self::Tcp { host: host.to_owned(), port })
        });
        host_and_port.ok_or_else(|| {
            let message =
                format!("\"{}\" is no address: write host:port, [IPv6 address]:port or a URL", shown(text));
            Failure::invalid_option("arguments", message).with_exit_code(2)
        })
    }

    fn shown(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Url(url) => shown(url),
        }
    }

    /// Tries once. Why it has not answered; a failure where trying again is of no use.
    fn try_once(&self, keyword: Option<&str>) -> Result<Result<(), String>, Failure> {
        let hopeless =
            |kind: FailureKind, why: &str| Err(Failure::new(kind, format!("{}: {why}", self.shown())));
        match self {
            Self::Tcp { host, port } => match net_probe::tcp_connect(host, *port, TRY) {
                Ok(_) => Ok(Ok(())),
                Err(error) if matches!(error.reason, ProbeError::Denied(_)) => {
                    hopeless(error.reason.kind(), &error.reason.explain())
                }
                Err(error) => Ok(Err(error.reason.explain().into_owned())),
            },
            Self::Url(url) => match Session::new(TRY).without_redirects().send(&Request::get(url)) {
                Ok(answer) if !matches!(answer.status, 200 | 302) => {
                    Ok(Err(format!("the answer has the status {}", answer.status)))
                }
                Ok(answer) => {
                    match keyword.map(|keyword| first_match(&answer.text(), keyword).map(|m| m.is_some())) {
                        None | Some(Ok(true)) => Ok(Ok(())),
                        Some(Ok(false)) => Ok(Err("the keyword is not in the answer".to_owned())),
                        Some(Err(error)) => Err(Failure::invalid_option("keyword", error.to_string())),
                    }
                }
                Err(reason @ (HttpError::Denied(_) | HttpError::InvalidUrl(_))) => {
                    hopeless(reason.kind(), &reason.explain())
                }
                Err(reason) => Ok(Err(reason.explain().into_owned())),
            },
        }
    }
}

struct CheckSvc;

impl Tool for CheckSvc {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let texts = call.text_arguments().filter(|text| !text.trim().is_empty());
        let mut waiting = texts.map(|text| Address::parse(&text)).collect::<Result<Vec<_>, _>>()?;
        let Options { verbose, timeout, keyword } = call.options;
        if waiting.is_empty() {
            let message = "no address is given: write host:port or URLs as arguments";
            return Err(Failure::invalid_option("arguments", message).with_exit_code(2));
        }
        if let Some(Err(error)) = keyword.as_deref().map(|keyword| first_match("", keyword)) {
            return Err(Failure::invalid_option("keyword", error.to_string()).with_exit_code(2));
        }
        let told = |text: String| {
            if verbose {
                log::info(text);
            }
        };
        let begin = clock::Instant::now();
        loop {
            let mut left = Vec::new();
            for address in waiting {
                told(format!("Checking {}...", address.shown()));
                match address.try_once(keyword.as_deref())? {
                    Ok(()) => told(format!("Checking {} success.", address.shown())),
                    Err(why) => {
                        told(format!("Checking {} failed, {why}.", address.shown()));
                        left.push(address);
                    }
                }
            }
            waiting = left;
            if waiting.is_empty() {
                log::info("Service started.");
                return Ok(Outcome::default());
            }
            if begin.elapsed() + PAUSE > timeout {
                break;
            }
            told("Waiting service to start....".to_owned());
            clock::sleep(PAUSE);
        }
        // The spelling that existing jobs look for.
        log::warn(format_args!("Check service failed, imeout({}).", timeout.as_secs()));
        let names: Vec<String> = waiting.iter().map(Address::shown).collect();
        let message = format!("These did not answer in {} s: {}", timeout.as_secs(), names.join(", "));
        Err(Failure::timed_out(message).with_exit_code(NOT_STARTED))
    }
}

autoexec_sdk::export_tool!(CheckSvc);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::{Value, json};

    fn check(host: &Host, options: Value, addresses: &[&str]) -> ToolResult {
        host.run_with_arguments::<CheckSvc>(options, addresses.iter().map(|address| json!(address)))
    }

    #[test]
    fn all_have_to_answer_and_none_is_asked_again() {
        let host = Host::new();
        host.net_probe().tcp_connect("db.example.net", 3306).answers(Ok(1));
        host.http().request("GET", "http://web/").responds(502, "");
        host.http().request("GET", "http://web/").responds(302, "");
        check(&host, json!({}), &["db.example.net:3306", "http://web/"]).unwrap();
        assert_eq!(host.waited(), PAUSE);
        let log = host.log_lines();
        assert_eq!(log[1], "INFO: Checking db.example.net:3306 success.");
        assert_eq!(log[3], "INFO: Checking http://web/ failed, the answer has the status 502.");
        assert_eq!(log[4], "INFO: Waiting service to start....");
        assert_eq!(log.last().unwrap(), "INFO: Service started.");
    }

    #[test]
    fn the_keyword_must_be_there_in_any_case() {
        let host = Host::new();
        host.http().request("GET", "http://web/").responds(200, "starting");
        host.http().request("GET", "http://web/").responds(200, "Up And Running");
        check(&host, json!({"keyword": "up.*running", "verbose": "0"}), &["http://web/"]).unwrap();
        assert_eq!(host.log_lines(), ["INFO: Service started."]);
        assert!(check(&host, json!({"keyword": "("}), &["http://web/"]).is_err());
    }

    #[test]
    fn the_time_is_limited() {
        let host = Host::new();
        host.net_probe().tcp_connect("::1", 80).answers_times(4, Err(ProbeError::Refused));
        let failure = check(&host, json!({"timeout": "10"}), &["[::1]:80"]).unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (2, "These did not answer in 10 s: [::1]:80"));
        assert_eq!(host.log_lines().last().unwrap(), "WARN: Check service failed, imeout(10).");
    }

    #[test]
    fn what_is_no_address_or_not_granted_ends_it_at_once() {
        let host = Host::new();
        for address in ["web", "web:", "web:0", "web:99999", ":80", "a/b:80"] {
            assert!(check(&host, json!({}), &[address]).is_err(), "{address}");
        }
        assert!(check(&host, json!({}), &[]).is_err());
        host.net_probe().tcp_connect("db", 1).answers(Err(ProbeError::Denied("no rule".into())));
        let failure = check(&host, json!({}), &["db:1"]).unwrap_err();
        assert_eq!(failure.kind(), &FailureKind::Denied);
    }
}
