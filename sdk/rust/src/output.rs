//! Outputs and live data.

use serde::Serialize;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::output as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::output as host;

/// Sets one output; a later value for the same name replaces it. Name it in `tool.toml`, or the server does not show it.
///
/// # Panics
///
/// When the value has no JSON form, such as a map whose keys are not text.
#[expect(clippy::panic, reason = "a defect of the tool's own types; the panic's text goes to the log")]
pub fn set(name: &str, value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(json) => host::set(name, &json),
        Err(error) => panic!("output `{name}` has no JSON form: {error}"),
    }
}

/// Replaces the data behind the tool's live page.
///
/// # Panics
///
/// Like [`set`].
#[expect(clippy::panic, reason = "a defect of the tool's own types; the panic's text goes to the log")]
pub fn set_live_data(data: &impl Serialize) {
    match serde_json::to_string(data) {
        Ok(json) => host::set_live_data(&json),
        Err(error) => panic!("the live data has no JSON form: {error}"),
    }
}
