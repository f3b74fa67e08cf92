//! Running as another user of the target, by `sudo` or `su`.
//!
//! The password goes through standard input, in front of the script. Whether it is asked for depends on the target: a
//! mark between the two lets the script's reader find its own beginning either way.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::isolation::plain;
use super::marker::Token;
use super::resident::{LINE_BREAK, LOOKED_UP, word};
use super::task::RemoteCommand;
use crate::secret::Secret;
use crate::shell::quote;

/// Code of a directory that cannot be shared with the other user.
pub(super) const NOT_SHARED: i32 = 97;

/// By which program another user is become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// `sudo`; the password is the login account's own.
    Sudo,
    /// `su`; the password is the other user's.
    Su,
}

/// Another user of the target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// How to become it.
    pub method: Method,
    /// What `sudo` or `su` asks for; none where it asks for nothing.
    #[serde(with = "plain::maybe_secret")]
    pub password: Option<Secret>,
}

/// Looks for the mark, then runs what follows.
const READER: &str = r#"while IFS= read -r ae_l; do [ "$ae_l" = "$1" ] && break; done; eval "$(cat)""#;
const MARK: &str = "autoexec-begin-of-script";

/// Tries the password alone, then runs the reader with it. A `sudo` that refused the first line would take the next ones of its
/// input, the script, for further attempts, and accounts are locked for those.
const AFTER_TRIAL: &str = r#"IFS= read -r ae_p; printf '%s\n' "$ae_p" | sudo -S -p '' -u "$1" -- /bin/sh -c : && { printf '%s\n' "$ae_p"; cat; } | sudo -S -p '' -u "$1" -- /bin/sh -c "$2" sh "$3""#;

/// Shell text of the command that becomes the user and reads a script from its input.
pub(super) fn command(account: &Account) -> String {
    let user = word(&account.user);
    match (account.method, &account.password) {
        (Method::Sudo, Some(_)) => {
            format!("/bin/sh -c {} sh {user} {} {MARK}", quote(AFTER_TRIAL), quote(READER))
        }
        (Method::Sudo, None) => {
            format!("sudo -n -u {user} -- /bin/sh -c {} sh {MARK}", quote(READER))
        }
        (Method::Su, _) => {
            let inner = format!("exec /bin/sh -c {} sh {MARK}", quote(READER));
            format!("su {user} -c {}", quote(&inner))
        }
    }
}

/// A function `ae_b` that writes what [`command`] reads: password, mark, script.
pub(super) fn feeding(account: &Account, script: &str) -> String {
    let password = account.password.as_ref().map(Secret::expose).unwrap_or_default();
    format!("ae_b() {{ printf '%s\\n%s\\n%s\\n' {} {MARK} {}; }}", word(password), word(script))
}

/// How the command's process group is told.
pub(super) enum GroupReport<'a> {
    /// By a report in its output.
    Output(&'a Token),
    /// As a number, to descriptor 3.
    Descriptor,
}

/// The script as the other user: directory, variables, the report of its process group, command.
pub(super) fn inner(command: &RemoteCommand, group: Option<&GroupReport<'_>>) -> String {
    let mut text = format!(
        "{LINE_BREAK}cd {} 2>/dev/null || {{ echo \"$(id -un) cannot enter the directory\"; exit 1; }}; ",
        word(&command.dir)
    );
    for (name, value) in &command.env {
        let _ = write!(text, "{name}={}; export {name}; ", word(value));
    }
    match group {
        Some(GroupReport::Output(token)) => {
            let _ = write!(text, "{}; ", token.report("group", LOOKED_UP));
        }
        Some(GroupReport::Descriptor) => {
            let _ = write!(text, "printf %s {LOOKED_UP} >&3; exec 3>&-; ");
        }
        None => {}
    }
    let _ = write!(text, "exec {} </dev/null", command.program_line);
    text
}

/// Lets the user into `root` (a word): as root by ownership, else by an access list. What that user has made there
/// already is its own, and its list cannot be changed by us.
pub(super) fn share(account: &Account, root: &str) -> String {
    let user = word(&account.user);
    format!(
        "if [ \"$(id -u)\" = 0 ]; then chown -R {user} {root}; else \
         ae_a=u:{user}:rwX,d:u:{user}:rwX,d:u:\"$(id -un)\":rwX; \
         setfacl -R -m \"$ae_a\" {root} 2>/dev/null || setfacl -m \"$ae_a\" {root}; fi"
    )
}
