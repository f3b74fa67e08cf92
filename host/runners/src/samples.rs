//! Values for the unit tests of this crate.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use autoexec_engine::ports::{OperationCall, UnitInfo};
use autoexec_model::command_line::{Purpose, ShellExpansion};
use autoexec_model::reference::{Found, Lookup};
use autoexec_model::value::{Inputs, NodeVariables, resolve_inputs};
use autoexec_model::{Call, GroupNo, JobId, JobParams, Node, Operation, OperationBody, SecretKey};
use autoexec_plan::{Filter, JobPlan, PlannedPhase};
use autoexec_store::Home;
use autoexec_transport::ssh::{ConnectionWorker, HostKeyPolicy, SshConnector, SshSettings, WorkerProgram};
use autoexec_transport::tagent::{TagentConnector, TagentSettings};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::capabilities::Surroundings;
use crate::permits::SitePolicy;
use crate::scripts::InlineScripts;
use crate::settings::{RunnerSettings, Shared, ToolRunners};

/// What holds SSH connections: the running tests, started anew for one that is none.
fn ssh_worker() -> WorkerProgram {
    let arguments = ["--ignored", "--exact", "samples::holds_ssh_connections"];
    WorkerProgram { path: "/proc/self/exe".into(), arguments: arguments.map(Into::into).to_vec() }
}

#[test]
#[ignore = "a part of the tests that connect over SSH, which start it as a process of its own"]
fn holds_ssh_connections() {
    ConnectionWorker::confined().unwrap().serve().unwrap();
}

/// A phase with one operation, read from JSON of the server's form.
fn phase_from(operation: &Value) -> PlannedPhase {
    let params = json!({"runFlow": [{"groupNo": 0, "phases": [
        {"phaseName": "check", "phaseType": "target", "operations": [operation]}]}]});
    let params = JobParams::from_value(&params, "sample").unwrap();
    JobPlan::new(&params, &Filter::default()).groups[0].phases[0].clone()
}

/// An operation read from JSON of the server's form.
pub(crate) fn operation_from(value: &Value) -> Operation {
    phase_from(value).phase.operations[0].clone()
}

/// A custom script with its text.
pub(crate) fn operation(name: &str, id: &str, interpreter: &str) -> Operation {
    let mut value =
        json!({"opName": name, "opId": id, "opType": "target", "isScript": 1, "scriptContent": "exit 0"});
    value["interpreter"] = interpreter.into();
    operation_from(&value)
}

/// No server, database, locks, lists or persons.
fn nothing_around() -> Surroundings {
    Surroundings {
        server: Err("no server".to_owned()),
        documents: Err("no documents".to_owned()),
        locks: Err("no locks".to_owned()),
        nodes: Err("no lists".to_owned()),
        questions: Err("no person".to_owned()),
        runtime: RUNTIME.handle().clone(),
    }
}

/// Samples are made with and without a runtime around them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A home with a job, and what its runners share.
pub(crate) struct Sample {
    dir: tempfile::TempDir,
    pub(crate) shared: Arc<Shared>,
}

impl Sample {
    pub(crate) fn new(expansion: ShellExpansion) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let job_dir = autoexec_store::JobDir::at(dir.path().join("job"));
        let settings = RunnerSettings {
            home: Home::new(dir.path()),
            job_dir: job_dir.clone(),
            job: JobId::new("620011").unwrap(),
            exec_user: "u".to_owned(),
            tenant: "demo".to_owned(),
            key: SecretKey::new("k3y-for-tests-0123456789abcdefgh"),
            expansion,
            keep_failed_directory: false,
            ssh_keys: Vec::new(),
            ssh_ways: std::collections::HashMap::new(),
            conduct: crate::SshConduct::default(),
            policy: Arc::new(SitePolicy::new(
                autoexec_grants::Policy::built_in("conf/policy/site.toml").unwrap(),
                &dir.path().join("policy-audit.jsonl"),
            )),
            supply: Arc::default(),
            compiled_cache: dir.path().join("cache"),
            ca_bundle: None,
            surroundings: nothing_around(),
            tape: None,
        };
        let connector = SshConnector::new(SshSettings {
            connect_timeout: Duration::from_secs(30),
            host_keys: HostKeyPolicy::TrustOnFirstUse,
            worker: ssh_worker(),
            ..SshSettings::new(dir.path().join("known_hosts"))
        });
        let agents = TagentConnector::new(TagentSettings {
            connect_timeout: Duration::from_secs(30),
            read_timeout: None,
            write_timeout: Duration::from_secs(30),
            command_limit: Duration::from_mins(1),
            max_connections: 2,
        });
        let scripts = Arc::new(InlineScripts::new(job_dir));
        Self { shared: ToolRunners::new(settings, connector, agents, scripts).shared, dir }
    }

    /// The directory of everything.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A unit of a target node.
    pub(crate) fn unit(&self, operation: &Value) -> UnitInfo {
        UnitInfo {
            group: GroupNo(3),
            phase: Arc::new(phase_from(operation)),
            node: Arc::new(node()),
            nodes_path: self.dir().join("job/nodes-ph-check.json"),
        }
    }

    pub(crate) fn call_parts(&self, operation: &Operation) -> CallParts {
        let OperationBody::Call(call) = &operation.body else { panic!("{operation:?} is no call") };
        let (inputs, _) =
            resolve_inputs(call, &NoVariables, &self.shared.settings.key).unwrap().finish().unwrap();
        CallParts {
            call: call.clone(),
            inputs,
            environment: IndexMap::new(),
            variables: NodeVariables::new(
                &node(),
                &Map::new(),
                &Map::new(),
                Some("shop/cart/SIT"),
                Some("11/22/33"),
            ),
        }
    }
}

/// A target with the password `s3cret-Pa55`, encrypted as the server does.
fn node() -> Node {
    let node = json!({"resourceId": 71, "host": "10.1.0.1", "port": 8080, "protocol": "ssh", "protocolPort": 22,
        "nodeName": "web-1", "username": "app", "password": "{RC4}d94cf101ca62a06c8680c8"});
    Node::from_object(node.as_object().unwrap().clone()).unwrap()
}

/// What a call borrows.
pub(crate) struct CallParts {
    call: Call,
    inputs: Inputs,
    pub(crate) environment: IndexMap<String, String>,
    pub(crate) variables: NodeVariables,
}

impl CallParts {
    pub(crate) fn call<'a>(&'a self, operation: &'a Operation) -> OperationCall<'a> {
        OperationCall {
            purpose: Purpose::Run,
            operation,
            call: &self.call,
            inputs: &self.inputs,
            environment: &self.environment,
            node_variables: &self.variables,
            is_last_there: false,
        }
    }
}

struct NoVariables;

impl Lookup for NoVariables {
    fn variable(&self, _: &str) -> Option<Found<'_>> {
        None
    }

    fn output(&self, _: &str, _: &str) -> Option<Found<'_>> {
        None
    }
}
