//! What can go wrong between this runner and the server.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::Call;

/// A call at a server, as error texts show it: never with a query, a key or a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    base: Arc<str>,
    call: Call,
    below: Arc<str>,
}

impl Endpoint {
    pub(crate) fn new(base: Arc<str>, call: Call) -> Self {
        Self { base, call, below: Arc::default() }
    }

    /// The same with what stands below the call's path.
    pub(crate) fn below(self, below: Arc<str>) -> Self {
        Self { below, ..self }
    }

    /// Which call it was.
    pub fn call(&self) -> Call {
        self.call
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}{}{})", self.call, self.base, self.call.path(), self.below)
    }
}

/// Why a call failed. Messages of the server are shown in one line, cut, and with secrets masked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// A setting the client cannot be made from.
    #[error("the server setting `{field}` is not usable: {reason}")]
    Settings {
        /// Name of the setting.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or it broke before the reply was complete.
    #[error("{endpoint}: the server cannot be reached: {reason}; check `server.baseurl` and the network")]
    Unreachable {
        /// The call.
        endpoint: Endpoint,
        /// The innermost cause.
        reason: String,
        /// Whether the server may have acted on the request.
        sent: bool,
    },
    /// The server's certificate is not accepted, or there is no TLS at the other end.
    #[error(
        "{endpoint}: no trusted TLS connection: {reason}; if the server uses a private certificate authority, \
         configure its certificate"
    )]
    Tls {
        /// The call.
        endpoint: Endpoint,
        /// The innermost cause.
        reason: String,
    },
    /// A limit of [`ConsoleSettings`](crate::ConsoleSettings) passed.
    #[error("{endpoint}: no complete answer in time (limits: connect {connect:?}, answer {answer:?})")]
    Timeout {
        /// The call.
        endpoint: Endpoint,
        /// Limit for the connection.
        connect: Duration,
        /// Limit for the answer, or for silence within a download.
        answer: Duration,
        /// Whether the server may have acted on the request.
        sent: bool,
    },
    /// An HTTP error that the server's own codes do not cover; often a proxy's.
    #[error("{endpoint}: HTTP {code}: {message}")]
    Http {
        /// The call.
        endpoint: Endpoint,
        /// HTTP code.
        code: u16,
        /// `Message` of the body, its beginning when it is not JSON, or the code's standard text.
        message: String,
        /// What `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// The server answered elsewhere (3xx). A redirect is not followed: the signature covers the path.
    #[error("{endpoint}: HTTP {code} redirects to {location}; set `server.baseurl` to the final address")]
    Redirected {
        /// The call.
        endpoint: Endpoint,
        /// HTTP code.
        code: u16,
        /// Scheme and host it points to.
        location: String,
    },
    /// The server understood and refused (520, 521, 523, 524, 526, 530, 550, or `Status` other than `OK`).
    #[error("{endpoint}: refused by the server ({code}): {message}")]
    Rejected {
        /// The call.
        endpoint: Endpoint,
        /// HTTP code.
        code: u16,
        /// `Message` of the body.
        message: String,
    },
    /// The server does not accept user or key (401, 522, 525, 527).
    #[error(
        "{endpoint}: the server does not accept user or key ({code}): {message}; check `server.username` and \
         `server.password`"
    )]
    AuthenticationFailed {
        /// The call.
        endpoint: Endpoint,
        /// HTTP code.
        code: u16,
        /// `Message` of the body.
        message: String,
    },
    /// A reply that is not what the call promises.
    #[error("{endpoint}: the reply cannot be used: {reason}")]
    BadReply {
        /// The call.
        endpoint: Endpoint,
        /// What was expected and not found.
        reason: String,
    },
    /// A download could not be written.
    #[error("cannot write the download {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ConsoleError {
    pub(crate) fn settings(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Settings { field, reason: reason.into() }
    }

    pub(crate) fn bad_reply(endpoint: &Endpoint, reason: impl Into<String>) -> Self {
        Self::BadReply { endpoint: endpoint.clone(), reason: reason.into() }
    }

    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// The same error with every text that came from outside passed through `clean`.
    pub(crate) fn cleaned(mut self, clean: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::Http { message: text, .. }
            | Self::Rejected { message: text, .. }
            | Self::AuthenticationFailed { message: text, .. }
            | Self::Unreachable { reason: text, .. }
            | Self::Tls { reason: text, .. }
            | Self::BadReply { reason: text, .. } => *text = clean(text),
            Self::Settings { .. } | Self::Timeout { .. } | Self::Redirected { .. } | Self::File { .. } => {}
        }
        self
    }

    /// Whether the server answered that it failed itself (500): it is there, and may fail on this call for ever.
    pub(crate) fn is_internal_server_error(&self) -> bool {
        matches!(self, Self::Http { code: 500, .. })
    }

    /// Whether the same request may succeed later without anybody doing anything: unreachable, timeout, 408, 429,
    /// 502–504 (`spec/server-api.md` §4.2).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Http { code, .. } => matches!(code, 408 | 429 | 502..=504),
            _ => false,
        }
    }

    /// Whether it is certain that the server did not act on the request.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } | Self::Timeout { sent, .. } => !sent,
            Self::Http { code, .. } => *code == 429,
            _ => false,
        }
    }

    /// What the server asked for with `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a callback with this outcome is finished: a repetition could only be refused again.
    ///
    /// Everything that may come from a proxy, a certificate or a maintenance page is not final: the callback is
    /// kept, because a status that is dropped leaves the server wrong for good.
    pub(crate) fn is_final_for_callback(&self) -> bool {
        match self {
            Self::Rejected { .. } | Self::AuthenticationFailed { .. } => true,
            Self::Http { code, .. } => (400..500).contains(code) && !self.is_transient(),
            _ => false,
        }
    }
}
