//! `filesystem`.

use wasmtime::Result;

use super::bindings::autoexec::tool::filesystem as wit;
use crate::files::Entry;
use crate::host::FileError;
use crate::state::CallState;

/// Calls a method of the border and brings the answer into the component's types.
macro_rules! answer {
    ($state:ident, $call:literal, $method:ident($($argument:expr),*), $convert:expr) => {{
        let border = $state.enter()?;
        let asked = border.asked($call, &($(&$argument,)*))?;
        let act = async { border.$method($($argument),*).await.map($convert).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }};
}

impl wit::Host for CallState {
    async fn stat(&mut self, path: String) -> Result<Result<wit::Entry, wit::FileError>> {
        answer!(self, "filesystem.stat", stat(path), wit_entry)
    }

    async fn list_directory(&mut self, path: String) -> Result<Result<Vec<wit::Entry>, wit::FileError>> {
        answer!(self, "filesystem.list-directory", list(path), |entries| entries
            .into_iter()
            .map(wit_entry)
            .collect())
    }

    async fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> Result<Result<Vec<u8>, wit::FileError>> {
        answer!(self, "filesystem.read", read(path, offset, length), |bytes| bytes)
    }

    async fn write(&mut self, path: String, content: Vec<u8>) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.write", write(path, content), |()| ())
    }

    async fn append(&mut self, path: String, content: Vec<u8>) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.append", append(path, content), |()| ())
    }

    async fn create_directory(&mut self, path: String) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.create-directory", create_directory(path), |()| ())
    }

    async fn rename(&mut self, old: String, new: String) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.rename", rename(old, new), |()| ())
    }

    async fn remove(&mut self, path: String) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.remove", remove(path), |()| ())
    }

    async fn set_modified(&mut self, path: String, modified: i64) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.set-modified", set_modified(path, modified), |()| ())
    }

    async fn set_mode(&mut self, path: String, mode: u32) -> Result<Result<(), wit::FileError>> {
        answer!(self, "filesystem.set-mode", set_mode(path, mode), |()| ())
    }
}

fn wit_entry(entry: Entry) -> wit::Entry {
    let Entry { name, is_directory, size, modified, mode } = entry;
    wit::Entry { name, is_directory, size, modified, mode }
}

fn wit_error(error: FileError) -> wit::FileError {
    match error {
        FileError::Denied(why) => wit::FileError::Denied(why),
        FileError::NotFound => wit::FileError::NotFound,
        FileError::Exists => wit::FileError::Exists,
        FileError::WrongKind(why) => wit::FileError::WrongKind(why),
        FileError::TooLarge(limit) => wit::FileError::TooLarge(limit),
        FileError::NoSpace => wit::FileError::NoSpace,
        FileError::Other(why) => wit::FileError::Other(why),
    }
}
