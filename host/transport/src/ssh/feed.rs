//! A remote command's input as a `Write`, for producers that write a stream themselves.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};

use super::error::SshErrorKind;
use super::exec::Conversation;
use super::link::Link;
use super::patience::Patience;

/// What happened to a feed. It outlives the feed, which its producer owns.
#[derive(Default)]
pub(super) struct Outcome {
    failed: RefCell<Option<SshErrorKind>>,
    remote_ended: Cell<bool>,
    shut: Cell<bool>,
}

impl Outcome {
    /// Lets nothing through any more: producers like to finish a stream when they are dropped, and an unfinished one
    /// must not look finished.
    pub(super) fn shut(&self) {
        self.shut.set(true);
    }

    /// The connection's error, if it had one.
    pub(super) fn take_error(&self) -> Option<SshErrorKind> {
        self.failed.take()
    }

    /// True when the remote command ended before its input did.
    pub(super) fn remote_ended(&self) -> bool {
        self.remote_ended.get()
    }
}

/// Writes to a conversation.
pub(super) struct Feed<'a, 'c, 't> {
    link: &'a Link,
    conversation: &'a mut Conversation<'t>,
    patience: Patience<'c>,
    outcome: &'a Outcome,
}

impl<'a, 'c, 't> Feed<'a, 'c, 't> {
    pub(super) fn new(
        link: &'a Link,
        conversation: &'a mut Conversation<'t>,
        patience: Patience<'c>,
        outcome: &'a Outcome,
    ) -> Self {
        Self { link, conversation, patience, outcome }
    }
}

impl Write for Feed<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.outcome.shut.get() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the stream was given up"));
        }
        if self.conversation.is_over() {
            self.outcome.remote_ended.set(true);
            self.outcome.shut();
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the remote command has ended"));
        }
        match self.conversation.send(self.link, bytes, &mut self.patience) {
            Ok(()) => Ok(bytes.len()),
            // A channel that is closed under our hands: the script's own words are still to be read.
            Err(_) if !self.link.is_broken() && self.conversation.drained(self.link) => {
                self.outcome.remote_ended.set(true);
                self.outcome.shut();
                Err(io::Error::new(io::ErrorKind::BrokenPipe, "the remote command has ended"))
            }
            Err(kind) => {
                let error = io::Error::other(kind.to_string());
                self.outcome.failed.replace(Some(kind));
                self.outcome.shut();
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
