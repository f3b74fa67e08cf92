//! One signed request and its answer; nothing here repeats or interprets.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, Response, Url};

use crate::reply::error_of;
use crate::sign::Signer;
use crate::{Call, ConsoleError, ConsoleSettings, Endpoint};

/// Everything but the characters that RFC 3986 calls unreserved.
pub(crate) const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Largest JSON reply: parameters of a job with tens of thousands of operations stay far below.
pub(crate) const LARGEST_REPLY: usize = 64 << 20;

/// Largest body of an error that is read; its `Message` is near the beginning.
const LARGEST_ERROR: usize = 64 << 10;

/// Limits of one attempt, kept for error texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) total: Duration,
    pub(crate) idle: Duration,
}

/// Whether the whole answer has a time limit or only its silences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// A reply of bounded size.
    Bounded,
    /// A download.
    Unbounded,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) call: Call,
    /// What stands below the call's path; empty but for calls of tools.
    pub(crate) below: Arc<str>,
    pub(crate) query: String,
    /// JSON; none for a GET.
    pub(crate) body: Option<Bytes>,
    pub(crate) length: Length,
}

/// Joins `name=value` pairs, percent-encoded as UTF-8.
pub(crate) fn query_text(pairs: &[(&str, String)]) -> String {
    let encoded: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
    encoded.join("&")
}

/// Checks the base URL and gives it without a trailing `/`.
pub(crate) fn base_of(text: &str) -> Result<String, ConsoleError> {
    let wrong = |reason: &str| ConsoleError::settings("server.baseurl", reason);
    let text = text.trim();
    let url = Url::parse(text).map_err(|error| wrong(&format!("{error}; expected `https://host:port`")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("expected `http://host:port` or `https://host:port`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "it holds a user name or password; these belong into `server.username` and `server.password`",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end after host, port and path"));
    }
    Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
}

/// The connection pool: verified TLS over ring, no proxy of the environment, no redirects.
pub(crate) fn pool(settings: &ConsoleSettings, base: &str) -> Result<Client, ConsoleError> {
    // An earlier installation by another part of the process is as good: the workspace has ring only.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.idle_timeout)
        .tcp_keepalive(Duration::from_secs(30));
    if base.starts_with("https") {
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_merge(read_bundle(path)?);
        }
    } else {
        // Without TLS, a machine without any certificate authority must do.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ConsoleError::settings("TLS", innermost(&error)))
}

fn read_bundle(path: &Path) -> Result<Vec<Certificate>, ConsoleError> {
    let wrong = |reason: String| ConsoleError::settings("ca_file", format!("{}: {reason}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let bundle = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(innermost(&error)))?;
    if bundle.is_empty() { Err(wrong("it holds no PEM certificate".to_owned())) } else { Ok(bundle) }
}

/// Sends requests: what a client and the outbox share.
pub(crate) struct Wire {
    pub(crate) pool: Client,
    pub(crate) base: String,
    pub(crate) user: HeaderValue,
    pub(crate) signer: Signer,
    pub(crate) limits: Limits,
}

impl Wire {
    /// Sends `request` once and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Outgoing,
        tenant: HeaderValue,
    ) -> Result<Response, ConsoleError> {
        let url = self.url(request)?;
        let uri = uri_of(&url);
        let body = request.body.clone().unwrap_or_default();
        let signature = HeaderValue::try_from(self.signer.authorization(&uri, &body))
            .map_err(|error| ConsoleError::settings("server.password", error.to_string()))?;
        let method = if request.body.is_some() { Method::POST } else { Method::GET };
        let mut builder = self
            .pool
            .request(method, url)
            .header("Tenant", tenant)
            .header("AuthType", HeaderValue::from_static("hmac"))
            .header("x-access-key", self.user.clone())
            .header(AUTHORIZATION, signature);
        if request.body.is_some() {
            builder = builder
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))
                .body(body);
        }
        if request.length == Length::Bounded {
            builder = builder.timeout(self.limits.total);
        }
        builder.send().await.map_err(|error| self.failure(endpoint, request.length, error))
    }

    fn url(&self, request: &Outgoing) -> Result<Url, ConsoleError> {
        let mut text = format!("{}{}{}", self.base, request.call.path(), request.below);
        if !request.query.is_empty() {
            text.push('?');
            text.push_str(&request.query);
        }
        Url::parse(&text).map_err(|error| ConsoleError::settings("server.baseurl", error.to_string()))
    }

    /// The next piece of a body.
    pub(crate) async fn chunk(
        &self,
        endpoint: &Endpoint,
        length: Length,
        response: &mut Response,
    ) -> Result<Option<Bytes>, ConsoleError> {
        response.chunk().await.map_err(|error| self.failure(endpoint, length, error))
    }

    /// The whole body, up to `limit` bytes.
    pub(crate) async fn body(
        &self,
        endpoint: &Endpoint,
        length: Length,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, ConsoleError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(endpoint, length, &mut response).await? {
            if body.len() + chunk.len() > limit {
                return Err(ConsoleError::bad_reply(endpoint, format!("longer than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The error that a reply other than 2xx stands for.
    pub(crate) async fn refusal(&self, endpoint: Endpoint, mut response: Response) -> ConsoleError {
        let (status, headers): (_, HeaderMap) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // The code says enough when the explanation breaks off.
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_ERROR {
                break;
            }
        }
        error_of(endpoint, status, &headers, &body)
    }

    fn failure(&self, endpoint: &Endpoint, length: Length, error: reqwest::Error) -> ConsoleError {
        let endpoint = endpoint.clone();
        // The URL in it carries the query, and the query carries passThroughEnv.
        let error = error.without_url();
        let sent = !error.is_connect();
        if error.is_timeout() {
            let Limits { connect, total, idle } = self.limits;
            let answer = if length == Length::Bounded { total } else { idle };
            return ConsoleError::Timeout { endpoint, connect, answer, sent };
        }
        let reason = innermost(&error);
        if is_tls(&error) {
            return ConsoleError::Tls { endpoint, reason };
        }
        ConsoleError::Unreachable { endpoint, reason, sent }
    }
}

/// Path and query as reqwest puts them on the wire.
fn uri_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Whether TLS itself objected.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if is_of_tls(error) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Looks into `io::Error`s as well, which hide what they wrap from `source`, and may wrap each other.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_of_tls(inner))
}

/// The text of the last cause: the outer ones only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_percent_encoded_utf_8() {
        let query =
            query_text(&[("phase", "检查 1&2".to_owned()), ("passThroughEnv", r#"{"a":1}"#.to_owned())]);
        assert_eq!(query, "phase=%E6%A3%80%E6%9F%A5%201%262&passThroughEnv=%7B%22a%22%3A1%7D");
        let url = Url::parse(&format!("http://h:1/p?{query}")).unwrap();
        assert_eq!(uri_of(&url), format!("/p?{query}"), "what is signed is what is sent");
    }

    #[test]
    fn base_urls() {
        for (given, base) in [
            ("https://console:8443/", "https://console:8443"),
            ("http://10.0.0.1:8282", "http://10.0.0.1:8282"),
            (" http://[::1]:1/prefix/ ", "http://[::1]:1/prefix"),
        ] {
            assert_eq!(base_of(given).unwrap(), base);
        }
        for bad in ["", "console:8443", "ftp://h", "http://u:pw@h/", "http://h/?a=1", "http://h/#x", "/x"] {
            let text = base_of(bad).unwrap_err().to_string();
            assert!(text.contains("server.baseurl") && !text.contains("pw"), "{bad}: {text}");
        }
    }
}
