//! Finds the tool of an operation (architecture §5).

use std::path::{Path, PathBuf};

use autoexec_model::{OpName, Operation, Place};
use autoexec_plan::Rerun;
use autoexec_store::Home;
use serde_json::Value;

/// Where a tool was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A WebAssembly component, run in the sandbox.
    Component(PathBuf),
    /// A native program on this machine.
    Program(PathBuf),
    /// A script that is sent to the target.
    Remote(PathBuf),
}

/// What a native tool promises in its descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Promises {
    /// Whether it may run again when nobody knows whether it took effect.
    pub rerun: Rerun,
    /// It understands `--check`, which makes it say what it would change.
    pub can_check: bool,
    /// It takes secrets from files that are named in their place (defect 66).
    pub secrets_by_file: bool,
}

/// The tools installed in a home.
#[derive(Debug, Clone)]
pub struct Catalog {
    home: Home,
}

impl Catalog {
    /// The tools of `home`.
    pub fn new(home: Home) -> Self {
        Self { home }
    }

    /// Finds the tool of an operation that is not a custom script.
    ///
    /// On this machine a component wins over a native program of the same name: it is the one that is held to a
    /// policy.
    ///
    /// # Errors
    /// A text that names every place that was looked at.
    pub fn find(&self, operation: &Operation) -> Result<Found, String> {
        match operation.place {
            Place::Target => self.remote(&operation.name),
            Place::Runner | Place::RunnerTarget | Place::Native => self.local(&operation.name),
        }
    }

    /// What the descriptor beside a native tool or script (`<tool>.json`) says about starting it: the keys `rerun`, `check`
    /// and `secrets`. Most have none: what the replaced system always ran again is safe to run again, and an old tool cannot
    /// be asked.
    ///
    /// # Errors
    /// A text that names the file, when it has something else there: running a tool twice, or in a dry run, might be
    /// exactly what its author wanted to exclude.
    pub fn promises_of(&self, tool: &Path) -> Result<Promises, String> {
        let mut name = tool.as_os_str().to_owned();
        name.push(".json");
        let Ok(text) = std::fs::read(&name) else { return Ok(Promises::default()) };
        let descriptor: Value = serde_json::from_slice(&text).unwrap_or_default();
        let complain =
            |what: &str, found: &Value| format!("{}: {what}, not {found}", Path::new(&name).display());
        let rerun = match descriptor.get("rerun") {
            None | Some(Value::Null) => Rerun::default(),
            Some(word) => serde_json::from_value(word.clone())
                .map_err(|_| complain("`rerun` must be safe, probe or once", word))?,
        };
        let can_check = match descriptor.get("check") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(check)) => *check,
            Some(other) => return Err(complain("`check` must be true or false", other)),
        };
        let secrets_by_file = match descriptor.get("secrets") {
            None | Some(Value::Null) => false,
            Some(Value::String(word)) if word == "file" => true,
            Some(other) => return Err(complain("`secrets` must be file", other)),
        };
        Ok(Promises { rerun, can_check, secrets_by_file })
    }

    fn local(&self, name: &OpName) -> Result<Found, String> {
        let component = self.home.wasm_plugins().join(format!("{name}.wasm"));
        if component.is_file() {
            return Ok(Found::Component(component));
        }
        let program = self.home.local_plugins().join(name.as_str());
        if program.is_file() {
            return Ok(Found::Program(program));
        }
        Err(format!(
            "The tool {name} is not installed: there is neither {} nor {}.",
            component.display(),
            program.display()
        ))
    }

    fn remote(&self, name: &OpName) -> Result<Found, String> {
        let script = self.home.remote_plugins().join(name.as_str());
        if script.is_file() {
            Ok(Found::Remote(script))
        } else {
            Err(format!("The tool {name} is not installed: there is no {}.", script.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_native_tool_promises_stands_in_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(Home::new(dir.path()));
        let tool = dir.path().join("switch");
        assert_eq!(catalog.promises_of(&tool), Ok(Promises::default()), "no descriptor");
        let promises =
            |rerun, can_check| Ok(Promises { rerun, can_check, secrets_by_file: rerun == Rerun::Probe });
        for (text, expected) in [
            (r#"{"opType": "runner"}"#, promises(Rerun::Safe, false)),
            (r#"{"rerun": "once", "check": false}"#, promises(Rerun::Once, false)),
            (r#"{"rerun": "probe", "check": true, "secrets": "file"}"#, promises(Rerun::Probe, true)),
            ("not JSON", promises(Rerun::Safe, false)),
        ] {
            std::fs::write(dir.path().join("switch.json"), text).unwrap();
            assert_eq!(catalog.promises_of(&tool), expected, "{text}");
        }
        for (text, named) in [
            (r#"{"rerun": "onse"}"#, "onse"),
            (r#"{"check": "yes"}"#, "yes"),
            (r#"{"secrets": 1}"#, "secrets"),
        ] {
            std::fs::write(dir.path().join("switch.json"), text).unwrap();
            let error = catalog.promises_of(&tool).unwrap_err();
            assert!(error.contains("switch.json") && error.contains(named), "{error}");
        }
    }
}
