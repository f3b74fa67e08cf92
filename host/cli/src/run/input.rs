//! Reads what the job is: parameters, nodes, options, environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use autoexec_console::{ConsoleClient, ConsoleSettings, DeployIds, DeployNames, PassThrough, UnixTime};
use autoexec_control::plugin_address;
use autoexec_events::{ExitCode, Level};
use autoexec_model::value::JobOptions;
use autoexec_model::{JobId, JobParams, OperationBody, RunnerId};
use autoexec_report::logfile::ConsoleLog;
use autoexec_store::{Home, JobDir, atomic};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

use super::request::{NodesSource, ParamsSource, RunRequest};
use crate::CliError;
use crate::config::Config;
use crate::environment::{self, ProcessFacts};
use crate::sources::NodeFiles;

/// Everything that was read.
pub(super) struct Prepared {
    pub(super) request: RunRequest,
    pub(super) config: Config,
    pub(super) job_dir: JobDir,
    /// The id for callbacks: the parameters', else the command line's.
    pub(super) job: JobId,
    pub(super) runner: RunnerId,
    pub(super) exec_user: String,
    pub(super) tenant: String,
    pub(super) client: Option<Arc<ConsoleClient>>,
    pub(super) params: JobParams,
    pub(super) options: JobOptions,
    pub(super) secret_outputs: BTreeSet<(String, String)>,
    pub(super) environment: IndexMap<String, String>,
    pub(super) nodes: NodeFiles,
    /// The exec id, else the process id.
    pub(super) instance: String,
}

pub(super) async fn prepare(
    home: &Home,
    job_dir: &JobDir,
    request: RunRequest,
    config: Config,
    console: &ConsoleLog,
) -> Result<Prepared, CliError> {
    for flag in &request.unknown_flags {
        warn(console, &format!("The flag {flag} is not known and has no effect."));
    }
    for key in &config.misspelled {
        warn(console, &key.to_string());
    }
    let client = connect(home, &config, &request)?;
    let text = read_params(job_dir, &request, client.as_deref(), console).await?;
    let name = job_dir.params().display().to_string();
    let params = JobParams::parse(&text, &name).map_err(CliError::bad_input)?;
    let pass_through = merged(&params.pass_through, &request.pass_through);
    let tenant = params.tenant.clone().unwrap_or_else(|| tenant_before_params(&request.pass_through));
    if let Some(client) = &client {
        client.set_tenant(&tenant).map_err(CliError::bad_input)?;
        client.set_pass_through(PassThrough::new(pass_through.clone()));
    }
    let job = params.job.clone().unwrap_or_else(|| request.job.clone());
    let runner = runner_id(&pass_through);
    let exec_user = exec_user(&request, &params);
    let instance = instance(&request)?;
    let socket = job_dir.socket(&instance);
    let options = JobOptions::resolve(&params.options, &params.global_options, &config.key);
    let facts = ProcessFacts {
        home,
        job: &job,
        job_dir,
        exec_user: &exec_user,
        tenant: &tenant,
        pass_through: request.has_pass_through_flag.then(|| Value::Object(pass_through.clone()).to_string()),
        runner_id: runner.0,
        socket: plugin_address(&socket),
        dev_mode: request.dev_mode,
        deploy_encodings: &config.autoexec.deploy_encodings,
        sql_files: request.sql_files.as_deref(),
    };
    let (mut environment, warnings) = environment::assemble(inherited(), &facts, &params, &options);
    for warning in warnings {
        warn(console, &warning);
    }
    add_deploy_variables(&mut environment, home, client.as_deref()).await?;
    let nodes = NodeFiles {
        client: client.clone().filter(|_| request.nodes == NodesSource::Server && params.run_nodes.is_none()),
        job: job.clone(),
        runner,
        job_dir: job_dir.clone(),
        given: given_nodes(job_dir, &request)?.or_else(|| params.run_nodes.as_ref().map(|_| job_dir.nodes())),
    };
    bring_job_nodes(job_dir, &request, &params, &nodes, console).await?;
    Ok(Prepared {
        secret_outputs: secret_outputs(&params),
        job_dir: job_dir.clone(),
        request,
        config,
        job,
        runner,
        exec_user,
        tenant,
        client,
        params,
        options,
        environment,
        nodes,
        instance,
    })
}

fn warn(console: &ConsoleLog, text: &str) {
    // The log was just opened; if the disk fills up now, the run itself will say so.
    let _ = console.message(Level::Warn, text);
}

fn connect(
    home: &Home,
    config: &Config,
    request: &RunRequest,
) -> Result<Option<Arc<ConsoleClient>>, CliError> {
    let Some(server) = config.server.as_ref().filter(|_| request.needs_server()) else { return Ok(None) };
    let settings = ConsoleSettings {
        tenant: tenant_before_params(&request.pass_through),
        pass_through: PassThrough::new(request.pass_through.clone()),
        ca_file: server.ca_file.clone(),
        dev_mode: request.dev_mode,
        ..ConsoleSettings::new(server.base_url.clone(), server.user.clone(), server.password.clone())
    };
    // Only settings can be wrong here, so the file they stand in is named.
    let named = |error| CliError::bad_input(format!("{}: {error}", home.config_file().display()));
    ConsoleClient::new(settings).map(|client| Some(Arc::new(client))).map_err(named)
}

/// `passThroughEnv.tenant`, `tenant`, `TENANT`, `none` (`spec/cli.md` §1.7).
pub(crate) fn tenant_before_params(pass_through: &Map<String, Value>) -> String {
    let given = pass_through.get("tenant").and_then(Value::as_str).map(str::to_owned);
    let inherited = || ["tenant", "TENANT"].into_iter().find_map(|name| std::env::var(name).ok());
    given.or_else(inherited).filter(|tenant| !tenant.is_empty()).unwrap_or_else(|| "none".to_owned())
}

/// The job's object with the command line's over it.
pub(crate) fn merged(job: &Map<String, Value>, command_line: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = job.clone();
    merged.extend(command_line.clone());
    merged
}

pub(crate) fn runner_id(pass_through: &Map<String, Value>) -> RunnerId {
    let given = pass_through.get("runnerId").and_then(|value| match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let inherited = || std::env::var("RUNNER_ID").ok().and_then(|text| text.trim().parse().ok());
    RunnerId(given.or_else(inherited).unwrap_or(1))
}

fn exec_user(request: &RunRequest, params: &JobParams) -> String {
    let from_params = || match params.exec_user.as_deref() {
        Some("system") => "anonymouse".to_owned(),
        Some(user) => user.to_owned(),
        None => "anonymous".to_owned(),
    };
    request.exec_user.clone().unwrap_or_else(from_params)
}

/// The name of the job socket: the server builds it from the exec id on every runner of a fire.
fn instance(request: &RunRequest) -> Result<String, CliError> {
    match request.exec_id.as_deref().filter(|id| !id.is_empty()) {
        None => Ok(std::process::id().to_string()),
        Some(id)
            if id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') =>
        {
            Ok(id.to_owned())
        }
        Some(_) => Err(CliError::new(ExitCode::Usage, "--execid may hold letters, digits, `-` and `_` only")),
    }
}

fn inherited() -> impl Iterator<Item = (String, String)> {
    // A variable that is not UTF-8 cannot be referred to; plugins of the contract do not need one.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// How long a start that has everything from an earlier one waits for the server's present parameters and nodes.
const REFRESH: Duration = Duration::from_secs(15);

/// Waits for what would be good to have anew; says why it is not.
async fn refresh<T, E: std::fmt::Display>(
    console: &ConsoleLog,
    what: &str,
    fetching: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    let problem = match tokio::time::timeout(REFRESH, fetching).await {
        Ok(Ok(fetched)) => return Some(fetched),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", REFRESH.as_secs()),
    };
    warn(
        console,
        &format!("The {what} of an earlier start are used, the server's can not be had: {problem}"),
    );
    None
}

/// Reads the parameters. Every start fetches them, because the job may have been changed since the last one (defect 21);
/// without an answer, those of an earlier start are good enough.
async fn read_params(
    job_dir: &JobDir,
    request: &RunRequest,
    client: Option<&ConsoleClient>,
    console: &ConsoleLog,
) -> Result<Vec<u8>, CliError> {
    let stored = job_dir.params();
    match &request.params {
        ParamsSource::File(path) => {
            let path = job_dir.root().join(path);
            let text = read(&path)?;
            if path != stored {
                store(&stored, &text)?;
            }
            Ok(text)
        }
        ParamsSource::Server => {
            if request.first_fire || !stored.is_file() {
                let client = client
                    .ok_or_else(|| CliError::bad_input("there is no server to fetch parameters from"))?;
                let text = client.job_parameters(&request.job, None).await.map_err(CliError::server)?;
                store(&stored, &pretty(text).into_bytes())?;
            } else if let Some(client) = client {
                let modified = std::fs::metadata(&stored).and_then(|metadata| metadata.modified()).ok();
                let fetching = client.job_parameters(&request.job, modified.map(UnixTime::from));
                let fetched =
                    refresh(console, "parameters", fetching).await.map(|text| pretty(text).into_bytes());
                let old = read(&stored)?;
                // The file's time tells when the job was changed last.
                match fetched.filter(|text| *text != old) {
                    Some(text) if JobParams::parse(&text, "").is_ok() => store(&stored, &text)?,
                    Some(_) => warn(
                        console,
                        "The server's parameters can not be used, those of an earlier start are.",
                    ),
                    None => {}
                }
            }
            read(&stored)
        }
    }
}

/// The file is read by people and by the runner; what is no JSON is kept as it came, to be complained about.
fn pretty(text: String) -> String {
    let value: Result<Value, _> = serde_json::from_str(&text);
    let pretty = value
        .ok()
        .and_then(|value| autoexec_store::json::to_text(&value, autoexec_store::json::Style::Indented).ok());
    pretty.unwrap_or(text)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path)
        .map_err(|error| CliError::bad_input(format!("job parameters {}: {error}", path.display())))
}

fn store(path: &Path, text: &[u8]) -> Result<(), CliError> {
    atomic::write(path, text, atomic::PRIVATE).map_err(CliError::files)
}

fn given_nodes(job_dir: &JobDir, request: &RunRequest) -> Result<Option<PathBuf>, CliError> {
    let NodesSource::File(path) = &request.nodes else { return Ok(None) };
    let path = job_dir.root().join(path);
    if path.is_file() {
        Ok(Some(path))
    } else {
        Err(CliError::bad_input(format!("node file {}: there is no such file", path.display())))
    }
}

/// Brings `nodes.json`: ad-hoc nodes of the parameters, the given file, or the server's list.
async fn bring_job_nodes(
    job_dir: &JobDir,
    request: &RunRequest,
    params: &JobParams,
    nodes: &NodeFiles,
    console: &ConsoleLog,
) -> Result<(), CliError> {
    let stored = job_dir.nodes();
    if let (NodesSource::Server, Some(run_nodes)) = (&request.nodes, &params.run_nodes) {
        return store(&stored, ad_hoc_nodes(run_nodes, nodes.runner).as_bytes());
    }
    if let Some(given) = &nodes.given {
        if request.first_fire && *given != stored {
            let text = std::fs::read(given)
                .map_err(|error| CliError::bad_input(format!("{}: {error}", given.display())))?;
            store(&stored, &text)?;
        }
        return Ok(());
    }
    if request.first_fire {
        remove_narrower_lists(job_dir)?;
    }
    if request.first_fire || !stored.is_file() {
        nodes.fetch_job_nodes().await.map_err(CliError::server)
    } else {
        refresh(console, "nodes", nodes.fetch_job_nodes()).await;
        Ok(())
    }
}

/// Lists of phases and groups that an earlier start of the job left. The server answers with the same 204 whether such
/// a list is still good or the phase has none any more, so the job starts without them (defect 24).
fn remove_narrower_lists(job_dir: &JobDir) -> Result<(), CliError> {
    let root = job_dir.root();
    let wrong = |error: std::io::Error| CliError::files(format!("node lists in {}: {error}", root.display()));
    for entry in std::fs::read_dir(root).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        let is_list = name.starts_with("nodes-ph-") || name.starts_with("nodes-gp-");
        if is_list && path.extension().is_some_and(|extension| extension == "json") {
            std::fs::remove_file(&path).map_err(wrong)?;
        }
    }
    Ok(())
}

/// A proper node file: header, one line each, own runner id (defect 20).
fn ad_hoc_nodes(nodes: &[Map<String, Value>], runner: RunnerId) -> String {
    let header = serde_json::json!({
        "totalCount": nodes.len(), "localRunnerId": runner.0, "jobRunnerIds": [runner.0]});
    let mut text = format!("{header}\n");
    for node in nodes {
        let mut node = node.clone();
        node.insert("runnerId".to_owned(), runner.0.into());
        text.push_str(&Value::Object(node).to_string());
        text.push('\n');
    }
    text
}

fn secret_outputs(params: &JobParams) -> BTreeSet<(String, String)> {
    let mut secret = BTreeSet::new();
    for phase in params.groups.iter().flat_map(|group| &group.phases) {
        phase.for_each_operation(|operation| {
            let OperationBody::Call(call) = &operation.body else { return };
            let outputs = call.outputs.iter().flatten().filter(|(_, output)| output.is_secret);
            secret.extend(outputs.map(|(name, _)| (operation.id.to_string(), name.clone())));
        });
    }
    secret
}

/// Deploy variables (`spec/job-params.md` §2.10); what the environment does not say is asked from the server.
async fn add_deploy_variables(
    environment: &mut IndexMap<String, String>,
    home: &Home,
    client: Option<&ConsoleClient>,
) -> Result<(), CliError> {
    let Some(mut scope) = environment::deploy_scope(environment) else { return Ok(()) };
    if scope.id_path.is_none() {
        let client = client.ok_or_else(|| {
            CliError::bad_input(
                "DEPLOY_PATH is set without DEPLOY_ID_PATH, and there is no server to ask for the ids",
            )
        })?;
        let mut names = scope.name_path.trim_matches('/').split('/').map(str::to_owned);
        let names = DeployNames {
            sys_name: names.next().unwrap_or_default(),
            module_name: names.next().unwrap_or_default(),
            env_name: names.next(),
        };
        let ids = client.deploy_ids(&names).await.map_err(CliError::server)?;
        scope.id_path = Some(id_path(&ids));
    }
    let ids = scope.id_path.as_deref().and_then(ids_of);
    if let (None, Some(client), Some(ids)) = (&scope.runner_group, client, ids) {
        let group = client.runner_group(&ids).await.map_err(CliError::server)?;
        scope.runner_group = Some(Value::Object(group).to_string());
    }
    let variables = scope.variables(&home.root().display().to_string()).map_err(CliError::bad_input)?;
    environment.extend(variables);
    Ok(())
}

fn id_path(ids: &DeployIds) -> String {
    let environment = ids.env_id.map(|id| format!("/{id}")).unwrap_or_default();
    format!("{}/{}{environment}", ids.sys_id, ids.module_id)
}

/// The ids of `system/module[/environment]`; none where the job's text is not that.
fn ids_of(path: &str) -> Option<DeployIds> {
    let ids: Vec<i64> = path.trim_matches('/').split('/').map(str::parse).collect::<Result<_, _>>().ok()?;
    match ids.as_slice() {
        [sys_id, module_id] => Some(DeployIds { sys_id: *sys_id, module_id: *module_id, env_id: None }),
        [sys_id, module_id, env_id] => {
            Some(DeployIds { sys_id: *sys_id, module_id: *module_id, env_id: Some(*env_id) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_from_their_path() {
        let ids = |env_id| Some(DeployIds { sys_id: 11, module_id: 22, env_id });
        assert_eq!((ids_of("11/22"), ids_of("11/22/33/")), (ids(None), ids(Some(33))));
        assert_eq!((ids_of("11"), ids_of("a/b"), ids_of("1/2/3/4")), (None, None, None));
        assert_eq!(ids_of(&id_path(&ids(Some(33)).unwrap())), ids(Some(33)));
    }

    #[test]
    fn a_new_start_forgets_lists_of_phases_and_groups_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["nodes.json", "nodes-ph-A.json", "nodes-gp-0.json", "nodes-ph-A.json.bak", "params.json"]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        remove_narrower_lists(&JobDir::at(dir.path())).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["nodes-ph-A.json.bak", "nodes.json", "params.json"]);
    }
}
