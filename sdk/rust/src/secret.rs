//! Values that a tool may use but never see. Needs the capability `secret` in `tool.toml`.
//!
//! A tool holds a *reference*, a random text without meaning. Where it leaves the sandbox (header values of
//! [`crate::http`], bytes sent over a [`crate::connection`], communities and passphrases of [`crate::snmp`], standard
//! input of commands and programs, text typed into a session) the host puts the value in its place, if the policy lets
//! this secret go there. Options of the types password and account hold references from the start.

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::secret as host;
pub use crate::bindings::autoexec::tool::secret::SecretError;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::secret as host;

/// What the host could not do, and why.
pub type Error = HostError<SecretError>;

reasons!(SecretError {
    SecretError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    SecretError::NotFound => crate::FailureKind::NotFound, "there is no secret of that name";
    SecretError::Unavailable(why) => crate::FailureKind::Other("unavailable".into()), said("can not be had now", why);
});

/// A reference to a secret. Names are `option:NAME` (an option of this step of the type password or account) and `node`
/// (the password of the account by which the executor reaches the current node).
pub fn reference(name: &str) -> Result<String, Error> {
    host::value(name).map_err(|reason| asking(reason, name))
}

/// A reference to the value of the header `Authorization` for HTTP Basic (RFC 7617).
pub fn basic_authorization(username: &str, name: &str) -> Result<String, Error> {
    host::basic_authorization(username, name).map_err(|reason| asking(reason, name))
}

fn asking(reason: SecretError, name: &str) -> Error {
    HostError::new(reason, format_args!("asking for the secret {name}"))
}
