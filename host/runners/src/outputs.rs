//! Bringing back what an operation on a target wrote: `output.json` and the files it names
//! (`spec/plugin-contract.md` §8.4, §8.5).

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use async_trait::async_trait;
use autoexec_engine::ports::{OperationCall, OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_store::json::Style;
use autoexec_store::{MAX_OP_OUTPUT, atomic, base_name};
use serde_json::{Map, Value};

use crate::delivery::OUTPUT_FILE;
use crate::settings::Shared;

/// The largest file output that is brought back, in bytes. A target may be hostile.
const MAX_FILE_OUTPUT: u64 = 4 * 1024 * 1024 * 1024;

/// Reads files of a target. An error ends the connection, a missing file is `None`.
#[async_trait]
pub(crate) trait RemoteFiles: Send {
    /// The bytes of a text file, in UTF-8 where the target's charset is another.
    async fn read(&mut self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, String>;

    /// Fetches a file as it is; its length.
    async fn download(&mut self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, String>;

    /// Whether a path does not start at the working directory.
    fn is_absolute(&self, path: &str) -> bool {
        path.starts_with('/')
    }

    /// A path with `/` between its parts.
    fn slashed<'a>(&self, path: &'a str) -> Cow<'a, str> {
        path.into()
    }
}

/// Where an operation ran.
pub(crate) struct Ran<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) unit: &'a UnitInfo,
    pub(crate) call: &'a OperationCall<'a>,
    /// The unit's directory on the target.
    pub(crate) root: &'a str,
    /// The operation's directory on the target.
    pub(crate) work_dir: &'a str,
    pub(crate) sink: &'a dyn OperationSink,
}

impl Ran<'_> {
    /// Brings `output.json` and the files it names. The inner error fails the operation, not the connection.
    pub(crate) async fn fetch_outputs(
        &self,
        files: &mut dyn RemoteFiles,
    ) -> Result<Result<Map<String, Value>, String>, String> {
        let mut values = match self.read_output(files).await? {
            Ok(values) => values,
            Err(problem) => return Ok(Err(problem)),
        };
        let declared = self.call.call.outputs.iter().flatten().filter(|(_, output)| output.is_file);
        let mut missing = Vec::new();
        let mut names = LocalNames::default();
        for (name, _) in declared {
            let Some(Value::String(path)) = values.get(name).cloned() else { continue };
            if path.is_empty() {
                continue;
            }
            let fetched = match names.of(name, &files.slashed(&path)) {
                Some(local) => self.fetch_file(files, &path, &local).await?,
                None => None,
            };
            if fetched.is_none() {
                self.sink.info(Level::Error, &format!("Can not fetch the file {path} of output {name}."));
                missing.push(path);
            }
            values.insert(name.clone(), fetched.map_or(Value::Null, Value::from));
        }
        let path = self.shared.settings.job_dir.op_output(&self.unit.node.key(), &self.call.operation.id);
        let written = atomic::write_json(&path, &values, Style::Indented, atomic::PRIVATE);
        Ok(match written {
            Err(error) => Err(error.to_string()),
            Ok(()) if missing.is_empty() => Ok(values),
            Ok(()) => Err(format!("The target has no file {} to bring back.", missing.join(", "))),
        })
    }

    /// `output.json` of the working directory, or of the root where an old library puts it (defect 83).
    async fn read_output(
        &self,
        files: &mut dyn RemoteFiles,
    ) -> Result<Result<Map<String, Value>, String>, String> {
        let mut directories = vec![self.work_dir];
        if self.root != self.work_dir {
            directories.push(self.root);
        }
        for directory in directories {
            let path = format!("{directory}/{OUTPUT_FILE}");
            let bytes = files.read(&path, MAX_OP_OUTPUT).await?.unwrap_or_default();
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            return Ok(match serde_json::from_slice(&bytes) {
                Ok(Value::Object(values)) => Ok(values),
                Ok(_) => Err(format!("The output {path} is not a JSON object.")),
                Err(error) => Err(format!(
                    "The output {path} is not JSON: line {}, column {}.",
                    error.line(),
                    error.column()
                )),
            });
        }
        Ok(Ok(Map::new()))
    }

    /// Fetches a file output to `output-op/<K>/<opId>/<name>`; its path relative to the job directory.
    async fn fetch_file(
        &self,
        files: &mut dyn RemoteFiles,
        path: &str,
        name: &str,
    ) -> Result<Option<String>, String> {
        let job_dir = &self.shared.settings.job_dir;
        let directory = job_dir.op_output_files(&self.unit.node.key(), &self.call.operation.id);
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("Can not create {}: {error}", directory.display()))?;
        let local = directory.join(name);
        let remote =
            if files.is_absolute(path) { path.to_owned() } else { format!("{}/{path}", self.work_dir) };
        let length = files.download(&remote, &local, MAX_FILE_OUTPUT).await?;
        let relative = local.strip_prefix(job_dir.root()).unwrap_or(&local);
        Ok(length.map(|_| relative.to_string_lossy().into_owned()))
    }
}

/// Names under which the file outputs of one operation are kept. The contract wants the base name; a second file of that
/// name gets its output's name in front, so that neither stands in for the other.
#[derive(Default)]
struct LocalNames(HashMap<String, String>);

impl LocalNames {
    /// The name for the file at `path` on the target; none when the path ends in no usable name.
    fn of(&mut self, output: &str, path: &str) -> Option<String> {
        let base = base_name(path).ok()?;
        let named = base_name(&format!("{}-{base}", output.replace(['/', '\\'], "_"))).ok();
        for candidate in std::iter::once(base).chain(named) {
            let taken = self.0.entry(candidate.clone()).or_insert_with(|| path.to_owned());
            if taken == path {
                return Some(candidate);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_file_outputs_of_one_name_are_kept_apart() {
        let mut names = LocalNames::default();
        let mut of = |output: &str, path: &str| names.of(output, path);
        assert_eq!(of("log", "a/report.txt").as_deref(), Some("report.txt"));
        assert_eq!(of("again", "a/report.txt").as_deref(), Some("report.txt"), "the same file");
        assert_eq!(of("o/ther", "b/report.txt").as_deref(), Some("o_ther-report.txt"));
        assert_eq!(of("o/ther", "c/report.txt"), None, "no third way to name it");
        assert_eq!(of("x", ".."), None);
    }
}
