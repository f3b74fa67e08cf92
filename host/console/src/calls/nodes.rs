//! Download of node lists (`spec/nodes.md` §3.3).

use std::path::Path;

use autoexec_model::{GroupNo, JobId, PhaseName, RunnerId};

use super::Freshness;
use crate::client::Fetched;
use crate::http::query_text;
use crate::{Call, ConsoleClient, ConsoleError, UnixTime, download};

/// Whose nodes are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodesScope {
    /// Those of the job.
    Job,
    /// Those of a gray-scale group.
    Group(GroupNo),
    /// Those of a phase; the server also wants its group, where known.
    Phase {
        /// The phase.
        phase: PhaseName,
        /// The group of the phase.
        group: Option<GroupNo>,
    },
}

/// Which node list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesQuery {
    /// The job.
    pub job: JobId,
    /// This runner.
    pub runner: RunnerId,
    /// Whose nodes.
    pub scope: NodesScope,
}

/// What became of the local node file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// It was replaced.
    New,
    /// It is good as it is, or the scope has no nodes of its own and a wider one applies.
    NotModified,
}

impl From<Freshness> for Nodes {
    fn from(freshness: Freshness) -> Self {
        match freshness {
            Freshness::New => Self::New,
            Freshness::NotModified => Self::NotModified,
        }
    }
}

impl NodesQuery {
    fn text(&self, pass_through: String, local: Option<UnixTime>) -> String {
        let (phase, from, group) = match &self.scope {
            NodesScope::Job => ("", "job", None),
            NodesScope::Group(group) => ("", "group", Some(*group)),
            NodesScope::Phase { phase, group } => (phase.as_str(), "phase", *group),
        };
        let mut pairs = vec![
            ("jobId", self.job.to_string()),
            ("runnerId", self.runner.to_string()),
            ("passThroughEnv", pass_through),
            ("phase", phase.to_owned()),
            ("nodeFrom", from.to_owned()),
        ];
        pairs.extend(group.map(|group| ("groupNo", group.to_string())));
        pairs.push(("lastModified", UnixTime::last_modified(local).to_string()));
        query_text(&pairs)
    }
}

impl ConsoleClient {
    /// Brings the node file at `path` up to date. The list is streamed to a temporary file beside it and renamed,
    /// so that a reader never sees half a list.
    pub async fn nodes(&self, query: &NodesQuery, path: &Path) -> Result<Nodes, ConsoleError> {
        let local = download::modified(path).await?;
        self.nodes_since(query, local, path).await
    }

    /// As [`Self::nodes`], as if there were no file yet: [`Nodes::NotModified`] then says that the scope has no nodes of
    /// its own, which the same answer about a file does not (defect 24).
    pub async fn all_nodes(&self, query: &NodesQuery, path: &Path) -> Result<Nodes, ConsoleError> {
        self.nodes_since(query, None, path).await
    }

    async fn nodes_since(
        &self,
        query: &NodesQuery,
        local: Option<UnixTime>,
        path: &Path,
    ) -> Result<Nodes, ConsoleError> {
        let query = query.text(self.pass_through().to_string(), local);
        let freshness =
            self.get(Call::Nodes, query, |fetched| self.replace(Call::Nodes, fetched, path)).await?;
        Ok(freshness.into())
    }

    /// Writes a body to `path`; leaves `path` alone when there is none.
    pub(super) async fn replace(
        &self,
        call: Call,
        fetched: Fetched,
        path: &Path,
    ) -> Result<Freshness, ConsoleError> {
        match fetched {
            Fetched::Body(response) => {
                self.save(call, response, path).await?;
                Ok(Freshness::New)
            }
            Fetched::NotModified(_) => Ok(Freshness::NotModified),
        }
    }
}
