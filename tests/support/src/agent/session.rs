//! Commands: one session each, output line by line, killed when the client goes away (§4, execmd).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::conversation::Talk;
use super::{AgentRequest, Moment, Shared};
use crate::process;

/// Longest output line in one chunk.
const LINE: u64 = 32768;

/// The sessions of commands, by the process id of their leader, with the text of the command.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<BTreeMap<i32, String>>);

impl Sessions {
    fn add(&self, leader: i32, command: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(leader, command.to_owned());
    }

    pub(super) fn live(&self) -> usize {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.keys().filter(|leader| !process::session(Pid::from_raw(**leader)).is_empty()).count()
    }

    pub(super) fn kill_all(&self) {
        for leader in self.0.lock().unwrap_or_else(PoisonError::into_inner).keys() {
            kill_session(*leader);
        }
    }

    /// Kills the sessions whose command holds a text; how many lived.
    pub(super) fn kill_matching(&self, text: &str) -> usize {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = sessions.iter().filter(|(leader, command)| {
            command.contains(text) && !process::session(Pid::from_raw(**leader)).is_empty()
        });
        mine.map(|(leader, _)| kill_session(*leader)).count()
    }
}

fn kill_session(session: i32) {
    for pid in process::session(Pid::from_raw(session)) {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Replaces the agent's own names, textually and everywhere.
fn replaced(command: &str, tmp: &Path) -> String {
    let tmp = tmp.display().to_string();
    ["TMPDIR", "TAGENT_BASE", "TAGENT_HOME"].iter().fold(command.to_owned(), |text, name| {
        text.replace(&format!("${name}"), &tmp).replace(&format!("%{name}%"), &tmp)
    })
}

/// The variables of the request's JSON; a broken one is only logged.
pub(super) fn variables(request: &AgentRequest) -> BTreeMap<String, String> {
    serde_json::from_slice(request.fields.get(2).map_or(&b""[..], Vec::as_slice)).unwrap_or_default()
}

pub(super) fn execute(talk: &mut Talk<'_>, request: &AgentRequest) -> Result<()> {
    let command = replaced(&request.text(0), talk.shared.tmp.path());
    let needs_shell = |c: char| "$&*(){}[]'\";\\|?<>~`\n".contains(c);
    // `setsid` runs in place here, for we lead no group: its id is the session's.
    let mut process = Command::new("setsid");
    if command.contains(needs_shell) {
        process.args(["/bin/sh", "-c", &command]);
    } else {
        process.args(command.split_ascii_whitespace());
    }
    process.envs(variables(request)).current_dir("/");
    let limit = request.text(3).parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    run(talk, process, &command, limit)
}

/// Runs a process to its end and says how that was.
pub(super) fn run(
    talk: &mut Talk<'_>,
    mut process: Command,
    command: &str,
    limit: Option<Duration>,
) -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    let errors = writer.try_clone()?;
    let started = process
        .env("TMPDIR", talk.shared.tmp.path())
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn();
    // Our ends of the pipe.
    drop(process);
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return talk.end(&format!("Launch '{command}' failed: {error}")),
    };
    let session = i32::try_from(child.id())?;
    talk.shared.sessions.add(session, command);
    watch(talk.wire.socket, talk.shared, session)?;
    let begun = Instant::now();
    let timer = limit.map(|limit| watch_time(session, limit));
    let mut output = BufReader::new(reader);
    let mut result = Ok(());
    loop {
        let mut line = Vec::new();
        let length = (&mut output).take(LINE).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        // Whatever happens to the client, the process is waited for below.
        result = talk.data(&line);
        if result.is_err() {
            kill_session(session);
            break;
        }
    }
    let status = child.wait().context("wait for the command")?;
    drop(timer);
    result?;
    if limit.is_some_and(|limit| begun.elapsed() > limit) {
        let seconds = limit.unwrap_or_default().as_secs();
        return talk.end(&format!("execute timeout({seconds} seconds)"));
    }
    let number = status.code().or(status.signal()).unwrap_or(-1);
    talk.end(&if number == 0 { String::new() } else { number.to_string() })
}

/// Anything readable, data or the end, means that the client is gone.
fn watch(socket: &TcpStream, shared: &Arc<Shared>, session: i32) -> Result<()> {
    let socket = socket.try_clone()?;
    let _ = shared;
    std::thread::spawn(move || {
        let _ = socket.peek(&mut [0; 1]);
        kill_session(session);
    });
    Ok(())
}

/// Kills a session after its time; dropping the sender ends the wait.
fn watch_time(session: i32, limit: Duration) -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if receiver.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            kill_session(session);
        }
    });
    sender
}

/// For output that a Windows command has besides that of its script.
pub(super) fn say(talk: &mut Talk<'_>, text: &str, status: i32) -> Result<()> {
    talk.moment(Moment::Data)?;
    for line in text.split_inclusive('\n') {
        talk.data(line.as_bytes())?;
    }
    talk.end(&if status == 0 { String::new() } else { status.to_string() })
}
