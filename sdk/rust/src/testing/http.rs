//! The capability `http`: requests with prepared answers.

use std::time::Duration;

use super::{Expected, Host, invoke, unexpected};
use crate::http::{HttpError, Outgoing};

/// Expectations of the capability `http`.
#[derive(Debug)]
pub struct Http<'h>(&'h Host);

/// A request as the tool sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its method.
    pub method: String,
    /// Its URL.
    pub url: String,
    /// Its headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Its time limit.
    pub timeout: Duration,
}

impl Sent {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Host {
    /// Expects HTTP requests.
    pub fn http(&self) -> Http<'_> {
        Http(self)
    }
}

impl<'h> Http<'h> {
    /// Expects a request with this method and URL.
    pub fn request(&self, method: &str, url: &str) -> HttpRequest<'h> {
        let shown = format!("{method} {url}");
        let (method, url) = (method.to_owned(), url.to_owned());
        let expected =
            self.0.expect("http", shown, move |sent: &Sent| sent.method == method && sent.url == url);
        HttpRequest { expected, check: None, headers: Vec::new() }
    }
}

/// Looks at a request.
type Check = Box<dyn FnOnce(&Sent)>;

/// A request that is expected, and still needs its answer.
#[must_use = "say what the request is answered"]
pub struct HttpRequest<'h> {
    expected: Expected<'h, Sent, Result<Answer, HttpError>>,
    check: Option<Check>,
    headers: Vec<(String, Vec<u8>)>,
}

impl HttpRequest<'_> {
    /// Looks at the request when it comes; what it asserts fails the test.
    pub fn checked(mut self, check: impl FnOnce(&Sent) + 'static) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// A header of the answer.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Answers with a status and a body.
    pub fn responds(self, status: u16, body: impl Into<Vec<u8>>) {
        let Self { expected, check, headers } = self;
        let answer = Answer { status, headers, body: Some(body.into()) };
        expected.answers_with(move |sent| {
            if let Some(check) = check {
                check(sent);
            }
            Ok(answer)
        });
    }

    /// Answers with a redirect.
    pub fn redirects(self, status: u16, location: &str) {
        self.with_header("location", location).responds(status, "");
    }

    /// Answers that there is no answer.
    pub fn fails(self, reason: HttpError) {
        let Self { expected, check, .. } = self;
        expected.answers_with(move |sent| {
            if let Some(check) = check {
                check(sent);
            }
            Err(reason)
        });
    }
}

/// A prepared answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of the real one")]
    pub(crate) fn chunk(&mut self, _timeout: Duration) -> Result<Option<Vec<u8>>, HttpError> {
        Ok(self.body.take().filter(|body| !body.is_empty()))
    }
}

pub(crate) fn send(outgoing: Outgoing<'_>) -> Result<Answer, HttpError> {
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
    let body = outgoing.body.map(|piece| piece.unwrap_or_else(|failure| unexpected(failure.message())));
    let sent = Sent {
        method: outgoing.method.to_owned(),
        url: outgoing.url.to_string(),
        headers: outgoing.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        body: body.flatten().collect(),
        timeout: outgoing.timeout,
    };
    invoke("http", sent)
}
