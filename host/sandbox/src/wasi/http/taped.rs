//! Requests that are written down, or answered from a recording. Both bodies are taken whole, so that one line holds all of an
//! exchange.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

use super::{Driver, send};
use crate::border::{Border, HostTrap};
use crate::tape::Begun;

/// Headers that are secrets even where nobody says so. A value with a reference in it is written with the reference's name.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// What is written in their place.
const HIDDEN: &[u8] = b"********";

/// What is known of a request when it begins.
#[derive(Serialize)]
pub(super) struct Head {
    method: String,
    url: String,
    headers: Headers,
}

/// Names and values, in the order of the message.
#[derive(Clone, Serialize, Deserialize)]
struct Headers(Vec<(String, Vec<u8>)>);

/// An exchange in a recording.
#[derive(Serialize, Deserialize)]
struct Exchange {
    /// Body of the request.
    sent: Vec<u8>,
    status: u16,
    headers: Headers,
    body: Vec<u8>,
    /// How the body ended where it did not come whole.
    broken: Option<HttpFailure>,
}

/// The errors of an exchange that tools tell apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HttpFailure {
    Denied,
    Unresolved(Option<String>),
    Refused,
    Unroutable,
    ConnectTimeout,
    ReadTimeout,
    Certificate,
    Terminated,
    TooManyConnections,
    TooLarge(Option<u64>),
    InvalidMethod,
    InvalidUrl,
    Protocol,
    Other(String),
}

impl Head {
    pub(super) fn of(request: &Request<WasiBody>) -> Self {
        Self {
            method: request.method().to_string(),
            url: request.uri().to_string(),
            headers: Headers::of(request.headers()),
        }
    }
}

impl Headers {
    fn of(headers: &HeaderMap) -> Self {
        let shown = |(name, value): (&HeaderName, &HeaderValue)| {
            let is_secret = CREDENTIALS.contains(&name.as_str())
                && !value.as_bytes().windows(PREFIX.len()).any(|part| part == PREFIX);
            let value = if is_secret { HIDDEN.to_vec() } else { value.as_bytes().to_vec() };
            (name.as_str().to_owned(), value)
        };
        Self(headers.iter().map(shown).collect())
    }

    fn into_map(self) -> HeaderMap {
        let pairs = self.0.into_iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        });
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }
}

/// Does the exchange and writes it down, or answers it from the recording.
pub(super) async fn exchange(
    border: &Arc<Border>,
    begun: Result<Begun, HostTrap>,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Driver)> {
    let (parts, body) = request.into_parts();
    let asked = begun.map_err(trapped)?.of(border);
    let body = body.collect().await?.to_bytes();
    let mut live = None;
    let act = async {
        let whole = Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync();
        let answer =
            send(border, Request::from_parts(parts, whole), options).await.map_err(HttpFailure::of)?;
        let (headers, exchange) = taken(answer, &body).await;
        live = Some(headers);
        Ok(exchange)
    };
    let answered: Result<Exchange, HttpFailure> = asked.answers(act).await.map_err(trapped)?;
    let exchange = answered.map_err(HttpFailure::into_error)?;
    let sent = (&exchange.sent, body.to_vec());
    border.compare("body of http.request", sent.0, &sent.1).map_err(trapped)?;
    let status = StatusCode::from_u16(exchange.status).map_err(|_| Error::HttpProtocolError)?;
    let mut response = Response::new(body_of(exchange.body, exchange.broken));
    *response.status_mut() = status;
    // The tool gets all headers of a real answer, also those that are not written down.
    *response.headers_mut() = live.unwrap_or_else(|| exchange.headers.into_map());
    Ok((response, Box::new(async { Ok(()) })))
}

/// The guest is ended at its next host call, so it matters to nobody how it is told.
fn trapped(trap: HostTrap) -> Error {
    Error::InternalError(Some(trap.to_string()))
}

/// The whole of an answer, its connection driven meanwhile.
async fn taken((response, driver): (Response<WasiBody>, Driver), sent: &[u8]) -> (HeaderMap, Exchange) {
    let (parts, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let reading = async {
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref())),
                Err(error) => return Some(HttpFailure::of(error)),
            }
        }
        None
    };
    let mut driver = Box::into_pin(driver);
    let mut driving = true;
    tokio::pin!(reading);
    let broken = loop {
        tokio::select! {
            biased;
            broken = &mut reading => break broken,
            _ = &mut driver, if driving => driving = false,
        }
    };
    let headers = Headers::of(&parts.headers);
    let exchange = Exchange { sent: sent.to_vec(), status: parts.status.as_u16(), headers, body, broken };
    (parts.headers, exchange)
}

fn body_of(body: Vec<u8>, broken: Option<HttpFailure>) -> WasiBody {
    let frames = [Ok(Frame::data(Bytes::from(body)))].into_iter();
    let frames = frames.chain(broken.map(|broken| Err(broken.into_error())));
    StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed_unsync()
}

impl HttpFailure {
    fn of(error: Error) -> Self {
        match error {
            Error::HttpRequestDenied => Self::Denied,
            Error::DnsError { rcode, .. } => Self::Unresolved(rcode),
            Error::ConnectionRefused => Self::Refused,
            Error::DestinationIpUnroutable => Self::Unroutable,
            Error::ConnectionTimeout => Self::ConnectTimeout,
            Error::ConnectionReadTimeout => Self::ReadTimeout,
            Error::TlsCertificateError => Self::Certificate,
            Error::ConnectionTerminated => Self::Terminated,
            Error::ConnectionLimitReached => Self::TooManyConnections,
            Error::HttpResponseBodySize(limit) => Self::TooLarge(limit),
            Error::HttpRequestMethodInvalid => Self::InvalidMethod,
            Error::HttpRequestUriInvalid => Self::InvalidUrl,
            Error::Hyper(_) | Error::HttpProtocolError => Self::Protocol,
            other => Self::Other(other.to_string()),
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Denied => Error::HttpRequestDenied,
            Self::Unresolved(rcode) => Error::DnsError { rcode, info_code: None },
            Self::Refused => Error::ConnectionRefused,
            Self::Unroutable => Error::DestinationIpUnroutable,
            Self::ConnectTimeout => Error::ConnectionTimeout,
            Self::ReadTimeout => Error::ConnectionReadTimeout,
            Self::Certificate => Error::TlsCertificateError,
            Self::Terminated => Error::ConnectionTerminated,
            Self::TooManyConnections => Error::ConnectionLimitReached,
            Self::TooLarge(limit) => Error::HttpResponseBodySize(limit),
            Self::InvalidMethod => Error::HttpRequestMethodInvalid,
            Self::InvalidUrl => Error::HttpRequestUriInvalid,
            Self::Protocol => Error::HttpProtocolError,
            Self::Other(text) => Error::InternalError(Some(text)),
        }
    }
}

/// How a reference to a secret begins.
const PREFIX: &[u8] = crate::secrets::PREFIX.as_bytes();
