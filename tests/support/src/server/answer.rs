//! Receives a request, checks and records it, and gives its answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use super::failure::FailMode;
use super::{Call, CallName, Config, Shared};

/// An answer before it becomes HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    code: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    stalls: bool,
}

impl Answer {
    pub(super) fn empty(code: u16) -> Self {
        Self { code, headers: Vec::new(), body: Vec::new(), stalls: false }
    }

    pub(super) fn raw(body: Vec<u8>) -> Self {
        Self { body, ..Self::empty(200) }.with("Content-Type", "application/octet-stream")
    }

    fn page(code: u16, text: &str) -> Self {
        Self { body: text.as_bytes().to_vec(), ..Self::empty(code) }.with("Content-Type", "text/html")
    }

    fn json(code: u16, value: &Value) -> Self {
        Self { body: value.to_string().into_bytes(), ..Self::empty(code) }
            .with("Content-Type", "application/json;charset=UTF-8")
    }

    pub(super) fn ok(result: Option<Value>) -> Self {
        let mut reply = json!({"Status": "OK"});
        if let Some(result) = result {
            reply["Return"] = result;
        }
        Self::json(200, &reply)
    }

    pub(super) fn refuse(code: u16, message: &str) -> Self {
        Self::json(code, &json!({"Status": "ERROR", "Message": message}))
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A body that is sent at once, and may then never end.
#[derive(Debug)]
pub(super) struct Sent {
    bytes: Bytes,
    stalls: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))));
        }
        // Pending without a waker: it stays so until the connection is cut.
        if self.stalls { Poll::Pending } else { Poll::Ready(None) }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && !self.stalls
    }

    fn size_hint(&self) -> SizeHint {
        if self.stalls { SizeHint::default() } else { SizeHint::with_exact(self.bytes.len() as u64) }
    }
}

/// Answers one request. An error closes the connection without an answer.
pub(super) async fn respond(shared: &Shared, request: Request<Incoming>) -> io::Result<Response<Sent>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let headers: BTreeMap<String, String> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let uri = head.uri.path_and_query().map_or("", |uri| uri.as_str());
    if !is_signed(&shared.config, &headers, uri, &body) {
        shared.state().bad_signatures += 1;
        shared.changed.notify_all();
        return http(Answer::refuse(522, "authentication failed"));
    }
    let call = Call {
        name: CallName::of(head.uri.path()),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        headers,
        at: Instant::now(),
        failure: None,
    };
    match record(shared, call) {
        Reaction::Answer(answer) => http(answer),
        Reaction::Close => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed on purpose")),
        Reaction::Hang => std::future::pending().await,
    }
}

enum Reaction {
    Answer(Answer),
    Close,
    Hang,
}

/// Records the call and decides about it under one lock, so that recorded order is decided order.
fn record(shared: &Shared, mut call: Call) -> Reaction {
    let mut state = shared.state();
    call.failure = state.failures.next(&call);
    let reaction = match call.failure.clone() {
        Some(mode) => react(mode),
        None => Reaction::Answer(state.data.answer(&call)),
    };
    state.calls.push(call);
    drop(state);
    shared.changed.notify_all();
    reaction
}

fn react(mode: FailMode) -> Reaction {
    Reaction::Answer(match mode {
        FailMode::Status(code) => Answer::empty(code),
        FailMode::Refuse(code, message) => Answer::refuse(code, &message),
        FailMode::NotOk(message) => Answer::refuse(200, &message),
        FailMode::RateLimit(seconds) => Answer::empty(429).with("Retry-After", &seconds.to_string()),
        FailMode::Redirect(to) => Answer::empty(302).with("Location", &to),
        FailMode::NonJson502 => Answer::page(502, "<html><h1>502 Bad Gateway</h1></html>"),
        FailMode::NonJson200 => Answer::page(200, "<html><h1>Maintenance</h1></html>"),
        FailMode::SlowBody => Answer { stalls: true, ..Answer::page(200, "{") },
        FailMode::CloseConnection => return Reaction::Close,
        FailMode::Hang => return Reaction::Hang,
    })
}

fn http(answer: Answer) -> io::Result<Response<Sent>> {
    let mut builder =
        Response::builder().status(StatusCode::from_u16(answer.code).map_err(io::Error::other)?);
    for (name, value) in &answer.headers {
        builder = builder.header(name, value);
    }
    builder.body(Sent { bytes: answer.body.into(), stalls: answer.stalls }).map_err(io::Error::other)
}

/// §4.1, written a second time and independently of the client.
fn is_signed(config: &Config, headers: &BTreeMap<String, String>, uri: &str, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).map_or("", String::as_str);
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(config.key.as_bytes()) else { return false };
    mac.update(format!("{}#{uri}#{}", config.user, STANDARD.encode(body)).as_bytes());
    let expected = format!("Hmac {}", hex::encode(mac.finalize().into_bytes()));
    header("authtype") == "hmac"
        && header("x-access-key") == config.user
        && headers.contains_key("tenant")
        && header("authorization").eq_ignore_ascii_case(&expected)
}
