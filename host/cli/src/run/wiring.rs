//! Puts the parts together, lets the engine work, and waits for the server at the end.

use std::sync::Arc;
use std::time::Duration;

use autoexec_console::{ConsoleClient, OutboxHandle};
use autoexec_control::{ControlSettings, JobControl, LockIdentity, LockServer, LockSettings};
use autoexec_engine::ports::Reporter;
use autoexec_engine::{Engine, JobEnvironment, Request, RunSettings};
use autoexec_events::{ExitCode, Outcome};
use autoexec_model::JobId;
use autoexec_model::command_line::ShellExpansion;
use autoexec_plan::JobPlan;
use autoexec_report::logfile::{ConsoleLog, LogClock};
use autoexec_report::{
    ConsoleLogReporter, Detached, DetachedEnd, FileLogs, JournalReporter, JsonLines, Lossy, OutboxReporter,
    Summary, SummaryTable, Terminal,
};
use autoexec_runners::{
    InlineScripts, RunnerSettings, Scripts, ServerScripts, SitePolicy, SiteSupply, Surroundings, ToolRunners,
};
use autoexec_store::{Cache, Home, JobDir, Journal, NodeRecords};
use autoexec_transport::ssh::{HostKeyPolicy, SshAuth, SshConnector, SshSettings};
use autoexec_transport::tagent::{TagentConnector, TagentSettings};
use tokio::sync::{mpsc, watch};

use super::input::Prepared;
use super::job_store::JobStore;
use super::{Face, outbox, surroundings};
use crate::CliError;
use crate::config::HostKeys;
use crate::script_source::ScriptSource;
use crate::services::Services;
use crate::signals::Signals;

/// Requests that may wait; more senders than that wait in turn.
const REQUEST_QUEUE: usize = 1024;

/// After this time an agent ends a command, as the replaced executor asked for.
const TAGENT_COMMAND_LIMIT: std::time::Duration = std::time::Duration::from_hours(24);
/// How long the end of an aborted run waits for whoever reads its progress. Everything is on disk by then.
const READER_WAIT_AFTER_ABORT: Duration = Duration::from_secs(2);

pub(super) async fn run(
    home: &Home,
    prepared: Prepared,
    console: Arc<ConsoleLog>,
    signals: Signals,
) -> Result<Outcome, CliError> {
    let policy = crate::policy::site_policy(home)?;
    let rules = crate::tool::rules(home, prepared.config.autoexec.signatures)?;
    let guards = Guards { policy, supply: Arc::new(SiteSupply::new(rules)) };
    let store = JobStore::open(&prepared, &console).await?;
    let (requests, receiver) = mpsc::channel(REQUEST_QUEUE);
    let (ending, asked_to_end) = watch::channel(false);
    tokio::spawn(signals.forward(requests.clone(), ending));
    let outbox = match &prepared.client {
        Some(client) if !prepared.request.dev_mode => {
            Some(outbox::open(&prepared.job_dir, client, &console, &requests)?)
        }
        _ => None,
    };
    let control = listen(home, &prepared, &store, &requests)?;
    let surroundings = surroundings::gather(home, &prepared, &store, &control, &requests);
    let outbox_handle = outbox.as_ref().map(|outboxes| &outboxes.own);
    let Reporters { all: reporters, table, reader } = reporters(&prepared, &console, &store, outbox_handle)?;
    let outbox_wait = prepared.config.autoexec.outbox_wait;
    let (face, reading_ends) = (prepared.request.face, asked_to_end.clone());
    let (engine, connector) = engine(home, prepared, control, store.records(), (guards, surroundings))?;
    let mut outcome = engine.run(reporters, receiver).await;
    let connections = tokio::spawn(async move { connector.close().await });
    store.finish(&console);
    if let Some(outbox) = outbox {
        outcome.undelivered = outbox::drain(&outbox, outbox_wait, asked_to_end, &console).await;
    }
    if let Some(reader) = reader {
        wait_for_reader(reader, reading_ends).await?;
    }
    if face == Face::Human {
        crate::print(&format!("{}\n", table.render()))?;
    }
    // They have had the time of all that.
    let _ = connections.await;
    Ok(outcome)
}

/// Whoever reads the progress from a pipe may take its time, as with any program; a signal ends the wait.
async fn wait_for_reader(
    reader: DetachedEnd,
    mut asked_to_end: watch::Receiver<bool>,
) -> Result<(), CliError> {
    let aborted = *asked_to_end.borrow_and_update();
    tokio::select! {
        () = reader.wait() => Ok(()),
        Ok(()) = asked_to_end.changed() => Err(nobody_reads()),
        () = tokio::time::sleep(READER_WAIT_AFTER_ABORT), if aborted => Err(nobody_reads()),
    }
}

fn nobody_reads() -> CliError {
    CliError::new(ExitCode::Interrupted, "the run is over, but nobody took the rest of its progress")
        .hint("autoexec status tells what became of the nodes")
}

/// Opens the job socket. It listens until the engine ends it.
fn listen(
    home: &Home,
    prepared: &Prepared,
    store: &JobStore,
    requests: &mpsc::Sender<Request>,
) -> Result<JobControl, CliError> {
    let lock_server = match &prepared.client {
        Some(client) if !prepared.request.dev_mode => LockServer::Console(Arc::clone(client)),
        _ => LockServer::DevMode,
    };
    let settings = ControlSettings {
        job_dir: prepared.job_dir.clone(),
        identity: LockIdentity {
            job: prepared.job.clone(),
            runner: prepared.runner,
            instance: prepared.instance.clone(),
        },
        lock_server,
        locks: LockSettings::default(),
        documents: store.documents(home),
    };
    JobControl::listen(settings, requests.clone()).map_err(CliError::files)
}

struct Reporters {
    all: Vec<Box<dyn Reporter>>,
    table: SummaryTable,
    /// The reporter whose reader may stall, where there is one.
    reader: Option<DetachedEnd>,
}

impl Reporters {
    fn add_detached(&mut self, reporter: impl Lossy + 'static) -> Result<(), CliError> {
        let started = Detached::start(reporter);
        let (detached, end) = started.map_err(|error| {
            CliError::new(ExitCode::Internal, format!("can not start a thread for the progress: {error}"))
        })?;
        self.all.push(Box::new(detached));
        self.reader = Some(end);
        Ok(())
    }
}

fn reporters(
    prepared: &Prepared,
    console: &Arc<ConsoleLog>,
    store: &JobStore,
    outbox: Option<&OutboxHandle>,
) -> Result<Reporters, CliError> {
    // The journal comes first: what it does not have has not happened.
    let journal = Journal::create(&prepared.job_dir).map_err(CliError::files)?;
    let mut reporters: Vec<Box<dyn Reporter>> =
        vec![Box::new(JournalReporter::new(journal)), Box::new(ConsoleLogReporter::new(Arc::clone(console)))];
    // Before the outbox: whoever is told that a phase is over may look for its outputs.
    reporters.extend(store.reporter());
    if let Some(outbox) = outbox {
        reporters.push(Box::new(OutboxReporter::new(outbox.clone(), prepared.job.clone(), prepared.runner)));
    }
    let summary = Summary::default();
    let mut all = Reporters { all: reporters, table: summary.table(), reader: None };
    match prepared.request.face {
        Face::None => {}
        Face::Human => {
            all.add_detached(Terminal::stderr())?;
            all.all.push(Box::new(summary));
        }
        Face::Json => all.add_detached(JsonLines::new(std::io::stdout()))?,
    }
    Ok(all)
}

/// What stands between a job and its tools.
struct Guards {
    policy: Arc<SitePolicy>,
    supply: Arc<SiteSupply>,
}

fn engine(
    home: &Home,
    prepared: Prepared,
    control: JobControl,
    records: Arc<dyn NodeRecords>,
    (guards, surroundings): (Guards, Surroundings),
) -> Result<(Engine, SshConnector), CliError> {
    let Prepared { request, config, job_dir, job, runner, exec_user, tenant, client, params, .. } = prepared;
    let plan = JobPlan::new(&params, &request.filter);
    let mut ssh_keys = request.ssh_keys;
    let identities = config.autoexec.identities.iter().cloned();
    let passphrase = &config.autoexec.identity_passphrase;
    ssh_keys.extend(identities.map(|path| SshAuth::KeyFile { path, passphrase: passphrase.clone() }));
    if config.autoexec.ssh_agent && !ssh_keys.iter().any(|way| matches!(way, SshAuth::Agent)) {
        ssh_keys.push(SshAuth::Agent);
    }
    let settings = ssh_settings(home, &config);
    let (settings, conduct) = crate::ssh_file::complete(settings, home, &ssh_keys)?;
    let connector = SshConnector::new(settings);
    let expansion = if config.autoexec.live_shell { ShellExpansion::Compatible } else { ShellExpansion::Off };
    let runners = ToolRunners::new(
        RunnerSettings {
            home: home.clone(),
            job_dir: job_dir.clone(),
            job: job.clone(),
            exec_user: exec_user.clone(),
            tenant,
            key: config.key.clone(),
            expansion,
            keep_failed_directory: config.autoexec.keep_failed_directory,
            ssh_keys,
            ssh_ways: request.ssh_ways,
            conduct,
            policy: guards.policy,
            supply: guards.supply,
            compiled_cache: home.compiled_tools(),
            ca_bundle: config.autoexec.plugin_ca_file.clone(),
            surroundings,
            tape: request.tape,
        },
        connector.clone(),
        TagentConnector::new(tagent_settings(&config)),
        scripts(client.as_ref(), &job, &job_dir),
    );
    let services = Services {
        client,
        job: job.clone(),
        runner,
        job_dir: job_dir.clone(),
        cache: Cache::new(home),
        fetched: std::sync::Mutex::default(),
        instance: prepared.instance,
        control,
    };
    let engine = Engine {
        settings: RunSettings {
            job,
            runner,
            first_fire: request.first_fire,
            force: request.force,
            check: request.check,
            fire_next: request.fire_next,
            filter: request.filter,
            key: config.key,
            options: prepared.options,
            secret_outputs: prepared.secret_outputs,
            round_limit: config.autoexec.longest_wait,
            shell_in_setenv: config.autoexec.shell_in_setenv,
            job_dir: job_dir.clone(),
        },
        plan,
        environment: JobEnvironment::new(prepared.environment),
        nodes: Box::new(prepared.nodes),
        records,
        runners: Box::new(runners),
        logs: Box::new(FileLogs::new(job_dir, exec_user, LogClock::system())),
        services: Box::new(services),
    };
    Ok((engine, connector))
}

/// Without a server only scripts whose text stands in the parameters can run.
fn scripts(client: Option<&Arc<ConsoleClient>>, job: &JobId, job_dir: &JobDir) -> Arc<dyn Scripts> {
    match client {
        Some(client) => {
            let source = ScriptSource { client: Arc::clone(client), job: job.clone() };
            Arc::new(ServerScripts::new(job_dir.clone(), Arc::new(source)))
        }
        None => Arc::new(InlineScripts::new(job_dir.clone())),
    }
}

fn ssh_settings(home: &Home, config: &crate::config::Config) -> SshSettings {
    let limits = &config.autoexec;
    let known_hosts =
        limits.known_hosts.clone().unwrap_or_else(|| home.root().join("conf").join("known_hosts"));
    SshSettings {
        connect_timeout: limits.connect_timeout,
        read_timeout: Some(limits.read_timeout),
        write_timeout: limits.write_timeout,
        host_keys: match limits.host_keys {
            HostKeys::Tofu => HostKeyPolicy::TrustOnFirstUse,
            HostKeys::Strict => HostKeyPolicy::Strict,
            HostKeys::Accept => HostKeyPolicy::AcceptAll,
        },
        max_connections: limits.max_connections,
        ..SshSettings::new(known_hosts)
    }
}

fn tagent_settings(config: &crate::config::Config) -> TagentSettings {
    let limits = &config.autoexec;
    TagentSettings {
        connect_timeout: limits.connect_timeout,
        read_timeout: Some(limits.read_timeout),
        write_timeout: limits.write_timeout,
        command_limit: TAGENT_COMMAND_LIMIT,
        max_connections: limits.max_connections,
    }
}
