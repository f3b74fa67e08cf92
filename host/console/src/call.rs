//! The vocabulary of calls: name, path and how each may be treated (`spec/server-api.md` §4.3).

use std::fmt;

/// One call of the server's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Where the shared MongoDB is.
    MongoSettings,
    /// The parameters of the job.
    Parameters,
    /// The node list of a job, group or phase.
    Nodes,
    /// Status of a node in a phase.
    NodeStatus,
    /// Status of a phase on this runner.
    PhaseStatus,
    /// This runner is through with a group.
    NextGroup,
    /// This runner is through with a round of a gray-scale group.
    RoundEnded,
    /// Status of the job on this runner.
    JobStatus,
    /// A variable for later groups and runners.
    ExportVariable,
    /// New value of a global parameter.
    GlobalParameter,
    /// Password of an account.
    Account,
    /// Download of a file parameter.
    File,
    /// Download of a custom script.
    Script,
    /// Lock, retry, unlock or cancel a global lock.
    GlobalLock,
    /// Ids for the names in a deploy path.
    DeployIds,
    /// Runners of a deploy environment.
    RunnerGroup,
    /// Registers a tool description.
    Register,
    /// Deletes the tools that were not part of an import.
    CleanUp,
    /// Whatever a tool in the sandbox was allowed to call; its name stands below the path.
    OfTool,
}

/// What may be done when it is not known whether the server acted on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Sending it twice has the effect of sending it once.
    Always,
    /// Only when the request cannot have reached the server.
    IfUnsent,
}

impl Call {
    /// The path below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::MongoSettings => "/neatlogic/api/rest/mongodb/datasource/get",
            Self::Parameters => "/neatlogic/api/rest/autoexec/job/create/param/get",
            Self::Nodes => "/neatlogic/api/binary/autoexec/job/phase/nodes/download",
            Self::NodeStatus => "/neatlogic/api/rest/autoexec/job/phase/node/status/update",
            Self::PhaseStatus => "/neatlogic/api/rest/autoexec/job/phase/status/update",
            Self::NextGroup => "/neatlogic/api/rest/autoexec/job/next/group/fire",
            Self::RoundEnded => "/neatlogic/api/rest/autoexec/job/phase/inform/round/end",
            Self::JobStatus => "/neatlogic/api/rest/autoexec/job/status/update",
            Self::ExportVariable => "/neatlogic/api/rest/autoexec/job/env/update",
            Self::GlobalParameter => "/neatlogic/api/rest/autoexec/global/param/update/forautoexec",
            Self::Account => "/neatlogic/api/rest/resourcecenter/resource/account/get",
            Self::File => "/neatlogic/api/binary/file/download",
            Self::Script => "/neatlogic/api/binary/autoexec/job/phase/operation/script/get/forautoexec",
            Self::GlobalLock => "/neatlogic/api/rest/global/lock",
            Self::DeployIds => "/neatlogic/api/rest/resourcecenter/resource/appidmoduleidenvid/get",
            Self::RunnerGroup => "/neatlogic/api/rest/deploy/runner/group/get/forautoexec",
            Self::Register => "/neatlogic/api/rest/autoexec/tool/register",
            Self::CleanUp => "/neatlogic/api/rest/autoexec/tool/batch/delete",
            Self::OfTool => "/neatlogic/api/",
        }
    }

    /// Whether devmode leaves the call out (column D of the table).
    pub fn is_silent_in_dev_mode(self) -> bool {
        matches!(
            self,
            Self::MongoSettings
                | Self::NodeStatus
                | Self::PhaseStatus
                | Self::NextGroup
                | Self::RoundEnded
                | Self::JobStatus
                | Self::ExportVariable
                | Self::GlobalParameter
                | Self::Account
        )
    }

    /// A lock request that was answered into the void may have queued us, and nobody knows what a tool's call does;
    /// everything else sets a state.
    pub(crate) fn repeat(self) -> Repeat {
        if matches!(self, Self::GlobalLock | Self::OfTool) { Repeat::IfUnsent } else { Repeat::Always }
    }

    fn name(self) -> &'static str {
        match self {
            Self::MongoSettings => "Mongo settings",
            Self::Parameters => "get parameters",
            Self::Nodes => "get nodes",
            Self::NodeStatus => "node status",
            Self::PhaseStatus => "phase status",
            Self::NextGroup => "next group",
            Self::RoundEnded => "round ended",
            Self::JobStatus => "job status",
            Self::ExportVariable => "export variable",
            Self::GlobalParameter => "global parameter",
            Self::Account => "get account",
            Self::File => "file download",
            Self::Script => "script download",
            Self::GlobalLock => "global lock",
            Self::DeployIds => "deploy ids",
            Self::RunnerGroup => "runner group",
            Self::Register => "register tool",
            Self::CleanUp => "clean up tools",
            Self::OfTool => "call of a tool",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
