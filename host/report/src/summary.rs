//! What became of every node in every phase, for the table at the end.

use std::fmt::Write;
use std::sync::Arc;

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::{RunEvent, Stamped};
use autoexec_model::{NodeKey, NodeStatus, PhaseName};
use comfy_table::{Cell, Table};
use indexmap::{IndexMap, IndexSet};
use std::sync::{Mutex, PoisonError};

/// A table longer than this is cut to the nodes that did not succeed, then to this many rows.
const MAX_ROWS: usize = 60;

#[derive(Debug, Default)]
struct Cells {
    phases: IndexSet<PhaseName>,
    nodes: IndexMap<NodeKey, IndexMap<PhaseName, (NodeStatus, bool, u64)>>,
    dry_run: Option<DryRun>,
}

/// What a dry run found.
#[derive(Debug, Default)]
struct DryRun {
    changes: usize,
    not_checked: usize,
}

/// Collects the ends of all nodes.
#[derive(Debug, Default)]
pub struct Summary {
    cells: Arc<Mutex<Cells>>,
}

/// Reads what a [`Summary`] has collected.
#[derive(Debug, Clone)]
pub struct SummaryTable {
    cells: Arc<Mutex<Cells>>,
}

impl Summary {
    /// The table, to be asked for when the run is over.
    pub fn table(&self) -> SummaryTable {
        SummaryTable { cells: Arc::clone(&self.cells) }
    }
}

impl Reporter for Summary {
    fn name(&self) -> &'static str {
        "summary"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.event {
            RunEvent::PhaseStarted { position, .. } => {
                cells.phases.insert(position.phase.clone());
            }
            RunEvent::NodeFinished { position, node, status, skipped, millis } => {
                let row = cells.nodes.entry(node.key.clone()).or_default();
                row.insert(position.phase.clone(), (*status, *skipped, *millis));
            }
            RunEvent::OperationChecked { changes, .. } => {
                cells.dry_run.get_or_insert_default().changes += changes.len();
            }
            RunEvent::OperationNotChecked { .. } => {
                cells.dry_run.get_or_insert_default().not_checked += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

impl SummaryTable {
    /// The table as text, nodes × phases.
    pub fn render(&self) -> String {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::new();
        let header = std::iter::once("node".to_owned());
        table.set_header(header.chain(cells.phases.iter().map(ToString::to_string)));
        let is_bad = |row: &IndexMap<PhaseName, (NodeStatus, bool, u64)>| {
            row.values().any(|(status, _, _)| !status.is_done())
        };
        let total = cells.nodes.len();
        let only_bad = total > MAX_ROWS;
        let rows = cells.nodes.iter().filter(|(_, row)| !only_bad || is_bad(row)).take(MAX_ROWS);
        let mut shown = 0;
        for (node, row) in rows {
            shown += 1;
            let states = cells.phases.iter().map(|phase| row.get(phase).map_or_else(String::new, state));
            table.add_row(std::iter::once(node.to_string()).chain(states).map(Cell::new));
        }
        let mut text = table.to_string();
        if shown < total {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{shown} of {total} nodes shown: only those that did not succeed");
        }
        if let Some(DryRun { changes, not_checked }) = &cells.dry_run {
            let _ = write!(
                text,
                "\nDry run: {changes} change(s) would be made; {not_checked} operation(s) could not be checked."
            );
        }
        text
    }
}

fn state((status, skipped, millis): &(NodeStatus, bool, u64)) -> String {
    if *skipped { format!("{status} (before)") } else { format!("{status} {:.2} s", *millis as f64 / 1000.0) }
}
