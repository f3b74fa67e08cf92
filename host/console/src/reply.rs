//! Replies: the JSON envelope, and what an HTTP code means (`spec/server-api.md` §4.2).

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{ConsoleError, Endpoint};

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Status")]
    status: Option<String>,
    #[serde(rename = "Message")]
    message: Option<Value>,
    #[serde(rename = "Return")]
    result: Option<Box<RawValue>>,
}

/// The `Return` of a successful JSON reply.
pub(crate) struct Reply {
    endpoint: Endpoint,
    result: Option<Box<RawValue>>,
}

impl Reply {
    /// Reads the body of a 2xx reply. An empty body is a reply without `Return`.
    pub(crate) fn parse(endpoint: Endpoint, code: u16, body: &[u8]) -> Result<Self, ConsoleError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self { endpoint, result: None });
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            ConsoleError::bad_reply(&endpoint, format!("expected a JSON object with `Status` ({place})"))
        })?;
        match envelope.status.as_deref() {
            Some("OK") => Ok(Self { endpoint, result: envelope.result }),
            status => Err(ConsoleError::Rejected {
                message: message_text(envelope.message)
                    .unwrap_or_else(|| format!("`Status` is {}", status.unwrap_or("missing"))),
                endpoint,
                code,
            }),
        }
    }

    /// `Return` as it stood in the reply.
    pub(crate) fn into_text(self) -> Result<String, ConsoleError> {
        match self.result {
            Some(result) => Ok(String::from(Box::<str>::from(result))),
            None => Err(ConsoleError::bad_reply(&self.endpoint, "`Return` is missing")),
        }
    }

    /// `Return` as `T`.
    pub(crate) fn decode<T: DeserializeOwned>(self) -> Result<T, ConsoleError> {
        let endpoint = self.endpoint.clone();
        decode(&endpoint, &self.into_text()?)
    }

    /// `Return` as `T`; none when the server has nothing to say: it leaves null members out.
    pub(crate) fn decode_optional<T: DeserializeOwned>(self) -> Result<Option<T>, ConsoleError> {
        match &self.result {
            Some(text) => decode(&self.endpoint, text.get()),
            None => Ok(None),
        }
    }

    /// `Return` as `T`, if there is one of that shape.
    pub(crate) fn decode_if_any<T: DeserializeOwned>(self) -> Option<T> {
        serde_json::from_str(self.result?.get()).ok()
    }
}

/// Reads `text`, a `Return`, as `T`. The error says what and where, but repeats no value.
fn decode<T: DeserializeOwned>(endpoint: &Endpoint, text: &str) -> Result<T, ConsoleError> {
    serde_json::from_str(text).map_err(|error| {
        // The text of a data error may quote the value, and the value may be a password.
        let reason = format!(
            "`Return` does not have the expected form (line {}, column {})",
            error.line(),
            error.column()
        );
        ConsoleError::bad_reply(endpoint, reason)
    })
}

/// The error for a reply that is not 2xx.
pub(crate) fn error_of(
    endpoint: Endpoint,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> ConsoleError {
    let code = status.as_u16();
    if status.is_redirection() {
        return ConsoleError::Redirected { endpoint, code, location: redirect_target(headers) };
    }
    let message = message_of(body)
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("no further explanation").to_owned());
    match code {
        401 | 522 | 525 | 527 => ConsoleError::AuthenticationFailed { endpoint, code, message },
        520 | 521 | 523 | 524 | 526 | 530 | 550 => ConsoleError::Rejected { endpoint, code, message },
        _ => ConsoleError::Http { endpoint, code, message, retry_after: retry_after(headers) },
    }
}

/// `Message` of a JSON body, else the text of the body; proxies answer with pages of their own.
fn message_of(body: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => message_text(envelope.message),
        Err(_) => Some(String::from_utf8_lossy(body).into_owned()).filter(|text| !text.trim().is_empty()),
    }
}

fn message_text(message: Option<Value>) -> Option<String> {
    match message? {
        Value::Null => None,
        Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
        other => Some(other.to_string()),
    }
}

/// Scheme, host and port only: the rest may repeat our query.
fn redirect_target(headers: &HeaderMap) -> String {
    let target = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match Url::parse(target) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "another path of the same host".to_owned(),
    }
}

/// `Retry-After` in seconds. The form with a date is left to the ordinary back-off: it would trust two clocks.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Call;

    fn endpoint() -> Endpoint {
        Endpoint::new(Arc::from("https://console:8443"), Call::Account)
    }

    fn error(code: u16, body: &str) -> ConsoleError {
        error_of(endpoint(), StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn codes_become_their_variants() {
        let body = r#"{"Status":"ERROR","Message":"why"}"#;
        for code in [520, 521, 523, 524, 526, 530, 550] {
            assert!(matches!(error(code, body), ConsoleError::Rejected { message, .. } if message == "why"));
        }
        for code in [401, 522, 525, 527] {
            assert!(matches!(error(code, body), ConsoleError::AuthenticationFailed { .. }), "{code}");
        }
        for code in [400, 403, 404, 429, 500, 502, 503, 504] {
            assert!(matches!(error(code, body), ConsoleError::Http { code: c, .. } if c == code));
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_shown_as_text() {
        let page = "<html>Bad Gateway</html>";
        assert!(matches!(error(502, page), ConsoleError::Http { message, .. } if message == page));
        assert!(matches!(error(502, ""), ConsoleError::Http { message, .. } if message == "Bad Gateway"));
        assert!(matches!(error(500, r#"{"Message":null}"#), ConsoleError::Http { message, .. }
            if message == "Internal Server Error"));
        assert!(matches!(error(520, r#"{"Message":{"a":1}}"#), ConsoleError::Rejected { message, .. }
            if message == r#"{"a":1}"#));
    }

    #[test]
    fn which_errors_pass_by_themselves_and_which_end_a_callback() {
        for code in [408, 429, 502, 503, 504] {
            assert!(error(code, "").is_transient() && !error(code, "").is_final_for_callback(), "{code}");
        }
        for code in [500, 501, 302] {
            assert!(!error(code, "").is_transient() && !error(code, "").is_final_for_callback(), "{code}");
        }
        for code in [400, 401, 404, 520, 522, 530, 550] {
            assert!(!error(code, "").is_transient() && error(code, "").is_final_for_callback(), "{code}");
        }
    }

    #[test]
    fn a_wrong_return_is_reported_without_its_value() {
        let reply = Reply::parse(endpoint(), 200, br#"{"Status":"OK","Return":"s3cret"}"#).unwrap();
        let text = reply.decode::<i64>().unwrap_err().to_string();
        assert!(text.contains("`Return`") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn status_must_be_ok() {
        for (body, message) in [
            (r#"{"Status":"ERROR","Message":"no"}"#, "no"),
            (r#"{"Status":"FAIL"}"#, "`Status` is FAIL"),
            (r#"{"Return":1}"#, "`Status` is missing"),
        ] {
            let Err(ConsoleError::Rejected { message: got, .. }) =
                Reply::parse(endpoint(), 200, body.as_bytes())
            else {
                panic!("{body} was accepted")
            };
            assert_eq!(got, message);
        }
        assert!(matches!(Reply::parse(endpoint(), 200, b"<html>"), Err(ConsoleError::BadReply { .. })));
        assert!(Reply::parse(endpoint(), 200, b" \n").unwrap().into_text().is_err());
    }

    #[test]
    fn a_redirect_shows_only_where_to() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://sso.example/login?back=secret".parse().unwrap());
        let error = error_of(endpoint(), StatusCode::FOUND, &headers, b"");
        let text = error.to_string();
        assert!(text.contains("https://sso.example") && !text.contains("secret"), "{text}");
    }
}
