//! Bringing back what an operation on a target wrote: `output.json` and the files it names
//! (`spec/plugin-contract.md` §8.4, §8.5).

use std::borrow::Cow;
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
        for (name, _) in declared {
            let Some(Value::String(path)) = values.get(name).cloned() else { continue };
            if path.is_empty() {
                continue;
            }
            let fetched = self.fetch_file(files, &path).await?;
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
    async fn fetch_file(&self, files: &mut dyn RemoteFiles, path: &str) -> Result<Option<String>, String> {
        let Ok(name) = base_name(&files.slashed(path)) else { return Ok(None) };
        let job_dir = &self.shared.settings.job_dir;
        let directory = job_dir.op_output_files(&self.unit.node.key(), &self.call.operation.id);
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("Can not create {}: {error}", directory.display()))?;
        let local = directory.join(&name);
        let remote =
            if files.is_absolute(path) { path.to_owned() } else { format!("{}/{path}", self.work_dir) };
        let length = files.download(&remote, &local, MAX_FILE_OUTPUT).await?;
        let relative = local.strip_prefix(job_dir.root()).unwrap_or(&local);
        Ok(length.map(|_| relative.to_string_lossy().into_owned()))
    }
}
