//! The job's environment: what plugins inherit, references see and `native/setenv` changes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::RwLock;

/// A table that many read and few change. Readers get a snapshot, so that an operation sees one state.
#[derive(Default)]
pub struct JobEnvironment {
    table: RwLock<Arc<IndexMap<String, String>>>,
    /// Variables whose values are not shown.
    hidden: RwLock<Arc<BTreeSet<String>>>,
}

/// The object that the server wants back holds a user's token (`spec/cli.md` §1.3).
const PASS_THROUGH: &str = "PASSTHROUGH_ENV";

impl JobEnvironment {
    /// A table with these variables.
    pub fn new(variables: IndexMap<String, String>) -> Self {
        let hidden = BTreeSet::from([PASS_THROUGH.to_owned()]);
        Self { table: RwLock::new(Arc::new(variables)), hidden: RwLock::new(Arc::new(hidden)) }
    }

    /// The variables at this moment.
    pub fn snapshot(&self) -> Arc<IndexMap<String, String>> {
        Arc::clone(&self.table.read())
    }

    /// The names of variables whose values are not shown, at this moment.
    pub fn hidden(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.hidden.read())
    }

    /// Sets a variable for everything that starts from now on. What was hidden under its name stays hidden.
    pub fn set(&self, name: impl Into<String>, value: impl Into<String>) {
        let mut table = self.table.write();
        Arc::make_mut(&mut table).insert(name.into(), value.into());
    }

    /// As [`Self::set`]; the value is masked wherever a reference brings it in.
    pub fn set_hidden(&self, name: &str, value: impl Into<String>) {
        // Hidden first, so that nobody meets the value unmasked.
        Arc::make_mut(&mut self.hidden.write()).insert(name.to_owned());
        self.set(name, value);
    }
}

impl fmt::Debug for JobEnvironment {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table.read().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_variable_is_known_as_such_and_not_printed() {
        let environment = JobEnvironment::new(IndexMap::from([("A".to_owned(), "1".to_owned())]));
        environment.set_hidden("TOKEN", "hunter2");
        environment.set("TOKEN", "hunter3");
        let hidden = environment.hidden();
        assert!(hidden.contains("TOKEN") && hidden.contains("PASSTHROUGH_ENV") && !hidden.contains("A"));
        assert_eq!(format!("{environment:?}"), r#"{"A", "TOKEN"}"#);
    }

    #[test]
    fn a_snapshot_does_not_change() {
        let environment = JobEnvironment::new(IndexMap::from([("A".to_owned(), "1".to_owned())]));
        let before = environment.snapshot();
        environment.set("A", "2");
        assert_eq!((before["A"].as_str(), environment.snapshot()["A"].as_str()), ("1", "2"));
    }
}
