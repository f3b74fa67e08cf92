//! The calls of the interface, and a record of one that arrived.

use std::collections::BTreeMap;
use std::time::Instant;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::FailMode;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $path:literal),+ $(,)?) => {
        /// Which call of `spec/server-api.md` §4.3 it was.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CallName {
            $($(#[$doc])* $name,)+
            /// A path that is not in the table.
            Unknown,
        }

        impl CallName {
            pub(super) fn of(path: &str) -> Self {
                match path.strip_prefix("/neatlogic/api/").unwrap_or_default() {
                    $($path => Self::$name,)+
                    _ => Self::Unknown,
                }
            }
        }
    };
}

calls! {
    /// Mongo settings.
    MongoSettings = "rest/mongodb/datasource/get",
    /// Get parameters.
    Parameters = "rest/autoexec/job/create/param/get",
    /// Get nodes.
    Nodes = "binary/autoexec/job/phase/nodes/download",
    /// Node status.
    NodeStatus = "rest/autoexec/job/phase/node/status/update",
    /// Phase status.
    PhaseStatus = "rest/autoexec/job/phase/status/update",
    /// Next group.
    NextGroup = "rest/autoexec/job/next/group/fire",
    /// Round ended.
    RoundEnded = "rest/autoexec/job/phase/inform/round/end",
    /// Job status.
    JobStatus = "rest/autoexec/job/status/update",
    /// Export variable.
    ExportVariable = "rest/autoexec/job/env/update",
    /// Global parameter.
    GlobalParameter = "rest/autoexec/global/param/update/forautoexec",
    /// Get account.
    Account = "rest/resourcecenter/resource/account/get",
    /// File.
    File = "binary/file/download",
    /// Script.
    Script = "binary/autoexec/job/phase/operation/script/get/forautoexec",
    /// Global lock.
    GlobalLock = "rest/global/lock",
    /// Deploy ids.
    DeployIds = "rest/resourcecenter/resource/appidmoduleidenvid/get",
    /// Runner group.
    RunnerGroup = "rest/deploy/runner/group/get/forautoexec",
    /// Register.
    Register = "rest/autoexec/tool/register",
    /// Clean-up.
    CleanUp = "rest/autoexec/tool/batch/delete",
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which call.
    pub name: CallName,
    /// `GET` or `POST`.
    pub method: String,
    /// Path, without query.
    pub path: String,
    /// Query as it was sent.
    pub query: String,
    /// Body as it was sent.
    pub body: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// When it arrived.
    pub at: Instant,
    /// The failure it was answered with on purpose.
    pub failure: Option<FailMode>,
}

impl Call {
    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// A decoded value of the query.
    pub fn query_value(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }
}
