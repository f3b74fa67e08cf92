//! Reporters: whatever becomes of a run outside of it.
//!
//! [`FileLogs`] and [`JournalReporter`] write to the job directory, inline: what they have not written has
//! not happened. [`ConsoleLogReporter`] writes for people who look at the job. [`OutboxReporter`] hands
//! callbacks to the server's durable outbox. [`Terminal`], [`JsonLines`] and [`Summary`] serve whoever
//! started the process; the first two are [`Detached`], since that one may stop reading.

mod callbacks;
mod console_lines;
mod detached;
mod journal;
mod json_lines;
pub mod logfile;
mod node_logs;
mod summary;
mod terminal;

pub use callbacks::OutboxReporter;
pub use console_lines::ConsoleLogReporter;
pub use detached::{Detached, DetachedEnd, Lossy};
pub use journal::JournalReporter;
pub use json_lines::JsonLines;
pub use node_logs::FileLogs;
pub use summary::{Summary, SummaryTable};
pub use terminal::Terminal;
