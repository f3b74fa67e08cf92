//! Custom scripts: files of the job that operations run (`spec/plugin-contract.md` §8.6).

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use autoexec_model::{Interpreter, OpId, Operation, OperationBody, ScriptSource};
use autoexec_plan::PlannedPhase;
use autoexec_store::{JobDir, atomic};

/// A script that is ready to run or to be sent to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFile {
    /// The file on this machine, mode 0700.
    pub path: PathBuf,
    /// Its name on a target.
    pub name: String,
    /// Further files beside it, with their names there.
    pub libraries: Vec<(PathBuf, String)>,
}

/// Brings custom scripts to the job directory.
#[async_trait]
pub trait Scripts: Send + Sync {
    /// Makes all scripts of a phase available.
    ///
    /// # Errors
    /// A text for people.
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String>;

    /// The script of an operation, after [`Self::prepare`].
    ///
    /// # Errors
    /// A text for people.
    fn script(&self, operation: &Operation) -> Result<ScriptFile, String>;
}

/// Scripts whose text stands in the job's parameters.
#[derive(Debug, Clone)]
pub struct InlineScripts {
    job_dir: JobDir,
}

impl InlineScripts {
    /// Scripts of the job in `job_dir`.
    pub fn new(job_dir: JobDir) -> Self {
        Self { job_dir }
    }

    /// Where the script of an operation stands: `script[/<bundle>]/<opId>`, and its name on a target.
    pub fn location(&self, operation: &Operation) -> (PathBuf, String) {
        let directory = self.job_dir.scripts().join(operation.name.bundle());
        let name = script_name(operation);
        (directory.join(&name), name)
    }

    /// Writes the text of an operation's script.
    ///
    /// # Errors
    /// A text that names the file.
    pub fn write(&self, operation: &Operation, content: &str) -> Result<(), String> {
        let (path, _) = self.location(operation);
        write_script(&path, content.as_bytes())
    }
}

#[async_trait]
impl Scripts for InlineScripts {
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String> {
        let mut written = Ok(());
        phase.phase.for_each_operation(|operation| {
            let OperationBody::Call(call) = &operation.body else { return };
            if written.is_ok() {
                written = match &call.script {
                    None => Ok(()),
                    Some(ScriptSource::Inline(content)) => self.write(operation, content),
                    Some(ScriptSource::Server { .. }) => Err(format!(
                        "The script of operation {} is at a server, and this run has none: put its text into scriptContent.",
                        operation.id
                    )),
                };
            }
        });
        written
    }

    fn script(&self, operation: &Operation) -> Result<ScriptFile, String> {
        let (path, name) = self.location(operation);
        if path.is_file() {
            Ok(ScriptFile { path, name, libraries: Vec::new() })
        } else {
            Err(format!(
                "The script of operation {} is missing: there is no {}.",
                operation.id,
                path.display()
            ))
        }
    }
}

/// Writes a script with mode 0700 through a temporary name.
///
/// # Errors
/// A text that names the file.
pub(crate) fn write_script(path: &Path, content: &[u8]) -> Result<(), String> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|error| format!("Can not create {}: {error}", directory.display()))?;
    }
    atomic::write(path, content, 0o700).map_err(|error| error.to_string())
}

/// Script name plus extension, if it is not there already; the number of the operation where the name is not ASCII.
fn script_name(operation: &Operation) -> String {
    let OperationBody::Call(call) = &operation.body else { return operation.name.tool().to_owned() };
    let extension = call.interpreter.map_or("", Interpreter::script_extension);
    let tool = operation.name.tool();
    let base = if tool.is_ascii() { tool } else { OpId::number(&operation.id).unwrap_or(tool) };
    if base.ends_with(extension) { base.to_owned() } else { format!("{base}{extension}") }
}
