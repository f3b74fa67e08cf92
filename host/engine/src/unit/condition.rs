//! What conditions can ask about a node and this machine's disk.

use std::path::Path;

use autoexec_model::condition::{Environment, FileTest};
use autoexec_model::value::NodeVariables;
use indexmap::IndexMap;

pub(super) struct NodeFacts<'a> {
    pub(super) variables: &'a NodeVariables,
    pub(super) environment: &'a IndexMap<String, String>,
    pub(super) job_dir: &'a Path,
}

impl Environment for NodeFacts<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        match self.variables.get(name) {
            Some(found) => Some(found.text.into_owned()),
            None => self.environment.get(name).cloned(),
        }
    }

    fn file(&self, test: FileTest, path: &str) -> bool {
        let path = self.job_dir.join(path);
        match test {
            FileTest::Regular => path.is_file(),
            FileTest::Directory => path.is_dir(),
            FileTest::Exists => path.exists(),
            FileTest::Link => path.is_symlink(),
        }
    }
}
