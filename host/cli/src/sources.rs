//! Where nodes come from: the server's lists or a file (`spec/nodes.md`).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_console::{ConsoleClient, Nodes, NodesQuery, NodesScope};
use autoexec_engine::ports::{NodeList, NodeProvider, NodeScope};
use autoexec_model::{JobId, Node, NodeFileHeader, NodeLine, RunnerId};
use autoexec_store::JobDir;

/// A line longer than this is no node; it is passed over instead of filling the memory.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// Node files of the job directory, fetched from the server where there is one.
#[derive(Clone)]
pub(crate) struct NodeFiles {
    /// None when the files are given (`--nodesfile`, ad-hoc nodes, no server).
    pub(crate) client: Option<Arc<ConsoleClient>>,
    pub(crate) job: JobId,
    pub(crate) runner: RunnerId,
    pub(crate) job_dir: JobDir,
    /// `--nodesfile`: read this and nothing else.
    pub(crate) given: Option<PathBuf>,
}

impl NodeFiles {
    /// Brings `nodes.json` up to date.
    pub(crate) async fn fetch_job_nodes(&self) -> Result<(), String> {
        self.fetch(NodesScope::Job, &self.job_dir.nodes()).await
    }

    async fn fetch(&self, scope: NodesScope, path: &Path) -> Result<(), String> {
        let Some(client) = &self.client else { return Ok(()) };
        let query = NodesQuery { job: self.job.clone(), runner: self.runner, scope };
        client.nodes(&query, path).await.map(drop).map_err(|error| error.to_string())
    }

    /// Brings the list of a phase or group up to date. The server has the same answer for a list that is still good and
    /// for a phase that has none of its own any more, so it is asked again as by somebody who has no list yet: a list
    /// that was left from before must not win over the job's (defect 24).
    async fn fetch_narrower(&self, scope: NodesScope, path: &Path) -> Result<(), String> {
        let Some(client) = &self.client else { return Ok(()) };
        let had_one = path.is_file();
        let query = NodesQuery { job: self.job.clone(), runner: self.runner, scope };
        let said = client.nodes(&query, path).await.map_err(|error| error.to_string())?;
        if !had_one || said == Nodes::New {
            return Ok(());
        }
        let said = client.all_nodes(&query, path).await.map_err(|error| error.to_string())?;
        if said == Nodes::NotModified {
            std::fs::remove_file(path).map_err(|error| {
                format!("Node file {} is obsolete and can not be removed: {error}", path.display())
            })?;
        }
        Ok(())
    }

    /// The narrowest file that is there.
    pub(crate) fn choose(&self, scope: &NodeScope) -> PathBuf {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let group = match scope {
            NodeScope::Phase(group, phase) => {
                let file = self.job_dir.phase_nodes(phase);
                if file.is_file() {
                    return file;
                }
                *group
            }
            NodeScope::Group(group) => *group,
        };
        let file = self.job_dir.group_nodes(group);
        if file.is_file() { file } else { self.job_dir.nodes() }
    }
}

#[async_trait]
impl NodeProvider for NodeFiles {
    async fn open(&self, scope: &NodeScope) -> Result<NodeList, String> {
        match scope {
            NodeScope::Phase(group, phase) => {
                let wanted = NodesScope::Phase { phase: phase.clone(), group: Some(*group) };
                self.fetch_narrower(wanted, &self.job_dir.phase_nodes(phase)).await?;
            }
            NodeScope::Group(group) => {
                self.fetch_narrower(NodesScope::Group(*group), &self.job_dir.group_nodes(*group)).await?;
            }
        }
        open_file(&self.choose(scope))
    }
}

/// Opens a node file. Its nodes are read one by one, as they are taken.
pub(crate) fn open_file(path: &Path) -> Result<NodeList, String> {
    let file = File::open(path).map_err(|error| format!("Node file {}: {error}", path.display()))?;
    let mut lines = Lines {
        reader: BufReader::with_capacity(256 * 1024, file),
        path: path.to_owned(),
        number: 0,
        is_unreadable: false,
    };
    // A header that is missing or broken counts as none: the first line is then a node, or reported as broken.
    let (header, first) = match lines.next_line() {
        None => (NodeFileHeader::assumed(), None),
        Some(Ok(NodeLine::Header(header))) => (header, None),
        Some(Ok(NodeLine::Node(node))) => (NodeFileHeader::assumed(), Some(Ok(*node))),
        Some(Err(text)) => (NodeFileHeader::assumed(), Some(Err(text))),
    };
    Ok(NodeList { path: path.to_owned(), header, nodes: Box::new(first.into_iter().chain(lines)) })
}

struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    number: usize,
    is_unreadable: bool,
}

impl Lines {
    fn next_line(&mut self) -> Option<Result<NodeLine, String>> {
        if self.is_unreadable {
            return None;
        }
        loop {
            self.number += 1;
            let mut bytes = Vec::new();
            let mut limited = std::io::Read::take(&mut self.reader, MAX_LINE);
            match limited.read_until(b'\n', &mut bytes) {
                Err(error) => {
                    // It would fail again and again.
                    self.is_unreadable = true;
                    let path = self.path.display();
                    return Some(Err(format!(
                        "Node file {path}, line {}: {error}; the rest is not read.",
                        self.number
                    )));
                }
                Ok(0) => return None,
                Ok(_) => {}
            }
            let Ok(text) = std::str::from_utf8(&bytes) else { return Some(Err(self.complain(&"not UTF-8"))) };
            match NodeLine::parse(text) {
                Ok(None) => {}
                Ok(Some(line)) => return Some(Ok(line)),
                Err(error) => return Some(Err(self.complain(&error))),
            }
        }
    }

    fn complain(&self, problem: &dyn std::fmt::Display) -> String {
        format!(
            "Node file {}, line {}: {problem}; the line is passed over.",
            self.path.display(),
            self.number
        )
    }
}

impl Iterator for Lines {
    type Item = Result<Node, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line()? {
                Ok(NodeLine::Node(node)) => return Some(Ok(*node)),
                Ok(NodeLine::Header(_)) => {}
                Err(text) => return Some(Err(text)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (NodeFileHeader, Vec<Result<i64, String>>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.json");
        std::fs::write(&path, text).unwrap();
        let list = open_file(&path).unwrap();
        (list.header, list.nodes.map(|node| node.map(|node| node.resource.0)).collect())
    }

    #[test]
    fn a_broken_line_is_reported_and_the_rest_is_read() {
        let (header, nodes) = read(concat!(
            "{\"totalCount\":3,\"localRunnerId\":1,\"jobRunnerIds\":[1]}\n\n",
            "{\"resourceId\":1,\"host\":\"a\",\"password\":\"hunter2\"}\n{\"resourceId\":2,\n{\"resourceId\":3,\"host\":\"c\"}"
        ));
        assert_eq!(header.total_count, 3);
        assert_eq!((nodes[0].clone(), nodes[2].clone()), (Ok(1), Ok(3)));
        let complaint = nodes[1].clone().unwrap_err();
        assert!(complaint.contains("nodes.json, line 4: not JSON"), "{complaint}");
    }

    #[test]
    fn a_file_without_header_is_read_from_its_first_line() {
        let (header, nodes) = read("{\"resourceId\":5,\"host\":\"a\"}\n");
        assert_eq!((header, nodes), (NodeFileHeader::assumed(), vec![Ok(5)]));
        assert_eq!(read("").1, []);
    }

    #[test]
    fn a_file_that_can_not_be_read_is_complained_about_once() {
        // A directory opens like a file, and every read of it fails.
        let dir = tempfile::tempdir().unwrap();
        let nodes: Vec<_> = open_file(dir.path()).unwrap().nodes.take(3).collect();
        assert!(matches!(&nodes[..], [Err(text)] if text.contains("the rest is not read")), "{nodes:?}");
    }
}
