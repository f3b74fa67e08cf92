//! Sending in one session.

use std::time::Duration;

use autoexec_sdk::http::{self, HttpError};
use fluent_uri::{Uri, UriRef};

use crate::cookies::Jar;
use crate::request::Request;

/// Redirects of one request.
const REDIRECTS: usize = 10;

/// Bytes of a body that are looked at.
const LIMIT: usize = 4 << 20;

/// Requests that share cookies.
#[derive(Debug)]
pub struct Session {
    jar: Jar,
    timeout: Duration,
    follows: bool,
}

/// An answer that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// The body as text, by the character set of its content type, UTF-8 without one. Ends after 4 MiB.
    pub fn text(&self) -> String {
        let charset = self.content_type.as_deref().and_then(|value| {
            let parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
            parameters
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                .find_map(|(name, value)| name.eq_ignore_ascii_case("charset").then_some(value))
        });
        let encoding = charset.and_then(|name| encoding_rs::Encoding::for_label(name.as_bytes()));
        encoding.unwrap_or(encoding_rs::UTF_8).decode(&self.body).0.into_owned()
    }
}

impl Session {
    /// A session without cookies; `timeout` is for each request and each wait for more of its body.
    pub fn new(timeout: Duration) -> Self {
        Self { jar: Jar::default(), timeout, follows: true }
    }

    /// Takes a redirect for the answer.
    #[must_use]
    pub fn without_redirects(mut self) -> Self {
        self.follows = false;
        self
    }

    /// Sends a request and reads its answer, after redirects.
    ///
    /// # Errors
    /// There is no answer. A status is no error, see [`Request::fails_with`].
    pub fn send(&mut self, request: &Request) -> Result<Answer, HttpError> {
        let mut url = absolute(&request.url)?;
        let mut method = request.method.as_str();
        let mut body = request.body.as_deref();
        for _ in 0..=REDIRECTS {
            let mut outgoing = http::Request::new(method, url.as_str()).timeout(self.timeout);
            if let Some(cookies) = self.jar.header(&url) {
                outgoing = outgoing.header("cookie", cookies);
            }
            if let (Some(body), Some(kind)) = (body, request.content_type) {
                outgoing = outgoing.header("content-type", kind).body(body.as_bytes());
            }
            let response = outgoing.send().map_err(|error| error.reason)?;
            for (name, value) in response.headers() {
                if name.eq_ignore_ascii_case("set-cookie") {
                    self.jar.store(&url, value);
                }
            }
            let status = response.status();
            let next = response
                .header("location")
                .filter(|_| self.follows && matches!(status, 301 | 302 | 303 | 307 | 308));
            let Some(next) = next else { return read(response) };
            url = resolved(&url, next)?;
            if !matches!(status, 307 | 308) && !matches!(method, "GET" | "HEAD") {
                method = "GET";
                body = None;
            }
        }
        Err(HttpError::TooManyRedirects(u32::try_from(REDIRECTS).unwrap_or(u32::MAX)))
    }
}

fn read(mut response: http::Response) -> Result<Answer, HttpError> {
    let mut body = Vec::new();
    while body.len() < LIMIT {
        match response.chunk().map_err(|error| error.reason)? {
            Some(mut bytes) => body.append(&mut bytes),
            None => break,
        }
    }
    body.truncate(LIMIT);
    let content_type = response.header("content-type").map(str::to_owned);
    Ok(Answer { status: response.status(), content_type, body })
}

fn absolute(url: &str) -> Result<Uri<String>, HttpError> {
    let invalid = |error: fluent_uri::ParseError| HttpError::InvalidUrl(error.to_string());
    Uri::parse(url).map(|url| url.to_owned()).map_err(invalid)
}

fn resolved(base: &Uri<String>, location: &str) -> Result<Uri<String>, HttpError> {
    let invalid = |why: String| HttpError::InvalidUrl(format!("a redirect to something else: {why}"));
    let target = UriRef::parse(location).map_err(|error| invalid(error.to_string()))?;
    let mut base = base.clone();
    base.set_fragment(None);
    target.resolve_against(&base).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    fn request(text: &str) -> Request {
        Request::parse(text).unwrap()
    }

    #[test]
    fn a_login_by_form_is_followed_with_its_cookie() {
        let host = Host::new();
        host.http()
            .request("POST", "http://h/login")
            .checked(|sent| {
                assert_eq!(sent.header("content-type"), Some("application/x-www-form-urlencoded"));
                assert_eq!(sent.body, b"user=a,b");
            })
            .with_header("set-cookie", "sid=7; Path=/; HttpOnly")
            .with_header("set-cookie", "lang=en; Path=/")
            .redirects(302, "/home");
        host.http()
            .request("GET", "http://h/home")
            .checked(|sent| {
                assert_eq!(sent.header("cookie"), Some("sid=7; lang=en"));
                assert!(sent.body.is_empty() && sent.header("content-type").is_none());
            })
            .responds(200, "in");
        let mut session = Session::new(Duration::from_secs(5));
        let answer = session.send(&request("POST,http://h/login,user=a,b")).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "in"));
    }

    #[test]
    fn a_body_is_sent_again_when_the_redirect_asks_for_it() {
        let host = Host::new();
        host.http().request("POST", "http://h/a").redirects(307, "http://g/b");
        host.http()
            .request("POST", "http://g/b")
            .checked(|sent| assert_eq!(sent.body, b"{}"))
            .responds(201, "");
        assert_eq!(
            Session::new(Duration::from_secs(5)).send(&request("POST,http://h/a,{}")).unwrap().status,
            201
        );
    }

    #[test]
    fn redirects_have_an_end() {
        let host = Host::new();
        for _ in 0..=REDIRECTS {
            host.http().request("GET", "http://h/a").redirects(302, "/a");
        }
        let error = Session::new(Duration::from_secs(5)).send(&request("GET,http://h/a")).unwrap_err();
        assert_eq!(error, HttpError::TooManyRedirects(10));
        host.http().request("GET", "http://h/a").redirects(302, "/a");
        let mut session = Session::new(Duration::from_secs(5)).without_redirects();
        assert_eq!(session.send(&request("GET,http://h/a")).unwrap().status, 302);
    }

    #[test]
    fn the_character_set_of_the_answer_counts() {
        let host = Host::new();
        let gbk = host
            .http()
            .request("GET", "http://h/a")
            .with_header("content-type", "text/html; Charset=\"GBK\"");
        gbk.responds(200, [0xd6, 0xd0, 0xce, 0xc4]);
        assert_eq!(Session::new(Duration::from_secs(5)).send(&request("http://h/a")).unwrap().text(), "中文");
    }
}
