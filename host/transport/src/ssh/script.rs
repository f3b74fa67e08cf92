//! Short scripts for the target's `/bin/sh`, sent by stdin so that nothing of them is in the process list.

use std::time::Duration;

use super::error::{SshErrorKind, excerpt};
use super::exec::Conversation;
use super::link::{Link, Meanwhile};
use super::marker::{Filter, Token};
use super::patience::Patience;

/// What login shells of any kind, csh included, are asked to run. The real shell reads all of its script first.
const SHELL: &str = r#"exec /bin/sh -c 'eval "$(cat)"'"#;

/// How long the words of a script that failed may come after its report.
const LATE_WORDS: Duration = Duration::from_millis(500);

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

/// `body` as a function that is called by the last word: a script that is cut off on its way does nothing.
fn whole(body: &str) -> String {
    format!("autoexec_main() {{\n{body}\n}}\nautoexec_main\n")
}

/// Runs `body` (a function body: it may `return`) and hands its stdout to `data`.
pub(super) fn run(
    link: &Link,
    body: &str,
    patience: &mut Patience<'_>,
    mut meanwhile: Meanwhile<'_>,
    data: &mut dyn FnMut(&[u8]),
) -> Result<Ran, SshErrorKind> {
    let token = Token::random()?;
    let text = format!(
        "autoexec_script() {{\n{body}\n}}\n{}",
        whole(&format!(
            "{}\nautoexec_script </dev/null\n{}",
            token.report("start", "0"),
            token.report("exit", "\"$?\"")
        ))
    );
    let serve = meanwhile.as_mut().map(|serve| &mut **serve as &mut dyn FnMut());
    let mut conversation =
        Conversation::start(link, SHELL, Some(Filter::new(&token)), false, patience, serve)?;
    let result = conversation
        .send(link, text.as_bytes(), patience, data)
        .and_then(|()| conversation.end_input(link, patience))
        .and_then(|()| conversation.until_exit(link, patience, meanwhile, data))
        .and_then(|()| {
            if conversation.exit.is_some_and(|(code, _)| code != 0) {
                // Its words only make the error better.
                let _ = conversation.take_rest(link, LATE_WORDS);
            }
            outcome(&conversation)
        });
    conversation.close(link);
    result
}

fn outcome(conversation: &Conversation) -> Result<Ran, SshErrorKind> {
    match conversation.exit {
        Some((code, _)) => Ok(Ran { code, stderr: excerpt(&conversation.stderr) }),
        None if conversation.started() => Err(SshErrorKind::NoExit),
        None => Err(SshErrorKind::NotStarted { output: conversation.noise() }),
    }
}
