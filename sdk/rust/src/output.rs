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

/// Outputs as the fields of a struct. Derive it with `#[derive(Outputs)]`: doc comments say what the outputs hold, and keys of
/// `#[output(…)]` are `name`, `label`, `help`, `kind` and `default` (the value when the tool sets none).
///
/// ```
/// use autoexec_sdk::{Outputs, output::Outputs as _};
///
/// #[derive(Outputs)]
/// struct Answer {
///     /// Number of rows
///     rows: usize,
/// }
///
/// # let host = autoexec_sdk::testing::Host::new();
/// Answer { rows: 3 }.put();
/// # assert_eq!(host.output("rows"), Some(3.into()));
/// ```
pub trait Outputs {
    /// Sets all of them.
    fn put(&self);

    /// Their description as a JSON list.
    fn describe() -> String;
}

/// The type of one output.
pub trait OutputValue: Serialize {
    /// Member `type` of its description, as JSON.
    const KIND: &'static str;
}

macro_rules! kinds {
    ($kind:literal: $($type:ty),+) => {
        $(impl OutputValue for $type {
            const KIND: &'static str = concat!("\"type\":\"", $kind, "\"");
        })+
    };
}

kinds!("text": String, &str, bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64);
kinds!("json": serde_json::Value, serde_json::Map<String, serde_json::Value>);

impl<T: Serialize> OutputValue for Vec<T> {
    const KIND: &'static str = r#""type":"json""#;
}

impl<K: Serialize, V: Serialize> OutputValue for std::collections::BTreeMap<K, V> {
    const KIND: &'static str = r#""type":"json""#;
}

impl<T: OutputValue> OutputValue for Option<T> {
    const KIND: &'static str = T::KIND;
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
