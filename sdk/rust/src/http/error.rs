//! Why a request has no usable answer.

use std::borrow::Cow;

use crate::failure::{FailureKind, HostError, Reason, said};

/// What went wrong, and with which request.
pub type Error = HostError<HttpError>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The grant does not cover this host, or a secret may not go there.
    Denied(String),
    /// Not a URL that can be asked.
    InvalidUrl(String),
    /// The name has no address.
    Unresolved(String),
    /// Nobody listens there.
    Refused,
    /// It took longer than it may.
    TimedOut,
    /// The peers could not agree on TLS, or the certificate is not to be trusted.
    Tls(String),
    /// The connection has ended too early.
    Closed(String),
    /// More redirects than were asked for.
    TooManyRedirects(u32),
    /// A body of more bytes than this.
    TooLarge(u64),
    /// A status other than 2xx; holds it and the begin of the body.
    Status(u16, String),
    /// The body is not what was expected of it.
    InvalidBody(String),
    /// Anything else.
    Other(String),
}

impl Reason for HttpError {
    fn explain(&self) -> Cow<'_, str> {
        match self {
            Self::Denied(why) => said("not granted", why),
            Self::InvalidUrl(why) => said("not a URL that can be asked", why),
            Self::Unresolved(why) => said("the name has no address", why),
            Self::Refused => "refused, nobody listens there".into(),
            Self::TimedOut => "no answer in time".into(),
            Self::Tls(why) => said("no trusted TLS connection", why),
            Self::Closed(why) => said("the connection has ended", why),
            Self::TooManyRedirects(limit) => format!("more than {limit} redirects").into(),
            Self::TooLarge(limit) => format!("the body has more than {limit} bytes").into(),
            Self::Status(status, body) => format!(
                "the answer has the status {status}{}{}",
                if body.trim().is_empty() { "" } else { ": " },
                body.trim()
            )
            .into(),
            Self::InvalidBody(why) => said("the body can not be used", why),
            Self::Other(why) => why.into(),
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Denied(_) | Self::Tls(_) | Self::Status(401 | 403, _) => FailureKind::Denied,
            Self::InvalidUrl(_) => FailureKind::Other("invalid-url".into()),
            Self::Unresolved(_) | Self::Refused | Self::Closed(_) => FailureKind::Unreachable,
            Self::TimedOut => FailureKind::TimedOut,
            Self::Status(404 | 410, _) => FailureKind::NotFound,
            Self::Status(..) => FailureKind::Other("http-status".into()),
            Self::TooManyRedirects(_) | Self::TooLarge(_) | Self::InvalidBody(_) | Self::Other(_) => {
                FailureKind::Other("http".into())
            }
        }
    }
}
