//! `passThroughEnv`: what the server gave to this process and wants back with every callback.

use std::fmt;

use serde_json::{Map, Value};

/// The object of `--passthroughenv`, sent as given. It holds the token of the person who runs the job
/// (`EXECUSER_TOKEN`), so `Debug` shows only its keys and nothing here is ever written to a file.
#[derive(Clone, Default)]
pub struct PassThrough(Map<String, Value>);

impl PassThrough {
    /// Wraps the object.
    pub fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// The object as it goes into a body.
    pub(crate) fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The texts that must not come back out of an error message: everything but short words and numbers,
    /// which would turn every message into stars.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(key, value)| {
            let text = value.as_str()?;
            (key.ends_with("TOKEN") || text.len() >= 16).then_some(text).filter(|text| !text.is_empty())
        })
    }
}

impl From<Map<String, Value>> for PassThrough {
    fn from(object: Map<String, Value>) -> Self {
        Self(object)
    }
}

impl fmt::Debug for PassThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
