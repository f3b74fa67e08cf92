//! Programs of the runner that the policy names: started without a shell, in a process group of their own, confined where
//! the kernel can do that, ended with the call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use autoexec_confine::Confinement;
use autoexec_engine::ports::OperationSink;
use autoexec_events::Level;
use autoexec_grants::{Access, DataDirection, Terms};
use autoexec_sandbox::{Completed, ProgramCall, ProgramError, ProgramHost};
use autoexec_store::JobDir;
use autoexec_transport::process::{self, CapturedEnd, ProcessError, ProcessSpec};
use autoexec_transport::{Exit, StopHandle, StopLevel};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::native::support;
use crate::permits::Permits;

/// Variables that a program gets from this process.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"];

/// How long the end of a call waits for what its programs left: TERM, grace, KILL and a look are over before.
const CLOSE_LIMIT: Duration = Duration::from_secs(12);

/// Runs programs for one call of a tool.
pub(crate) struct Programs {
    permits: Arc<Permits>,
    job_dir: JobDir,
    runtime: Handle,
    sink: Arc<dyn OperationSink>,
    running: TaskTracker,
    /// A program was stopped, and nobody knows that nothing of it is left.
    unproved: Arc<AtomicBool>,
}

impl Programs {
    pub(crate) fn new(
        permits: Arc<Permits>,
        job_dir: JobDir,
        runtime: Handle,
        sink: Arc<dyn OperationSink>,
    ) -> Self {
        Self { permits, job_dir, runtime, sink, running: TaskTracker::new(), unproved: Arc::default() }
    }

    /// Waits for the end of what is still being stopped. False when something may be left.
    pub(crate) async fn close(&self) -> bool {
        self.running.close();
        timeout(CLOSE_LIMIT, self.running.wait()).await.is_ok() && !self.unproved.load(Ordering::Relaxed)
    }

    /// Where the policy says that the program lies.
    fn path_of(&self, call: &ProgramCall) -> Result<PathBuf, ProgramError> {
        let environment: Vec<String> = call.environment.iter().map(|(name, _)| name.clone()).collect();
        let access =
            Access::Program { name: &call.name, arguments: &call.arguments, environment: &environment };
        match self.permits.ask(access).map_err(ProgramError::Denied)? {
            Terms::Program { path } => Ok(path.into()),
            terms => Err(ProgramError::Other(format!("the policy names no program, but {terms:?}"))),
        }
    }

    /// The program with its files only: the system's, its own, and what the tool itself may read and write.
    ///
    /// The working directory is below one of these. It is not named itself: what lies below a granted directory may be
    /// replaced by a link while this is prepared.
    fn confine(&self, spec: ProcessSpec, temporary: &Path) -> Result<ProcessSpec, ProgramError> {
        let mut confinement = Confinement { any_tcp: true, ..Confinement::of_system() };
        confinement.execute.push(spec.program.clone());
        confinement.execute.extend(std::fs::canonicalize(&spec.program));
        confinement.read.extend(self.permits.directories(DataDirection::Read));
        confinement.write.extend(self.permits.directories(DataDirection::Write));
        confinement.write.push(temporary.to_owned());
        let (program, args) = confinement.wrap(&spec.program, spec.args).map_err(|error| {
            ProgramError::Other(format!("its confinement can not be handed over: {error}"))
        })?;
        Ok(ProcessSpec { program, args, ..spec })
    }

    fn prepare(&self, call: &ProgramCall, temporary: &Path) -> Result<ProcessSpec, ProgramError> {
        let program = self.path_of(call)?;
        if !program.is_file() {
            let text = format!("Program {}: there is no file {}.", call.name, program.display());
            self.sink.info(Level::Error, &text);
            return Err(ProgramError::NotFound);
        }
        // The way to an open directory in this process, and in its children until they are another program.
        let cwd = match &call.directory {
            None => temporary.to_owned(),
            Some(directory) => format!("/proc/self/fd/{}", directory.as_raw_fd()).into(),
        };
        let args = call.arguments.iter().map(OsString::from).collect();
        let spec = ProcessSpec { program, args, env: environment(&call.environment, temporary)?, cwd };
        let support = support();
        if support.is_full() {
            return self.confine(spec, temporary);
        }
        let text = format!("The program {} runs with all rights of its account: {support}.", call.name);
        self.sink.info(Level::Warn, &text);
        Ok(spec)
    }
}

#[async_trait]
impl ProgramHost for Programs {
    async fn run(&self, call: ProgramCall, limit: u64) -> Result<Completed, ProgramError> {
        let temporary = self.temporary()?;
        let spec = self.prepare(&call, temporary.path())?;
        let stop = Stop(StopHandle::new());
        let (token, unproved, time) = (stop.0.token(), Arc::clone(&self.unproved), call.timeout);
        let running = self.running.track_future(async move {
            let _temporary = temporary;
            let ended = process::capture(spec, call.input.expose(), limit, token).await;
            if let Ok(CapturedEnd { end, .. }) = &ended
                && end.stopped.is_some_and(|stopped| !stopped.proved_dead)
            {
                unproved.store(true, Ordering::Relaxed);
            }
            // Open until here: it is the way to the working directory.
            drop(call);
            ended
        });
        // It outlives this future, which may be dropped at any moment: what was started is stopped politely and waited for.
        let mut running = self.runtime.spawn(running);
        let Some(time) = time else {
            return completed(running.await.map_err(|error| lost(&error))?, limit);
        };
        if let Ok(ended) = timeout(time, &mut running).await {
            return completed(ended.map_err(|error| lost(&error))?, limit);
        }
        stop.0.raise(StopLevel::Terminate);
        running.await.map_or_else(|error| Err(lost(&error)), |_| Err(ProgramError::TimedOut))
    }
}

impl Programs {
    fn temporary(&self) -> Result<TempDir, ProgramError> {
        tempfile::Builder::new().prefix(".tmp.").tempdir_in(self.job_dir.root()).map_err(|error| {
            ProgramError::Other(format!("no directory for it in {}: {error}", self.job_dir.root().display()))
        })
    }
}

/// Ends the program when nobody waits for it any longer.
struct Stop(StopHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.raise(StopLevel::Terminate);
    }
}

fn lost(error: &tokio::task::JoinError) -> ProgramError {
    ProgramError::Other(format!("it was lost sight of: {error}"))
}

/// A few of this process's variables and what the tool sets: the policy has named it.
fn environment(
    asked: &[(String, String)],
    temporary: &Path,
) -> Result<BTreeMap<OsString, OsString>, ProgramError> {
    let own = INHERITED.into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let mut all: BTreeMap<OsString, OsString> = own.collect();
    all.insert("TMPDIR".into(), temporary.into());
    for (name, value) in asked {
        if value.contains('\0') {
            // The system would take what comes before it for the value, or what comes after it for another variable.
            return Err(ProgramError::Denied(format!("the value of the variable {name} holds a zero byte")));
        }
        all.insert(name.into(), value.into());
    }
    Ok(all)
}

fn completed(ended: Result<CapturedEnd, ProcessError>, limit: u64) -> Result<Completed, ProgramError> {
    let CapturedEnd { end, stdout, stderr, too_large } = ended.map_err(|error| match error {
        ProcessError::NotFound { .. } => ProgramError::NotFound,
        error => ProgramError::Other(error.to_string()),
    })?;
    if too_large {
        return Err(ProgramError::TooLarge(limit));
    }
    let status = match end.exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    };
    Ok(Completed { status, stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_what_is_set_for_it_and_a_directory_of_its_own() {
        let set = |value: &str| environment(&[("KUBECONFIG".to_owned(), value.to_owned())], Path::new("/t"));
        let refused = set("x\0LD_PRELOAD=y");
        assert!(
            matches!(&refused, Err(ProgramError::Denied(text)) if text.contains("KUBECONFIG")),
            "{refused:?}"
        );
        let given = set("x").unwrap();
        assert_eq!(
            (
                given["KUBECONFIG".as_ref() as &std::ffi::OsStr].as_os_str(),
                &given[std::ffi::OsStr::new("TMPDIR")]
            ),
            ("x".as_ref(), &OsString::from("/t"))
        );
    }
}
