//! The node's log.

use std::fmt::Display;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::log as host;
use crate::bindings::autoexec::tool::log::Level;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::log as host;

/// A line without a level.
pub fn plain(text: impl Display) {
    host::line(Level::Plain, &text.to_string());
}

/// Progress.
pub fn info(text: impl Display) {
    host::line(Level::Info, &text.to_string());
}

/// Something that went well.
pub fn fine(text: impl Display) {
    host::line(Level::Fine, &text.to_string());
}

/// Something to look at that does not fail the step.
pub fn warn(text: impl Display) {
    host::line(Level::Warn, &text.to_string());
}

/// Something that went wrong. The reason of a failing step belongs into [`crate::Failure`] instead.
pub fn error(text: impl Display) {
    host::line(Level::Error, &text.to_string());
}

/// Bytes as they come, for output passed through from elsewhere.
pub fn write(bytes: &[u8]) {
    host::write(bytes);
}
