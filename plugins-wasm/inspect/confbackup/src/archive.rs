//! The last version of each file, to compare with.

use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::{Failure, HostError, log};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

/// The largest file that is compared, in bytes.
const MOST: u64 = 8 << 20;

/// Lines around a change that the difference shows.
const CONTEXT: usize = 3;

/// A directory with a directory for each node.
pub(crate) struct Archive(String);

impl Archive {
    /// The archive of a node. It need not be there yet.
    pub(crate) fn open(path: &str, host: &str) -> Result<Self, Failure> {
        let directory = filesystem::in_job(path.trim())?;
        let host: String = host
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':') { c } else { '_' })
            .collect();
        if host.is_empty() || host.starts_with('.') {
            return Err(Failure::other(
                "bad-host",
                format!("the host \"{host}\" can not be the name of a directory"),
            ));
        }
        Ok(Self(format!("{}/{host}", directory.trim_end_matches('/'))))
    }

    /// Compares a file with its last version, and puts it in its place. `path` is the one on the node, `here` that of the copy.
    pub(crate) fn compare(&self, path: &str, here: &str) -> Result<Value, Failure> {
        let place = format!("{}{path}", self.0);
        let after = filesystem::read(here, MOST)?;
        let before = match filesystem::read(&place, MOST) {
            Ok(content) => Some(content),
            Err(HostError { reason: FileError::NotFound, .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if before.as_ref() != Some(&after) {
            if let Some((parent, _)) = place.rsplit_once('/') {
                filesystem::create_directory(parent)?;
            }
            filesystem::write(&place, &after)?;
        }
        Ok(change(path, before.as_deref(), &after))
    }
}

fn change(path: &str, before: Option<&[u8]>, after: &[u8]) -> Value {
    let state = |state: &str| json!({"fullPath": path, "state": state});
    let Some(before) = before else {
        log::info(format_args!("{path} is new."));
        return state("new");
    };
    if before == after {
        return state("unchanged");
    }
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        log::warn(format_args!("{path} has changed."));
        return state("binary");
    };
    let diff = TextDiff::from_lines(before, after);
    let count = |tag: ChangeTag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    // Not the lines themselves: configurations hold passwords.
    log::warn(format_args!("{path} has changed: {added} line(s) added, {removed} removed."));
    let difference = diff.unified_diff().context_radius(CONTEXT).header("before", "now").to_string();
    json!({"fullPath": path, "state": "changed", "added": added, "removed": removed, "difference": difference})
}
