//! Running a command on a target, and stopping all of it.
//!
//! On Unix the program line travels in a file of the private directory, not in the request: the agent logs every
//! command in clear, and a request is at most one chunk. The file's shell says which process group it is in, so that a
//! stop can signal that group over a connection of its own and look what is left (defects 54, 56, 57). On Windows the
//! line is the command itself, and a stop walks the process tree.

use std::fmt;
use std::time::{Duration, Instant};

use super::answer::CommandEnd;
use super::charset::OutputDecoder;
use super::client::{Agent, Turn};
use super::dirs::AgentDir;
use super::error::{Step, TagentError, TagentErrorKind};
use super::frame::Frame;
use super::request::Request;
use super::windows;
use super::wire::Wire;
use crate::entry::{UploadEntry, UploadSource};
use crate::exit::{Exit, StopOutcome};
use crate::output::{CHUNK, OutputSink};
use crate::shell::quote;
use crate::ssh::{REMOTE_GRACE, REMOTE_LINGER, RemoteEnd};
use crate::stop::{StopLevel, StopToken};
use crate::stop_script::stop_script;

/// Files of ours in a private directory.
const CONTROL: &str = ".autoexec";
/// How long a stop waits for a command that is just starting to name its process group, in seconds.
const START_WAIT: u64 = 5;
/// Limit for the target's answer about a KILL.
const KILL_WAIT: Duration = Duration::from_secs(20);

/// A command that is ready to be started.
#[derive(Clone)]
pub struct Start {
    command: String,
    env: Vec<(String, String)>,
    stop: StopBy,
}

/// How its processes are found again.
#[derive(Debug, Clone)]
enum StopBy {
    /// By the process group that it writes to this file.
    GroupFile(String),
    /// By this text in the command line of its first process.
    Tree(String),
}

impl fmt::Debug for Start {
    /// Without the command: on Windows that holds the arguments, and with them secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Start {
    /// A program for a POSIX target: shell text of one simple command, quoted by the caller, to be run in the
    /// directory `dir` (absolute). The entry has to be uploaded below `root` before the start.
    pub fn posix(
        root: &AgentDir,
        number: u64,
        dir: &str,
        program_line: &str,
        env: Vec<(String, String)>,
    ) -> (Self, UploadEntry) {
        let control = format!("{CONTROL}/{number}");
        let group_file = root.join(&format!("{control}.group"));
        let dest = format!("{control}.sh");
        // The arguments in it are not for those who come later; a shell that has read the function needs no more of it.
        // A stop's TERM is for the program: its shell stays to say how that ended.
        let script = format!(
            "autoexec_main() {{\n\
             rm -f {own}\n\
             {{ ps -o pgid= -p $$ 2>/dev/null || echo $$; }} > {group}\n\
             cd {dir} || exit 1\n\
             trap : TERM\n\
             {program_line} </dev/null\n\
             exit $?\n\
             }}\n\
             autoexec_main\n",
            own = quote(&root.join(&dest)),
            group = quote(&group_file),
            dir = quote(dir),
        );
        let command = format!("sh {}", bare(&root.join(&dest)));
        let entry = UploadEntry { source: UploadSource::Bytes(script.into_bytes()), dest, mode: 0o600 };
        (Self { command, env, stop: StopBy::GroupFile(group_file) }, entry)
    }

    /// A command line for the Windows command processor. It has to name `root`: by that its processes are found.
    pub fn windows(
        root: &AgentDir,
        command: String,
        env: Vec<(String, String)>,
    ) -> Result<Self, TagentErrorKind> {
        let length = command.encode_utf16().count();
        if length > windows::MAX_COMMAND {
            let detail = format!(
                "it is {length} characters long and Windows takes {}; pass long values by a file",
                windows::MAX_COMMAND
            );
            return Err(TagentErrorKind::Invalid { what: "command line", detail });
        }
        Ok(Self { command, env, stop: StopBy::Tree(root.path().to_owned()) })
    }
}

/// Without quotes where none are needed: the agent starts such a command without a shell between.
fn bare(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { quote(path) }
}

/// Why reading ended.
enum Why {
    Ended(CommandEnd),
    Stop,
    Silent(Duration),
}

impl Agent {
    /// Runs a command to its end or until it is stopped, output going to the sink as it comes, in UTF-8. `on_start` is
    /// called when the agent has the request. Afterwards the caller knows whether anything is left of a stopped
    /// command.
    pub async fn run(
        &self,
        start: &Start,
        sink: &dyn OutputSink,
        stop: &StopToken,
        on_start: impl FnOnce() + Send,
    ) -> Result<RemoteEnd, TagentError> {
        let opened = self
            .guarded(stop, async {
                let (mut wire, info) = self.open(Turn::Wait).await?;
                let request = Request::Run {
                    command: &start.command,
                    env: &start.env,
                    limit_secs: self.settings().command_limit.as_secs().max(1),
                };
                // A request that is cut off is no request, so a stop before its end leaves nothing.
                self.ask(&mut wire, &info, &request).await?;
                Ok((wire, info))
            })
            .await;
        let (mut wire, info) = opened?;
        on_start();
        let mut decoder = OutputDecoder::new(info.charset);
        let mut listener = Listener { wire: &mut wire, decoder: &mut decoder, charset: info.charset, sink };
        let limit = self.settings().read_timeout;
        let end = match listener.listen(limit, stop).await {
            Ok(Why::Ended(end)) => finished(end).map(|exit| RemoteEnd { exit: Some(exit), stopped: None }),
            Ok(Why::Stop) => self.stopped(start, &mut listener, stop).await,
            Ok(Why::Silent(limit)) => {
                let ended = self.stopped(start, &mut listener, stop).await;
                let stopped = ended.ok().and_then(|end| end.stopped);
                let proved_dead = stopped.is_some_and(|stop| stop.proved_dead);
                Err(TagentErrorKind::Silent { limit, proved_dead })
            }
            // A stop that finds the connection gone still has to reach the processes.
            Err(_) if stop.level() >= StopLevel::Terminate => self.stopped(start, &mut listener, stop).await,
            Err(kind) => Err(kind),
        };
        decoder.finish(&mut |bytes| deliver(sink, bytes));
        end.map_err(|kind| self.error(kind))
    }

    /// Ends the command's processes over another connection, while this one still takes output.
    async fn stopped(
        &self,
        start: &Start,
        listener: &mut Listener<'_>,
        stop: &StopToken,
    ) -> Result<RemoteEnd, TagentErrorKind> {
        let mut heard = None;
        let proved_dead = {
            let ending = self.end_processes(&start.stop, stop);
            tokio::pin!(ending);
            loop {
                tokio::select! {
                    biased;
                    ended = &mut ending => break ended,
                    end = listener.until_end(), if heard.is_none() => heard = Some(end),
                }
            }
        };
        if heard.is_none() {
            heard = tokio::time::timeout(REMOTE_LINGER, listener.until_end()).await.ok();
        }
        let exit = heard.and_then(Result::ok).and_then(|end| finished(end).ok());
        let proved_dead = proved_dead.unwrap_or_else(|kind| {
            // The agent kills what is left when it sees that our connection is gone; nobody looked.
            tracing::warn!(target = %self.error(kind), "processes of a stopped command may be left");
            false
        });
        Ok(RemoteEnd { exit, stopped: Some(StopOutcome { proved_dead }) })
    }

    async fn end_processes(&self, by: &StopBy, stop: &StopToken) -> Result<bool, TagentErrorKind> {
        let command = |grace: Duration| match by {
            StopBy::GroupFile(file) => posix_stop(file, grace),
            StopBy::Tree(text) => windows::stop_command(text),
        };
        let polite = matches!(by, StopBy::GroupFile(_)) && stop.level() < StopLevel::Kill;
        if polite {
            let limit = REMOTE_GRACE + KILL_WAIT;
            let polite = command(REMOTE_GRACE);
            tokio::select! {
                biased;
                // Told to kill now: the polite script is left behind.
                () = stop.reached(StopLevel::Kill) => {}
                ended = self.quick(&polite, limit, Turn::AtOnce) => return ended.map(|(status, _)| status == 0),
            }
        }
        let (status, _) = self.quick(&command(Duration::ZERO), KILL_WAIT, Turn::AtOnce).await?;
        Ok(status == 0)
    }
}

/// Reads the group, and leaves alone what it is itself a member of. Where there is no `ps` to say that, the group is
/// stopped: an empty number would end some shells before they do.
fn posix_stop(group_file: &str, grace: Duration) -> String {
    let script = stop_script("$1", grace);
    format!(
        "autoexec_stop() {{\n{script}\n}}\n\
         n=0; g=\n\
         while [ \"$n\" -le {START_WAIT} ]; do\n\
         g=$(cat {file} 2>/dev/null) && [ -n \"$g\" ] && break\n\
         n=$((n + 1)); sleep 1\n\
         done\n\
         g=$((g)); [ \"$g\" -gt 1 ] || exit 3\n\
         own=$(ps -o pgid= -p $$ 2>/dev/null); own=$((${{own:-0}}))\n\
         [ \"$g\" != \"$own\" ] || exit 4\n\
         autoexec_stop \"$g\"; exit $?",
        file = quote(group_file),
    )
}

fn finished(end: CommandEnd) -> Result<Exit, TagentErrorKind> {
    match end {
        CommandEnd::Status(status) => Ok(Exit::Code(status)),
        CommandEnd::Refused(said) => Err(TagentErrorKind::Failed { action: "the command".to_owned(), said }),
    }
}

fn deliver(sink: &dyn OutputSink, bytes: &[u8]) {
    for piece in bytes.chunks(CHUNK) {
        sink.output(piece);
    }
}

struct Listener<'a> {
    wire: &'a mut Wire,
    decoder: &'a mut OutputDecoder,
    charset: super::charset::Charset,
    sink: &'a dyn OutputSink,
}

impl Listener<'_> {
    async fn listen(&mut self, limit: Option<Duration>, stop: &StopToken) -> Result<Why, TagentErrorKind> {
        let begun = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.reached(StopLevel::Terminate) => return Ok(Why::Stop),
                frame = self.wire.receive(Step::Output, limit) => match frame {
                    Ok(frame) => if let Some(end) = self.take(frame) {
                        tracing::debug!(took = ?begun.elapsed(), "a command over an agent ended");
                        return Ok(Why::Ended(end));
                    },
                    Err(TagentErrorKind::Timeout { step: Step::Output, limit }) => return Ok(Why::Silent(limit)),
                    Err(kind) => return Err(kind),
                },
            }
        }
    }

    async fn until_end(&mut self) -> Result<CommandEnd, TagentErrorKind> {
        loop {
            let frame = self.wire.receive(Step::Output, None).await?;
            if let Some(end) = self.take(frame) {
                return Ok(end);
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Option<CommandEnd> {
        match frame {
            Frame::Data(bytes) => {
                let sink = self.sink;
                self.decoder.push(&bytes, &mut |bytes| deliver(sink, bytes));
                None
            }
            Frame::Final(text) => Some(CommandEnd::parse(&text, self.charset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::charset::Charset;
    use super::super::handshake::AgentInfo;
    use super::*;
    use crate::shell::shells_for_tests::{of, shells};

    fn root(os: &str, path: &str) -> AgentDir {
        let info = AgentInfo { os: os.to_owned(), charset: Charset::utf8(), encrypted: false };
        AgentDir::for_test(path, info)
    }

    #[test]
    fn the_start_script_runs_in_each_shell_and_says_its_group() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().to_str().unwrap();
            std::fs::create_dir(dir.path().join(CONTROL)).unwrap();
            let line = "sh -c 'pwd; echo \"$1\"; exit 7' sh 'it''s; $HOME'";
            let (start, entry) = Start::posix(&root("Linux", path), 4, path, line, vec![]);
            assert_eq!(start.command, format!("sh {path}/.autoexec/4.sh"));
            let UploadSource::Bytes(script) = entry.source else { panic!("no bytes") };
            let file = dir.path().join(&entry.dest);
            std::fs::write(&file, script).unwrap();
            let mut command = std::process::Command::new(shell);
            command.args(shell.ends_with("busybox").then_some("sh"));
            let output = command.arg(&file).output().unwrap();
            assert_eq!(output.status.code(), Some(7), "{shell}: {output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{path}\nits; $HOME\n"), "{shell}");
            let group = std::fs::read_to_string(dir.path().join(".autoexec/4.group")).unwrap();
            assert!(group.trim().parse::<i32>().unwrap() > 1, "{shell}: {group}");
            assert!(!file.exists(), "{shell}: the arguments stay readable");
            assert!(!format!("{start:?}").contains("4.sh"), "{start:?}");
        }
    }

    #[test]
    fn a_stop_without_a_group_and_of_its_own_group_is_no_proof() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("g");
        let run = |group: &str| {
            std::fs::write(&file, group).unwrap();
            let script = posix_stop(file.to_str().unwrap(), Duration::ZERO);
            std::process::Command::new("/bin/sh").args(["-c", &script]).status().unwrap().code()
        };
        assert_eq!(run("1\n"), Some(3));
        let own = nix::unistd::getpgrp().as_raw();
        assert_eq!(run(&format!(" {own}\n")), Some(4));
        assert_eq!(run("2147483646\n"), Some(0), "nobody has that group");
    }

    /// A group that ignores TERM, the thread that reaps it, and its number.
    fn stubborn() -> (i32, std::thread::JoinHandle<()>) {
        use std::os::unix::process::CommandExt as _;
        let mut leader = std::process::Command::new("/bin/sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut String::new()).unwrap();
        let group = i32::try_from(leader.id()).unwrap();
        (group, std::thread::spawn(move || drop(leader.wait())))
    }

    #[test]
    fn the_stop_works_in_each_shell_with_and_without_ps() {
        let dir = tempfile::tempdir().unwrap();
        for tool in ["sleep", "cat"] {
            std::os::unix::fs::symlink(format!("/bin/{tool}"), dir.path().join(tool)).unwrap();
        }
        let without_ps = dir.path().to_str().unwrap();
        let file = dir.path().join("g");
        for shell in shells() {
            for path in ["/usr/bin:/bin", without_ps] {
                let (group, reaper) = stubborn();
                std::fs::write(&file, format!(" {group}\n")).unwrap();
                let script = posix_stop(file.to_str().unwrap(), Duration::from_millis(400));
                let output = of(shell).arg(script).env("PATH", path).output().unwrap();
                // A test that fails leaves nothing behind either.
                let _ =
                    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::SIGKILL);
                reaper.join().unwrap();
                assert!(output.status.success(), "{shell} {path}: {output:?}");
            }
        }
    }

    #[test]
    fn a_windows_command_has_a_length() {
        let root = root("windows", r"C:\t\x");
        assert!(Start::windows(&root, "x".repeat(8000), vec![]).is_ok());
        assert!(Start::windows(&root, "x".repeat(9000), vec![]).is_err());
    }
}
