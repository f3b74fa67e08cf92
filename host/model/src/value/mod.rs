//! Values of options and arguments: from what the server sent to what a tool gets (`spec/job-params.md`
//! §2.6–2.10).
//!
//! Options and arguments are treated alike (defect 62). What needs the server (files, accounts) comes out
//! as [`Pending`] data; the caller does the work and hands the answer to [`AccountRequest::complete`] or
//! [`FileRequest::complete`].

mod deploy;
mod inputs;
mod job_options;
mod masking;
mod node_variables;
mod pending;
mod resolve;

pub use deploy::{DeployError, DeployScope};
pub use inputs::{InputDraft, InputSource, Inputs, UnfinishedInput, resolve_inputs};
pub use job_options::{JobOption, JobOptions, REFUSED_ENVIRONMENT, RefusedName, is_refused_environment_name};
pub use masking::{MASK, mask_credentials};
pub use node_variables::NodeVariables;
pub use pending::{AccountRequest, FileEntry, FileRequest, Pending};
pub use resolve::{Resolution, resolve_value};

use std::fmt;

use serde_json::Value;

use crate::ValueType;

/// The value of an option or argument, ready for a tool.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedValue {
    kind: ValueType,
    content: Content,
    hidden: bool,
    literal: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Content {
    Text(String),
    /// Paths relative to the job directory.
    Files(Vec<String>),
}

/// Where the operation runs that gets the value: a path is another one on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// A process or component on this machine, working in the job directory.
    Runner,
    /// A script on the target; its files stand under `file/`.
    Target,
}

impl ResolvedValue {
    fn new(source: &InputSource, kind: ValueType, content: Content, tainted: bool) -> Self {
        let names_account = matches!(source, InputSource::Option(name) if name.ends_with("account"));
        let secret_kind = matches!(kind, ValueType::Password | ValueType::Account) || names_account;
        let literal = secret_kind
            || matches!(
                kind,
                ValueType::Node
                    | ValueType::Json
                    | ValueType::File
                    | ValueType::MultiSelect
                    | ValueType::CheckBox
                    | ValueType::TextArea
            );
        Self { kind, content, hidden: secret_kind || tainted, literal }
    }

    /// The declared type.
    pub fn kind(&self) -> ValueType {
        self.kind
    }

    /// Whether the value is a secret or holds one, and is shown as `******`.
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Whether the contract puts the value in single quotes, so that a shell expands nothing in it.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether nothing of the value would stand on a command line: such an option is left out.
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::Files(files) => files.is_empty(),
        }
    }

    /// The value as a tool gets it. Secrets are plain here.
    pub fn text(&self, recipient: Recipient) -> String {
        match &self.content {
            Content::Files(files) => files.join(","),
            Content::Text(path) if self.kind == ValueType::FilePath && recipient == Recipient::Target => {
                on_target(path)
            }
            Content::Text(text) => text.clone(),
        }
    }

    /// The value as JSON: files as an array, anything else as text. Secrets are plain here.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Text(text) => Value::from(text.as_str()),
            Content::Files(files) => Value::from(files.as_slice()),
        }
    }

    /// The value for logs: secrets as `******`, credentials inside a text area masked.
    pub fn display(&self, recipient: Recipient) -> String {
        if self.hidden {
            return MASK.to_owned();
        }
        let text = self.text(recipient);
        if self.kind == ValueType::TextArea { mask_credentials(&text) } else { text }
    }

    /// The value for `input/<K>.json`: masked like [`Self::display`], text areas with real line breaks.
    pub fn to_display_json(&self) -> Value {
        match &self.content {
            Content::Files(_) if !self.hidden => self.to_json(),
            Content::Text(_) if self.kind == ValueType::TextArea => {
                Value::from(self.display(Recipient::Runner).replace("\\n", "\n"))
            }
            _ => Value::from(self.display(Recipient::Runner)),
        }
    }

    /// Files of the job that the tool needs, as paths relative to the job directory. They are sent to a
    /// target together with the tool.
    pub fn uploads(&self) -> &[String] {
        match &self.content {
            Content::Files(files) => files,
            Content::Text(path) if self.kind == ValueType::FilePath && !path.is_empty() => {
                std::slice::from_ref(path)
            }
            Content::Text(_) => &[],
        }
    }
}

impl fmt::Debug for ResolvedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedValue")
            .field("kind", &self.kind)
            .field("value", &self.display(Recipient::Runner))
            .finish_non_exhaustive()
    }
}

/// `file/<last part of the path>`; an empty path stays empty, so that its option is still left out.
fn on_target(path: &str) -> String {
    match path.trim_end_matches('/').rsplit('/').next() {
        Some(name) if !name.is_empty() => format!("file/{name}"),
        _ => String::new(),
    }
}

/// Something about a value that a person should know; the operation goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueWarning {
    /// An encrypted value that could not be decrypted stays as it is.
    #[error("{input}: can not decrypt the value, it is used as it is: {problem}")]
    NotDecrypted {
        /// The option or argument.
        input: InputSource,
        /// Why.
        problem: String,
    },
    /// An account that could not be looked up stays as it is.
    #[error("{input}: can not get the account, the value is used as it is: {problem}")]
    NoAccount {
        /// The option or argument.
        input: InputSource,
        /// Why.
        problem: String,
    },
    /// A list of files that is not one.
    #[error("{input}: expected a JSON array of file ids, no file is used: {problem}")]
    NoFiles {
        /// The option or argument.
        input: InputSource,
        /// Why.
        problem: String,
    },
}

#[cfg(test)]
mod tests;
