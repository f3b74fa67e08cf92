//! References to outputs of earlier steps, checked before anything runs (`spec/job-params.md` §2.7).

use autoexec_model::reference::Template;
use indexmap::IndexMap;

use super::source::{At, FileError};

/// All `${phase.opId.key}` of a job, with the places they stand at.
#[derive(Debug, Default)]
pub(super) struct References<'a> {
    found: Vec<(At<'a>, String)>,
}

impl<'a> References<'a> {
    /// Remembers the references of a text. Names without a dot are options and variables, which may also be set
    /// while the job runs, so nothing can be said about them here.
    pub(super) fn collect(&mut self, at: &At<'a>, text: &str) {
        let template = Template::parse(text);
        let dotted = template.names().filter(|name| name.contains('.'));
        self.found.extend(dotted.map(|name| (at.clone(), name.to_owned())));
    }

    /// The same for every text inside a value.
    pub(super) fn collect_value(&mut self, at: &At<'a>, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.collect(at, text),
            serde_json::Value::Array(elements) => {
                for element in elements {
                    self.collect_value(at, element);
                }
            }
            serde_json::Value::Object(members) => {
                for member in members.values() {
                    self.collect_value(at, member);
                }
            }
            _ => {}
        }
    }

    /// Checks that each names a phase of the job and one of its operations.
    pub(super) fn check(&self, operations: &IndexMap<String, Vec<String>>) -> Result<(), FileError> {
        self.found.iter().try_for_each(|(at, name)| {
            check_one(name, operations)
                .map_err(|problem| at.complain(format_args!("`${{{name}}}` {problem}")))
        })
    }
}

fn check_one(name: &str, operations: &IndexMap<String, Vec<String>>) -> Result<(), String> {
    let parts = name.split_once('.').and_then(|(phase, rest)| {
        let (operation, key) = rest.rsplit_once('.')?;
        Some((phase, operation, key))
    });
    let Some((phase, operation, key)) = parts else {
        return Err("is no reference: the output of a step is ${phase.opId.key}".to_owned());
    };
    if phase.is_empty() || operation.is_empty() || key.is_empty() {
        return Err("is no reference: the output of a step is ${phase.opId.key}".to_owned());
    }
    let Some(in_phase) = operations.get(phase) else {
        let phases: Vec<&str> = operations.keys().map(String::as_str).collect();
        return Err(format!("names the phase `{phase}`, and the job has: {}", phases.join(", ")));
    };
    if in_phase.iter().any(|id| id == operation) {
        Ok(())
    } else {
        Err(format!("names the operation `{operation}`, and phase `{phase}` has: {}", in_phase.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str) -> String {
        let operations = IndexMap::from([("check".to_owned(), vec!["basic/free_1".to_owned()])]);
        check_one(name, &operations).map_or_else(|problem| problem, |()| "ok".to_owned())
    }

    #[test]
    fn a_reference_names_a_phase_an_operation_and_a_key() {
        assert_eq!(check("check.basic/free_1.size"), "ok");
        assert!(check("check.size").contains("${phase.opId.key}"));
        assert!(check("check..size").contains("${phase.opId.key}"));
        assert!(check("prepare.basic/free_1.size").contains("the job has: check"));
        assert!(check("check.basic/free_2.size").contains("phase `check` has: basic/free_1"));
    }
}
