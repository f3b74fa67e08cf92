//! What libssh2 says went wrong, and what that means for the connection.

use std::io;

use libssh2_sys as raw;
use ssh2::ErrorCode;

use super::error::{SshErrorKind, Step};

/// `LIBSSH2_ERROR_SOCKET_NONE`, which the binding does not name.
const SOCKET_NONE: i32 = -1;

/// An error of libssh2, with its code where there is one.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Option<i32>,
    pub(super) would_block: bool,
    pub(super) detail: String,
}

impl From<ssh2::Error> for Fault {
    fn from(error: ssh2::Error) -> Self {
        let code = match error.code() {
            ErrorCode::Session(code) => Some(code),
            ErrorCode::SFTP(_) => None,
        };
        let would_block = code == Some(raw::LIBSSH2_ERROR_EAGAIN);
        Self { code, would_block, detail: error.message().to_owned() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self { code: None, would_block: error.kind() == io::ErrorKind::WouldBlock, detail: error.to_string() }
    }
}

impl Fault {
    /// What is wrong before libssh2 is asked.
    pub(super) fn of_ours(detail: &str) -> Self {
        Self { code: None, would_block: false, detail: detail.to_owned() }
    }

    /// What libssh2 says is where in its code it was, for any reason.
    fn in_words(self) -> String {
        let Self { code, detail, .. } = self;
        match code {
            Some(raw::LIBSSH2_ERROR_SOCKET_DISCONNECT) => format!("{detail} (the peer has closed it)"),
            Some(raw::LIBSSH2_ERROR_SOCKET_RECV | raw::LIBSSH2_ERROR_SOCKET_SEND) => {
                format!("{detail} (the peer has reset it, or answers no more)")
            }
            _ => detail,
        }
    }

    /// True when the whole connection is unusable, not just one request refused.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(
            self.code,
            Some(
                SOCKET_NONE
                    | raw::LIBSSH2_ERROR_SOCKET_SEND
                    | raw::LIBSSH2_ERROR_SOCKET_RECV
                    | raw::LIBSSH2_ERROR_SOCKET_DISCONNECT
                    | raw::LIBSSH2_ERROR_SOCKET_TIMEOUT
                    | raw::LIBSSH2_ERROR_BAD_SOCKET
                    | raw::LIBSSH2_ERROR_TIMEOUT
                    | raw::LIBSSH2_ERROR_DECRYPT
                    | raw::LIBSSH2_ERROR_INVALID_MAC
                    | raw::LIBSSH2_ERROR_PROTO
            )
        )
    }
}

/// Why [`Link::drive`] gave up.
#[derive(Debug)]
pub(super) enum Failure {
    /// Time, stop, or poll.
    Kind(SshErrorKind),
    /// libssh2 said no.
    Fault(Fault),
}

impl Failure {
    /// As the caller's error, in the words of `step`.
    pub(super) fn during(self, step: Step) -> SshErrorKind {
        match self {
            Self::Kind(kind) => kind,
            Self::Fault(fault) if fault.code == Some(raw::LIBSSH2_ERROR_CHANNEL_FAILURE) => {
                SshErrorKind::SessionRefused { detail: fault.detail }
            }
            Self::Fault(fault) if fault.ends_connection() => {
                SshErrorKind::ConnectionLost { step, detail: fault.in_words() }
            }
            Self::Fault(fault) => SshErrorKind::Channel { step, detail: fault.detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: i32) -> SshErrorKind {
        Failure::Fault(Fault { code: Some(code), would_block: false, detail: "d".to_owned() })
            .during(Step::Start)
    }

    #[test]
    fn a_refused_channel_is_told_from_a_lost_connection() {
        assert!(matches!(kind(raw::LIBSSH2_ERROR_CHANNEL_FAILURE), SshErrorKind::SessionRefused { .. }));
        assert!(matches!(kind(raw::LIBSSH2_ERROR_SOCKET_RECV), SshErrorKind::ConnectionLost { .. }));
        assert!(matches!(kind(raw::LIBSSH2_ERROR_REQUEST_DENIED), SshErrorKind::Channel { .. }));
    }
}
