//! A process group: signals to all of it, the look whether anything of it lives, and its output pipe.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

use crate::output::{OutputSink, with_buffer};
use crate::stop::{StopLevel, StopToken};

#[derive(Clone, Copy)]
pub(super) struct Group(Pid);

impl Group {
    pub(super) fn led_by(pid: u32) -> io::Result<Self> {
        // Group 0 or 1 in a kill would hit ourselves or everybody.
        match i32::try_from(pid) {
            Ok(pid) if pid > 1 => Ok(Self(Pid::from_raw(pid))),
            _ => Err(io::Error::other(format!("unusable process id {pid}"))),
        }
    }

    pub(super) fn id(self) -> u32 {
        self.0.as_raw().unsigned_abs()
    }

    pub(super) fn terminate(self) {
        self.signal(Signal::SIGTERM);
    }

    pub(super) fn kill(self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(self, signal: Signal) {
        // The kernel gives a number to no new process while a group bears it, and the callers have just seen a
        // member or hold the leader unreaped: the signal cannot hit a stranger.
        if let Err(error) = killpg(self.0, signal)
            && error != Errno::ESRCH
        {
            tracing::warn!(group = self.id(), %signal, %error, "cannot signal a process group");
        }
    }

    /// True while a process of the group is there that is not just a zombie waiting for its parent.
    pub(super) fn has_live_members(self) -> bool {
        match killpg(self.0, None) {
            Err(Errno::ESRCH) => false,
            _ => live_member_in_proc(self.0.as_raw()).unwrap_or(true),
        }
    }
}

fn live_member_in_proc(group: i32) -> io::Result<bool> {
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        // A process that ended since the listing has no file any more.
        let Ok(stat) = std::fs::read(entry.path().join("stat")) else { continue };
        if state_and_group(&stat).is_some_and(|(state, of)| of == group && !matches!(state, b'Z' | b'X')) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// State and group of a `/proc/<pid>/stat` text: `pid (name) state ppid pgrp …`, where the name may hold anything.
fn state_and_group(stat: &[u8]) -> Option<(u8, i32)> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

/// The reading end of a process's output.
pub(super) struct Output {
    pipe: Receiver,
    sink: Arc<dyn OutputSink>,
    ended: bool,
}

impl Output {
    pub(super) fn new(pipe: Receiver, sink: Arc<dyn OutputSink>) -> Self {
        Self { pipe, sink, ended: false }
    }

    /// Does `work` while passing output on.
    pub(super) async fn alongside<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.pump(), if !self.ended => {}
            }
        }
    }

    /// Passes on what is left, until the end of the pipe, for at most `limit`, or until a stop. True when somebody
    /// still holds the pipe.
    pub(super) async fn drain(&mut self, limit: Duration, stop: &StopToken) -> bool {
        let to_end = async {
            while !self.ended {
                self.pump().await;
            }
        };
        tokio::select! {
            biased;
            _ = timeout(limit, to_end) => {}
            () = stop.reached(StopLevel::Terminate) => {}
        }
        if !self.ended {
            self.read_available();
        }
        !self.ended
    }

    /// Waits for output and passes one piece on. Cancel safe: bytes are taken only where they are handed over.
    async fn pump(&mut self) {
        match self.pipe.readable().await {
            Ok(()) => {
                self.read_once();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// What is in the pipe now, bounded by its usual capacity many times over.
    fn read_available(&mut self) {
        for _ in 0..16 {
            if self.ended || !self.read_once() {
                break;
            }
        }
    }

    fn read_once(&mut self) -> bool {
        with_buffer(|buffer| match self.pipe.try_read(buffer) {
            Ok(0) => {
                self.ended = true;
                false
            }
            Ok(length) => {
                self.sink.output(buffer.get(..length).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                self.fail(&error);
                false
            }
        })
    }

    fn fail(&mut self, error: &io::Error) {
        tracing::warn!(%error, "the output of a process cannot be read any further");
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_names_may_hold_blanks_and_brackets() {
        assert_eq!(state_and_group(b"42 (a) b (c)) S 1 77 77 0 -1"), Some((b'S', 77)));
        assert_eq!(state_and_group(b"42 (x) Z 1 9 9"), Some((b'Z', 9)));
        assert_eq!(state_and_group(b"42 (x"), None);
        assert_eq!(state_and_group(b"42 (x) S"), None);
    }

    #[test]
    fn groups_that_would_hit_others_are_refused() {
        assert!(Group::led_by(0).is_err());
        assert!(Group::led_by(1).is_err());
        assert!(Group::led_by(u32::MAX).is_err());
    }

    #[test]
    fn our_own_group_is_alive() {
        assert!(live_member_in_proc(nix::unistd::getpgrp().as_raw()).unwrap());
        assert!(!live_member_in_proc(i32::MAX).unwrap());
    }
}
