//! A loaded tool: checked, compiled and linked, ready to be instantiated.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use autoexec_manifest::{Manifest, SectionError};
use tokio::sync::Semaphore;
use wasmtime::component::InstancePre;

use crate::call::Ask;
use crate::engine::RunningEngine;
use crate::grants::Grants;
use crate::imports::MissingImport;
use crate::state::CallState;
use crate::v1_0::Exports;

/// A tool that can be called. Cheap to share; every call gets an instance of its own.
pub struct Tool {
    pub(crate) path: PathBuf,
    pub(crate) digest: [u8; 32],
    pub(crate) manifest: Manifest,
    pub(crate) grants: Grants,
    /// What it asks for of the grants.
    pub(crate) linked: Grants,
    pub(crate) engine: Arc<RunningEngine>,
    pub(crate) instance: InstancePre<CallState>,
    pub(crate) exports: Exports,
    /// Whether it was linked with files or sockets of WASI.
    pub(crate) uses_wasi_io: bool,
    /// Free places among the calls that may run at the same time.
    pub(crate) running: OnceLock<Arc<Semaphore>>,
}

impl Tool {
    /// The manifest inside the component.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn digest(&self) -> String {
        hex::encode(self.digest)
    }

    /// The file it was first loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The capabilities that were granted when it was loaded.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whether it can say what it would change ([`crate::Sandbox::check`]).
    pub fn can_check(&self) -> bool {
        self.exports.can(Ask::Check)
    }

    /// Whether it can say what an interrupted run did ([`crate::Sandbox::probe`]).
    pub fn can_probe(&self) -> bool {
        self.exports.can(Ask::Probe)
    }

    /// The places for calls at the same time. The first limit holds for the life of the tool: a process has one policy.
    pub(crate) fn running(&self, limit: u32) -> &Arc<Semaphore> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        self.running.get_or_init(|| Arc::new(Semaphore::new(limit)))
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.manifest.name)
            .field("path", &self.path)
            .field("digest", &self.digest())
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

/// A tool that can not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can not be read.
    #[error("tool {}: can not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not a tool component.
    #[error("tool {}: {source}", path.display())]
    NotATool {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SectionError,
    },
    /// Whoever loads it does not agree: its signature, or what was approved.
    #[error("{reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It has no `run` that this host can call.
    #[error("tool {}: does not export `autoexec:tool/tool@1.0.0` with its function `run`; build it against the WIT of this autoexec{}", path.display(), detail(reason.as_ref()))]
    NoRun {
        /// The file.
        path: PathBuf,
        /// What wasmtime says, if the export exists but has another type.
        reason: Option<String>,
    },
    /// It needs interfaces that are not there.
    #[error("tool {}: needs {} that can not be given:{}", path.display(), interfaces(missing), listed(missing))]
    Imports {
        /// The file.
        path: PathBuf,
        /// All of them.
        missing: Vec<MissingImport>,
    },
    /// Its code is not valid or too big for the sandbox.
    #[error("tool {}: can not be compiled: {reason}", path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// What the compiler says.
        reason: String,
    },
    /// The engine for large components can not be started.
    #[error("tool {}: {source}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: crate::engine::SandboxError,
    },
    /// Its imports have the right names but other types.
    #[error("tool {}: does not fit this autoexec's interfaces: {reason}; build it against the WIT of this autoexec", path.display())]
    Link {
        /// The file.
        path: PathBuf,
        /// What wasmtime says.
        reason: String,
    },
}

fn detail(reason: Option<&String>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

fn interfaces(missing: &[MissingImport]) -> String {
    if missing.len() == 1 { "an interface".into() } else { format!("{} interfaces", missing.len()) }
}

fn listed(missing: &[MissingImport]) -> String {
    missing.iter().fold(String::new(), |list, import| format!("{list}\n  {import}"))
}
