//! Events as JSON lines, for programs.

use std::io::Write;

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::Stamped;
use serde_json::json;

use crate::Lossy;

/// Writes one JSON object per event. A reader that goes away ends the stream, not the run.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: Option<W>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`, usually standard output.
    pub fn new(out: W) -> Self {
        Self { out: Some(out) }
    }

    fn line(&mut self, mut line: Vec<u8>) {
        let Some(out) = &mut self.out else { return };
        line.push(b'\n');
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
    }
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn name(&self) -> &'static str {
        "JSON lines"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        let line = serde_json::to_vec(event).map_err(|error| ReportError(error.to_string()))?;
        self.line(line);
        Ok(())
    }
}

impl<W: Write + Send> Lossy for JsonLines<W> {
    fn missed(&mut self, events: u64) {
        self.line(json!({"event": "events-missed", "events": events}).to_string().into_bytes());
    }
}
