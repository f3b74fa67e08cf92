//! The capability `filesystem`: files in memory. What was not made readable or writable may not be touched at all.

use std::collections::BTreeMap;

use super::{Host, current, unexpected};
use crate::filesystem::{Entry, FileError};

/// The granted directories and what is in them.
#[derive(Default)]
pub(super) struct State {
    readable: Vec<String>,
    writable: Vec<String>,
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone)]
struct Node {
    /// None for a directory.
    content: Option<Vec<u8>>,
    modified: i64,
    mode: u32,
}

/// Files of the fake host.
#[derive(Debug)]
pub struct Files<'h>(&'h Host);

impl Host {
    /// Prepares and looks at files.
    pub fn filesystem(&self) -> Files<'_> {
        Files(self)
    }
}

impl Files<'_> {
    /// Grants a directory for reading.
    pub fn readable(&self, directory: &str) -> &Self {
        let mut state = self.0.state.borrow_mut();
        state.files.readable.push(directory.to_owned());
        state.files.make_directory(directory);
        self
    }

    /// Grants a directory for reading and writing.
    pub fn writable(&self, directory: &str) -> &Self {
        self.readable(directory);
        self.0.state.borrow_mut().files.writable.push(directory.to_owned());
        self
    }

    /// Puts a file there, with the directories above it.
    pub fn file(&self, path: &str, content: impl Into<Vec<u8>>) -> &Self {
        let mut state = self.0.state.borrow_mut();
        state.files.make_directory(parent(path));
        state.files.nodes.insert(path.to_owned(), Node::file(content.into()));
        self
    }

    /// The content of a file, if it is there.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.0.state.borrow().files.nodes.get(path).and_then(|node| node.content.clone())
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> Vec<String> {
        let state = self.0.state.borrow();
        let files = state.files.nodes.iter().filter(|(_, node)| node.content.is_some());
        files.map(|(path, _)| path.clone()).collect()
    }
}

impl Node {
    fn file(content: Vec<u8>) -> Self {
        Self { content: Some(content), modified: 0, mode: 0o600 }
    }

    fn directory() -> Self {
        Self { content: None, modified: 0, mode: 0o700 }
    }

    fn entry(&self, path: &str) -> Entry {
        Entry {
            name: path.rsplit('/').next().unwrap_or_default().to_owned(),
            is_directory: self.content.is_none(),
            size: self.content.as_ref().map_or(0, |content| content.len() as u64),
            modified: self.modified,
            mode: self.mode,
        }
    }
}

impl State {
    fn make_directory(&mut self, path: &str) {
        let mut path = path;
        while !path.is_empty() && path != "/" && !self.nodes.contains_key(path) {
            self.nodes.insert(path.to_owned(), Node::directory());
            path = parent(path);
        }
    }

    fn node(&self, path: &str) -> Result<&Node, FileError> {
        self.nodes.get(path).ok_or(FileError::NotFound)
    }

    fn file(&self, path: &str) -> Result<&Vec<u8>, FileError> {
        self.node(path)?.content.as_ref().ok_or_else(|| FileError::WrongKind("it is a directory".into()))
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Does something with the files, if the path was granted for it.
fn with<T>(function: &str, path: &str, writes: bool, act: impl FnOnce(&mut State) -> T) -> T {
    let state = current();
    let files = &mut state.borrow_mut().files;
    let granted = if writes { &files.writable } else { &files.readable };
    let is_below = |directory: &String| {
        path.strip_prefix(directory.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if path.split('/').any(|part| part == "..") || !granted.iter().any(is_below) {
        let method = if writes { "writable" } else { "readable" };
        unexpected(&format!(
            "the tool did what was not expected:\n  filesystem.{function} {path:?}\n\
             no directory above it was made {method}: {granted:?}"
        ));
    }
    act(files)
}

pub(crate) fn stat(path: &str) -> Result<Entry, FileError> {
    with("stat", path, false, |files| files.node(path).map(|node| node.entry(path)))
}

pub(crate) fn list_directory(path: &str) -> Result<Vec<Entry>, FileError> {
    with("list-directory", path, false, |files| {
        if files.node(path)?.content.is_some() {
            return Err(FileError::WrongKind("it is a file".into()));
        }
        let entries = files.nodes.iter().filter(|(own, _)| parent(own) == path);
        Ok(entries.map(|(own, node)| node.entry(own)).collect())
    })
}

pub(crate) fn read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, FileError> {
    with("read", path, false, |files| {
        let content = files.file(path)?;
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let end = begin.saturating_add(length as usize).min(content.len());
        Ok(content[begin..end].to_vec())
    })
}

pub(crate) fn write(path: &str, content: &[u8]) -> Result<(), FileError> {
    with("write", path, true, |files| {
        files.node(parent(path))?;
        files.nodes.insert(path.to_owned(), Node::file(content.to_vec()));
        Ok(())
    })
}

pub(crate) fn append(path: &str, content: &[u8]) -> Result<(), FileError> {
    with("append", path, true, |files| {
        let mut whole = match files.file(path) {
            Ok(before) => before.clone(),
            Err(FileError::NotFound) => Vec::new(),
            Err(error) => return Err(error),
        };
        files.node(parent(path))?;
        whole.extend_from_slice(content);
        files.nodes.insert(path.to_owned(), Node::file(whole));
        Ok(())
    })
}

pub(crate) fn create_directory(path: &str) -> Result<(), FileError> {
    with("create-directory", path, true, |files| {
        files.make_directory(path);
        Ok(())
    })
}

pub(crate) fn rename(old: &str, new: &str) -> Result<(), FileError> {
    with("rename", new, true, |_| ());
    with("rename", old, true, |files| {
        files.node(old)?;
        let below = format!("{old}/");
        let moved: Vec<String> =
            files.nodes.keys().filter(|path| *path == old || path.starts_with(&below)).cloned().collect();
        for path in moved {
            if let Some(node) = files.nodes.remove(&path) {
                files.nodes.insert(path.replacen(old, new, 1), node);
            }
        }
        Ok(())
    })
}

pub(crate) fn remove(path: &str) -> Result<(), FileError> {
    with("remove", path, true, |files| {
        files.node(path)?;
        if files.nodes.keys().any(|own| parent(own) == path) {
            return Err(FileError::WrongKind("the directory is not empty".into()));
        }
        files.nodes.remove(path);
        Ok(())
    })
}

fn change(function: &str, path: &str, act: impl FnOnce(&mut Node)) -> Result<(), FileError> {
    with(function, path, true, |files| files.nodes.get_mut(path).map(act).ok_or(FileError::NotFound))
}

pub(crate) fn set_modified(path: &str, modified: i64) -> Result<(), FileError> {
    change("set-modified", path, |node| node.modified = modified)
}

pub(crate) fn set_mode(path: &str, mode: u32) -> Result<(), FileError> {
    change("set-mode", path, |node| node.mode = mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_behave_as_on_a_disk() {
        let host = Host::new();
        host.filesystem().writable("/data").file("/data/a/b.txt", "one");
        assert_eq!(read("/data/a/b.txt", 1, 10), Ok(b"ne".to_vec()));
        append("/data/a/b.txt", b" two").unwrap();
        assert_eq!(remove("/data/a"), Err(FileError::WrongKind("the directory is not empty".into())));
        rename("/data/a", "/data/c").unwrap();
        assert_eq!(host.filesystem().content("/data/c/b.txt").as_deref(), Some(b"one two".as_slice()));
        let names =
            |path| list_directory(path).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        assert_eq!(names("/data"), ["c"]);
        assert_eq!(stat("/data/a"), Err(FileError::NotFound));
        assert_eq!(write("/data/none/x", b""), Err(FileError::NotFound));
    }

    #[test]
    #[should_panic(expected = "filesystem.read \"/etc/passwd\"")]
    fn what_was_not_granted_fails_the_test() {
        let host = Host::new();
        host.filesystem().readable("/data").file("/etc/passwd", "x");
        let _ = read("/etc/passwd", 0, 1);
    }

    #[test]
    #[should_panic(expected = "made writable")]
    fn reading_does_not_include_writing() {
        let host = Host::new();
        host.filesystem().readable("/data");
        let _ = write("/data/x", b"");
    }
}
