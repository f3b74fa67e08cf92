//! Signals of a running job (`spec/cli.md` §1.5).

use std::fmt::Write;

use autoexec_engine::Request;
use autoexec_events::{ExitCode, Level, StopReason};
use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::CliError;

/// Unblocks the signals we handle: a child of a JVM may start with some of them blocked.
pub(crate) fn unblock() -> Result<(), CliError> {
    let set: SigSet = [Number::SIGQUIT, Number::SIGHUP, Number::SIGTERM, Number::SIGINT, Number::SIGUSR1]
        .into_iter()
        .collect();
    set.thread_unblock()
        .map_err(|error| CliError::new(ExitCode::Internal, format!("can not unblock signals: {error}")))
}

/// The streams of all handled signals. Registered before the run starts, so that none is lost.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
    quit: Signal,
}

impl Signals {
    pub(crate) fn register() -> Result<Self, CliError> {
        let open = |kind| {
            signal(kind).map_err(|error| {
                CliError::new(ExitCode::Internal, format!("can not handle signals: {error}"))
            })
        };
        Ok(Self {
            term: open(SignalKind::terminate())?,
            int: open(SignalKind::interrupt())?,
            hup: open(SignalKind::hangup())?,
            usr1: open(SignalKind::user_defined1())?,
            quit: open(SignalKind::quit())?,
        })
    }

    /// Waits for a signal that asks to stop, while there is no run yet that could be stopped.
    pub(crate) async fn stop_asked(&mut self) {
        tokio::select! {
            Some(()) = self.term.recv() => {}
            Some(()) = self.int.recv() => {}
            Some(()) = self.hup.recv() => {}
            Some(()) = self.usr1.recv() => {}
            else => std::future::pending().await,
        }
    }

    /// Turns signals into requests for as long as the run takes them. The third signal that asks for an abort ends
    /// the process: whoever sends three does not want to wait any longer.
    pub(crate) async fn forward(mut self, requests: mpsc::Sender<Request>, ending: watch::Sender<bool>) {
        let mut aborts = 0;
        loop {
            let request = tokio::select! {
                Some(()) = self.term.recv() => Request::Stop(StopReason::Abort),
                Some(()) = self.int.recv() => Request::Stop(StopReason::Abort),
                Some(()) = self.hup.recv() => Request::Stop(StopReason::Abort),
                Some(()) = self.usr1.recv() => Request::Stop(StopReason::Pause),
                Some(()) = self.quit.recv() => {
                    let _ = requests.send(Request::WhatRuns).await;
                    Request::Message { level: Level::Info, text: tasks() }
                }
                else => return,
            };
            if matches!(request, Request::Stop(StopReason::Abort)) {
                aborts += 1;
                ending.send_replace(true);
            }
            if aborts >= 3 {
                std::process::exit(i32::from(ExitCode::Interrupted.code()));
            }
            // After the run nobody takes requests, but an abort still ends the wait for the server.
            let _ = requests.send(request).await;
        }
    }
}

/// What the process is doing, for SIGQUIT: tasks have no stacks to print, threads have names and states.
fn tasks() -> String {
    let mut text = String::from("Threads of this process:");
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return text };
    for entry in entries.flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let (name, place) = (read("comm"), read("wchan"));
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{} {} {}", entry.file_name().display(), name.trim(), place.trim());
    }
    text
}
