//! Events as JSON lines, for programs.

use std::io::Write;

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::Stamped;

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
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn name(&self) -> &'static str {
        "JSON lines"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let mut line = serde_json::to_vec(event).map_err(|error| ReportError(error.to_string()))?;
        line.push(b'\n');
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
        Ok(())
    }
}
