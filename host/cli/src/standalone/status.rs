//! `autoexec status`: what the status files of a job say.

use std::path::Path;

use autoexec_events::ExitCode;
use autoexec_model::{JobParams, NodeKey, NodeStatus, OpStatus, PhaseName};
use autoexec_store::{JobDir, Loaded, NodeState};
use comfy_table::Table;
use indexmap::{IndexMap, IndexSet};
use serde::Serialize;

use super::place::parse_id;
use crate::CliError;
use crate::args::{Output, StatusArgs};

#[derive(Debug, Serialize)]
struct JobState {
    job: String,
    directory: std::path::PathBuf,
    phases: Vec<PhaseState>,
}

#[derive(Debug, Serialize)]
struct PhaseState {
    phase: PhaseName,
    nodes: IndexMap<String, RecordedNode>,
}

#[derive(Debug, Serialize)]
struct RecordedNode {
    status: Option<NodeStatus>,
    warnings: u64,
    operations: IndexMap<String, OpStatus>,
    /// Why the file cannot be used.
    problem: Option<String>,
}

/// `autoexec status`.
pub(crate) fn status(arguments: StatusArgs) -> Result<ExitCode, CliError> {
    let home = super::existing_home()?;
    let job = parse_id(&arguments.id)?;
    let dir = home.job(&job);
    let text = std::fs::read(dir.params()).map_err(|error| {
        CliError::bad_input(format!("job {job}: {}: {error}", dir.params().display())).hint(format!(
            "the jobs of this home are in {}; AUTOEXEC_HOME names another home",
            home.jobs().display()
        ))
    })?;
    let name = dir.params().display().to_string();
    let params = JobParams::parse(&text, &name).map_err(CliError::bad_input)?;
    let phases = params.groups.iter().flat_map(|group| &group.phases).map(|phase| &phase.name);
    let phases = phases.map(|phase| read_phase(&dir, phase)).collect::<Result<_, _>>()?;
    let state = JobState { job: job.to_string(), directory: dir.root().to_owned(), phases };
    match arguments.output {
        Output::Json => super::print_json(&serde_json::to_value(&state).unwrap_or_default())?,
        Output::Human => crate::print(&render(&state))?,
    }
    Ok(ExitCode::Success)
}

fn read_phase(dir: &JobDir, phase: &PhaseName) -> Result<PhaseState, CliError> {
    let directory = dir.statuses().join(phase.as_str());
    let mut nodes = IndexMap::new();
    for key in node_keys(&directory)? {
        let path = directory.join(format!("{key}.json"));
        let node = match NodeState::load(&path).map_err(CliError::files)? {
            // Removed between listing and reading.
            Loaded::Missing => continue,
            Loaded::Broken { reason } => {
                RecordedNode { status: None, warnings: 0, operations: IndexMap::new(), problem: Some(reason) }
            }
            Loaded::Found(state) => recorded(state),
        };
        nodes.insert(key, node);
    }
    Ok(PhaseState { phase: phase.clone(), nodes })
}

fn recorded(state: NodeState) -> RecordedNode {
    RecordedNode {
        status: Some(state.status),
        warnings: state.warn_count,
        operations: state.operations.into_iter().map(|(id, status)| (id.to_string(), status)).collect(),
        problem: None,
    }
}

/// Names of the status files, sorted, the local node first.
fn node_keys(directory: &Path) -> Result<Vec<String>, CliError> {
    let complain =
        |error: std::io::Error| CliError::files(format!("can not read {}: {error}", directory.display()));
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(complain)?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let name = entry.map_err(complain)?.file_name();
        let key =
            name.to_str().and_then(|name| name.strip_suffix(".json")).filter(|name| !name.starts_with('.'));
        keys.extend(key.map(str::to_owned));
    }
    let local = NodeKey::local();
    keys.sort_by_key(|key| (key != local.as_str(), key.clone()));
    Ok(keys)
}

fn render(state: &JobState) -> String {
    let mut table = Table::new();
    let header = state.phases.iter().map(|phase| phase.phase.to_string());
    table.set_header(std::iter::once("node".to_owned()).chain(header));
    let nodes: IndexSet<&String> = state.phases.iter().flat_map(|phase| phase.nodes.keys()).collect();
    for node in &nodes {
        let cells = state.phases.iter().map(|phase| phase.nodes.get(*node).map_or_else(String::new, cell));
        table.add_row(std::iter::once((*node).clone()).chain(cells));
    }
    let body = if nodes.is_empty() { "nothing was started yet".to_owned() } else { table.to_string() };
    format!("Job {}\n{body}\nFiles: {}\n", state.job, state.directory.display())
}

fn cell(node: &RecordedNode) -> String {
    let Some(status) = node.status else { return "unreadable".to_owned() };
    let failed =
        node.operations.iter().filter(|(_, status)| matches!(status, OpStatus::Failed | OpStatus::Unknown));
    let failed: Vec<&str> = failed.map(|(id, _)| id.as_str()).collect();
    let at = if failed.is_empty() || !status.is_failure() {
        String::new()
    } else {
        format!(" at {}", failed.join(", "))
    };
    let warnings = if node.warnings == 0 { String::new() } else { format!(", {} warning(s)", node.warnings) };
    format!("{status}{at}{warnings}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_statuses_failures_and_broken_files() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = JobDir::at(temporary.path());
        let (one, two) = (PhaseName::new("one").unwrap(), PhaseName::new("two").unwrap());
        let key = NodeKey::new("h", None, autoexec_model::ResourceId(1));
        for phase in [&one, &two] {
            dir.prepare_unit(phase, &key).unwrap();
        }
        let mut state = NodeState { status: NodeStatus::Failed, warn_count: 2, ..NodeState::default() };
        state.operations.insert(autoexec_model::OpId::new("b/t_1").unwrap(), OpStatus::Failed);
        state.save(&dir.node_status(&one, &key)).unwrap();
        std::fs::write(dir.node_status(&two, &key), "{").unwrap();
        let phases = vec![read_phase(&dir, &one).unwrap(), read_phase(&dir, &two).unwrap()];
        let state = JobState { job: "7".to_owned(), directory: temporary.path().to_owned(), phases };
        let text = render(&state);
        assert!(text.contains("failed at b/t_1, 2 warning(s)") && text.contains("unreadable"), "{text}");
        let json = serde_json::to_value(&state).unwrap();
        assert_eq!(json["phases"][0]["nodes"]["h--1"]["operations"]["b/t_1"], "failed");
    }

    #[test]
    fn a_phase_that_was_not_started_has_no_nodes() {
        let temporary = tempfile::tempdir().unwrap();
        let phase = read_phase(&JobDir::at(temporary.path()), &PhaseName::new("p").unwrap()).unwrap();
        assert!(phase.nodes.is_empty());
    }
}
