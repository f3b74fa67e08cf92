//! Requests over `wasi:http`.

use std::time::Duration;

use super::{HttpError, Outgoing};
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use crate::bindings::wasi::io::poll::{Pollable, poll};
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use crate::clock::Instant;
use crate::failure::Failure;

/// Bytes that `wasi:io` takes at once.
const PIECE: usize = 4096;

/// Bytes asked for at once.
const CHUNK: u64 = 64 << 10;

/// An answer whose head is there. The stream is a child of the body and must be dropped first: fields are dropped in their
/// order.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    stream: InputStream,
    _body: IncomingBody,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    pub(super) fn chunk(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            match self.stream.read(CHUNK) {
                Ok(bytes) if bytes.is_empty() => wait(&self.stream.subscribe(), timeout)?,
                Ok(bytes) => return Ok(Some(bytes)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = crate::bindings::wasi::http::types::http_error_code(&error);
                    return Err(code.map_or_else(|| HttpError::Closed(error.to_debug_string()), reason));
                }
            }
        }
    }
}

/// Waits until something is ready, or says that it took too long.
fn wait(pollable: &Pollable, timeout: Duration) -> Result<(), HttpError> {
    let timer = monotonic_clock::subscribe_duration(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    if poll(&[pollable, &timer]).contains(&0) { Ok(()) } else { Err(HttpError::TimedOut) }
}

pub(super) fn send(outgoing: Outgoing<'_>) -> Result<Answer, HttpError> {
    let begin = Instant::now();
    let timeout = outgoing.timeout;
    let left = || timeout.saturating_sub(begin.elapsed());
    let request = head(&outgoing)?;
    let mut pieces = outgoing.body.peekable();
    let body = if pieces.peek().is_some() { request.body().ok() } else { None };
    let future = outgoing_handler::handle(request, Some(options(timeout))).map_err(reason)?;
    if let Some(body) = body {
        match write(&body, pieces, &left) {
            Ok(()) => {}
            // The peer may have answered before it has read everything. And a body is closed as soon as its announced
            // length was sent, which may be before we have heard that our last bytes were taken.
            Err(error @ HttpError::Closed(_)) => {
                return match receive(&future, &left) {
                    Ok(response) => answer(response),
                    Err(HttpError::TimedOut) => Err(error),
                    Err(error) => Err(error),
                };
            }
            Err(error) => return Err(error),
        }
        OutgoingBody::finish(body, None).map_err(reason)?;
    }
    answer(receive(&future, &left)?)
}

fn head(outgoing: &Outgoing<'_>) -> Result<OutgoingRequest, HttpError> {
    let fields = Fields::new();
    for (name, value) in outgoing.headers {
        fields.append(name, value).map_err(|error| {
            let why = match error {
                HeaderError::InvalidSyntax => "is not a header",
                HeaderError::Forbidden => "may not be set by a tool",
                HeaderError::Immutable => "can not be set now",
            };
            HttpError::Other(format!("`{name}` {why}"))
        })?;
    }
    let request = OutgoingRequest::new(fields);
    let url = outgoing.url;
    let path = match (url.path().as_str(), url.query()) {
        ("", None) => "/".to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(query)) => format!("{}?{query}", if path.is_empty() { "/" } else { path }),
    };
    let scheme =
        if url.scheme().as_str().eq_ignore_ascii_case("https") { Scheme::Https } else { Scheme::Http };
    let authority = url.authority().map(|authority| authority.as_str().to_owned());
    let unusable = |()| HttpError::InvalidUrl(url.to_string());
    request
        .set_method(&method(outgoing.method))
        .map_err(|()| HttpError::Other("not a method of HTTP".into()))?;
    request.set_scheme(Some(&scheme)).map_err(unusable)?;
    request.set_authority(authority.as_deref()).map_err(unusable)?;
    request.set_path_with_query(Some(&path)).map_err(unusable)?;
    Ok(request)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Duration) -> RequestOptions {
    let nanos = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    // A host that knows none of them still ends the call: `receive` watches the clock itself.
    let _ = options.set_connect_timeout(nanos);
    let _ = options.set_first_byte_timeout(nanos);
    let _ = options.set_between_bytes_timeout(nanos);
    options
}

fn write(
    body: &OutgoingBody,
    pieces: impl Iterator<Item = Result<Vec<u8>, Failure>>,
    left: &impl Fn() -> Duration,
) -> Result<(), HttpError> {
    let stream = body.write().map_err(|()| HttpError::Other("the body can not be written".into()))?;
    let failed = |error: StreamError| match error {
        StreamError::Closed => HttpError::Closed("while the body was sent".into()),
        StreamError::LastOperationFailed(error) => HttpError::Closed(error.to_debug_string()),
    };
    for piece in pieces {
        let piece = piece.map_err(|failure: Failure| HttpError::Other(failure.message().to_owned()))?;
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            let room = usize::try_from(stream.check_write().map_err(failed)?).unwrap_or(usize::MAX);
            if room == 0 {
                wait(&stream.subscribe(), left())?;
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(room).min(PIECE));
            stream.write(now).map_err(failed)?;
            rest = later;
        }
    }
    stream.flush().map_err(failed)?;
    while stream.check_write().map_err(failed)? == 0 {
        wait(&stream.subscribe(), left())?;
    }
    Ok(())
}

fn receive(
    future: &FutureIncomingResponse,
    left: &impl Fn() -> Duration,
) -> Result<IncomingResponse, HttpError> {
    loop {
        match future.get() {
            Some(Ok(answer)) => return answer.map_err(reason),
            Some(Err(())) => return Err(HttpError::Other("the answer was taken already".into())),
            None => wait(&future.subscribe(), left())?,
        }
    }
}

fn answer(response: IncomingResponse) -> Result<Answer, HttpError> {
    let gone = |()| HttpError::Closed("before the body".into());
    let (status, headers) = (response.status(), response.headers().entries());
    let body = response.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    Ok(Answer { status, headers, stream, _body: body })
}

fn reason(code: ErrorCode) -> HttpError {
    match code {
        ErrorCode::HttpRequestDenied => HttpError::Denied(String::new()),
        ErrorCode::HttpRequestUriInvalid => HttpError::InvalidUrl(String::new()),
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => HttpError::TimedOut,
        ErrorCode::DnsError(payload) => HttpError::Unresolved(payload.rcode.unwrap_or_default()),
        ErrorCode::DestinationNotFound => HttpError::Unresolved(String::new()),
        ErrorCode::DestinationIpProhibited => {
            HttpError::Denied("an address of the name is not granted".into())
        }
        ErrorCode::DestinationIpUnroutable => HttpError::Other("no way to the address".into()),
        ErrorCode::ConnectionRefused => HttpError::Refused,
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => {
            HttpError::Closed(String::new())
        }
        ErrorCode::TlsProtocolError => HttpError::Tls("the peers could not agree".into()),
        ErrorCode::TlsCertificateError => HttpError::Tls("the certificate is not to be trusted".into()),
        ErrorCode::TlsAlertReceived(alert) => HttpError::Tls(alert.alert_message.unwrap_or_default()),
        ErrorCode::InternalError(text) => HttpError::Other(text.unwrap_or_else(|| "internal error".into())),
        other => HttpError::Other(format!("{other:?}")),
    }
}
