//! Everything a run or a plan needs, read from the job file, the inventory and the command line.

use autoexec_events::ExitCode;
use autoexec_model::{JobParams, OpId, OperationBody, PhaseName, Protocol};
use autoexec_plan::{Filter, JobPlan};
use autoexec_store::Home;
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::inventory::Inventory;
use super::job_file::JobFile;
use super::source::{FileError, Source};
use super::tools::Tools;
use super::translate::{Translated, translate};
use super::values::GivenFile;
use super::vault::{self, Vault};
use crate::CliError;
use crate::args::{JobArgs, node_list, phase_list, split_list};
use crate::config::MisspelledKey;

/// A job, its nodes and what of them is to be run.
pub(super) struct Setup {
    /// What people call the job.
    pub(super) name: String,
    /// Parameters as they will be stored.
    pub(super) value: Map<String, Value>,
    /// The same, parsed.
    pub(super) params: JobParams,
    /// Nodes and keys.
    pub(super) inventory: Inventory,
    /// What of the job is to be run.
    pub(super) filter: Filter,
    /// Ids of operations whose outputs are shown at the end.
    pub(super) reported: Vec<OpId>,
    /// Files for the job's `file` directory.
    pub(super) files: Vec<GivenFile>,
    /// Where secrets are kept.
    pub(super) vault: Vault,
    /// What of the configuration has no effect, to be told: the console log that has it too is not looked at first.
    pub(super) misspelled: Vec<MisspelledKey>,
}

impl Setup {
    /// Reads and checks everything; has no effect.
    pub(super) fn read(home: &Home, arguments: &JobArgs) -> Result<Self, CliError> {
        let config = vault::configuration(home)?;
        let vault = Vault::new(&config)?;
        let source = Source::read(&arguments.job)?;
        let options = options(&arguments.options)?;
        let job = read_job(&source, &options, home, &vault)?;
        let params = JobParams::from_value(&job.params, &source.name()).map_err(CliError::bad_input)?;
        let inventory = match &arguments.inventory {
            Some(path) => Inventory::read(&Source::read(path)?, &vault)?,
            None => Inventory::default(),
        };
        let filter = filter(arguments, &inventory)?;
        let plan = checked_plan(&params, &filter, &source)?;
        if arguments.inventory.is_none() {
            refuse_node_phases(&plan)?;
        }
        let site_has_keys = !config.autoexec.identities.is_empty() || config.autoexec.ssh_agent;
        require_logins(&plan, &inventory, &filter, site_has_keys)?;
        let reported = if job.reported.is_empty() { of_last_phase(&params) } else { ids(&job.reported) };
        let Value::Object(value) = job.params else {
            return Err(CliError::bad_input(format!("{}: not an object", source.name())));
        };
        Ok(Self {
            name: job.name,
            value,
            params,
            inventory,
            filter,
            reported,
            files: job.files,
            vault,
            misspelled: config.misspelled,
        })
    }
}

fn read_job(
    source: &Source,
    options: &IndexMap<String, String>,
    home: &Home,
    vault: &Vault,
) -> Result<Translated, FileError> {
    let value: Value = source.parse()?;
    if value.get("runFlow").is_some() {
        return server_form(source, value, options, vault);
    }
    translate(source, &source.parse::<JobFile>()?, options, &Tools::new(home.clone()), vault)
}

/// Parameters as a server sends them are taken as they are.
fn server_form(
    source: &Source,
    mut params: Value,
    options: &IndexMap<String, String>,
    vault: &Vault,
) -> Result<Translated, FileError> {
    let at = source.root();
    admit_all(&params, vault).map_err(|problem| at.complain(problem))?;
    for (name, text) in options {
        let slot = params.get_mut("opt").and_then(|opt| opt.get_mut(name));
        let slot =
            slot.ok_or_else(|| at.field("opt").complain(format_args!("the job has no option `{name}`")))?;
        *slot = Value::String(text.clone());
    }
    let name = params.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok(Translated {
        name: name.unwrap_or_else(|| source.name()),
        params,
        reported: Vec::new(),
        files: Vec::new(),
    })
}

fn admit_all(value: &Value, vault: &Vault) -> Result<(), String> {
    match value {
        Value::String(text) => vault.admit(text),
        Value::Array(elements) => elements.iter().try_for_each(|element| admit_all(element, vault)),
        Value::Object(members) => members.values().try_for_each(|member| admit_all(member, vault)),
        _ => Ok(()),
    }
}

fn usage(text: impl std::fmt::Display) -> CliError {
    CliError::new(ExitCode::Usage, text.to_string())
}

fn options(given: &[String]) -> Result<IndexMap<String, String>, CliError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        // The text may be a value that was meant to be secret.
        _ => Err(usage("-o: expected NAME=VALUE")),
    };
    given.iter().map(pair).collect()
}

fn filter(arguments: &JobArgs, inventory: &Inventory) -> Result<Filter, CliError> {
    let words = split_list(arguments.limit.as_deref().unwrap_or_default());
    let nodes = if words.is_empty() {
        let nodes = node_list(arguments.nodes.as_deref()).map_err(usage)?;
        let known = |id| inventory.nodes.iter().any(|node| node.node.resource == id);
        if let Some(unknown) = nodes.iter().find(|id| !known(**id)) {
            return Err(usage(format_args!("--nodes: no node of the inventory has the id {unknown}")));
        }
        nodes
    } else {
        inventory.select(&words).map_err(|problem| usage(format_args!("--limit: {problem}")))?
    };
    let phases = phase_list(arguments.phases.as_deref()).map_err(usage)?;
    Ok(Filter { groups: Vec::new(), phases, nodes })
}

fn checked_plan(params: &JobParams, filter: &Filter, source: &Source) -> Result<JobPlan, CliError> {
    let plan = JobPlan::new(params, filter);
    match plan.unknown_phases.first() {
        None => Ok(plan),
        Some(unknown) => {
            let phases = params.groups.iter().flat_map(|group| &group.phases);
            let known: Vec<&str> = phases.map(|phase| phase.name.as_str()).collect();
            Err(usage(format_args!(
                "--phases: {} has no phase `{unknown}`; it has: {}",
                source.name(),
                known.join(", ")
            )))
        }
    }
}

fn refuse_node_phases(plan: &JobPlan) -> Result<(), CliError> {
    let mut phases = plan.groups.iter().flat_map(|group| &group.phases);
    match phases.find(|phase| !phase.phase.kind.is_local()) {
        None => Ok(()),
        Some(phase) => {
            Err(CliError::bad_input(format!("phase {} runs on nodes, and there are none", phase.phase.name))
                .hint("give an inventory with -i FILE; docs/standalone.md shows one"))
        }
    }
}

/// A node that nobody could log in to fails before anything is done on the others.
fn require_logins(
    plan: &JobPlan,
    inventory: &Inventory,
    filter: &Filter,
    site_has_keys: bool,
) -> Result<(), CliError> {
    let Some(phase) = phase_with_logins(plan) else { return Ok(()) };
    let mut selected =
        inventory.nodes.iter().map(|node| &node.node).filter(|node| filter.takes_node(node.resource));
    // Keys are for SSH only.
    let keyless = |node: &&autoexec_model::Node| node.protocol == Protocol::Tagent && !node.has_password();
    if let Some(node) = selected.clone().find(keyless) {
        return Err(CliError::bad_input(format!(
            "phase {phase} works on node {} ({}) through its agent, and the node has no password",
            node.name, node.host
        ))
        .hint("give the node the agent's credential as its `password`"));
    }
    if site_has_keys || !inventory.keys.is_empty() {
        return Ok(());
    }
    let locked = |node: &&autoexec_model::Node| node.protocol == Protocol::Ssh && !node.has_password();
    match selected.find(locked) {
        None => Ok(()),
        Some(node) => Err(CliError::bad_input(format!(
            "phase {phase} logs in to node {} ({}), which has no password, and no key is named",
            node.name, node.host
        ))
        .hint("give the node a `password`, or `defaults` a `key` or `agent: true`, or set ssh.identity or ssh.agent in conf/config.ini")),
    }
}

fn phase_with_logins(plan: &JobPlan) -> Option<&PhaseName> {
    let phases = plan.groups.iter().flat_map(|group| &group.phases);
    let mut phases = phases.filter(|phase| !phase.phase.kind.is_local());
    phases.find(|phase| phase.phase.has_work_on_targets()).map(|phase| &phase.phase.name)
}

fn ids(texts: &[String]) -> Vec<OpId> {
    texts.iter().filter_map(|text| OpId::new(text.as_str()).ok()).collect()
}

/// Operations of the last phase that declare outputs.
fn of_last_phase(params: &JobParams) -> Vec<OpId> {
    let mut reported = Vec::new();
    if let Some(phase) = params.groups.iter().flat_map(|group| &group.phases).last() {
        phase.for_each_operation(|operation| {
            let OperationBody::Call(call) = &operation.body else { return };
            if call.outputs.as_ref().is_some_and(|outputs| !outputs.is_empty()) {
                reported.push(operation.id.clone());
            }
        });
    }
    reported
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(directory: &Path, job: &str, change: impl FnOnce(&mut JobArgs)) -> Result<Setup, String> {
        std::fs::write(directory.join("job.yaml"), job).unwrap();
        std::fs::write(
            directory.join("hosts.yaml"),
            "nodes: [{host: h1, name: a}, {host: h2, name: b, password: x}]\n",
        )
        .unwrap();
        let mut arguments = JobArgs {
            job: directory.join("job.yaml"),
            inventory: Some(directory.join("hosts.yaml")),
            ..JobArgs::default()
        };
        change(&mut arguments);
        Setup::read(&Home::new(directory), &arguments).map_err(|error| error.to_string())
    }

    const TARGET: &str =
        "name: j\nphases:\n- {name: p, on: target, steps: [{script: x, outputs: {n: text}}]}\n";

    #[test]
    fn what_cannot_be_run_is_said_before_anything_runs() {
        let dir = tempfile::tempdir().unwrap();
        let read = |change: fn(&mut JobArgs)| read(dir.path(), TARGET, change).err().unwrap_or_default();
        for (change, expected) in [
            ((|_| {}) as fn(&mut JobArgs), "phase p logs in to node a (h1), which has no password"),
            (
                |arguments| arguments.inventory = None,
                "phase p runs on nodes, and there are none\n  hint: give an inventory with -i",
            ),
            (|arguments| arguments.phases = Some("q".to_owned()), "has no phase `q`; it has: p"),
            (|arguments| arguments.limit = Some("c".to_owned()), "--limit: `c` selects no node"),
            (
                |arguments| arguments.nodes = Some("9".to_owned()),
                "--nodes: no node of the inventory has the id 9",
            ),
            (|arguments| arguments.options = vec!["s3cret".to_owned()], "-o: expected NAME=VALUE"),
            (|arguments| arguments.job = "/none.yaml".into(), "/none.yaml: No such file"),
        ] {
            let error = read(change);
            assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
        }
        assert_eq!(
            read(|arguments| arguments.limit = Some("b".to_owned())),
            "",
            "the selected node has a password"
        );
    }

    #[test]
    fn keys_are_no_login_to_an_agent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("conf")).unwrap();
        let look = |config: &str, nodes: &str| {
            std::fs::write(dir.path().join("conf/config.ini"), format!("[autoexec]\n{config}")).unwrap();
            read(dir.path(), TARGET, |_| std::fs::write(dir.path().join("hosts.yaml"), nodes).unwrap())
                .err()
                .unwrap_or_default()
        };
        let (ssh, agent) =
            ("nodes: [{host: h1, name: a}]\n", "nodes: [{host: h2, name: b, protocol: tagent}]\n");
        for config in ["ssh.identity = /keys/site\n", "ssh.agent = 1\n"] {
            assert_eq!(look(config, ssh), "", "{config}");
            let error = look(config, agent);
            assert!(
                error.contains("node b (h2) through its agent, and the node has no password"),
                "{config}: {error}"
            );
        }
        assert!(look("", ssh).contains("node a (h1), which has no password"));
    }

    #[test]
    fn the_outputs_of_the_last_phase_are_reported_unless_steps_say_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let limit = |arguments: &mut JobArgs| arguments.limit = Some("b".to_owned());
        let setup = read(dir.path(), TARGET, limit).unwrap();
        assert_eq!(setup.reported.iter().map(OpId::as_str).collect::<Vec<_>>(), ["script_1"]);
        let job = TARGET.replace("{script: x, outputs", "{script: x, report: true}, {script: y, outputs");
        let setup = read(dir.path(), &job, limit).unwrap();
        assert_eq!(setup.reported.iter().map(OpId::as_str).collect::<Vec<_>>(), ["script_1"]);
    }

    #[test]
    fn server_parameters_are_taken_as_they_are_and_foreign_secrets_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let params = r#"{"opt": {"a": "1"}, "runFlow": [{"groupNo": 4, "phases": [{"phaseName": "p", "phaseType": "runner", "operations": []}]}]}"#;
        let setup = read(dir.path(), params, |arguments| arguments.options = vec!["a=2".to_owned()]).unwrap();
        assert_eq!((setup.params.groups[0].number.0, &setup.value["opt"]["a"]), (4, &Value::from("2")));
        let secret = params.replace("\"1\"", "\"{RC4}00\"");
        let error = read(dir.path(), &secret, |_| {}).err().unwrap();
        assert!(error.contains("no `password.key`"), "{error}");
    }
}
