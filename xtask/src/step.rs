//! Steps of a command: shown to whoever waits, run to their end, and never left behind.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Progress for people, on standard error like cargo's own.
#[expect(clippy::print_stderr, reason = "a command for people; its output is its progress")]
pub(crate) fn say(text: impl std::fmt::Display) {
    let (bold, plain) = if io::stderr().is_terminal() { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    eprintln!("{bold}==>{plain} {text}");
}

/// A command's result, on standard output.
#[expect(clippy::print_stdout, reason = "what the command was asked for")]
pub(crate) fn print(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command that must succeed and returns what it printed on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("`{shown}` could not be started"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, complaint.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed what is not UTF-8"))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// What happened until now, in [`Attended::state`].
const NOBODY: i32 = 0;
const STOPPED: i32 = -1;

/// From its start on, Ctrl-C no longer ends this process: it is handed to the child that runs, and then everything
/// that was started can be taken down in order.
pub(crate) struct Attended {
    signals: Handle,
    /// Process group of the running child, [`NOBODY`], or [`STOPPED`].
    state: Arc<AtomicI32>,
}

impl Attended {
    /// Takes INT, TERM and HUP over.
    pub(crate) fn start() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals can not be watched")?;
        let handle = signals.handle();
        let state = Arc::new(AtomicI32::new(NOBODY));
        let seen = Arc::clone(&state);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let group = seen.load(Ordering::SeqCst);
                if group > 0 {
                    pass_on(group, signal);
                } else {
                    seen.store(STOPPED, Ordering::SeqCst);
                }
            }
        })?;
        Ok(Self { signals: handle, state })
    }

    /// Runs a command in a process group of its own, so that it gets every signal exactly once, from us.
    pub(crate) fn run(&self, command: &mut Command) -> Result<std::process::ExitStatus> {
        let shown = shown(command);
        self.check()?;
        let mut child =
            command.process_group(0).spawn().with_context(|| format!("`{shown}` could not be started"))?;
        let group = i32::try_from(child.id()).context("a process id above 2^31")?;
        if self.state.compare_exchange(NOBODY, group, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            pass_on(group, SIGTERM);
        }
        let status = child.wait();
        let _ = self.state.compare_exchange(group, NOBODY, Ordering::SeqCst, Ordering::SeqCst);
        status.with_context(|| format!("`{shown}` could not be waited for"))
    }

    /// An error if there was a signal between two commands.
    pub(crate) fn check(&self) -> Result<()> {
        if self.state.load(Ordering::SeqCst) == STOPPED {
            return Err(io::Error::from(io::ErrorKind::Interrupted)).context("stopped by a signal");
        }
        Ok(())
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.signals.close();
    }
}

fn pass_on(group: i32, signal: i32) {
    if let Ok(signal) = Signal::try_from(signal) {
        // It may have ended in this very moment.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("sh -c") && error.contains("exit status: 3: broken"), "{error}");
        let error = format!("{:#}", run(&mut Command::new("/nonexistent/program")).unwrap_err());
        assert!(error.contains("`/nonexistent/program` could not be started"), "{error}");
    }

    #[test]
    fn a_signal_reaches_the_attended_child_and_not_us() {
        let attended = Attended::start().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let script = format!("trap 'exit 7' INT; : >'{}'; while :; do sleep 0.05; done", ready.display());
        // Not before the child can take it, and not before it is known whose it is.
        let state = Arc::clone(&attended.state);
        let signals = std::thread::spawn(move || {
            while state.load(Ordering::SeqCst) <= NOBODY || !ready.exists() {
                std::thread::yield_now();
            }
            nix::sys::signal::kill(Pid::this(), Signal::SIGINT).unwrap();
        });
        let status = attended.run(Command::new("sh").args(["-c", &script])).unwrap();
        signals.join().unwrap();
        assert_eq!(status.code(), Some(7));
        attended.check().unwrap();
    }
}
