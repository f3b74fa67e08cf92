//! The console log and the node logs of a job (`spec/workdir.md` §5.2–5.4, `spec/execution.md` §6.12–6.13).
//!
//! The runner tails these files by byte offset and takes half a line for a line. So every physical line has the
//! nine characters `HH:MM:SS ` in front, whole lines are handed to the kernel in one `write`, and a file that is
//! shown is never truncated or rewritten. Bytes of plugins become lines of text in [`LineDecoder`]; what they
//! look like is decided there and in one place only.

mod appender;
mod charset;
mod checked_lines;
mod clock;
mod console_log;
mod controls;
mod decoder;
mod error;
mod fail_patterns;
mod history;
mod lines;
mod node_log;

pub use charset::Charset;
pub use clock::LogClock;
pub use console_log::{ConsoleLog, ConsoleStart};
pub use controls::visible;
pub use decoder::{Line, LineDecoder, MAX_LINE};
pub use error::LogError;
pub use fail_patterns::{FailOperator, FailPatterns, PatternError};
pub use node_log::{NodeLog, OutputStream};
