//! Takes one value out of a JSON document by path, or out of a text by pattern.
//!
//! The selectors of `native/extractoutval`, `native/getvalfromjson` and `native/getvalfromtxt`
//! (spec/tools-behaviour/01-values-and-control.md). Pure: nothing here knows the sandbox.

mod path;
mod pattern;

pub use path::{Found, Path, PathError, Step};
pub use pattern::{PatternError, first_match};
