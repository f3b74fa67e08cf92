//! Capabilities whose calls are questions with one answer each.

use serde_json::Value;

use super::{Expected, Host, invoke};
use crate::bindings::autoexec::tool as wit;
use crate::snmp::{Binding, SnmpError};

/// Expectations of the capability `net-probe`.
#[derive(Debug)]
pub struct NetProbe<'h>(&'h Host);

/// Expectations of the capability `job-nodes`.
#[derive(Debug)]
pub struct JobNodes<'h>(&'h Host);

/// Expectations of the capability `secret`.
#[derive(Debug)]
pub struct Secrets<'h>(&'h Host);

/// Expectations of the capability `server`.
#[derive(Debug)]
pub struct Server<'h>(&'h Host);

/// Expectations of the capability `documents`.
#[derive(Debug)]
pub struct Documents<'h>(&'h Host);

/// Expectations of the capability `interact`.
#[derive(Debug)]
pub struct Interact<'h>(&'h Host);

/// Expectations of the capability `program`.
#[derive(Debug)]
pub struct Programs<'h>(&'h Host);

/// Expectations of the capability `snmp`.
#[derive(Debug)]
pub struct Snmp<'h>(&'h Host);

type Found = Result<Vec<crate::step_outputs::NodeValue>, wit::step_outputs::QueryError>;

impl Host {
    /// Expects connections and pings.
    pub fn net_probe(&self) -> NetProbe<'_> {
        NetProbe(self)
    }

    /// Expects a question for the values of an output, written as in jobs: `#{phase.bundle/tool_id.name}`.
    pub fn step_outputs(&self, reference: &str) -> Expected<'_, String, Found> {
        let bare = reference.trim_start_matches("#{").trim_end_matches('}').to_owned();
        self.expect_exactly("step-outputs.find", bare)
    }

    /// Expects questions for the nodes of the job.
    pub fn job_nodes(&self) -> JobNodes<'_> {
        JobNodes(self)
    }

    /// Expects questions for secrets.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets(self)
    }

    /// Expects calls of the console server.
    pub fn server(&self) -> Server<'_> {
        Server(self)
    }

    /// Expects the use of shared documents.
    pub fn documents(&self) -> Documents<'_> {
        Documents(self)
    }

    /// Expects that a lock is waited for.
    pub fn lock(&self, name: &str, mode: crate::lock::Mode) -> Expected<'_, (String, String), LockAnswer> {
        self.expect_exactly("lock.acquire", (name.to_owned(), format!("{mode:?}")))
    }

    /// Expects questions to a person.
    pub fn interact(&self) -> Interact<'_> {
        Interact(self)
    }

    /// Expects that programs of the runner are run.
    pub fn programs(&self) -> Programs<'_> {
        Programs(self)
    }

    /// Expects questions to SNMP agents.
    pub fn snmp(&self) -> Snmp<'_> {
        Snmp(self)
    }
}

type LockAnswer = Result<(), wit::lock::LockError>;
type Peer = (String, u16);

impl<'h> NetProbe<'h> {
    /// Expects a connection; the answer is in milliseconds.
    pub fn tcp_connect(
        &self,
        host: &str,
        port: u16,
    ) -> Expected<'h, Peer, Result<u32, wit::net_probe::ProbeError>> {
        self.0.expect_exactly("net-probe.tcp-connect", (host.to_owned(), port))
    }

    /// Expects a ping; the answer is in microseconds.
    pub fn icmp_echo(&self, host: &str) -> Expected<'h, String, Result<u32, wit::net_probe::ProbeError>> {
        self.0.expect_exactly("net-probe.icmp-echo", host.to_owned())
    }
}

impl<'h> JobNodes<'h> {
    /// Expects a question for nodes of a phase, from a number on.
    pub fn list(
        &self,
        phase: &str,
        offset: u32,
    ) -> Expected<'h, (String, u32), Result<Vec<wit::job::Node>, wit::job_nodes::NodesError>> {
        self.0.expect_exactly("job-nodes.list", (phase.to_owned(), offset))
    }
}

type Reference = Result<String, wit::secret::SecretError>;

impl<'h> Secrets<'h> {
    /// Expects a question for a reference.
    pub fn value(&self, name: &str) -> Expected<'h, String, Reference> {
        self.0.expect_exactly("secret.value", name.to_owned())
    }

    /// Expects a question for a reference to an HTTP Basic authorisation.
    pub fn basic_authorization(
        &self,
        username: &str,
        name: &str,
    ) -> Expected<'h, (String, String), Reference> {
        self.0.expect_exactly("secret.basic-authorization", (username.to_owned(), name.to_owned()))
    }
}

impl<'h> Server<'h> {
    /// Expects a call with these parameters.
    pub fn call(
        &self,
        name: &str,
        parameters: Value,
    ) -> Expected<'h, (String, Value), Result<Value, wit::server::ServerError>> {
        self.0.expect_exactly("server.call", (name.to_owned(), parameters))
    }
}

type DocumentResult<T> = Result<T, wit::documents::DocumentError>;

impl<'h> Documents<'h> {
    /// Expects a search with this filter.
    pub fn find(
        &self,
        collection: &str,
        filter: Value,
    ) -> Expected<'h, (String, Value), DocumentResult<Vec<Value>>> {
        self.0.expect_exactly("documents.find", (collection.to_owned(), filter))
    }

    /// Expects that a document is saved. The arguments are the collection, the filter and the document.
    pub fn save(
        &self,
        collection: &str,
        filter: Value,
    ) -> Expected<'h, (String, Value, Value), DocumentResult<()>> {
        let (collection, shown) = (collection.to_owned(), format!("({collection:?}, {filter})"));
        self.0.expect("documents.save", shown, move |actual: &(String, Value, Value)| {
            actual.0 == collection && actual.1 == filter
        })
    }

    /// Expects that documents are removed.
    pub fn remove(
        &self,
        collection: &str,
        filter: Value,
    ) -> Expected<'h, (String, Value), DocumentResult<u32>> {
        self.0.expect_exactly("documents.remove", (collection.to_owned(), filter))
    }
}

type Asked = wit::interact::Question;
type Answered = Result<wit::interact::Answer, wit::interact::InteractError>;

impl<'h> Interact<'h> {
    /// Expects a question with this heading.
    pub fn ask(&self, title: &str) -> Expected<'h, Asked, Answered> {
        let title = title.to_owned();
        self.0.expect("interact.ask", format!("{title:?}"), move |asked: &Asked| asked.title == title)
    }
}

type Started = wit::program::Invocation;
type Ended = Result<wit::program::Completed, wit::program::ProgramError>;

impl<'h> Programs<'h> {
    /// Expects that a program is run with these arguments.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Expected<'h, Started, Ended> {
        let shown = format!("{name:?} {arguments:?}");
        let (name, arguments) =
            (name.to_owned(), arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
        self.0.expect("program.run", shown, move |started: &Started| {
            started.name == name && started.arguments == arguments
        })
    }
}

impl Expected<'_, Started, Ended> {
    /// It writes this to standard output and ends with status 0.
    pub fn prints(self, output: &str) {
        let stdout = output.as_bytes().to_vec();
        self.answers(Ok(wit::program::Completed { status: 0, stdout, stderr: Vec::new() }));
    }

    /// It writes this to standard error and ends with this status.
    pub fn exits(self, status: i32, errors: &str) {
        let stderr = errors.as_bytes().to_vec();
        self.answers(Ok(wit::program::Completed { status, stdout: Vec::new(), stderr }));
    }
}

type Question = (wit::snmp::Agent, String);
type Bindings = Result<Vec<Binding>, SnmpError>;

impl<'h> Snmp<'h> {
    /// Expects a question to an agent for the values of these objects.
    pub fn get(&self, host: &str, names: &[&str]) -> Expected<'h, Question, Bindings> {
        self.asked("snmp.get", host, names.join(", "))
    }

    /// Expects a question to an agent for all values below an object.
    pub fn walk(&self, host: &str, root: &str) -> Expected<'h, Question, Bindings> {
        self.asked("snmp.walk", host, root.to_owned())
    }

    /// Answers every question of a kind to this host.
    pub(super) fn asked_anything(
        &self,
        function: &'static str,
        host: &str,
        mut answer: impl FnMut(&str) -> Bindings + 'static,
    ) {
        let (host, shown) = (host.to_owned(), format!("{host:?}"));
        self.0
            .expect(function, shown, move |asked: &Question| asked.0.host == host)
            .always_answers_with(move |asked| answer(&asked.1));
    }

    fn asked(&self, function: &'static str, host: &str, what: String) -> Expected<'h, Question, Bindings> {
        let (host, shown) = (host.to_owned(), format!("{host:?} {what}"));
        self.0.expect(function, shown, move |asked: &Question| asked.0.host == host && asked.1 == what)
    }
}

/// Parses what the SDK itself has written.
fn json(text: &str) -> Value {
    serde_json::from_str(text)
        .unwrap_or_else(|error| super::unexpected(&format!("not JSON: {error}: {text}")))
}

pub(crate) mod net_probe {
    use super::invoke;
    use crate::net_probe::ProbeError;

    pub(crate) fn tcp_connect(host: &str, port: u16, _timeout_ms: u32) -> Result<u32, ProbeError> {
        invoke("net-probe.tcp-connect", (host.to_owned(), port))
    }

    pub(crate) fn icmp_echo(host: &str, _timeout_ms: u32) -> Result<u32, ProbeError> {
        invoke("net-probe.icmp-echo", host.to_owned())
    }
}

pub(crate) mod step_outputs {
    use super::{Found, invoke, wit};

    type Raw = wit::step_outputs::NodeValue;

    pub(crate) fn find(
        phase: &str,
        operation_id: &str,
        name: &str,
    ) -> Result<Vec<Raw>, wit::step_outputs::QueryError> {
        let found: Found = invoke("step-outputs.find", format!("{phase}.{operation_id}.{name}"));
        Ok(found?
            .into_iter()
            .map(|value| Raw {
                resource_id: value.resource_id,
                host: value.host,
                port: value.port,
                value: value.value.to_string(),
            })
            .collect())
    }
}

pub(crate) mod job_nodes {
    use super::{invoke, wit};

    pub(crate) fn list(
        phase: &str,
        offset: u32,
        _limit: u32,
    ) -> Result<Vec<wit::job::Node>, wit::job_nodes::NodesError> {
        invoke("job-nodes.list", (phase.to_owned(), offset))
    }
}

pub(crate) mod secret {
    use super::{Reference, invoke};

    pub(crate) fn value(name: &str) -> Reference {
        invoke("secret.value", name.to_owned())
    }

    pub(crate) fn basic_authorization(username: &str, name: &str) -> Reference {
        invoke("secret.basic-authorization", (username.to_owned(), name.to_owned()))
    }
}

pub(crate) mod server {
    use serde_json::Value;

    use super::{invoke, json, wit};

    pub(crate) fn call(name: &str, parameters: &str) -> Result<String, wit::server::ServerError> {
        let answer: Result<Value, _> = invoke("server.call", (name.to_owned(), json(parameters)));
        answer.map(|value| value.to_string())
    }
}

pub(crate) mod documents {
    use serde_json::Value;

    use super::{DocumentResult, invoke, json};

    pub(crate) fn find(collection: &str, filter: &str, limit: u32) -> DocumentResult<Vec<String>> {
        let found: DocumentResult<Vec<Value>> =
            invoke("documents.find", (collection.to_owned(), json(filter)));
        Ok(found?.into_iter().take(limit as usize).map(|document| document.to_string()).collect())
    }

    pub(crate) fn save(collection: &str, filter: &str, document: &str) -> DocumentResult<()> {
        invoke("documents.save", (collection.to_owned(), json(filter), json(document)))
    }

    pub(crate) fn remove(collection: &str, filter: &str) -> DocumentResult<u32> {
        invoke("documents.remove", (collection.to_owned(), json(filter)))
    }
}

pub(crate) mod lock {
    use super::{LockAnswer, invoke};
    use crate::lock::{LockError, Mode};

    #[derive(Debug)]
    pub(crate) struct Held(String);

    impl Held {
        pub(crate) fn name(&self) -> String {
            self.0.clone()
        }
    }

    pub(crate) fn acquire(name: &str, mode: Mode, _wait_ms: u32) -> Result<Held, LockError> {
        let answer: LockAnswer = invoke("lock.acquire", (name.to_owned(), format!("{mode:?}")));
        answer.map(|()| Held(name.to_owned()))
    }
}

pub(crate) mod interact {
    use super::{Answered, Asked, invoke};

    pub(crate) fn ask(question: &Asked) -> Answered {
        invoke("interact.ask", question.clone())
    }
}

pub(crate) mod program {
    use super::{Ended, Started, invoke};

    pub(crate) fn run(invocation: &Started) -> Ended {
        invoke("program.run", invocation.clone())
    }
}

pub(crate) mod snmp {
    use super::{Bindings, invoke, wit};

    pub(crate) fn get(agent: &wit::snmp::Agent, names: &[String]) -> Bindings {
        invoke("snmp.get", (agent.clone(), names.join(", ")))
    }

    pub(crate) fn walk(agent: &wit::snmp::Agent, root: &str, _limit: u32) -> Bindings {
        invoke("snmp.walk", (agent.clone(), root.to_owned()))
    }
}
