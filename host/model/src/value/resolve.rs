//! One value: references, decryption, and the form of its type (`spec/job-params.md` §2.8).

use serde_json::Value;

use super::pending::{AccountRequest, FileEntry, FileRequest, Pending, account_parts, empty_files};
use super::{Content, InputSource, ResolvedValue, ValueWarning};
use crate::reference::{Lookup, Resolved, Template, UnresolvedOutput, resolve, resolve_to_text};
use crate::{SecretKey, ValueType};

/// What became of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Ready.
    Ready {
        /// The value.
        value: ResolvedValue,
        /// What a person should know.
        warning: Option<ValueWarning>,
    },
    /// Ready once the caller has asked the server.
    Pending(Pending),
}

/// Resolves one option or argument as far as it goes without the server.
pub fn resolve_value(
    source: &InputSource,
    kind: ValueType,
    value: &Value,
    lookup: &dyn Lookup,
    key: &SecretKey,
) -> Result<Resolution, UnresolvedOutput> {
    let job = Job { source, kind, key };
    if kind == ValueType::File {
        return job.files(value, lookup);
    }
    let resolved = match value {
        Value::Null => Resolved::default(),
        other => resolve_to_text(other, lookup)?,
    };
    Ok(match kind {
        ValueType::Password => job.password(resolved),
        ValueType::Account => job.account(resolved),
        ValueType::TextArea => job.ready(resolved.text.replace('\n', "\\n"), resolved.tainted),
        _ => job.ready(resolved.text, resolved.tainted),
    })
}

/// What stays the same while one value is resolved.
struct Job<'a> {
    source: &'a InputSource,
    kind: ValueType,
    key: &'a SecretKey,
}

impl Job<'_> {
    fn value(&self, text: String, tainted: bool) -> ResolvedValue {
        ResolvedValue::new(self.source, self.kind, Content::Text(text), tainted)
    }

    fn ready(&self, text: String, tainted: bool) -> Resolution {
        Resolution::Ready { value: self.value(text, tainted), warning: None }
    }

    fn password(&self, resolved: Resolved) -> Resolution {
        match self.key.reveal(&resolved.text) {
            Ok(plain) => self.ready(plain.expose().to_owned(), true),
            Err(error) => Resolution::Ready {
                value: self.value(resolved.text, true),
                warning: Some(ValueWarning::NotDecrypted {
                    input: self.source.clone(),
                    problem: error.to_string(),
                }),
            },
        }
    }

    fn account(&self, resolved: Resolved) -> Resolution {
        let unresolved = self.value(resolved.text.clone(), true);
        if resolved.text.is_empty() {
            return Resolution::Ready { value: unresolved, warning: None };
        }
        match account_parts(&resolved.text) {
            Some((user, account_id, protocol)) => Resolution::Pending(Pending::Account(AccountRequest {
                user: user.to_owned(),
                account_id: account_id.to_owned(),
                protocol: protocol.to_owned(),
                source: self.source.clone(),
                unresolved,
            })),
            None => Resolution::Ready {
                value: unresolved,
                warning: Some(ValueWarning::NoAccount {
                    input: self.source.clone(),
                    problem: "expected `user/accountId/protocol`".to_owned(),
                }),
            },
        }
    }

    /// A list of ids as it is, or a reference whose text is such a list.
    fn files(&self, value: &Value, lookup: &dyn Lookup) -> Result<Resolution, UnresolvedOutput> {
        let mut tainted = false;
        let list = match value {
            Value::Null => Ok(Vec::new()),
            Value::String(text) if text.trim().is_empty() => Ok(Vec::new()),
            Value::String(text) => {
                let resolved = resolve(&Template::parse(text), lookup)?;
                tainted = resolved.tainted;
                serde_json::from_str(&resolved.text)
                    .map_err(|_| "the text is not JSON".to_owned())
                    .and_then(|value| file_entries(&value))
            }
            other => file_entries(other),
        };
        let empty = empty_files(self.source, tainted);
        Ok(match list {
            Ok(entries) if entries.is_empty() => Resolution::Ready { value: empty, warning: None },
            Ok(entries) => Resolution::Pending(Pending::Files(FileRequest { entries, value: empty })),
            Err(problem) => Resolution::Ready {
                value: empty,
                warning: Some(ValueWarning::NoFiles { input: self.source.clone(), problem }),
            },
        })
    }
}

fn file_entries(value: &Value) -> Result<Vec<FileEntry>, String> {
    let entry = |value: &Value| {
        FileEntry::read(value).ok_or_else(|| format!("an entry is {}", crate::node::kind_of(value)))
    };
    match value {
        Value::Array(elements) => elements.iter().map(entry).collect(),
        single => entry(single).map(|entry| vec![entry]),
    }
}
