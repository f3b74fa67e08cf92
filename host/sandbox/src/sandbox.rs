//! The sandbox: one engine, its threads, the tools loaded so far and the slots for running calls.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use autoexec_grants::Capability;
use autoexec_manifest::{ComponentOutline, Manifest, read_outline};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::Component;

use crate::cache::CompiledCache;
use crate::engine::{Allocation, RunningEngine, SandboxError, SandboxSettings};
use crate::grants::Grants;
use crate::guest_threads::GuestThreads;
use crate::imports::{exports_tool, missing_imports};
use crate::net::Network;
use crate::tool::{LoadError, Tool};
use crate::v1_0::{Exports, linker};

/// Bytes of the largest component that goes to the pool. Beyond it is an interpreter, which wants more memory and tables.
const SMALL_COMPONENT: usize = 4 << 20;

/// Digest of the file, and what it is linked with.
type ToolKey = ([u8; 32], Grants);

/// The file of a tool that is about to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its content; the very bytes that are compiled.
    pub bytes: &'a [u8],
    /// SHA-256 of them.
    pub digest: [u8; 32],
    /// The manifest inside.
    pub manifest: &'a Manifest,
}

/// Loads and runs tools. Make one per process, on first use: a job without WebAssembly tools pays nothing then.
pub struct Sandbox {
    pub(crate) settings: SandboxSettings,
    pub(crate) threads: GuestThreads,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) network: Arc<Network>,
    small: Workshop,
    /// Made on first use: most runners have no large components.
    large: OnceLock<Workshop>,
    tools: Mutex<HashMap<ToolKey, Arc<Tool>>>,
    /// Whether the tape of the settings has been used.
    pub(crate) taped: AtomicBool,
}

/// An engine and what it has compiled.
#[derive(Debug)]
struct Workshop {
    engine: Arc<RunningEngine>,
    cache: Option<CompiledCache>,
}

impl Workshop {
    fn new(engine: RunningEngine, settings: &SandboxSettings) -> Self {
        let cache = settings.cache_dir.as_deref().and_then(|dir| CompiledCache::open(dir, &engine.engine));
        Self { engine: Arc::new(engine), cache }
    }

    fn compile(&self, bytes: &[u8], digest: &[u8; 32]) -> wasmtime::Result<Component> {
        let engine = &self.engine.engine;
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.read(engine, digest)) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, bytes)?;
        if let Some(cache) = &self.cache {
            cache.write(digest, &component);
        }
        Ok(component)
    }
}

impl Sandbox {
    /// Sets the sandbox up: reserves the pool's address space and starts its threads.
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let counts = [
            ("slots", u64::from(settings.slots)),
            ("memory_cap", settings.memory_cap),
            ("large_memory_cap", settings.large_memory_cap),
            ("tick", u64::try_from(settings.tick.as_nanos()).unwrap_or(u64::MAX)),
            ("guest_threads", settings.guest_threads as u64),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, value)| *value == 0) {
            return Err(SandboxError::Zero(name));
        }
        Ok(Self {
            small: Workshop::new(RunningEngine::small(&settings)?, &settings),
            large: OnceLock::new(),
            threads: GuestThreads::start(settings.guest_threads)?,
            slots: Arc::new(Semaphore::new(
                usize::try_from(settings.slots).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            network: Arc::new(Network::new(settings.ca_bundle.clone())),
            tools: Mutex::default(),
            taped: AtomicBool::new(false),
            settings,
        })
    }

    /// How instances of small tools get their memory.
    pub fn allocation(&self) -> Allocation {
        self.small.engine.allocation
    }

    /// Loads a tool and links it with the granted capabilities.
    ///
    /// Reads the file each time, so a replaced file is a new tool, and compiles what it has not seen before: call it
    /// off the async threads. The same content with the same grants is loaded once.
    pub fn load(&self, path: &Path, grants: &Grants) -> Result<Arc<Tool>, LoadError> {
        self.load_if(path, grants, |_| Ok(()))
    }

    /// As [`load`](Self::load), if `admit` agrees to the file. It is asked each time, because the same content may have
    /// been loaded under another name, and before the file is linked, compiled or looked for in the compiled cache.
    pub fn load_if(
        &self,
        path: &Path,
        grants: &Grants,
        admit: impl FnOnce(&Candidate<'_>) -> Result<(), String>,
    ) -> Result<Arc<Tool>, LoadError> {
        let bytes =
            std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let admit = |manifest: &Manifest| {
            admit(&Candidate { bytes: &bytes, digest, manifest })
                .map_err(|reason| LoadError::Refused { path: path.to_owned(), reason })
        };
        // Held while compiling, so that a thousand nodes starting the same step compile it once.
        let mut tools = self.tools.lock();
        if let Some(tool) = tools.get(&(digest, grants.clone())) {
            admit(&tool.manifest)?;
            return Ok(Arc::clone(tool));
        }
        let outline =
            read_outline(&bytes).map_err(|source| LoadError::NotATool { path: path.to_owned(), source })?;
        admit(&outline.manifest)?;
        let tool = Arc::new(self.prepare(path, &bytes, digest, outline, grants)?);
        tools.insert((digest, grants.clone()), Arc::clone(&tool));
        Ok(tool)
    }

    fn prepare(
        &self,
        path: &Path,
        bytes: &[u8],
        digest: [u8; 32],
        outline: ComponentOutline,
        grants: &Grants,
    ) -> Result<Tool, LoadError> {
        check_outline(path, &outline, grants)?;
        let linked: Grants = grants
            .iter()
            .filter(|capability| outline.manifest.requests(capability.interface()).is_some())
            .collect();
        let uses_wasi_io = outline.imports.iter().any(|import| {
            let name = import.unversioned();
            (name.starts_with("wasi:filesystem/") && linked.has(Capability::Filesystem))
                || (name.starts_with("wasi:sockets/") && linked.has(Capability::Sockets))
        });
        let (engine, component) = self.compile(path, bytes, &digest, &outline)?;
        let link =
            |error: wasmtime::Error| LoadError::Link { path: path.to_owned(), reason: format!("{error:#}") };
        let instance = linker(&engine.engine, &linked)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(link)?;
        let exports = Exports::find(&instance, outline.can_check(), outline.can_probe());
        let exports = exports.map_err(|error| LoadError::NoRun {
            path: path.to_owned(),
            reason: Some(format!("{error:#}")),
        })?;
        Ok(Tool {
            path: path.to_owned(),
            digest,
            manifest: outline.manifest,
            grants: grants.clone(),
            linked,
            engine,
            instance,
            exports,
            uses_wasi_io,
            running: OnceLock::new(),
        })
    }

    /// For the pool if it fits there.
    fn compile(
        &self,
        path: &Path,
        bytes: &[u8],
        digest: &[u8; 32],
        outline: &ComponentOutline,
    ) -> Result<(Arc<RunningEngine>, Component), LoadError> {
        let wants_memory = outline.manifest.limits.memory_bytes().unwrap_or_default();
        let is_small = bytes.len() <= SMALL_COMPONENT && wants_memory <= self.settings.memory_cap;
        if is_small && let Ok(component) = self.small.compile(bytes, digest) {
            return Ok((Arc::clone(&self.small.engine), component));
        }
        let large = self.large().map_err(|source| LoadError::Engine { path: path.to_owned(), source })?;
        let component = large
            .compile(bytes, digest)
            .map_err(|error| LoadError::Compile { path: path.to_owned(), reason: format!("{error:#}") })?;
        Ok((Arc::clone(&large.engine), component))
    }

    fn large(&self) -> Result<&Workshop, SandboxError> {
        if let Some(workshop) = self.large.get() {
            return Ok(workshop);
        }
        let made = Workshop::new(RunningEngine::large(&self.settings)?, &self.settings);
        Ok(self.large.get_or_init(|| made))
    }
}

fn check_outline(path: &Path, outline: &ComponentOutline, grants: &Grants) -> Result<(), LoadError> {
    let missing = missing_imports(outline, grants);
    if !missing.is_empty() {
        return Err(LoadError::Imports { path: path.to_owned(), missing });
    }
    if !exports_tool(outline) {
        return Err(LoadError::NoRun { path: path.to_owned(), reason: None });
    }
    Ok(())
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("settings", &self.settings)
            .field("allocation", &self.allocation())
            .field("loaded", &self.tools.lock().len())
            .finish_non_exhaustive()
    }
}
