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

    /// The rerun class in the descriptor beside a native tool or script (`<tool>.json`, key `rerun`). Most have none:
    /// what the replaced system always ran again is safe to run again.
    ///
    /// # Errors
    /// A text that names the file, when it has a word there that is none of `safe`, `probe`, `once`: running such a
    /// tool twice might be exactly what its author wanted to exclude.
    pub fn rerun_of(&self, tool: &Path) -> Result<Rerun, String> {
        let mut name = tool.as_os_str().to_owned();
        name.push(".json");
        let Ok(text) = std::fs::read(&name) else { return Ok(Rerun::default()) };
        let descriptor: Value = serde_json::from_slice(&text).unwrap_or_default();
        match descriptor.get("rerun") {
            None | Some(Value::Null) => Ok(Rerun::default()),
            Some(word) => serde_json::from_value(word.clone()).map_err(|_| {
                format!("{}: `rerun` must be safe, probe or once, not {word}", Path::new(&name).display())
            }),
        }
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
    fn the_rerun_class_of_a_native_tool_stands_in_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(Home::new(dir.path()));
        let tool = dir.path().join("switch");
        assert_eq!(catalog.rerun_of(&tool).unwrap(), Rerun::Safe, "no descriptor");
        for (text, expected) in [
            (r#"{"opType": "runner"}"#, Rerun::Safe),
            (r#"{"rerun": "once"}"#, Rerun::Once),
            (r#"{"rerun": "probe"}"#, Rerun::Probe),
            ("not JSON", Rerun::Safe),
        ] {
            std::fs::write(dir.path().join("switch.json"), text).unwrap();
            assert_eq!(catalog.rerun_of(&tool).unwrap(), expected, "{text}");
        }
        std::fs::write(dir.path().join("switch.json"), r#"{"rerun": "onse"}"#).unwrap();
        let error = catalog.rerun_of(&tool).unwrap_err();
        assert!(error.contains("switch.json") && error.contains("onse"), "{error}");
    }
}
