//! Files below directories of the runner that the policy names. Needs the capability `filesystem` in `tool.toml`.
//!
//! Paths are absolute; `..`, links out of a granted directory and anything but files and directories are refused.

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::filesystem as host;
pub use crate::bindings::autoexec::tool::filesystem::{Entry, FileError};
use crate::failure::{Failure, HostError, reasons};
use crate::job;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::filesystem as host;

/// What the host could not do, and why.
pub type Error = HostError<FileError>;

reasons!(FileError {
    FileError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    FileError::NotFound => crate::FailureKind::NotFound, "there is no such file or directory";
    FileError::Exists => crate::FailureKind::Other("exists".into()), "it is there already";
    FileError::WrongKind(why) => crate::FailureKind::Other("wrong-kind".into()), why;
    FileError::TooLarge(limit) => crate::FailureKind::Other("too-large".into()), format!("more than {limit} bytes");
    FileError::NoSpace => crate::FailureKind::Other("no-space".into()), "no space or quota left";
    FileError::Other(why) => crate::FailureKind::Other("file".into()), why;
});

/// The variable that holds the path of the job's directory.
const JOB_DIRECTORY: &str = "AUTOEXEC_WORK_PATH";

/// The absolute path of one that is relative to the job's directory, as options of the type `file` hold them and as paths
/// in jobs always were. An absolute path stays as it is.
pub fn in_job(path: &str) -> Result<String, Failure> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let directory = job::variable(JOB_DIRECTORY).filter(|directory| directory.starts_with('/'));
    let directory = directory.ok_or_else(|| {
        Failure::other(
            "no-job",
            format!("{path} is relative to the job's directory, and there is no job here"),
        )
    })?;
    Ok(format!("{}/{path}", directory.trim_end_matches('/')))
}

/// The directory of what the steps of this node have put out, `<bundle>/<step>.json` for each. It need not exist yet.
pub fn node_outputs() -> Result<String, Failure> {
    let node = job::node();
    // As the executor names it.
    let host: String = node.host.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    let port = node.port.map_or_else(String::new, |port| port.to_string());
    in_job(&format!("output-op/{host}-{port}-{}", node.resource_id))
}

/// The directory where files belong that this step puts out: the server offers them for download. It need not exist yet.
pub fn output_directory() -> Result<String, Failure> {
    Ok(format!("{}/{}", node_outputs()?, job::context().operation_id))
}

/// Bytes read at once: well below the host's limit for one call.
const CHUNK: u32 = 1 << 20;

/// What is known of a file or directory.
pub fn stat(path: &str) -> Result<Entry, Error> {
    host::stat(path).map_err(|reason| HostError::new(reason, format_args!("looking at {path}")))
}

/// Whether there is a file or directory.
pub fn exists(path: &str) -> Result<bool, Error> {
    match stat(path) {
        Ok(_) => Ok(true),
        Err(HostError { reason: FileError::NotFound, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The entries of a directory, in the order of their names.
pub fn list_directory(path: &str) -> Result<Vec<Entry>, Error> {
    host::list_directory(path).map_err(|reason| HostError::new(reason, format_args!("listing {path}")))
}

/// At most `length` bytes from `offset`; fewer at the end of the file.
pub fn read_at(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    host::read(path, offset, length).map_err(|reason| HostError::new(reason, format_args!("reading {path}")))
}

/// The whole file, which must not have more than `limit` bytes.
pub fn read(path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    for chunk in chunks(path) {
        content.append(&mut chunk?);
        if content.len() as u64 > limit {
            return Err(HostError::new(FileError::TooLarge(limit), format_args!("reading {path}")));
        }
    }
    Ok(content)
}

/// The whole file as text; what is not UTF-8 becomes a replacement character.
pub fn read_text(path: &str, limit: u64) -> Result<String, Error> {
    let bytes = read(path, limit)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The file piece by piece, for files that need not fit into memory. Ends after the first error.
pub fn chunks(path: &str) -> impl Iterator<Item = Result<Vec<u8>, Error>> + use<> {
    let path = path.to_owned();
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let offset = next.take()?;
        match read_at(&path, offset, CHUNK) {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => {
                next = Some(offset + bytes.len() as u64);
                Some(Ok(bytes))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

/// Replaces or creates a file as a whole: written beside and renamed, readable by the owner only.
pub fn write(path: &str, content: &[u8]) -> Result<(), Error> {
    host::write(path, content).map_err(|reason| HostError::new(reason, format_args!("writing {path}")))
}

/// Appends to a file, creating it when it is missing.
pub fn append(path: &str, content: &[u8]) -> Result<(), Error> {
    host::append(path, content).map_err(|reason| HostError::new(reason, format_args!("appending to {path}")))
}

/// Makes a directory and those above it.
pub fn create_directory(path: &str) -> Result<(), Error> {
    host::create_directory(path).map_err(|reason| HostError::new(reason, format_args!("making {path}")))
}

/// Gives a file or directory another name in the same granted directory.
pub fn rename(old: &str, new: &str) -> Result<(), Error> {
    host::rename(old, new).map_err(|reason| HostError::new(reason, format_args!("renaming {old} to {new}")))
}

/// Removes a file or an empty directory.
pub fn remove(path: &str) -> Result<(), Error> {
    host::remove(path).map_err(|reason| HostError::new(reason, format_args!("removing {path}")))
}

/// Sets the time of the last change, in seconds since 1970.
pub fn set_modified(path: &str, modified: i64) -> Result<(), Error> {
    host::set_modified(path, modified)
        .map_err(|reason| HostError::new(reason, format_args!("setting the time of {path}")))
}

/// Sets the permission bits; all but the lower nine are ignored.
pub fn set_mode(path: &str, mode: u32) -> Result<(), Error> {
    host::set_mode(path, mode)
        .map_err(|reason| HostError::new(reason, format_args!("setting the permissions of {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn relative_paths_are_below_the_jobs_directory() {
        let host = Host::new();
        assert!(in_job("file/x").is_err());
        assert_eq!(in_job("/srv/x").unwrap(), "/srv/x");
        host.set_variable("AUTOEXEC_WORK_PATH", "/data/job/1/");
        host.set_node(|node| {
            node.host = "h/1".into();
            node.port = None;
            node.resource_id = 7;
        });
        host.set_context(|context| context.operation_id = "b/t_1".into());
        assert_eq!(in_job("file/x").unwrap(), "/data/job/1/file/x");
        assert_eq!(node_outputs().unwrap(), "/data/job/1/output-op/h_1--7");
        assert_eq!(output_directory().unwrap(), "/data/job/1/output-op/h_1--7/b/t_1");
    }
}
