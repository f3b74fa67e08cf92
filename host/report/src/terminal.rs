//! Live progress on the terminal of whoever started the run.

use std::time::Duration;

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::{Level, RunEvent, Stamped};
use autoexec_model::PhaseName;
use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Lossy;
use crate::logfile::visible;

/// One progress bar per running phase where standard error is a terminal; plain lines elsewhere.
#[derive(Debug)]
pub struct Terminal {
    bars: MultiProgress,
    phases: IndexMap<PhaseName, ProgressBar>,
    live: bool,
}

impl Terminal {
    /// Draws on standard error.
    pub fn stderr() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let live = !bars.is_hidden();
        Self { bars, phases: IndexMap::new(), live }
    }

    /// Shows lines. What is in them may come from a tool or a node, so none of it acts on the terminal.
    fn say(&self, text: &str) {
        let text = shown(text);
        if self.live {
            // A terminal that went away must not end the run.
            let _ = self.bars.println(text);
        } else {
            write_line(&text);
        }
    }

    fn start_phase(&mut self, phase: &PhaseName, nodes: u64, width: u64) {
        self.say(&format!("phase {phase}: {nodes} node(s), {width} at a time"));
        let bar = self.bars.add(ProgressBar::new(nodes.max(1)));
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {prefix:20!} [{bar:30}] {pos}/{len} {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(phase.to_string());
        if self.live {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        self.phases.insert(phase.clone(), bar);
    }

    fn show(&mut self, event: &RunEvent) {
        match event {
            RunEvent::PhaseStarted { position, nodes, width } => {
                self.start_phase(&position.phase, *nodes, *width);
            }
            RunEvent::OperationStarted { phase, node, operation, .. } => {
                if let Some(bar) = self.phases.get(phase) {
                    bar.set_message(format!("{node} {}", operation.name));
                }
            }
            RunEvent::NodeFinished { position, node, status, skipped, millis } => {
                let how = if *skipped { " (before)" } else { "" };
                let seconds = *millis as f64 / 1000.0;
                if !self.live || status.is_failure() {
                    self.say(&format!("  {} {}: {status}{how}, {seconds:.2} s", position.phase, node.key));
                }
                if let Some(bar) = self.phases.get(&position.phase) {
                    bar.inc(1);
                }
            }
            RunEvent::OperationChecked { phase, node, operation, changes } => {
                for change in changes {
                    self.say(&format!("  {phase} {node}: {} would change {change}", operation.name));
                }
            }
            RunEvent::OperationNotChecked { phase, node, reason, .. } => {
                self.say(&format!("  {phase} {node}: {reason}"));
            }
            RunEvent::PhaseFinished { position, status, millis, .. } => {
                if let Some(bar) = self.phases.shift_remove(&position.phase) {
                    bar.finish_and_clear();
                }
                let seconds = *millis as f64 / 1000.0;
                self.say(&format!("phase {}: {status}, {seconds:.2} s", position.phase));
            }
            RunEvent::Message { level, text } if *level >= Level::Warn => {
                self.say(&format!("{} {text}", level.prefix()));
            }
            _ => {}
        }
    }
}

impl Reporter for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        self.show(&event.event);
        Ok(())
    }
}

impl Lossy for Terminal {
    fn missed(&mut self, events: u64) {
        self.say(&format!("{events} event(s) are not shown: the terminal did not take them in time"));
    }
}

/// The lines without escape sequences and with visible control characters.
fn shown(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    lines.join("\n")
}

fn write_line(text: &str) {
    use std::io::Write;
    // Standard error that is closed must not end the run.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_acts_on_no_terminal() {
        assert_eq!(shown("two\nlines\tof text"), "two\nlines\tof text");
        let shown = shown("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\rd\u{9b}2J");
        assert_eq!(shown.chars().find(|c| c.is_control()), None, "{shown:?}");
        assert!(shown.starts_with("abc") && !shown.contains("title"), "{shown:?}");
    }
}
