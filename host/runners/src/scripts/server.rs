//! Scripts that the server keeps, and the libraries they use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use autoexec_model::{Interpreter, OpId, Operation, OperationBody, ScriptSource};
use autoexec_plan::PlannedPhase;
use autoexec_store::JobDir;

use super::fetcher::{FetchedScript, ScriptAbout, ScriptFetcher, ScriptRequest};
use super::library::LibraryWalk;
use super::lock::FetchLock;
use super::names::{declared_interpreter, library_name, operation_link, own_name};
use super::package::{self, Bounds, Member};
use super::shelf::{LocalCopy, Shelf};
use super::{InlineScripts, LibraryFile, SCRIPT_MODE, ScriptError, ScriptFile, Scripts};

/// Scripts that the server keeps; those whose text stands in the job's parameters are written as
/// [`InlineScripts`] does.
///
/// Each operation's script and each library is asked for once in the life of this value, that is of a process.
pub struct ServerScripts {
    job_dir: JobDir,
    inline: InlineScripts,
    fetcher: Arc<dyn ScriptFetcher>,
    /// Phases side by side use the same libraries: the second waits for what the first brings.
    turn: tokio::sync::Mutex<()>,
    brought: Mutex<Brought>,
}

#[derive(Default)]
struct Brought {
    own: HashMap<OpId, OwnScript>,
    /// By bundle, because libraries stand beside the scripts that use them, and id.
    libraries: HashMap<(String, i64), Stored>,
}

struct OwnScript {
    script: i64,
    stored: Stored,
}

/// A script in the job directory.
#[derive(Clone)]
struct Stored {
    file: LibraryFile,
    uses: Vec<i64>,
    /// What a package holds; none for a script.
    members: Option<Vec<Member>>,
}

/// One script to be brought.
struct Wanted<'a> {
    shelf: Shelf,
    script: i64,
    /// The operation whose own script it is; none for a library.
    operation: Option<&'a Operation>,
}

/// A script that is known to stand in its version file.
struct Placed {
    version_file: String,
    name: String,
    interpreter: Option<Interpreter>,
    uses: Vec<i64>,
}

impl ServerScripts {
    /// Scripts of the job in `job_dir`.
    pub fn new(job_dir: JobDir, fetcher: Arc<dyn ScriptFetcher>) -> Self {
        Self {
            inline: InlineScripts::new(job_dir.clone()),
            job_dir,
            fetcher,
            turn: tokio::sync::Mutex::default(),
            brought: Mutex::default(),
        }
    }

    fn brought(&self) -> MutexGuard<'_, Brought> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings an operation's script and its libraries.
    async fn bring(&self, operation: &Operation, script: i64) -> Result<(), ScriptError> {
        let _turn = self.turn.lock().await;
        let bundle = operation.name.bundle();
        let mut walk = LibraryWalk::new(script, &self.bring_own(operation, script).await?);
        while let Some(library) = walk.next()? {
            walk.enter(&self.bring_library(bundle, library).await?);
        }
        Ok(())
    }

    /// Brings an operation's script unless it was brought; gives what it uses.
    async fn bring_own(&self, operation: &Operation, script: i64) -> Result<Vec<i64>, ScriptError> {
        if let Some(own) = self.brought().own.get(&operation.id) {
            return Ok(own.stored.uses.clone());
        }
        let shelf = Shelf::open(self.job_dir.scripts().join(operation.name.bundle()))?;
        let stored = self.fetch(&Wanted { shelf, script, operation: Some(operation) }).await?;
        let uses = stored.uses.clone();
        self.brought().own.insert(operation.id.clone(), OwnScript { script, stored });
        Ok(uses)
    }

    /// Brings a library unless it was brought; gives what it uses.
    async fn bring_library(&self, bundle: &str, script: i64) -> Result<Vec<i64>, ScriptError> {
        let key = (bundle.to_owned(), script);
        if let Some(stored) = self.brought().libraries.get(&key) {
            return Ok(stored.uses.clone());
        }
        let shelf = Shelf::open(self.job_dir.scripts().join(bundle))?;
        let stored = self.fetch(&Wanted { shelf, script, operation: None }).await?;
        let uses = stored.uses.clone();
        self.brought().libraries.insert(key, stored);
        Ok(uses)
    }

    /// Brings one script up to date, alone among the processes of the job.
    async fn fetch(&self, wanted: &Wanted<'_>) -> Result<Stored, ScriptError> {
        let _locks = wanted.lock().await?;
        let local = wanted.shelf.local_copy(wanted.script);
        let placed = match self.ask(wanted, local.as_ref()).await? {
            Some(placed) => placed,
            // The server says that a version is current that is not what stands here.
            None => self.ask(wanted, None).await?.ok_or_else(|| {
                wanted.problem("the server does not send its content, and there is no usable local copy")
            })?,
        };
        wanted.link(&placed)?;
        wanted.unpack(placed).await
    }

    /// Asks the server; none when the answer means a local copy that is not there.
    async fn ask(
        &self,
        wanted: &Wanted<'_>,
        local: Option<&LocalCopy>,
    ) -> Result<Option<Placed>, ScriptError> {
        let request = ScriptRequest {
            operation: wanted.operation.map(|operation| operation.id.clone()),
            script: wanted.script,
            version: local.and_then(|copy| copy.version),
            local: local.map(|copy| copy.fetched),
        };
        let asked_at = SystemTime::now();
        match self.fetcher.fetch(&request).await.map_err(|problem| wanted.problem(&problem))? {
            FetchedScript::New { about, content } => {
                let placed = wanted.placed(about)?;
                wanted.shelf.write(&placed.version_file, &content)?;
                wanted.shelf.set_fetched(&placed.version_file, asked_at)?;
                wanted.shelf.write_uses(&placed.version_file, &placed.uses)?;
                Ok(Some(placed))
            }
            FetchedScript::NotModified { about } => wanted.kept(about, local),
        }
    }

    fn find(&self, operation: &Operation) -> Result<ScriptFile, ScriptError> {
        if server_script(operation)?.is_none() {
            return self.inline.find(operation);
        }
        let brought = self.brought();
        let own = brought.own.get(&operation.id).ok_or_else(|| ScriptError::Missing {
            operation: operation.id.clone(),
            path: self.job_dir.scripts().join(operation.name.bundle()),
        })?;
        if own.stored.members.is_some() {
            return Err(ScriptError::PackageIsNoScript(operation.id.clone()));
        }
        let mut libraries = Vec::new();
        let mut walk = LibraryWalk::new(own.script, &own.stored.uses);
        while let Some(library) = walk.next()? {
            let Some(stored) = brought.libraries.get(&(operation.name.bundle().to_owned(), library)) else {
                continue;
            };
            libraries.extend(stored.files());
            walk.enter(&stored.uses);
        }
        let LibraryFile { path, name, .. } = own.stored.file.clone();
        Ok(ScriptFile { path, name, libraries })
    }
}

impl Stored {
    /// What a target gets: the file, or the members of a package.
    fn files(&self) -> Vec<LibraryFile> {
        let Some(members) = &self.members else { return vec![self.file.clone()] };
        let directory = self.file.path.parent().unwrap_or(&self.file.path);
        members
            .iter()
            .map(|member| LibraryFile {
                path: directory.join(&member.name),
                name: member.name.clone(),
                mode: member.mode,
            })
            .collect()
    }
}

impl Wanted<'_> {
    fn problem(&self, problem: &str) -> ScriptError {
        let what = match self.operation {
            Some(operation) => format!("script {} of operation `{}`", self.script, operation.id),
            None => format!("library {}", self.script),
        };
        ScriptError::Fetch { what, problem: problem.to_owned() }
    }

    /// An operation's lock, then the script's: always in this order, so nobody waits in a circle.
    async fn lock(&self) -> Result<Vec<FetchLock>, ScriptError> {
        let mut locks = Vec::new();
        if let Some(operation) = self.operation {
            let name = format!("{}.lock", operation_link(operation)?);
            locks.push(FetchLock::take(&self.shelf.path(&name)).await?);
        }
        locks.push(FetchLock::take(&self.shelf.path(&format!("{}.lock", self.script))).await?);
        Ok(locks)
    }

    /// Where what the server describes belongs.
    fn placed(&self, about: ScriptAbout) -> Result<Placed, ScriptError> {
        let word = about.interpreter.as_deref().and_then(Interpreter::from_word);
        let interpreter = word.or_else(|| declared_interpreter(self.operation?));
        let name = match self.operation {
            Some(operation) => own_name(operation, about.name.as_deref(), interpreter)?,
            None => library_name(about.name.as_deref(), self.script, interpreter)?,
        };
        let version_file = format!("{}.{name}", about.version.unwrap_or_default());
        Ok(Placed { version_file, name, interpreter, uses: about.libraries })
    }

    /// The local copy that the server says is good; none when that is not what stands here.
    fn kept(&self, about: ScriptAbout, local: Option<&LocalCopy>) -> Result<Option<Placed>, ScriptError> {
        let Some(local) = local else { return Ok(None) };
        let is_named = about.version.is_some() && about.name.is_some();
        let mut placed = self.placed(about)?;
        if !is_named {
            placed.version_file.clone_from(&local.file);
        }
        if !self.shelf.has(&placed.version_file) {
            return Ok(None);
        }
        self.shelf.write_uses(&placed.version_file, &placed.uses)?;
        Ok(Some(placed))
    }

    fn link(&self, placed: &Placed) -> Result<(), ScriptError> {
        self.shelf.link(&placed.name, &placed.version_file)?;
        if let Some(operation) = self.operation {
            self.shelf.link(&operation_link(operation)?, &placed.version_file)?;
        }
        // Last: this link is what says that there is a copy.
        self.shelf.link(&self.script.to_string(), &placed.version_file)
    }

    async fn unpack(&self, placed: Placed) -> Result<Stored, ScriptError> {
        let path = self.shelf.path(&placed.version_file);
        let members = if placed.interpreter == Some(Interpreter::Package) {
            let (archive, directory) = (path.clone(), self.shelf.directory().to_owned());
            let unpacked =
                tokio::task::spawn_blocking(move || package::unpack(&archive, &directory, Bounds::default()));
            Some(unpacked.await.map_err(|error| self.problem(&error.to_string()))??)
        } else {
            None
        };
        let file = LibraryFile { path, name: placed.name, mode: SCRIPT_MODE };
        Ok(Stored { file, uses: placed.uses, members })
    }
}

/// The id of an operation's script at the server; none when it has no script there.
fn server_script(operation: &Operation) -> Result<Option<i64>, ScriptError> {
    let OperationBody::Call(call) = &operation.body else { return Ok(None) };
    let Some(ScriptSource::Server { script_id }) = &call.script else { return Ok(None) };
    let wrong = |problem| ScriptError::ScriptId { operation: operation.id.clone(), problem };
    let text = script_id.as_deref().ok_or_else(|| wrong("is missing"))?;
    text.trim().parse().map(Some).map_err(|_| wrong("is not a number"))
}

#[async_trait]
impl Scripts for ServerScripts {
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String> {
        let mut operations = Vec::new();
        phase.phase.for_each_operation(|operation| operations.push(operation.clone()));
        for operation in operations {
            let brought = match server_script(&operation) {
                Ok(Some(script)) => self.bring(&operation, script).await,
                Ok(None) => self.inline.write_if_given(&operation),
                Err(error) => Err(error),
            };
            brought.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn script(&self, operation: &Operation) -> Result<ScriptFile, String> {
        self.find(operation).map_err(|error| error.to_string())
    }
}
