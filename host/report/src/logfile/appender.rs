//! A log file that grows by whole, stamped lines.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::LogError;
use super::clock::{LinePrefix, LogClock};
use super::error::io_error;

/// Lines of one call are written together; more than this many bytes are written in several calls.
const MAX_BATCH: usize = 256 * 1024;

/// Collects lines and appends them in one `write` call, so that a reader never sees half a line and lines of
/// several processes do not mix.
#[derive(Debug)]
pub(super) struct LineAppender {
    /// Opened for appending.
    file: File,
    path: PathBuf,
    clock: LogClock,
    prefix: LinePrefix,
    batch: Vec<u8>,
    /// Set after a write that may have left half a line (full disk).
    torn: bool,
    /// Whether something was written.
    started: bool,
}

impl LineAppender {
    pub(super) fn new(file: File, path: PathBuf, clock: LogClock) -> Self {
        Self {
            file,
            path,
            clock,
            prefix: LinePrefix::default(),
            batch: Vec::new(),
            torn: false,
            started: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn clock(&self) -> &LogClock {
        &self.clock
    }

    /// Adds a line to the batch. `text` holds no line end.
    pub(super) fn push(&mut self, text: &str) -> Result<(), LogError> {
        if self.batch.is_empty() {
            self.prefix.refresh(&self.clock);
            if self.torn {
                self.batch.push(b'\n');
            }
        }
        self.batch.extend_from_slice(self.prefix.as_bytes());
        self.batch.extend_from_slice(text.as_bytes());
        self.batch.push(b'\n');
        if self.batch.len() >= MAX_BATCH { self.write().map(drop) } else { Ok(()) }
    }

    /// Writes what was added; returns whether anything was written since the file was opened. After an error the
    /// lines are lost, and the next ones start on a line of their own.
    pub(super) fn write(&mut self) -> Result<bool, LogError> {
        if self.batch.is_empty() {
            return Ok(self.started);
        }
        let written = self.file.write_all(&self.batch);
        self.batch.clear();
        self.batch.shrink_to(MAX_BATCH * 2);
        self.torn = written.is_err();
        written.map_err(io_error("append to", &self.path))?;
        self.started = true;
        Ok(true)
    }

    /// Puts another file in place of the one written to and returns that one.
    #[cfg(test)]
    pub(super) fn swap_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}
