//! `wasi:http`: how a request leaves.
//!
//! Method, scheme, host and port are put to the policy by name, then each address; the connection goes to an address that was
//! checked, and TLS is for the name. A redirect is an answer like any other: the guest that follows it makes another
//! request, which is checked again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use autoexec_grants::SecretDestination;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep, timeout, timeout_at};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use crate::border::{Border, Counted};
use crate::host::LogLevel;
use crate::limits::{LimitName, LimitReached};
use crate::net::{self, NetError, Purpose, deadline};
use crate::tape::Asked;

mod taped;

/// Longest wait for a connection and TLS, unless the guest asks for another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of the status line and headers of a response together.
const HEAD_SIZE: usize = 64 << 10;

/// Headers of a response.
const HEADERS: usize = 128;

/// A driver of the connection, which the library runs beside the body.
type Driver = Box<dyn Future<Output = Result<()>> + Send>;

/// Sends the requests of one call.
pub(crate) struct HttpHooks {
    border: Arc<Border>,
}

impl HttpHooks {
    pub(crate) fn new(border: &Arc<Border>) -> Self {
        Self { border: Arc::clone(border) }
    }
}

impl WasiHttpHooks for HttpHooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Driver)>> + Send> {
        let border = Arc::clone(&self.border);
        let options = options.unwrap_or_default();
        if !border.tape.is_on() {
            return Box::new(async move { send(&border, request, options).await });
        }
        // The request's place among the calls is where it was begun, not where its answer came.
        let begun = border.asked("http.request", &(taped::Head::of(&request),)).map(Asked::begun);
        Box::new(async move { taped::exchange(&border, begun, request, options).await })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        if error.is_parse_too_large() {
            return ErrorCode::HttpResponseHeaderSectionSize(u32::try_from(HEAD_SIZE).ok());
        }
        if error.is_incomplete_message() || error.is_closed() {
            return ErrorCode::HttpResponseIncomplete;
        }
        ErrorCode::HttpProtocolError
    }
}

async fn send(
    border: &Arc<Border>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Driver)> {
    let peer = Peer::of(&request)?;
    let until = deadline(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT));
    let counted = border.socket().map_err(|reached| {
        border.tell(&reached);
        Error::ConnectionLimitReached
    })?;
    let purpose = Purpose::Http { method: request.method().as_str(), scheme: peer.scheme };
    let addresses = border.resolve(purpose, &peer.host, peer.port, until).await.map_err(net_error)?;
    put_secrets_in(border, &mut request, &peer).await?;
    let stream = net::connect_to(&addresses, until).await.map_err(net_error)?;
    *request.uri_mut() = path_of(request.uri())?;
    let between = options.between_bytes_timeout;
    let first = options.first_byte_timeout.unwrap_or(Duration::MAX);
    if peer.scheme == "http" {
        return exchange(border, stream, request, first, between, counted).await;
    }
    let verify =
        border.host().map_err(|_| Error::ConnectionTerminated)?.verifies_certificate(&peer.host, peer.port);
    let tls = timeout_at(until, border.network.start_tls(stream, &peer.host, verify)).await;
    let stream = tls.map_err(|_| Error::ConnectionTimeout)?.map_err(|error| {
        // The interface has only a code for it.
        tell(border, &error.to_string());
        Error::TlsCertificateError
    })?;
    exchange(border, stream, request, first, between, counted).await
}

/// Whom a request is for.
struct Peer {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Peer {
    fn of(request: &Request<WasiBody>) -> Result<Self> {
        // It would make a tunnel of the connection.
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let uri = request.uri();
        let (scheme, usual) = match uri.scheme_str() {
            Some("https") => ("https", 443),
            Some("http") => ("http", 80),
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // `good.example@bad.example` is meant to be misread.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().len() > authority.host().len() => {
                return Err(Error::HttpRequestUriInvalid);
            }
            None => usual,
        };
        Ok(Self { scheme, host: authority.host().to_owned(), port })
    }
}

/// Exchanges references in header values for the secrets, where they may go to this peer.
async fn put_secrets_in(border: &Border, request: &mut Request<WasiBody>, peer: &Peer) -> Result<()> {
    let destination = SecretDestination::Http { scheme: peer.scheme, host: &peer.host, port: peer.port };
    for value in request.headers_mut().values_mut() {
        let revealed = border.reveal(value.as_bytes(), destination).await.map_err(|error| {
            tell(border, &error.to_string());
            Error::HttpRequestDenied
        })?;
        if revealed.expose() == value.as_bytes() {
            continue;
        }
        *value = HeaderValue::from_bytes(revealed.expose()).map_err(|_| {
            tell(border, "the secret holds bytes that can not stand in a header");
            Error::HttpRequestDenied
        })?;
        value.set_sensitive(true);
    }
    Ok(())
}

/// What stands in the request line: never a whole URL, which is for proxies.
fn path_of(uri: &Uri) -> Result<Uri> {
    let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    Uri::builder().path_and_query(path).build().map_err(|_| Error::HttpRequestUriInvalid)
}

async fn exchange<S>(
    border: &Arc<Border>,
    stream: S,
    request: Request<WasiBody>,
    first: Duration,
    between: Option<Duration>,
    counted: Counted,
) -> Result<(Response<WasiBody>, Driver)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_SIZE).max_headers(HEADERS);
    let (mut sender, connection) = builder.handshake::<_, WasiBody>(TokioIo::new(stream)).await?;
    let mut driver = Box::pin(async move {
        let ended = connection.await;
        drop(counted);
        ended.map_err(Error::from)
    });
    let answer = timeout(first, sender.send_request(request));
    tokio::pin!(answer);
    let mut driving = true;
    let response = loop {
        tokio::select! {
            biased;
            answer = &mut answer => break answer.map_err(|_| Error::ConnectionReadTimeout)??,
            ended = &mut driver, if driving => {
                driving = false;
                ended?;
            }
        }
    };
    let limit = border.limits.response;
    let body = |incoming| LimitedBody {
        border: Arc::clone(border),
        incoming,
        limit,
        left: limit,
        between: between.map(Pause::new),
    };
    let response = response.map(|incoming| body(incoming).boxed_unsync());
    let driver: Driver = if driving { Box::new(driver) } else { Box::new(async { Ok(()) }) };
    Ok((response, driver))
}

/// A body that ends with an error when it is too long or too slow.
struct LimitedBody {
    border: Arc<Border>,
    incoming: Incoming,
    limit: u64,
    left: u64,
    between: Option<Pause>,
}

/// The time between two pieces.
struct Pause {
    longest: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Pause {
    fn new(longest: Duration) -> Self {
        Self { longest, timer: Box::pin(sleep(longest)) }
    }
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
            let Some(pause) = &mut self.between else { return Poll::Pending };
            ready!(pause.timer.as_mut().poll(context));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        if let Some(pause) = &mut self.between {
            let next = tokio::time::Instant::now() + pause.longest;
            pause.timer.as_mut().reset(next);
        }
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = frame?;
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            let limit = self.limit;
            self.border.tell(&LimitReached { name: LimitName::Response, value: limit });
            return Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(limit)))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Says in the node's log what the interface has no words for.
fn tell(border: &Border, text: &str) {
    if let Ok(host) = border.host()
        && border.spend_log(text.len()).is_ok()
    {
        host.log(LogLevel::Warn, &format!("HTTP: {text}"));
    }
}

fn net_error(error: NetError) -> Error {
    match error {
        NetError::Denied(_) => Error::HttpRequestDenied,
        NetError::Unresolved(why) => Error::DnsError { rcode: Some(why), info_code: None },
        NetError::Refused => Error::ConnectionRefused,
        NetError::Unreachable(_) => Error::DestinationIpUnroutable,
        NetError::TimedOut => Error::ConnectionTimeout,
        NetError::Other(why) => Error::InternalError(Some(why)),
    }
}
