//! Paths with wildcards, and the files of the node that they mean.

use autoexec_sdk::target::{self, Entry, TargetError};
use autoexec_sdk::{Failure, HostError};
use wildcard::{Dialect, Wildcard};

/// The most files of one pattern: a mistake such as `/*/*/*` must not fetch a whole machine.
const MOST: usize = 1_000;

/// A file of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
}

/// The files that a path means. Directories are left out.
pub(crate) fn expand(pattern: &str) -> Result<Vec<Found>, Failure> {
    let unusable = |why: &str| Failure::invalid_option("arguments", format!("the path {pattern} {why}"));
    if !pattern.starts_with('/') {
        return Err(unusable("is not absolute: write it from `/` on"));
    }
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(unusable("has a part `..`: write where it leads to"));
    }
    if parts.iter().any(|part| part.matches('{').count() != part.matches('}').count()) {
        return Err(unusable("has a slash between braces: write several paths"));
    }
    let Some((last, directories)) = parts.split_last() else { return Err(unusable("is a directory")) };
    let mut places = vec![String::new()];
    for part in directories {
        places = if has_wildcard(part) {
            let mut below = Vec::new();
            for place in places {
                let entries = fitting(&place, part)?.into_iter().filter(|entry| entry.is_directory);
                below.extend(entries.map(|entry| format!("{place}/{}", entry.name)));
                bounded(&below, pattern)?;
            }
            below
        } else {
            places.into_iter().map(|place| format!("{place}/{part}")).collect()
        };
    }
    let mut found = Vec::new();
    for place in places {
        let entries = if has_wildcard(last) {
            fitting(&place, last)?
        } else {
            looked_at(target::stat(&format!("{place}/{last}")))?.into_iter().collect()
        };
        let is_named = has_wildcard(last);
        found.extend(entries.into_iter().filter(|entry| !entry.is_directory).map(|entry| Found {
            path: format!("{place}/{}", if is_named { &entry.name } else { *last }),
            size: entry.size,
            modified: entry.modified,
        }));
        bounded(&found, pattern)?;
    }
    Ok(found)
}

fn bounded<T>(found: &[T], pattern: &str) -> Result<(), Failure> {
    if found.len() <= MOST {
        return Ok(());
    }
    let message = format!("the path {pattern} means more than {MOST} files or directories: name fewer");
    Err(Failure::invalid_option("arguments", message))
}

fn has_wildcard(part: &str) -> bool {
    Dialect::Shell.has_wildcard(part)
}

/// The entries of a directory whose names fit.
fn fitting(directory: &str, pattern: &str) -> Result<Vec<Entry>, Failure> {
    let names = Wildcard::new(pattern, Dialect::Shell)
        .map_err(|error| Failure::invalid_option("arguments", format!("the path part {pattern} {error}")))?;
    let directory = if directory.is_empty() { "/" } else { directory };
    let entries = looked_at(target::list_directory(directory))?.unwrap_or_default();
    Ok(entries.into_iter().filter(|entry| names.matches(&entry.name)).collect())
}

/// What is not there is no error.
fn looked_at<T>(answer: Result<T, target::Error>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(HostError { reason: TargetError::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
