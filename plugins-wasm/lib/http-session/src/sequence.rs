//! A list of requests as one check.

use autoexec_sdk::http::HttpError;
use autoexec_sdk::{Failure, Reason, log};

use crate::request::{Request, shown};
use crate::session::Session;

/// Why a list did not get through.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The requests can not be made at all: it says nothing about the service.
    Unusable(Failure),
    /// The service is not as it should be.
    Failed(String),
}

/// Reads the requests of a step's arguments.
///
/// # Errors
/// There is none, or one of them is none.
pub fn requests(arguments: impl Iterator<Item = String>) -> Result<Vec<Request>, Failure> {
    let unusable = |message: String| Failure::invalid_option("arguments", message).with_exit_code(2);
    let texts = arguments.filter(|text| !text.trim().is_empty());
    let requests = texts.map(|text| Request::parse(&text)).collect::<Result<Vec<_>, _>>();
    match requests {
        Ok(requests) if requests.is_empty() => {
            Err(unusable("no request is given: write METHOD,URL or METHOD,URL,BODY as arguments".to_owned()))
        }
        Ok(requests) => Ok(requests),
        Err(malformed) => Err(unusable(malformed.to_string())),
    }
}

/// Sends them one after the other; the first that fails ends it. Logs what it does.
///
/// # Errors
/// See [`Trouble`].
pub fn run(session: &mut Session, requests: &[Request]) -> Result<(), Trouble> {
    for request in requests {
        let url = shown(&request.url);
        log::info(format_args!("Http request {url}."));
        let doing = format!("{} {url}", request.method);
        match session.send(request) {
            Ok(answer) if request.fails_with(answer.status) => {
                return Err(Trouble::Failed(format!("{doing}: the answer has the status {}", answer.status)));
            }
            Ok(_) => log::info("Http request succeed."),
            Err(reason) => {
                let text = format!("{doing}: {}", reason.explain());
                return Err(match reason {
                    HttpError::Denied(_) | HttpError::InvalidUrl(_) => {
                        Trouble::Unusable(Failure::new(reason.kind(), text))
                    }
                    _ => Trouble::Failed(text),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use std::time::Duration;

    fn outcome(host: &Host, arguments: &[&str]) -> Result<(), Trouble> {
        let requests = requests(arguments.iter().map(|&text| text.to_owned())).unwrap();
        let outcome = run(&mut Session::new(Duration::from_secs(5)), &requests);
        host.verify();
        outcome
    }

    #[test]
    fn the_first_failure_ends_the_list() {
        let host = Host::new();
        host.http().request("GET", "http://h/1").responds(200, "");
        host.http().request("GET", "http://h/2").responds(503, "");
        let outcome = outcome(&host, &["GET,http://h/1", "GET,http://h/2", "GET,http://h/3"]);
        assert_eq!(outcome, Err(Trouble::Failed("GET http://h/2: the answer has the status 503".into())));
        assert_eq!(
            host.log_lines(),
            [
                "INFO: Http request http://h/1.",
                "INFO: Http request succeed.",
                "INFO: Http request http://h/2."
            ]
        );
    }

    #[test]
    fn what_was_never_asked_says_nothing_about_the_service() {
        let host = Host::new();
        host.http().request("GET", "http://h/?token=x").fails(HttpError::Denied("no rule".into()));
        let Err(Trouble::Unusable(failure)) = outcome(&host, &["GET,http://h/?token=x"]) else { panic!() };
        assert_eq!(failure.message(), "GET http://h/?token=***: not granted: no rule");
        assert!(matches!(outcome(&host, &["GET,ftp://h/"]), Err(Trouble::Unusable(_))));
        host.http().request("GET", "http://h/").fails(HttpError::Refused);
        assert!(matches!(outcome(&host, &["http://h/"]), Err(Trouble::Failed(_))));
    }

    #[test]
    fn nothing_to_ask_is_a_mistake() {
        assert_eq!(requests([String::new()].into_iter()).unwrap_err().exit_code(), 2);
        assert!(requests(["GET".to_owned()].into_iter()).is_err());
    }
}
