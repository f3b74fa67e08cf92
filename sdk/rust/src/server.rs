//! Calls of the console server, each granted by its name. Needs the capability `server` in `tool.toml`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::server as host;
pub use crate::bindings::autoexec::tool::server::ServerError;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::server as host;

/// What the host could not do, and why.
pub type Error = HostError<ServerError>;

reasons!(ServerError {
    ServerError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    ServerError::None => crate::FailureKind::Other("unavailable".into()), "there is no server: the job runs stand-alone";
    ServerError::Unavailable(why) => crate::FailureKind::Unreachable, said("the server can not be reached", why);
    ServerError::Refused(why) => crate::FailureKind::Other("refused".into()), said("the server says no", why);
});

/// Sends one call, `name` being its path below the server's API without a slash at the start, and reads the data of the
/// answer. The host signs it.
pub fn call<T: DeserializeOwned>(name: &str, parameters: &impl Serialize) -> Result<T, Error> {
    let doing = || format!("the server call {name}");
    let unusable = |error: serde_json::Error| {
        HostError::new(ServerError::Unavailable(format!("data that can not be used: {error}")), doing())
    };
    let parameters = serde_json::to_string(parameters).map_err(unusable)?;
    let answer = host::call(name, &parameters).map_err(|reason| HostError::new(reason, doing()))?;
    serde_json::from_str(&answer).map_err(unusable)
}

/// Like [`call`], for an answer of any shape.
pub fn call_value(name: &str, parameters: &impl Serialize) -> Result<Value, Error> {
    call(name, parameters)
}
