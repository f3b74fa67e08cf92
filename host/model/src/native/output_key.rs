//! The `outputkey` of `native/extractoutval`: a reference to an output, or the data itself.

use crate::secret::Secret;

/// Where `extractoutval` takes its data from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKey {
    /// `#{phase.opId.key}`: an output of this node.
    Output {
        /// Id of the operation.
        op_id: String,
        /// Name of the output.
        key: String,
    },
    /// The option's text is the data.
    Data(Secret),
}

/// A `#{…}` that does not name an output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name an output: expected `#{{phase.opId.key}}`")]
pub struct OutputKeyError(String);

impl OutputKey {
    /// Reads the option. A text that does not start with `#{` is data.
    pub fn parse(text: &str) -> Result<Self, OutputKeyError> {
        let Some(inner) = text.trim().strip_prefix("#{") else {
            return Ok(Self::Data(Secret::new(text)));
        };
        let parts = inner.strip_suffix('}').map(str::trim).and_then(|inner| {
            let (phase, rest) = inner.split_once('.')?;
            let (op_id, key) = rest.rsplit_once('.')?;
            (![phase, op_id, key].contains(&"")).then(|| (op_id.to_owned(), key.to_owned()))
        });
        let (op_id, key) = parts.ok_or_else(|| OutputKeyError(text.to_owned()))?;
        Ok(Self::Output { op_id, key })
    }
}
