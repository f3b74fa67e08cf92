//! Work on values that only the caller can do, and how its answer is put in.

use serde_json::Value;

use super::{Content, InputSource, ResolvedValue, ValueWarning};
use crate::{SecretKey, ValueType};

/// A value that needs the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// An account to look up for the node.
    Account(AccountRequest),
    /// Files to download to the job.
    Files(FileRequest),
}

/// An account to look up with "get account", for the resource id, host and port of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRequest {
    /// Login name.
    pub user: String,
    /// Id of the account at the server.
    pub account_id: String,
    /// Protocol the account is for.
    pub protocol: String,
    pub(super) source: InputSource,
    pub(super) unresolved: ResolvedValue,
}

impl AccountRequest {
    /// Puts the reply in: the encrypted (or plain) password, or why there is none. The value becomes
    /// `user/password`; after an error it stays as sent, with a warning.
    pub fn complete(
        self,
        reply: Result<&str, String>,
        key: &SecretKey,
    ) -> (ResolvedValue, Option<ValueWarning>) {
        let password = reply.and_then(|text| key.reveal(text).map_err(|error| error.to_string()));
        match password {
            Ok(password) => {
                let text = format!("{}/{}", self.user, password.expose());
                (ResolvedValue { content: Content::Text(text), ..self.unresolved }, None)
            }
            Err(problem) => (self.unresolved, Some(ValueWarning::NoAccount { input: self.source, problem })),
        }
    }
}

/// Files to make available in the job's `file` directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// The entries in order.
    pub entries: Vec<FileEntry>,
    pub(super) value: ResolvedValue,
}

/// One entry of a `file` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEntry {
    /// A file id at the server.
    Id(String),
    /// A path that is there already, relative to the job directory.
    Path(String),
}

impl FileEntry {
    /// A number, or a text of digits only (64-bit ids are often sent as text), is an id; another text is a
    /// path; nothing else is a file.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self::Id(number.to_string())),
            Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Self::Id(text.clone()))
            }
            Value::String(text) if !text.is_empty() => Some(Self::Path(text.clone())),
            _ => None,
        }
    }
}

impl FileRequest {
    /// Puts the names in: `name` gives, for each id, the name under which the file stands in the job's
    /// `file` directory. The first error ends it, because a tool must not run with a part of its files.
    pub fn complete<E>(self, mut name: impl FnMut(&str) -> Result<String, E>) -> Result<ResolvedValue, E> {
        let files = self.entries.iter().map(|entry| match entry {
            FileEntry::Id(id) => name(id).map(|name| format!("file/{name}")),
            FileEntry::Path(path) => Ok(path.clone()),
        });
        Ok(ResolvedValue { content: Content::Files(files.collect::<Result<_, _>>()?), ..self.value })
    }

    /// The ids to download, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            FileEntry::Id(id) => Some(id.as_str()),
            FileEntry::Path(_) => None,
        })
    }
}

/// `user/accountId/protocol`. The user may hold slashes itself.
pub(super) fn account_parts(text: &str) -> Option<(&str, &str, &str)> {
    let (rest, protocol) = text.rsplit_once('/')?;
    let (user, account_id) = rest.rsplit_once('/')?;
    (!user.is_empty() && !account_id.is_empty()).then_some((user, account_id, protocol))
}

/// A `file` value before its files are there.
pub(super) fn empty_files(source: &InputSource, tainted: bool) -> ResolvedValue {
    ResolvedValue::new(source, ValueType::File, Content::Files(Vec::new()), tainted)
}
