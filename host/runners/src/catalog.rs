//! Finds the tool of an operation (architecture §5).

use std::path::PathBuf;

use autoexec_model::{OpName, Operation, Place};
use autoexec_store::Home;

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
