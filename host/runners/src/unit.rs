//! The runner of one unit: chooses the place, keeps the connection.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, StopSignal, UnitInfo, UnitRunner,
};
use autoexec_events::Level;
use autoexec_model::command_line::Purpose;
use autoexec_model::{Place, Protocol};
use autoexec_store::{JobDir, StoreError, read_op_output};
use serde_json::{Map, Value};

use crate::catalog::Found;
use crate::session::UnitSession;
use crate::settings::Shared;
use crate::ssh::SshSessions;
use crate::tagent::AgentSessions;

pub(crate) struct ToolRunner {
    shared: Arc<Shared>,
    unit: UnitInfo,
    ssh: Option<UnitSession<SshSessions>>,
    tagent: Option<UnitSession<AgentSessions>>,
}

impl ToolRunner {
    pub(crate) fn new(shared: Arc<Shared>, unit: UnitInfo) -> Self {
        Self { shared, unit, ssh: None, tagent: None }
    }

    async fn run_here(
        &self,
        call: OperationCall<'_>,
        sink: Arc<dyn OperationSink>,
        stop: StopSignal,
    ) -> Result<OperationEnd, String> {
        let found = match call.call.script {
            Some(_) => Found::Program(self.shared.scripts.script(call.operation)?.path),
            None => self.shared.catalog.find(call.operation)?,
        };
        match found {
            Found::Component(path) => {
                crate::wasm::run(&self.shared, &self.unit, &call, &path, sink, stop).await
            }
            Found::Program(path) | Found::Remote(path) => {
                crate::local::run(&self.shared, &self.unit, &call, &path, sink, stop).await
            }
        }
    }

    /// The tool gets the node's login and may need it; whether it does, only the tool knows.
    fn warn_of_missing_login(&self, sink: &dyn OperationSink) {
        let node = &self.unit.node;
        if !node.has_password() && self.shared.settings.ssh_keys.is_empty() {
            let text =
                format!("Node {} has no password; the tool can not log in to it with one.", node.key());
            sink.info(Level::Warn, &text);
        }
    }

    async fn run_there(
        &mut self,
        call: OperationCall<'_>,
        sink: Arc<dyn OperationSink>,
        stop: StopSignal,
    ) -> Result<OperationEnd, String> {
        let keeps_failed = self.shared.settings.keep_failed_directory;
        match &self.unit.node.protocol {
            Protocol::Ssh => {
                let new = || UnitSession::new(SshSessions::new(&self.shared, &self.unit), keeps_failed);
                let place = self.ssh.get_or_insert_with(new);
                place.run(&call, sink, stop).await
            }
            Protocol::Tagent => {
                let new = || UnitSession::new(AgentSessions::new(&self.shared, &self.unit), keeps_failed);
                let place = self.tagent.get_or_insert_with(new);
                place.run(&call, sink, stop).await
            }
            other => Err(format!(
                "The protocol {} of this node can not run scripts: use ssh or tagent, or run the operation as runner_target.",
                if other.as_str().is_empty() { "(none)" } else { other.as_str() }
            )),
        }
    }
}

#[async_trait]
impl UnitRunner for ToolRunner {
    async fn run(
        &mut self,
        call: OperationCall<'_>,
        sink: Arc<dyn OperationSink>,
        stop: StopSignal,
    ) -> OperationEnd {
        let job_dir = &self.shared.settings.job_dir;
        let key = self.unit.node.key();
        // What the run that is asked about left may still be wanted.
        if call.purpose != Purpose::Probe
            && let Err(problem) = forget_old_output(&job_dir.op_output(&key, &call.operation.id))
        {
            return failed(problem);
        }
        if call.operation.place == Place::RunnerTarget {
            self.warn_of_missing_login(&*sink);
        }
        let end = match call.operation.place {
            Place::Target => self.run_there(call, sink, stop).await,
            Place::Runner | Place::RunnerTarget | Place::Native => self.run_here(call, sink, stop).await,
        };
        end.unwrap_or_else(failed)
    }

    async fn close(&mut self) -> Result<(), String> {
        // A node has one protocol, so at most one of them is there.
        if let Some(place) = self.ssh.take() {
            place.close().await?;
        }
        match self.tagent.take() {
            Some(place) => place.close().await,
            None => Ok(()),
        }
    }
}

fn failed(problem: String) -> OperationEnd {
    OperationEnd { exit: OperationExit::Error(problem), output: None }
}

/// An output that an earlier run left must not be taken for one of this run.
fn forget_old_output(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("Can not remove the old output {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether the output file of a call is looked at: when it declares outputs, and for what a dry run found.
pub(crate) fn has_output(call: &OperationCall<'_>) -> bool {
    call.call.outputs.is_some() || call.purpose == Purpose::Check
}

/// What the operation wrote to its output file, if it is to be looked at.
pub(crate) fn read_output(
    job_dir: &JobDir,
    unit: &UnitInfo,
    call: &OperationCall<'_>,
) -> Result<Option<Map<String, Value>>, StoreError> {
    if !has_output(call) {
        return Ok(None);
    }
    read_op_output(&job_dir.op_output(&unit.node.key(), &call.operation.id)).map(Some)
}
