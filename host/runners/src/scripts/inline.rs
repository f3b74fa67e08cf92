//! Scripts whose text stands in the job's parameters.

use std::path::Path;

use async_trait::async_trait;
use autoexec_model::{Operation, OperationBody, ScriptSource};
use autoexec_plan::PlannedPhase;
use autoexec_store::JobDir;

use super::names::{declared_interpreter, operation_link, own_name};
use super::shelf::Shelf;
use super::{ScriptError, ScriptFile, Scripts};

/// Scripts whose text stands in the job's parameters.
///
/// The text is written to `script/[<bundle>/]<opId>`, since two operations may bring different texts under one name,
/// and linked as `<name><ext>`, so that scripts can import each other.
#[derive(Debug, Clone)]
pub struct InlineScripts {
    job_dir: JobDir,
}

impl InlineScripts {
    /// Scripts of the job in `job_dir`.
    pub fn new(job_dir: JobDir) -> Self {
        Self { job_dir }
    }

    /// Writes the text of an operation's script.
    ///
    /// # Errors
    /// Names the file.
    pub fn write(&self, operation: &Operation, content: &str) -> Result<(), ScriptError> {
        let shelf = self.shelf(operation)?;
        let (file, name) = (operation_link(operation)?, name_of(operation)?);
        shelf.write(&file, content.as_bytes())?;
        // An operation may be called like its script: then the file has that name already.
        if name != file {
            shelf.link(&name, &file)?;
        }
        Ok(())
    }

    /// The written script of an operation.
    ///
    /// # Errors
    /// When it was not written.
    pub fn find(&self, operation: &Operation) -> Result<ScriptFile, ScriptError> {
        let directory = self.job_dir.scripts().join(operation.name.bundle());
        let path = directory.join(operation_link(operation)?);
        if !Path::is_file(&path) {
            return Err(ScriptError::Missing { operation: operation.id.clone(), path });
        }
        Ok(ScriptFile { path, name: name_of(operation)?, libraries: Vec::new() })
    }

    fn shelf(&self, operation: &Operation) -> Result<Shelf, ScriptError> {
        Shelf::open(self.job_dir.scripts().join(operation.name.bundle()))
    }

    pub(super) fn write_if_given(&self, operation: &Operation) -> Result<(), ScriptError> {
        let OperationBody::Call(call) = &operation.body else { return Ok(()) };
        match &call.script {
            None => Ok(()),
            Some(ScriptSource::Inline(content)) => self.write(operation, content),
            Some(ScriptSource::Server { .. }) => Err(ScriptError::NoServer(operation.id.clone())),
        }
    }
}

fn name_of(operation: &Operation) -> Result<String, ScriptError> {
    Ok(own_name(operation, None, declared_interpreter(operation))?)
}

#[async_trait]
impl Scripts for InlineScripts {
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String> {
        let mut written = Ok(());
        phase.phase.for_each_operation(|operation| {
            if written.is_ok() {
                written = self.write_if_given(operation);
            }
        });
        written.map_err(|error| error.to_string())
    }

    fn script(&self, operation: &Operation) -> Result<ScriptFile, String> {
        self.find(operation).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::samples::operation;

    #[test]
    fn operations_of_one_name_keep_their_own_texts() {
        let dir = tempfile::tempdir().unwrap();
        let inline = InlineScripts::new(JobDir::at(dir.path()));
        let (first, second) = (operation("b/检查", "b/检查_1", "sh"), operation("b/检查", "b/检查_2", "sh"));
        inline.write(&first, "#!/bin/sh\necho one\n").unwrap();
        inline.write(&second, "#!/bin/sh\necho two\n").unwrap();
        let (first, second) = (inline.find(&first).unwrap(), inline.find(&second).unwrap());
        assert_eq!((first.name.as_str(), second.name.as_str()), ("1.sh", "2.sh"));
        for (script, said) in [(&first, "one\n"), (&second, "two\n")] {
            assert_eq!(std::fs::metadata(&script.path).unwrap().permissions().mode() & 0o777, 0o700);
            let output = std::process::Command::new(&script.path).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), said);
        }
        assert_eq!(first.path.parent(), Some(dir.path().join("script/b").as_path()));
    }

    #[test]
    fn an_operation_called_like_its_script_is_no_link_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let inline = InlineScripts::new(JobDir::at(dir.path()));
        let operation = operation("greet.sh", "greet.sh", "sh");
        inline.write(&operation, "echo hi").unwrap();
        assert_eq!(std::fs::read_to_string(inline.find(&operation).unwrap().path).unwrap(), "echo hi");
    }

    #[test]
    fn a_script_that_was_not_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let inline = InlineScripts::new(JobDir::at(dir.path()));
        let error = inline.script(&operation("x", "x_1", "sh")).unwrap_err();
        assert!(error.contains("`x_1` is missing") && error.contains("script/x_1"), "{error}");
    }
}
