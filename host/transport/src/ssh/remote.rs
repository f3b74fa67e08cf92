//! Running a command on a POSIX target, and stopping all of it.
//!
//! The command, its directory and its environment travel by stdin, so that no secret is in the target's process list
//! or shell history (defect 46). It gets a session and process group of its own, whose id it reports before it
//! becomes the command; stop signals that group and looks what is left (defects 54, 56, 57).

use std::time::{Duration, Instant};

use super::connection::Worker;
use super::error::{SshErrorKind, Step};
use super::exec::{Conversation, RemoteEnd};
use super::link::{Link, Meanwhile};
use super::marker::{Filter, Report, Token};
use super::patience::{Cancel, Patience};
use super::script::{self, SHELL, whole};
use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::shell::{is_variable_name, quote};
use crate::stop::StopLevel;
use crate::stop_script::stop_script;

/// Time between TERM and KILL on the target.
pub const REMOTE_GRACE: Duration = Duration::from_secs(4);
/// How long output is still read after the command has ended while a descendant holds it open.
pub const REMOTE_LINGER: Duration = Duration::from_secs(2);

/// How long a stop waits for a command that is just starting to name its process group.
const START_WAIT: Duration = Duration::from_secs(5);
/// Limit for the target's answer about a KILL.
const KILL_WAIT: Duration = Duration::from_secs(20);
/// A sleep of the reading loop; stops and output end it early.
const NAP: Duration = Duration::from_mins(1);

/// A command for a POSIX target.
#[derive(Clone)]
pub struct RemoteCommand {
    /// Directory to run in.
    pub dir: String,
    /// Variables added to the account's environment. They are seen only by the account itself and root.
    pub env: Vec<(String, String)>,
    /// Shell text of one simple command, quoted by the caller (see [`super::quote`]); it is run by `exec`.
    pub program_line: String,
}

/// The process group of a remote command, for the record and for [`super::SshConnection::stop_group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemotePid {
    /// Process group id on the target; the command itself is its leader wherever the target has `setsid`.
    pub group: i32,
}

/// The script: an inner part that becomes the command and an outer one that waits for it and reports.
///
/// The inner part reaches its shell through a pipe for the same reason as the outer one. `setsid` runs it in place,
/// for a child of a shell without job control leads no group; where there is none, job control gives it a group.
fn script_for(command: &RemoteCommand, token: &Token) -> String {
    let enter =
        format!("cd {} 2>/dev/null || {{ {}; exit 1; }}\n", quote(&command.dir), token.report("nodir", "0"));
    let assign = |(name, value): &(String, String)| {
        format!(
            "{name}={}
export {name}
",
            quote(value)
        )
    };
    let variables = command.env.iter().map(assign).collect::<Vec<_>>().concat();
    let inner = format!(
        "{enter}{variables}\
         case $1 in own) set -- \"$$\" ;; *) set -- \"$(($(ps -o pgid= -p $$)))\" ;; esac\n\
         {group}\n\
         set --\n\
         exec {program} </dev/null\n",
        group = token.report("group", "\"$1\""),
        program = command.program_line,
    );
    whole(&format!(
        "if command -v setsid >/dev/null 2>&1; then set -- setsid own; else set -- '' found; set -m; fi 2>/dev/null\n\
         {start}\n\
         printf '%s\\n' {inner} | $1 /bin/sh -c 'eval \"$(cat)\"' sh \"$2\" 2>&1 &\n\
         wait \"$!\"\n\
         {exit}",
        start = token.report("start", "0"),
        inner = quote(&inner),
        exit = token.report("exit", "\"$?\""),
    ))
}

fn check(command: &RemoteCommand) -> Result<(), SshErrorKind> {
    let invalid = |what, detail: String| Err(SshErrorKind::Invalid { what, detail });
    if let Some((name, _)) = command.env.iter().find(|(name, _)| !is_variable_name(name)) {
        return invalid("environment", format!("{name:?} is no name for a variable"));
    }
    if let Some((name, _)) = command.env.iter().find(|(_, value)| value.contains('\0')) {
        return invalid("environment", format!("the value of {name} holds a NUL byte"));
    }
    if command.dir.is_empty() || command.dir.contains('\0') {
        return invalid("remote directory", "it is empty or holds a NUL byte".to_owned());
    }
    if command.program_line.trim().is_empty() || command.program_line.contains('\0') {
        return invalid("remote command", "it is empty or holds a NUL byte".to_owned());
    }
    Ok(())
}

/// Runs a command to its end or until it is stopped.
pub(super) fn run(
    worker: &Worker,
    command: &RemoteCommand,
    sink: &dyn OutputSink,
    cancel: &Cancel,
    on_start: Box<dyn FnOnce(RemotePid) + Send>,
) -> Result<RemoteEnd, SshErrorKind> {
    check(command)?;
    let token = Token::random()?;
    let text = script_for(command, &token);
    let link = &worker.link;
    let mut patience =
        Patience::new(Step::Start, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let mut conversation =
        Conversation::start(link, SHELL, Some(Filter::new(&token)), true, &patience, None)?;
    // Until the last byte is sent a stop leaves a script that is cut off, and that does nothing.
    let sent = conversation
        .send(link, text.as_bytes(), &mut patience, &mut |bytes| sink.output(bytes))
        .and_then(|()| conversation.end_input(link, &patience));
    let result = sent.and_then(|()| {
        let mut running = Running {
            worker,
            dir: &command.dir,
            conversation: &mut conversation,
            sink,
            cancel,
            on_start: Some(on_start),
        };
        running.finish()
    });
    conversation.close(link);
    result
}

/// Why the reading loop ended.
enum Why {
    Ended,
    Stop,
    Silent(Duration),
}

struct Running<'a> {
    worker: &'a Worker,
    dir: &'a str,
    conversation: &'a mut Conversation,
    sink: &'a dyn OutputSink,
    cancel: &'a Cancel,
    on_start: Option<Box<dyn FnOnce(RemotePid) + Send>>,
}

impl Running<'_> {
    fn finish(&mut self) -> Result<RemoteEnd, SshErrorKind> {
        match self.listen() {
            Ok(Why::Ended) => Ok(RemoteEnd { exit: Some(self.exit()?), stopped: None }),
            Ok(Why::Stop) => self.stopped(),
            Ok(Why::Silent(limit)) => {
                let stopped = self.stopped().ok().and_then(|end| end.stopped);
                Err(SshErrorKind::Silent { limit, proved_dead: stopped.is_some_and(|stop| stop.proved_dead) })
            }
            // A stop that finds the connection gone still has to reach the processes.
            Err(_) if self.cancel.level() >= StopLevel::Terminate => self.stopped(),
            Err(kind) => Err(kind),
        }
    }

    fn listen(&mut self) -> Result<Why, SshErrorKind> {
        let limit = self.worker.settings.read_timeout;
        let mut heard = Instant::now();
        loop {
            if self.pump()? {
                heard = Instant::now();
                if self.cancel.level() >= StopLevel::Terminate {
                    return Ok(Why::Stop);
                }
                continue;
            }
            if self.over(REMOTE_LINGER) {
                return Ok(Why::Ended);
            }
            if self.cancel.level() >= StopLevel::Terminate {
                return Ok(if self.conversation.exit.is_some() { Why::Ended } else { Why::Stop });
            }
            if let Some(limit) = limit
                && heard.elapsed() >= limit
                && self.conversation.exit.is_none()
            {
                return Ok(Why::Silent(limit));
            }
            let nap = if self.conversation.exit.is_some() { Duration::from_millis(100) } else { NAP };
            let until = limit.map_or(NAP, |limit| limit.saturating_sub(heard.elapsed())).min(nap);
            self.worker.link.wait(Instant::now() + until)?;
        }
    }

    /// True when nothing more is to come, or not worth waiting for.
    fn over(&self, linger: Duration) -> bool {
        self.conversation.ended
            || self.conversation.last == Some(Report::NoDirectory)
            || self.conversation.exit.is_some_and(|(_, at)| at.elapsed() >= linger)
    }

    fn pump(&mut self) -> Result<bool, SshErrorKind> {
        let sink = self.sink;
        let moved = self.conversation.pump(&self.worker.link, &mut |bytes| sink.output(bytes))?;
        if let Some(group) = self.conversation.group
            && let Some(on_start) = self.on_start.take()
        {
            on_start(RemotePid { group });
        }
        Ok(moved)
    }

    fn exit(&mut self) -> Result<Exit, SshErrorKind> {
        if self.conversation.last == Some(Report::NoDirectory) {
            return Err(SshErrorKind::RemoteDirectory { dir: self.dir.to_owned() });
        }
        if let Some((code, _)) = self.conversation.exit {
            return Ok(Exit::Code(code));
        }
        if !self.conversation.started() {
            return Err(SshErrorKind::NotStarted { output: self.conversation.noise() });
        }
        // The waiting shell itself was ended; only the server can say by what.
        let patience = Patience::new(Step::Output, self.worker.settings.write_timeout, self.cancel, None);
        match self.conversation.await_exit(&self.worker.link, &patience)? {
            Exit::Signal(signal) => Ok(Exit::Signal(signal)),
            Exit::Code(_) => Err(SshErrorKind::NoExit),
        }
    }

    fn stopped(&mut self) -> Result<RemoteEnd, SshErrorKind> {
        let _ = self.pump_until(START_WAIT, |running| running.conversation.group.is_some());
        let Some(group) = self.conversation.group else {
            let exit = self.conversation.exit.map(|(code, _)| Exit::Code(code));
            return Ok(RemoteEnd { exit, stopped: Some(StopOutcome { proved_dead: false }) });
        };
        let (worker, cancel) = (self.worker, self.cancel);
        let proved_dead = stop_group(
            worker,
            group,
            cancel,
            Some(&mut || {
                // A lost connection shows itself in the stop as well.
                let _ = self.pump();
            }),
        );
        let _ = self.pump_until(REMOTE_LINGER, |running| running.conversation.exit.is_some());
        let exit = self.exit().ok();
        Ok(RemoteEnd { exit, stopped: Some(StopOutcome { proved_dead: proved_dead? }) })
    }

    /// Pumps until `done` or the end, for at most `limit`.
    fn pump_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Result<(), SshErrorKind> {
        let until = Instant::now() + limit;
        while !done(self) && !self.over(Duration::ZERO) && Instant::now() < until {
            if !self.pump()? {
                self.worker.link.wait(until)?;
            }
        }
        Ok(())
    }
}

/// Ends a process group: over this connection, or over a new one where this one is gone or full. True when it is
/// proved dead.
pub(super) fn stop_group(
    worker: &Worker,
    group: i32,
    cancel: &Cancel,
    meanwhile: Meanwhile<'_>,
) -> Result<bool, SshErrorKind> {
    match stop_over(&worker.link, group, cancel, meanwhile) {
        Ok(dead) => Ok(dead),
        Err(kind) => {
            tracing::debug!(target = %worker.target, error = %kind, "stopping over a new connection");
            let link = worker.another_link(cancel)?;
            stop_over(&link, group, cancel, None)
        }
    }
}

fn stop_over(
    link: &Link,
    group: i32,
    cancel: &Cancel,
    mut meanwhile: Meanwhile<'_>,
) -> Result<bool, SshErrorKind> {
    if cancel.level() < StopLevel::Kill {
        let mut patience =
            Patience::new(Step::Output, REMOTE_GRACE + KILL_WAIT, cancel, Some(StopLevel::Kill));
        let serve = meanwhile.as_mut().map(|serve| &mut **serve as &mut dyn FnMut());
        match script::run(
            link,
            &stop_script(&group.to_string(), REMOTE_GRACE),
            &mut patience,
            serve,
            &mut |_| {},
        ) {
            Ok(ran) => return Ok(ran.code == 0),
            // Told to kill now: the polite script is left behind.
            Err(SshErrorKind::Stopped) => {}
            Err(kind) => return Err(kind),
        }
    }
    let mut patience = Patience::new(Step::Output, KILL_WAIT, cancel, None);
    let ran = script::run(
        link,
        &stop_script(&group.to_string(), Duration::ZERO),
        &mut patience,
        meanwhile,
        &mut |_| {},
    )?;
    Ok(ran.code == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> RemoteCommand {
        RemoteCommand { dir: "/tmp".into(), env: vec![("A".into(), "1".into())], program_line: "true".into() }
    }

    #[test]
    fn bad_requests_are_named_without_values() {
        let mut bad = command();
        bad.env = vec![("A-B".into(), "secret".into())];
        let text = check(&bad).unwrap_err().to_string();
        assert!(text.contains("A-B") && !text.contains("secret"), "{text}");
        bad.env = vec![("A".into(), "se\0cret".into())];
        let text = check(&bad).unwrap_err().to_string();
        assert!(text.contains("value of A") && !text.contains("cret"), "{text}");
        bad = RemoteCommand { program_line: " ".into(), ..command() };
        assert!(check(&bad).is_err());
        bad = RemoteCommand { dir: String::new(), ..command() };
        assert!(check(&bad).is_err());
    }

    #[test]
    fn a_script_cut_off_anywhere_runs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("ran");
        let command = RemoteCommand { program_line: format!("touch {}", mark.display()), ..command() };
        let text = script_for(&command, &Token::random().unwrap());
        for cut in (0..text.len() - 1).filter(|cut| text.is_char_boundary(*cut)).step_by(7) {
            let script = text.get(..cut).unwrap();
            let _ = std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
            assert!(!mark.exists(), "ran when cut at {cut}");
        }
        let _ = std::process::Command::new("/bin/sh").arg("-c").arg(&text).output().unwrap();
        assert!(mark.exists());
    }

    fn shells() -> Vec<&'static str> {
        let (found, missing): (Vec<_>, Vec<_>) =
            ["/bin/dash", "/bin/bash", "/bin/ksh", "/bin/busybox", "/bin/zsh"]
                .into_iter()
                .partition(|shell| std::path::Path::new(shell).exists());
        println!("SKIPPED, not installed: {missing:?}");
        found
    }

    /// `shell -c`, of busybox too.
    fn of(shell: &str) -> std::process::Command {
        let mut command = std::process::Command::new(shell);
        command.args(if shell.ends_with("busybox") { &["sh", "-c"][..] } else { &["-c"] });
        command
    }

    #[test]
    fn each_shell_runs_and_reports() {
        let command = RemoteCommand { program_line: "sh -c 'echo \"$A\"; exit 42'".into(), ..command() };
        for shell in shells() {
            let token = Token::random().unwrap();
            let output = of(shell).arg(script_for(&command, &token)).output().unwrap();
            let mut said = Vec::new();
            let reports =
                Filter::new(&token).feed(&output.stdout, &mut |bytes| said.extend_from_slice(bytes));
            let [Report::Start, Report::Group(group), Report::Exit(42)] = reports[..] else {
                panic!("{shell}: {reports:?} {output:?}")
            };
            assert!(group > 1);
            assert_eq!(said, b"1\n", "{shell}");
        }
    }

    /// A group whose leader ignores TERM and has a child, and a thread that reaps the leader.
    fn stubborn_group() -> (i32, std::thread::JoinHandle<()>) {
        use std::os::unix::process::CommandExt;
        let script = "trap '' TERM; sleep 300 & echo ready; while :; do sleep 0.1; done";
        let mut leader = std::process::Command::new("/bin/sh")
            .args(["-c", script])
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let group = i32::try_from(leader.id()).unwrap();
        (group, std::thread::spawn(move || drop(leader.wait())))
    }

    /// True while something of the group is more than a zombie: a container's init may take its time to reap.
    fn lives(group: i32) -> bool {
        let output = std::process::Command::new("ps").args(["-A", "-o", "pgid=,stat="]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace();
            fields.next() == Some(&group.to_string()) && !fields.next().unwrap().starts_with('Z')
        })
    }

    #[test]
    fn the_stop_script_works_in_each_shell_with_and_without_ps() {
        let tools = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/sleep", tools.path().join("sleep")).unwrap();
        let without_ps = tools.path().to_str().unwrap();
        for shell in shells() {
            for path in ["/usr/bin:/bin", without_ps] {
                let (group, reaper) = stubborn_group();
                let script =
                    format!("f() {{\n{}\n}}\nf", stop_script(&group.to_string(), Duration::from_millis(400)));
                let output = of(shell).arg(script).env("PATH", path).output().unwrap();
                assert!(output.status.success(), "{shell} {path}: {output:?}");
                assert!(!lives(group), "{shell} {path}");
                reaper.join().unwrap();
            }
        }
    }
}
