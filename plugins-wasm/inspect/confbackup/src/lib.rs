//! Tool `inspect/confbackup`: brings configuration files of the node here and compares them with those of the last time
//! (spec/tools-behaviour/12-inspection-report.md).

use autoexec_sdk::filesystem;
use autoexec_sdk::server::ServerError;
use autoexec_sdk::target::{self, TargetError, Times};
use autoexec_sdk::{
    Call, Failure, HostError, Options, Outcome, Outputs, Reason, Tool, ToolResult, job, log,
    output::Outputs as _,
};
use console_calls::call_again;
use serde_json::{Value, json};

mod archive;
mod expand;

use archive::Archive;
use expand::{Found, expand};

/// The server call for the paths that the console has for a resource.
const PATHS: &str = "rest/inspect/configfile/resource/path/list";

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// The largest file that is brought, in KB
    #[option(label = "Largest file", default = 32, required = true)]
    maxsize: u64,
    /// Kept for existing jobs and not used
    #[option(name = "timeout", default = 10, required = true)]
    _timeout: u64,
    /// Directory of the runner that keeps the last version of each file, to compare with; nothing is compared without it
    archive: Option<String>,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Saved {
    /// The files: fullPath, fileName, serverPath and modifyTime of each
    #[output(name = "fileList", label = "Files")]
    files: Vec<Value>,
    /// What differs from the last time: fullPath, state, added, removed and difference of each; nothing without an archive
    #[output(kind = "json")]
    changes: Option<Vec<Value>>,
}

struct ConfBackup;

impl Tool for ConfBackup {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let mut patterns: Vec<String> = call.text_arguments().collect();
        let options = call.options;
        let node = job::node();
        patterns.extend(known_to_console(node.resource_id)?);
        let mut patterns: Vec<&str> =
            patterns.iter().map(|pattern| pattern.trim()).filter(|pattern| !pattern.is_empty()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let archive = options.archive.as_deref().map(|path| Archive::open(path, &node.host)).transpose()?;
        let mut saved = Saved { files: Vec::new(), changes: archive.as_ref().map(|_| Vec::new()) };
        if patterns.is_empty() {
            log::warn("No file is named, neither by the job nor by the console.");
            saved.put();
            return Ok(Outcome::default());
        }
        let directory = filesystem::output_directory()?;
        let mut failed = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for pattern in patterns {
            let found = match expand(pattern) {
                Ok(found) => found,
                Err(failure) if is_about_the_path(&failure) => {
                    log::error(&failure);
                    failed.push(pattern.to_owned());
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if found.is_empty() {
                log::warn(format_args!("Can not find any file for {pattern} on host:{}.", node.host));
            }
            for file in found.into_iter().filter(|file| seen.insert(file.path.clone())) {
                match fetch(&file, &directory, options.maxsize)? {
                    Err(why) => {
                        log::error(format_args!("Download file:{} failed, {why}", file.path));
                        failed.push(file.path);
                    }
                    Ok(here) => {
                        log::fine(format_args!("Download file:{} success.", file.path));
                        if let (Some(archive), Some(changes)) = (&archive, &mut saved.changes) {
                            changes.push(archive.compare(&file.path, &here)?);
                        }
                        saved.files.push(file.entry(&here));
                    }
                }
            }
        }
        saved.put();
        if failed.is_empty() {
            return Ok(Outcome::with_message(format!("Saved {} file(s).", saved.files.len())));
        }
        Err(Failure::other("incomplete", format!("These were not saved: {}", failed.join(", "))))
    }
}

/// The paths that the console has for the resource; none without a server.
fn known_to_console(resource_id: i64) -> Result<Vec<String>, Failure> {
    let answer = match call_again(PATHS, &json!({"resourceId": resource_id})) {
        Err(HostError { reason: ServerError::None, .. }) => return Ok(Vec::new()),
        answer => answer?,
    };
    let list = answer.get("tbodyList").and_then(Value::as_array).into_iter().flatten();
    Ok(list.filter_map(|row| row.get("path").unwrap_or(row).as_str().map(str::to_owned)).collect())
}

/// Whether the next path may still work.
fn is_about_the_path(failure: &Failure) -> bool {
    use autoexec_sdk::FailureKind::{InvalidOption, NotFound, Other};
    matches!(failure.kind(), InvalidOption(_) | NotFound) || *failure.kind() == Other("target".to_owned())
}

/// Brings a file here; its path here, or why it is not.
fn fetch(file: &Found, directory: &str, kib: u64) -> Result<Result<String, String>, Failure> {
    if file.size > kib.saturating_mul(1024) {
        return Ok(Err(format!("it has {} bytes, more than {kib} KB: raise `maxsize`", file.size)));
    }
    let here = format!("{directory}{}", file.path);
    if let Some((parent, _)) = here.rsplit_once('/') {
        filesystem::create_directory(parent)?;
    }
    match target::download(&file.path, &here, Times::Keep) {
        Ok(_) => Ok(Ok(here)),
        Err(error) => match &error.reason {
            TargetError::NotFound(_)
            | TargetError::TooLarge(_)
            | TargetError::TimedOut
            | TargetError::Other(_) => Ok(Err(error.reason.explain().into_owned())),
            _ => Err(error.into()),
        },
    }
}

impl Found {
    fn entry(&self, here: &str) -> Value {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        json!({"fullPath": self.path, "fileName": name, "serverPath": here, "modifyTime": self.modified})
    }
}

autoexec_sdk::export_tool!(ConfBackup);

#[cfg(test)]
mod tests;
