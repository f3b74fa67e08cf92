//! `filesystem`.

use wasmtime::Result;

use super::bindings::autoexec::tool::filesystem as wit;
use crate::files::Entry;
use crate::host::FileError;
use crate::state::CallState;

/// Calls a method of the border and brings the answer into the component's types.
macro_rules! answer {
    ($state:ident, $method:ident($($argument:expr),*), $convert:expr) => {{
        let border = $state.enter()?;
        let answer = border.$method($($argument),*).await;
        border.check_alive()?;
        Ok(answer.map($convert).map_err(wit_error))
    }};
}

impl wit::Host for CallState {
    async fn stat(&mut self, path: String) -> Result<Result<wit::Entry, wit::FileError>> {
        answer!(self, stat(path), wit_entry)
    }

    async fn list_directory(&mut self, path: String) -> Result<Result<Vec<wit::Entry>, wit::FileError>> {
        answer!(self, list(path), |entries| entries.into_iter().map(wit_entry).collect())
    }

    async fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> Result<Result<Vec<u8>, wit::FileError>> {
        answer!(self, read(path, offset, length), |bytes| bytes)
    }

    async fn write(&mut self, path: String, content: Vec<u8>) -> Result<Result<(), wit::FileError>> {
        answer!(self, write(path, content), |()| ())
    }

    async fn append(&mut self, path: String, content: Vec<u8>) -> Result<Result<(), wit::FileError>> {
        answer!(self, append(path, content), |()| ())
    }

    async fn create_directory(&mut self, path: String) -> Result<Result<(), wit::FileError>> {
        answer!(self, create_directory(path), |()| ())
    }

    async fn rename(&mut self, old: String, new: String) -> Result<Result<(), wit::FileError>> {
        answer!(self, rename(old, new), |()| ())
    }

    async fn remove(&mut self, path: String) -> Result<Result<(), wit::FileError>> {
        answer!(self, remove(path), |()| ())
    }

    async fn set_modified(&mut self, path: String, modified: i64) -> Result<Result<(), wit::FileError>> {
        answer!(self, set_modified(path, modified), |()| ())
    }

    async fn set_mode(&mut self, path: String, mode: u32) -> Result<Result<(), wit::FileError>> {
        answer!(self, set_mode(path, mode), |()| ())
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
