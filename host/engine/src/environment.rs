//! The job's environment: what plugins inherit, references see and `native/setenv` changes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use autoexec_model::value::is_refused_environment_name;
use autoexec_store::{EnvValue, NodeRecords};
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

/// The job's environment together with what is kept of it for later processes (`setEnv` on the job socket).
pub(crate) struct JobVariables {
    environment: Arc<JobEnvironment>,
    records: Arc<dyn NodeRecords>,
}

impl JobVariables {
    pub(crate) fn new(environment: Arc<JobEnvironment>, records: Arc<dyn NodeRecords>) -> Self {
        Self { environment, records }
    }

    /// Sets variables; those that the executor and its plugins depend on are left as they are (defect 68). Returns
    /// what went wrong; values are not part of the texts.
    pub(crate) fn set(&self, items: Vec<(String, String)>, only_in_process: bool) -> Vec<String> {
        items
            .into_iter()
            .filter_map(|(name, value)| self.set_one(&name, value, only_in_process).err())
            .collect()
    }

    fn set_one(&self, name: &str, value: String, only_in_process: bool) -> Result<(), String> {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        if is_refused_environment_name(name) || value.contains('\0') {
            return Err(format!(
                "setEnv: the variable {shown} can not be set by a plugin; it is left as it is."
            ));
        }
        self.environment.set(name, value.as_str());
        if only_in_process {
            return Ok(());
        }
        let stored = EnvValue { value, is_hidden: self.environment.hidden().contains(name) };
        self.records.set_env(name, stored).map_err(|error| {
            format!("setEnv: the variable {shown} is set, but later processes will not have it: {error}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_store::{FileRecords, JobDir};

    fn items(names: &[&str]) -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), "hunter2".to_owned())).collect()
    }

    #[test]
    fn variables_of_plugins_are_set_and_kept_unless_they_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let records = Arc::new(FileRecords::new(JobDir::at(dir.path())));
        let environment = Arc::new(JobEnvironment::default());
        let variables =
            JobVariables::new(Arc::clone(&environment), Arc::clone(&records) as Arc<dyn NodeRecords>);
        assert_eq!(variables.set(items(&["KEPT"]), false), Vec::<String>::new());
        assert_eq!(variables.set(items(&["HERE"]), true), Vec::<String>::new());
        let problems = variables.set(items(&["LD_PRELOAD", "", "A=B"]), false);
        assert_eq!(problems.len(), 3);
        assert!(problems[0].contains("LD_PRELOAD") && !problems[0].contains("hunter2"), "{problems:?}");
        assert_eq!(environment.snapshot().keys().collect::<Vec<_>>(), ["KEPT", "HERE"]);
        let kept = records.load_env().unwrap().found().unwrap();
        assert_eq!(kept.variables.keys().collect::<Vec<_>>(), ["KEPT"]);
        std::fs::write(JobDir::at(dir.path()).env_file(), "{").unwrap();
        let problems = variables.set(items(&["LATER"]), false);
        assert!(problems[0].contains(".env.json"), "{problems:?}");
        assert!(environment.snapshot().contains_key("LATER"), "the running process has it all the same");
    }

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
