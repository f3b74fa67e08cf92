//! What all tests need: a server, a client of it, callbacks.

use std::sync::Arc;
use std::time::Duration;

use autoexec_console::{
    Callback, ConsoleClient, ConsoleSettings, ExportedVariable, JobStatusUpdate, NextGroup, NodeStatusUpdate,
    OutboxEvent, OutboxSettings, PassThrough, PhaseStatusUpdate, RetryPolicy, UnixTime,
};
use autoexec_model::{
    GroupNo, JobId, JobStatus, NodeStatus, PhaseName, PhaseStatus, ResourceId, RunnerId, Secret,
};
use autoexec_test_support::server::{Config, ConsoleDouble};
use serde_json::json;
use tokio::sync::mpsc;

/// The token in `passThroughEnv`, which must not appear anywhere but in requests.
pub(crate) const TOKEN: &str = "tok-of-the-person";

/// Long enough for a loaded machine; a test that works never waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn server() -> ConsoleDouble {
    ConsoleDouble::start(Config::default()).unwrap()
}

pub(crate) fn settings(base_url: &str) -> ConsoleSettings {
    let config = Config::default();
    let mut settings = ConsoleSettings::new(base_url, config.user, Secret::new(config.key));
    "demo".clone_into(&mut settings.tenant);
    settings.pass_through = pass_through();
    settings.retry = RetryPolicy {
        attempts: 3,
        first_pause: Duration::from_millis(2),
        longest_pause: Duration::from_millis(5),
    };
    settings
}

pub(crate) fn pass_through() -> PassThrough {
    let object = json!({"runnerId": 1, "EXECUSER_TOKEN": TOKEN});
    PassThrough::new(object.as_object().unwrap().clone())
}

pub(crate) fn client(server: &ConsoleDouble) -> ConsoleClient {
    ConsoleClient::new(settings(&server.base_url())).unwrap()
}

pub(crate) fn job() -> JobId {
    JobId::new("620011223344").unwrap()
}

pub(crate) fn phase(name: &str) -> PhaseName {
    PhaseName::new(name).unwrap()
}

pub(crate) fn at(seconds: f64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

pub(crate) fn node_update(phase_name: &str, node: i64, status: NodeStatus, time: f64) -> NodeStatusUpdate {
    NodeStatusUpdate {
        job: job(),
        group: GroupNo(0),
        phase: phase(phase_name),
        resource: ResourceId(node),
        host: "10.1.0.1".to_owned(),
        port: None,
        status,
        fail_ignore: false,
        warn_count: 0,
        time: at(time),
    }
}

pub(crate) fn phase_update(name: &str, status: PhaseStatus, time: f64) -> PhaseStatusUpdate {
    PhaseStatusUpdate {
        job: job(),
        group: GroupNo(0),
        phase: phase(name),
        status,
        fail_node_count: 1,
        suc_node_count: 2,
        skip_node_count: 3,
        ignore_fail_node_count: 4,
        warn_count: 5,
        time: at(time),
    }
}

pub(crate) fn node(phase_name: &str, node: i64, time: f64) -> Callback {
    Callback::NodeStatus(node_update(phase_name, node, NodeStatus::Running, time))
}

pub(crate) fn phase_end(name: &str, time: f64) -> Callback {
    Callback::PhaseStatus(phase_update(name, PhaseStatus::Succeed, time))
}

pub(crate) fn next_group(time: f64) -> Callback {
    Callback::NextGroup(NextGroup { job: job(), runner: RunnerId(1), group: GroupNo(0), time: at(time) })
}

pub(crate) fn job_paused(time: f64) -> Callback {
    Callback::JobStatus(JobStatusUpdate { job: job(), time: at(time), status: JobStatus::Paused })
}

pub(crate) fn variable(name: &str, value: &str, time: f64) -> Callback {
    Callback::ExportVariable(ExportedVariable {
        job: job(),
        env_name: name.to_owned(),
        env_value: value.to_owned(),
        is_hidden: false,
        time: at(time),
    })
}

/// Settings of an outbox that tries again at once, and what it tells.
pub(crate) fn hasty() -> (OutboxSettings, mpsc::UnboundedReceiver<OutboxEvent>) {
    let (events, told) = mpsc::unbounded_channel();
    let mut settings = OutboxSettings::new(events);
    settings.first_pause = Duration::from_millis(2);
    settings.longest_pause = Duration::from_millis(10);
    settings.longest_drain_pause = Duration::from_millis(10);
    (settings, told)
}

pub(crate) fn shared_client(server: &ConsoleDouble) -> Arc<ConsoleClient> {
    Arc::new(client(server))
}
