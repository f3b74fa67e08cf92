//! The job's environment: what plugins inherit, references see and `native/setenv` changes.

use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::RwLock;

/// A table that many read and few change. Readers get a snapshot, so that an operation sees one state.
#[derive(Debug, Default)]
pub struct JobEnvironment {
    table: RwLock<Arc<IndexMap<String, String>>>,
}

impl JobEnvironment {
    /// A table with these variables.
    pub fn new(variables: IndexMap<String, String>) -> Self {
        Self { table: RwLock::new(Arc::new(variables)) }
    }

    /// The variables at this moment.
    pub fn snapshot(&self) -> Arc<IndexMap<String, String>> {
        Arc::clone(&self.table.read())
    }

    /// Sets a variable for everything that starts from now on.
    pub fn set(&self, name: impl Into<String>, value: impl Into<String>) {
        let mut table = self.table.write();
        Arc::make_mut(&mut table).insert(name.into(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_does_not_change() {
        let environment = JobEnvironment::new(IndexMap::from([("A".to_owned(), "1".to_owned())]));
        let before = environment.snapshot();
        environment.set("A", "2");
        assert_eq!((before["A"].as_str(), environment.snapshot()["A"].as_str()), ("1", "2"));
    }
}
