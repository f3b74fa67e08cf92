//! HTTP requests. Needs the capability `http` in `tool.toml`; the policy says which hosts, and whether their certificates
//! are checked.
//!
//! ```no_run
//! use std::time::Duration;
//! use autoexec_sdk::{Failure, http};
//!
//! fn version() -> Result<String, Failure> {
//!     let request = http::get("https://repo.example.net/version").timeout(Duration::from_secs(20));
//!     Ok(request.send()?.require_success()?.text(64 << 10)?)
//! }
//! ```
//!
//! Header values may hold references to secrets, see [`crate::secret`]. A redirect is an answer like others unless
//! [`Request::follow_redirects`] is used.

use std::fmt::{self, Write as _};
use std::time::Duration;

use fluent_uri::{Uri, UriRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Instant;
use crate::failure::{Failure, HostError};
use crate::filesystem;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::http as host;
#[cfg(target_arch = "wasm32")]
use wasi as host;

mod error;
#[cfg(target_arch = "wasm32")]
mod wasi;

pub use error::{Error, HttpError};

/// Time limit of a request that names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// Bytes of an answer's body that an error shows.
const SHOWN: usize = 300;

/// A request that gets something.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A request that asks for the headers alone.
pub fn head(url: impl Into<String>) -> Request {
    Request::new("HEAD", url)
}

/// A request that hands something over.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A request that puts something in a place.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// A request that removes something.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}

/// What is sent along.
enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Pieces that are made while they are sent.
    Stream(Pieces),
}

/// The pieces of a streamed body.
pub(crate) type Pieces = Box<dyn Iterator<Item = Result<Vec<u8>, Failure>>>;

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

/// A request, put together and then sent.
#[derive(Debug)]
#[must_use = "a request is sent with `send`"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
    timeout: Duration,
    redirects: u32,
}

/// One request as the host gets it.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a Uri<String>,
    pub(crate) headers: &'a [(String, Vec<u8>)],
    pub(crate) body: Pieces,
    /// For the whole of connecting, sending and waiting for the answer's head.
    pub(crate) timeout: Duration,
}

impl Request {
    /// A request of any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
            timeout: DEFAULT_TIMEOUT,
            redirects: 0,
        }
    }

    /// One more header. The value may hold references to secrets.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into().into_bytes()));
        self
    }

    /// The body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Bytes(bytes.into());
        self
    }

    /// A JSON document as the body, with its content type.
    pub fn json(self, document: &impl Serialize) -> Result<Self, Failure> {
        let bytes = serde_json::to_vec(document)?;
        Ok(self.header("content-type", "application/json").body(bytes))
    }

    /// A form as the body, with its content type.
    pub fn form<'a>(self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let encode = |text: &str| {
            let mut out = String::new();
            for byte in text.bytes() {
                match byte {
                    b' ' => out.push('+'),
                    b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
                    _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                    _ => {
                        // Writing to a text can not fail.
                        let _ = write!(out, "%{byte:02X}");
                    }
                }
            }
            out
        };
        let pairs = fields.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// A file of the runner (granted for reading) as the body, sent piece by piece.
    pub fn body_file(self, path: &str) -> Result<Self, Failure> {
        let size = filesystem::stat(path)?.size;
        Ok(self.body_pieces(size, filesystem::chunks(path).map(|piece| piece.map_err(Failure::from))))
    }

    /// Pieces of a body of that length in bytes, made while they are sent.
    pub fn body_pieces(
        self,
        length: u64,
        pieces: impl Iterator<Item = Result<Vec<u8>, Failure>> + 'static,
    ) -> Self {
        let mut request = self.header("content-length", length.to_string());
        request.body = Body::Stream(Box::new(pieces));
        request
    }

    /// How long connecting, sending and waiting for the begin of the answer may take together, and each wait for more of
    /// its body. A minute without it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Follows at most `limit` redirects. `Authorization` and `Cookie` are left out as soon as the host, port or scheme is
    /// another. A body that is streamed can not be sent again, so a redirect that asks for it is an error.
    pub fn follow_redirects(mut self, limit: u32) -> Self {
        self.redirects = limit;
        self
    }

    /// Sends it and waits for the begin of the answer. A status of 400 and above is an answer, not an error; see
    /// [`Response::require_success`].
    pub fn send(self) -> Result<Response, Error> {
        let Self { mut method, url, mut headers, mut body, timeout, redirects } = self;
        let mut url = parse(&url).map_err(|reason| HostError::new(reason, format_args!("{method} {url}")))?;
        let mut followed = 0;
        loop {
            let shown = format!("{method} {url}");
            let again = match &body {
                Body::Bytes(bytes) => Some(bytes.clone()),
                Body::Stream(_) => None,
            };
            let begin = Instant::now();
            let outgoing =
                Outgoing { method: &method, url: &url, headers: &headers, body: pieces(body), timeout };
            let answer = host::send(outgoing).map_err(|reason| HostError::new(reason, &shown))?;
            let response =
                Response { answer, shown: shown.clone(), url: url.clone(), taken: begin.elapsed(), timeout };
            let Some(next) = response.redirect().filter(|_| redirects > 0) else { return Ok(response) };
            followed += 1;
            if followed > redirects {
                return Err(HostError::new(HttpError::TooManyRedirects(redirects), shown));
            }
            let next = resolve(&url, next).map_err(|reason| HostError::new(reason, &shown))?;
            if origin(&next) != origin(&url) {
                headers.retain(|(name, _)| !is_credential(name));
            }
            let keeps_method =
                matches!(response.status(), 307 | 308) || matches!(method.as_str(), "GET" | "HEAD");
            body = if keeps_method {
                let refused =
                    || HttpError::Other("a redirect asks for a body again that was streamed".into());
                Body::Bytes(again.ok_or_else(|| HostError::new(refused(), &shown))?)
            } else {
                "GET".clone_into(&mut method);
                headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
                Body::Bytes(Vec::new())
            };
            url = next;
        }
    }
}

fn pieces(body: Body) -> Pieces {
    match body {
        Body::Bytes(bytes) => Box::new(
            std::iter::once(Ok(bytes)).filter(|piece| !matches!(piece, Ok(bytes) if bytes.is_empty())),
        ),
        Body::Stream(pieces) => pieces,
    }
}

fn parse(url: &str) -> Result<Uri<String>, HttpError> {
    let uri = Uri::parse(url).map_err(|error| HttpError::InvalidUrl(error.to_string()))?.to_owned();
    check(uri)
}

fn resolve(base: &Uri<String>, location: &str) -> Result<Uri<String>, HttpError> {
    let invalid = |why: String| HttpError::InvalidUrl(format!("the redirect to \"{location}\": {why}"));
    let target = UriRef::parse(location).map_err(|error| invalid(error.to_string()))?;
    // What stands behind a hash never reaches a server, and may not be part of the base.
    let mut base = base.clone();
    base.set_fragment(None);
    check(target.resolve_against(&base).map_err(|error| invalid(error.to_string()))?)
}

fn check(uri: Uri<String>) -> Result<Uri<String>, HttpError> {
    if !matches!(uri.scheme().as_str(), "http" | "https" | "HTTP" | "HTTPS") {
        return Err(HttpError::InvalidUrl(format!("the scheme is `{}`, not http or https", uri.scheme())));
    }
    match uri.authority() {
        Some(authority) if authority.has_userinfo() => {
            Err(HttpError::InvalidUrl("a user name does not belong into a URL: send a header".into()))
        }
        Some(authority) if !authority.host().is_empty() => Ok(uri),
        _ => Err(HttpError::InvalidUrl("there is no host in it".into())),
    }
}

fn origin(url: &Uri<String>) -> (String, String) {
    let authority = url.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    (url.scheme().as_str().to_ascii_lowercase(), authority.unwrap_or_default())
}

fn is_credential(header: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization"].iter().any(|name| header.eq_ignore_ascii_case(name))
}

/// An answer: its head is there, its body is read with the methods that take it.
#[derive(Debug)]
pub struct Response {
    answer: host::Answer,
    shown: String,
    url: Uri<String>,
    taken: Duration,
    timeout: Duration,
}

impl Response {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.answer.status()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status())
    }

    /// The URL that answered; another one than asked after redirects.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// How long the (last) answer took to begin.
    pub fn taken(&self) -> Duration {
        self.taken
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers whose values are text, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.answer
            .headers()
            .iter()
            .filter_map(|(name, value)| std::str::from_utf8(value).ok().map(|value| (name.as_str(), value)))
    }

    /// Itself when the status is 2xx, an error with the begin of the body otherwise.
    pub fn require_success(mut self) -> Result<Self, Error> {
        if self.is_success() {
            return Ok(self);
        }
        let mut body = Vec::new();
        while body.len() < SHOWN {
            match self.chunk() {
                Ok(Some(mut bytes)) => body.append(&mut bytes),
                Ok(None) | Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(&body);
        let begin: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        Err(self.error(HttpError::Status(self.status(), begin)))
    }

    /// The next piece of the body; nothing at its end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let timeout = self.timeout;
        self.answer.chunk(timeout).map_err(|reason| HostError::new(reason, &self.shown))
    }

    /// The whole body, which must not have more than `limit` bytes.
    pub fn bytes(mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(mut bytes) = self.chunk()? {
            body.append(&mut bytes);
            if body.len() as u64 > limit {
                return Err(self.error(HttpError::TooLarge(limit)));
            }
        }
        Ok(body)
    }

    /// The whole body as text; what is not UTF-8 becomes a replacement character.
    pub fn text(self, limit: u64) -> Result<String, Error> {
        let bytes = self.bytes(limit)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The whole body as JSON.
    pub fn json<T: DeserializeOwned>(self, limit: u64) -> Result<T, Error> {
        let shown = self.shown.clone();
        let bytes = self.bytes(limit)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| HostError::new(HttpError::InvalidBody(error.to_string()), shown))
    }

    /// Writes the body to a file of the runner (granted for writing), piece by piece: under the name with `.part` until it is
    /// complete. Returns its bytes, of which there must not be more than `limit`.
    pub fn save(self, path: &str, limit: u64) -> Result<u64, Failure> {
        self.save_telling(path, limit, |_| ())
    }

    /// Like [`Self::save`], and tells the number of bytes that are there after each piece.
    pub fn save_telling(
        mut self,
        path: &str,
        limit: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, Failure> {
        let part = format!("{path}.part");
        filesystem::write(&part, &[])?;
        let mut size = 0;
        let outcome = loop {
            match self.chunk() {
                Ok(Some(bytes)) => {
                    size += bytes.len() as u64;
                    if size > limit {
                        break Err(self.error(HttpError::TooLarge(limit)).into());
                    }
                    if let Err(error) = filesystem::append(&part, &bytes) {
                        break Err(error.into());
                    }
                    progress(size);
                }
                Ok(None) => break filesystem::rename(&part, path).map_err(Failure::from),
                Err(error) => break Err(error.into()),
            }
        };
        if outcome.is_err() {
            // What went wrong first is what matters; a part that stays is replaced the next time.
            let _ = filesystem::remove(&part);
        }
        outcome.map(|()| size)
    }

    fn redirect(&self) -> Option<&str> {
        matches!(self.status(), 301 | 302 | 303 | 307 | 308).then(|| self.header("location"))?
    }

    fn error(&self, reason: HttpError) -> Error {
        HostError::new(reason, &self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn redirects_are_followed_when_asked_and_credentials_stay_with_their_host() {
        let host = Host::new();
        host.http().request("POST", "http://a.example/form").redirects(302, "/next");
        let next = host.http().request("GET", "http://a.example/next");
        next.checked(|sent| assert_eq!(sent.header("authorization"), Some("ref")))
            .redirects(307, "http://b.example/x");
        let last = host.http().request("GET", "http://b.example/x");
        last.checked(|sent| assert_eq!(sent.header("authorization"), None)).responds(200, "here");
        let request = post("http://a.example/form").header("Authorization", "ref").body("a=1");
        let response = request.follow_redirects(2).send().unwrap();
        assert_eq!(response.url(), "http://b.example/x");
        assert_eq!(response.text(100).unwrap(), "here");
    }

    #[test]
    fn redirects_are_answers_unless_asked_for_and_have_a_limit() {
        let host = Host::new();
        host.http().request("GET", "http://a.example/").redirects(301, "/b");
        assert_eq!(get("http://a.example/").send().unwrap().status(), 301);
        host.http().request("GET", "http://a.example/").redirects(301, "/b");
        host.http().request("GET", "http://a.example/b").redirects(301, "/c");
        let error = get("http://a.example/").follow_redirects(1).send().unwrap_err();
        assert_eq!(error.reason, HttpError::TooManyRedirects(1));
    }

    #[test]
    fn what_is_no_usable_url_is_refused_before_anything_is_sent() {
        let _host = Host::new();
        for url in ["ftp://a/", "a.example", "http:///x", "http://u:p@a/", "http://a b/"] {
            let error = get(url).send().unwrap_err();
            assert!(matches!(error.reason, HttpError::InvalidUrl(_)), "{url}: {error:?}");
        }
    }

    #[test]
    fn a_status_becomes_a_failure_with_the_begin_of_the_body() {
        let host = Host::new();
        host.http().request("GET", "http://a.example/x").responds(404, "no such\n  page");
        let error = get("http://a.example/x").send().unwrap().require_success().unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.kind(), &crate::FailureKind::NotFound);
        assert_eq!(failure.message(), "GET http://a.example/x: the answer has the status 404: no such page");
    }

    #[test]
    fn a_download_ends_in_the_file_or_leaves_nothing() {
        let host = Host::new();
        host.filesystem().writable("/out");
        host.http().request("GET", "http://a.example/x").responds(200, "content");
        assert_eq!(get("http://a.example/x").send().unwrap().save("/out/x", 7).unwrap(), 7);
        assert_eq!(host.filesystem().content("/out/x").as_deref(), Some(b"content".as_slice()));
        host.http().request("GET", "http://a.example/y").responds(200, "content");
        get("http://a.example/y").send().unwrap().save("/out/y", 6).unwrap_err();
        assert_eq!(host.filesystem().paths(), ["/out/x"]);
    }
}
