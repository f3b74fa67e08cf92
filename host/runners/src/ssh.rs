//! A script on a target over SSH (`spec/plugin-contract.md` §8.5): one connection and one directory per unit.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use async_trait::async_trait;
use autoexec_engine::ports::{OperationCall, OperationEnd, OperationExit, OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_model::command_line::{CommandLine, Purpose, RemoteProgram};
use autoexec_model::value::Recipient;
use autoexec_model::{Interpreter, Node};
use autoexec_store::MAX_OP_OUTPUT;
use autoexec_transport::ssh::{
    Account, DetachedRun, Inventory, RemoteCommand, RemoteDir, RemotePid, RemoteTask, Setup, SshAuth,
    SshConnection, SshError, SshErrorKind, SshTarget, TaskEnd, Wanted,
};
use autoexec_transport::{Exit, OutputSink, Secret, StopLevel, StopToken};

use crate::bridge::ProcessOutput;
use crate::conduct;
use crate::delivery::{Delivery, OUTPUT_FILE};
use crate::environment;
use crate::outputs::Ran;
use crate::session::Sessions;
use crate::settings::Shared;
use crate::unit::has_output;

mod detached;
mod files;
mod kept;
mod reconnect;
mod stray;

use detached::Follower;
use files::SshFiles;
use kept::TakenDirectory;
pub(crate) use kept::{KeptDirectories, remove_kept};
use reconnect::{LoginError, NoConnection, Reconnect};
use stray::Stray;

/// Runs the words after it with the variables of the account's login profile (`PATH`, `ORACLE_HOME`, …), as the
/// interactive shell of the replaced system did. Shells that are started with `-l` read the profile themselves.
const LOGIN_PROFILE: &str = r#"sh -c 'case ${SHELL##*/} in bash|ksh|zsh) login=$SHELL ;; *) login=sh ;; esac; exec "$login" -lc '\''exec "$@"'\'' login "$@"' login "#;

/// How a unit logs in to its node.
pub(crate) struct SshSessions {
    shared: Arc<Shared>,
    unit: UnitInfo,
}

/// A connection and what stands on the target.
pub(crate) struct Session {
    connection: SshConnection,
    root: RemoteDir,
    /// The directory is there: the first operation makes it.
    made: bool,
    /// Something of ours may still be at work in it, so that it has to stay.
    occupied: bool,
    /// The files that are there already.
    inventory: Inventory,
    /// A directory of an earlier phase, which the first operation takes over.
    kept: Option<TakenDirectory>,
    /// Files that only single operations needed.
    inputs: BTreeSet<String>,
    /// Detached operations so far.
    detached: u64,
    /// The other users that operations ran as: what they made may be theirs to remove.
    accounts: Vec<Account>,
    /// One of them was let into the directory: nothing more is written there or run from it.
    shared: bool,
    /// Other directories that are to be removed with it.
    left: Vec<RemoteDir>,
}

#[async_trait]
impl Sessions for SshSessions {
    type Session = Session;

    async fn open(&self, stop: &StopToken) -> Result<Session, String> {
        let connection = self.log_in(stop).await.map_err(LoginError::into_text)?;
        let root = self.new_dir()?;
        let kept = self.shared.kept.take(&self.unit.node);
        let inventory = match &kept {
            Some(kept) => Inventory::of_stock(kept.stock(), &self.shared.digests),
            None => Inventory::new(&self.shared.digests),
        };
        Ok(Session {
            connection,
            root,
            made: false,
            occupied: false,
            inventory,
            kept,
            inputs: BTreeSet::new(),
            detached: 0,
            accounts: Vec::new(),
            shared: false,
            left: Vec::new(),
        })
    }

    async fn run(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<OperationEnd, String> {
        if session.shared {
            self.begin_anew(session, &**sink).await?;
        }
        for host in session.connection.new_hosts() {
            let text = format!(
                "The host was not known: {host}. Compare it with the host's own (ssh.hostkeys in conf/config.ini)."
            );
            sink.info(Level::Info, &text);
        }
        sink.info(Level::Info, &format!("Job directory:{}", session.root));
        let account =
            match conduct::account_of(&self.shared, &call.operation.name.to_string(), &self.unit.node) {
                Ok(account) => account,
                Err(problem) => {
                    return Ok(OperationEnd { exit: OperationExit::Error(problem), output: None });
                }
            };
        let delivery = Delivery::gather(&self.shared, call, &HashSet::new())?;
        let work_dir = delivery.work_directory(session.root.path());
        let reader = account.clone();
        let TaskEnd { end, file, removed, remark } =
            self.execute(session, call, delivery, account, sink, stop).await?;
        if let Some(remark) = remark {
            sink.info(Level::Error, &format!("{remark}."));
        }
        if removed {
            session.made = false;
            session.inventory = Inventory::new(&self.shared.digests);
            session.inputs.clear();
        }
        let exit = match (end.stopped, end.exit) {
            (Some(stopped), _) => OperationExit::Stopped { proved_dead: stopped.proved_dead },
            (None, Some(Exit::Code(code))) => OperationExit::Code(code),
            (None, Some(Exit::Signal(signal))) => OperationExit::Signal(signal),
            (None, None) => OperationExit::Error("The target did not say how the script ended.".to_owned()),
        };
        if !matches!(exit, OperationExit::Code(0)) || !has_output(call) {
            return Ok(OperationEnd { exit, output: None });
        }
        let root = session.root.path().to_owned();
        let ran = Ran {
            shared: &self.shared,
            unit: &self.unit,
            call,
            root: &root,
            work_dir: &work_dir,
            sink: &**sink,
        };
        let mut files = SshFiles { sessions: self, session, sink: &**sink, stop, output: file, reader };
        Ok(match ran.fetch_outputs(&mut files).await? {
            Err(problem) => OperationEnd { exit: OperationExit::Error(problem), output: None },
            Ok(values) => OperationEnd { exit, output: Some(values) },
        })
    }

    fn directory<'a>(&self, session: &'a Session) -> Option<&'a str> {
        ((session.made || !session.left.is_empty()) && !session.occupied).then(|| session.root.path())
    }

    async fn remove(&self, session: &mut Session) -> Result<(), String> {
        let mut removed = remove_all(session).await;
        // A stop may have come through over a connection of its own.
        if removed.as_ref().is_err_and(detached::is_lost)
            && let Ok(connection) = self.log_in(&StopToken::never()).await
        {
            session.connection = connection;
            removed = remove_all(session).await;
        }
        removed.map_err(|error| format!("{error}. The directory {} may be left there", session.root))
    }

    async fn release(&self, session: &mut Session) -> Result<(), String> {
        // What another user made in it is that user's.
        if !self.unit.phase.followed || !session.accounts.is_empty() || !session.inventory.is_worth_keeping()
        {
            return self.remove(session).await;
        }
        self.keep(session).await
    }
}

impl SshSessions {
    pub(crate) fn new(shared: &Arc<Shared>, unit: &UnitInfo) -> Self {
        Self { shared: Arc::clone(shared), unit: unit.clone() }
    }

    /// A name for a directory of the unit.
    fn new_dir(&self) -> Result<RemoteDir, String> {
        let Self { shared, unit } = self;
        let prefix = format!("autoexec-{}-{}-{}", shared.settings.job, unit.node.resource, unit.phase.index);
        RemoteDir::new(&prefix).map_err(|error| error.to_string())
    }

    /// Leaves a directory that another user was let into. Whatever that user runs may have put links in the place of our files, which
    /// we would write through, and programs in the place of those that we would run.
    async fn begin_anew(&self, session: &mut Session, sink: &dyn OperationSink) -> Result<(), String> {
        let old = std::mem::replace(&mut session.root, self.new_dir()?);
        if std::mem::take(&mut session.occupied) {
            session.left.clear();
        } else {
            session.left.push(old);
        }
        session.inventory = Inventory::new(&self.shared.digests);
        session.inputs.clear();
        (session.made, session.shared) = (false, false);
        if let Err(problem) = remove_left(session).await {
            sink.info(Level::Warn, &format!("{problem}. It is tried again in the end."));
        }
        Ok(())
    }

    /// Whether nobody needs the directory after this operation if it succeeds: the shell that ran it then removes it, which
    /// spares a request. Files that it leaves as outputs are fetched by requests of their own.
    fn can_remove_with(&self, session: &Session, call: &OperationCall<'_>) -> bool {
        let leaves_files = call.call.outputs.iter().flatten().any(|(_, output)| output.is_file);
        call.is_last_there
            && call.purpose == Purpose::Run
            && !leaves_files
            && session.accounts.is_empty()
            && !self.unit.phase.followed
            && !self.shared.settings.keep_failed_directory
    }

    async fn log_in(&self, stop: &StopToken) -> Result<SshConnection, LoginError> {
        let target = target_of(&self.shared, &self.unit.node).map_err(LoginError::Final)?;
        Ok(self.shared.connector.connect(&target, stop).await?)
    }

    /// Sends what is missing, runs the script and brings back its output file, all in one request.
    async fn execute(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        delivery: Delivery,
        account: Option<Account>,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<TaskEnd, String> {
        let work_dir = &delivery.work_directory(session.root.path());
        let command_line = CommandLine::new(call.inputs, delivery.interpreter).to(call.purpose);
        sink.executing(&command_line.display(&delivery.file, Recipient::Target));
        let program = RemoteProgram {
            directory: work_dir,
            file: &delivery.file,
            interpreter: delivery.interpreter,
            environment: &[],
        };
        let words = command_line
            .unix_text(Recipient::Target, self.shared.settings.expansion)
            .map_err(|error| error.to_string())?;
        let start = program.unix_command().map_err(|error| error.to_string())?;
        let command = RemoteCommand {
            dir: work_dir.to_owned(),
            env: environment::remote(&self.shared, &self.unit, call),
            program_line: format!("{}{start}{words}", profile_prefix(delivery.interpreter)),
            account,
        };
        let wanted = has_output(call).then(|| wanted(session, work_dir));
        let mut apart = false;
        if let Some(account) = &command.account {
            if !session.accounts.iter().any(|known| known.user == account.user) {
                session.accounts.push(account.clone());
            }
            // root can do anything anyway.
            apart = account.user != "root";
            session.shared |= apart;
        }
        session.inputs.extend(delivery.inputs);
        if let Some(kept) = &session.kept {
            sink.info(Level::Info, &format!("Files of an earlier phase are used again:{}", kept.dir()));
        }
        let setup = Setup {
            dir: session.root.clone(),
            make: !session.made,
            entries: delivery.entries,
            inventory: Some(session.inventory.clone()),
            kept: session.kept.as_ref().map(|kept| kept.dir().clone()),
        };
        let operation = call.operation.name.to_string();
        let detached = match self.shared.settings.conduct.is_detached(&operation, &self.unit.node.host) {
            true if apart => {
                let dir = self.new_dir()?;
                let run = DetachedRun::apart(&dir);
                session.left.push(dir);
                Some(run)
            }
            true => {
                session.detached += 1;
                Some(DetachedRun::new(&session.root, &format!("detached{}", session.detached)))
            }
            false => None,
        };
        let removes_dir = detached.is_none() && self.can_remove_with(session, call);
        let mut task = RemoteTask { setup: Some(setup), command, wanted, detached, removes_dir };
        sink.info(Level::Info, "Begin to upload remote operation...");
        let output: Arc<dyn OutputSink> = Arc::new(ProcessOutput(Arc::clone(sink)));
        // From here on it may be there, whatever becomes of the request.
        session.made = true;
        let mut reconnect = Reconnect::new(self, &**sink, stop);
        loop {
            let group = Arc::new(AtomicI32::new(0));
            let (started, told) = (Arc::clone(sink), Arc::clone(&group));
            let on_start = move |pid: RemotePid| {
                told.store(pid.group, Ordering::Release);
                started.info(Level::Info, "Remote operation upload success.");
                started.started(None);
            };
            let end = session.connection.run_task(task.clone(), Arc::clone(&output), stop, on_start).await;
            // It has another name now, or could not be used. Only a stop leaves that open, as an error does.
            let tells = match &end {
                Ok(end) => end.end.stopped.is_none(),
                Err(error) => matches!(error.kind(), SshErrorKind::Interrupted { .. }),
            };
            if let Some(kept) = session.kept.take()
                && tells
            {
                kept.settle();
            }
            let error = match end {
                Ok(end) => return Ok(end),
                Err(error) => error,
            };
            if matches!(error.kind(), SshErrorKind::Interrupted { .. }) {
                let text = format!("{error}. Nothing was started; connecting again to send the rest.");
                sink.info(Level::Warn, &text);
                match reconnect.connect(session, &error).await {
                    Ok(()) => {}
                    Err(NoConnection::Stopped) => return Err(error.to_string()),
                    Err(NoConnection::Failed(problem)) => return Err(problem),
                }
                if let Some(setup) = &mut task.setup {
                    setup.make = false;
                    setup.kept = None;
                }
                continue;
            }
            if matches!(error.kind(), SshErrorKind::NotStarted { .. } | SshErrorKind::PasswordExpired { .. })
                && task.setup.as_ref().is_some_and(|setup| setup.make)
            {
                // Nothing of ours has run there: there is nothing to remove.
                session.made = false;
            }
            let group = Some(group.load(Ordering::Acquire)).filter(|group| *group > 1);
            return match task.detached.clone() {
                Some(run) if detached::is_lost(&error) => {
                    let follower = Follower { sessions: self, task, run, output, sink: &**sink, stop };
                    follower.follow(session, error).await
                }
                None if group.is_some()
                    && (detached::is_lost(&error) || stop.level() >= StopLevel::Terminate) =>
                {
                    let account = task.command.account.clone();
                    let stray = Stray { sessions: self, account, group, sink: &**sink, stop };
                    stray.lost(session, &error).await
                }
                _ => Err(error.to_string()),
            };
        }
    }
}

async fn remove_all(session: &mut Session) -> Result<(), SshError> {
    let left = remove_left(session).await;
    let accounts = session.accounts.clone();
    left.and(session.connection.remove_dir_of(&session.root, accounts, &StopToken::never()).await)
}

/// Removes the directories that are no longer used; those that could not be stay noted.
async fn remove_left(session: &mut Session) -> Result<(), SshError> {
    let mut problem = Ok(());
    for dir in std::mem::take(&mut session.left) {
        let accounts = session.accounts.clone();
        if let Err(error) = session.connection.remove_dir_of(&dir, accounts, &StopToken::never()).await {
            problem = Err(error);
            session.left.push(dir);
        }
    }
    problem
}

/// The output file of the working directory, or of the root where an old library puts it (defect 83).
fn wanted(session: &Session, work_dir: &str) -> Wanted {
    let mut files = vec![format!("{work_dir}/{OUTPUT_FILE}")];
    if work_dir != session.root.path() {
        files.push(format!("{}/{OUTPUT_FILE}", session.root));
    }
    Wanted { files, max_bytes: MAX_OP_OUTPUT }
}

/// The account of a node, with every way to log in to it.
pub(crate) fn target_of(shared: &Shared, node: &Node) -> Result<SshTarget, String> {
    let mut auth = Vec::new();
    if let Some(password) = node.password(&shared.settings.key) {
        auth.push(SshAuth::Password(Secret::new(password.expose().to_owned())));
    } else if node.has_password() {
        return Err(format!(
            "The password of node {} can not be decrypted: check password.key in conf/config.ini.",
            node.key()
        ));
    }
    auth.extend(shared.settings.ssh_keys.iter().cloned());
    if auth.is_empty() {
        return Err(format!(
            "Node {} has no password, and no key is configured (ssh.identity or ssh.agent in conf/config.ini).",
            node.key()
        ));
    }
    Ok(SshTarget {
        host: node.host.clone(),
        port: node.protocol_port,
        user: node.user.clone(),
        auth,
        jumps: shared.settings.ssh_ways.get(&node.resource).cloned(),
    })
}

fn profile_prefix(interpreter: Option<Interpreter>) -> &'static str {
    match interpreter {
        Some(Interpreter::Sh | Interpreter::Bash | Interpreter::Csh) => "",
        _ => LOGIN_PROFILE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_no_login_shell_gets_the_profile_and_its_exact_arguments() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".profile"), "FROM_PROFILE='a b'; export FROM_PROFILE\n").unwrap();
        let prefix = profile_prefix(Some(Interpreter::Perl));
        for shell in ["/bin/sh", "/bin/bash", "/bin/tcsh"] {
            let output = std::process::Command::new("/bin/sh")
                .arg("-c")
                .arg(format!(
                    r#"exec {prefix}sh -c 'printf "%s|" "$FROM_PROFILE" "$@"' x 'one two' '$HOME' "it's""#
                ))
                .env("HOME", home.path())
                .env("SHELL", shell)
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                "a b|one two|$HOME|it's|",
                "{shell}: {output:?}"
            );
        }
    }
}
