//! What is asked of the server about scripts. `cli` implements it; this crate knows no HTTP.

use std::time::SystemTime;

use async_trait::async_trait;
use autoexec_model::OpId;

/// Which script is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRequest {
    /// The operation whose own script it is; none for a library.
    pub operation: Option<OpId>,
    /// The script's id.
    pub script: i64,
    /// The version of the local copy, where there is one.
    pub version: Option<i64>,
    /// When the local copy was fetched. None asks for the content in any case.
    pub local: Option<SystemTime>,
}

/// What the server says of a script (`spec/server-api.md` §4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptAbout {
    /// The version, where the server names it.
    pub version: Option<i64>,
    /// Name, decoded and not checked: it may hold what cannot be a file name.
    pub name: Option<String>,
    /// Interpreter word.
    pub interpreter: Option<String>,
    /// Ids of the libraries it uses.
    pub libraries: Vec<i64>,
}

/// A script, or the word that the local copy is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchedScript {
    /// The content.
    New {
        /// What the server says of it.
        about: ScriptAbout,
        /// The script, or a tar file.
        content: Vec<u8>,
    },
    /// The local copy is good.
    NotModified {
        /// What the server says of it.
        about: ScriptAbout,
    },
}

/// Downloads scripts.
#[async_trait]
pub trait ScriptFetcher: Send + Sync {
    /// Fetches a script unless the local copy is good.
    ///
    /// # Errors
    /// A text for people, without secrets.
    async fn fetch(&self, request: &ScriptRequest) -> Result<FetchedScript, String>;
}
