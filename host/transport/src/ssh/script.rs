//! Short scripts for the target's `/bin/sh`, sent by stdin so that nothing of them is in the process list.

use std::sync::Arc;
use std::time::Duration;

use super::error::{SshErrorKind, Step, excerpt};
use super::exec::Conversation;
use super::hearing;
use super::link::{CLOSE_LIMIT, Link, Meanwhile, lent};
use super::marker::Token;
use super::patience::{Cancel, Patience};
use super::resident::{Afterwards, Line, TELL, word};
use crate::stop::StopToken;

/// How long an account's shell may take to come to the script, whatever that does then.
const BEGIN_LIMIT: Duration = Duration::from_mins(1);

/// The result of a script.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stderr: String,
}

impl Ran {
    /// An error unless the script succeeded; `action` says what it was to do.
    pub(super) fn expect_success(self, action: impl FnOnce() -> String) -> Result<(), SshErrorKind> {
        if self.code == 0 {
            return Ok(());
        }
        Err(SshErrorKind::Remote { action: action(), code: self.code, message: self.stderr })
    }
}

/// Runs `body` (a function body: it may `return`, and what [`word`] writes may be in it) and hands its stdout to `data`.
pub(super) fn run(
    link: &Link,
    body: &str,
    patience: &mut Patience<'_>,
    mut meanwhile: Meanwhile<'_>,
    data: &mut dyn FnMut(&[u8]),
) -> Result<Ran, SshErrorKind> {
    // Beside another conversation: that one's shell is the one to be kept.
    let afterwards = if meanwhile.is_some() { Afterwards::Ends } else { Afterwards::Stays };
    loop {
        let meanwhile = lent(&mut meanwhile);
        if let Some(result) = attempt(link, body, afterwards, patience, meanwhile, data)? {
            return result;
        }
    }
}

/// None when the shell was gone before it took the line.
fn attempt(
    link: &Link,
    body: &str,
    afterwards: Afterwards,
    patience: &mut Patience<'_>,
    mut meanwhile: Meanwhile<'_>,
    data: &mut dyn FnMut(&[u8]),
) -> Result<Option<Result<Ran, SshErrorKind>>, SshErrorKind> {
    let token = Token::random()?;
    let mut text = format!("autoexec_script() {{ {body}; }}; autoexec_script </dev/null");
    if text.contains('\n') {
        text = format!("eval {}", word(&text));
    }
    let line = Line::new(&token, &format!("{TELL}{text}; ae_r exit \"$?\"; "), afterwards);
    let (served, tell) = (lent(&mut meanwhile), hearing::output(data));
    let mut conversation = Conversation::in_shell(link, &token, &line, patience, served, tell)?;
    let result = conversation
        .send_line(link, &line, patience)
        .and_then(|()| conversation.end_input(link, patience))
        .and_then(|()| {
            let begins = patience.within(Step::Start, Some(BEGIN_LIMIT));
            conversation.until(link, &begins, lent(&mut meanwhile), Conversation::started)
        })
        .and_then(|()| conversation.until_exit(link, patience, meanwhile))
        .and_then(|()| {
            conversation.take_words(link);
            outcome(&conversation)
        });
    let stale = conversation.proves_stale(link);
    conversation.close(link);
    Ok((!stale).then_some(result))
}

/// Ends a shell that waits for the end of an output that something left behind holds open, and its process group, which is
/// not that of what it ran.
pub(super) fn end_shell(link: &Link, pid: i32) {
    if pid <= 1 {
        return;
    }
    let calm = Cancel::new(StopToken::never(), Arc::default());
    let mut patience = Patience::new(Step::Close, CLOSE_LIMIT, &calm, None).up_to(0);
    let body = format!("kill -TERM -{pid} 2>/dev/null || kill -TERM {pid}");
    if let Err(error) = attempt(link, &body, Afterwards::Ends, &mut patience, None, &mut |_| {}) {
        tracing::debug!(%error, pid, "a shell on the target is left behind");
    }
}

fn outcome(conversation: &Conversation<'_>) -> Result<Ran, SshErrorKind> {
    match conversation.heard.exit {
        Some((code, _)) => Ok(Ran { code, stderr: excerpt(&conversation.stderr) }),
        None if conversation.started() => Err(SshErrorKind::NoExit),
        None => Err(conversation.not_started()),
    }
}
