//! Running as another user of the target, by `sudo` or `su`.
//!
//! The password goes through standard input, in front of the script. Whether it is asked for depends on the target: a
//! mark between the two lets the script's reader find its own beginning either way.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::isolation::plain;
use super::marker::Token;
use super::resident::{FILE, LINE_BREAK, LOOKED_UP, REPORT, SAYING, word};
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
const AFTER_TRIAL: &str = r#"SAYINGIFS= read -r ae_p; ae_p() { ae_say "$ae_p"; echo; }; ae_p | sudo -S -p '' -u "$1" -- /bin/sh -c : && { ae_p; cat; } | sudo -S -p '' -u "$1" -- /bin/sh -c "$2" sh "$3""#;

/// Shell text of the command that becomes the user and reads a script from its input.
pub(super) fn command(account: &Account) -> String {
    let user = word(&account.user);
    match (account.method, &account.password) {
        (Method::Sudo, Some(_)) => {
            let trial = AFTER_TRIAL.replace("SAYING", SAYING);
            format!("/bin/sh -c {} sh {user} {} {MARK}", quote(&trial), quote(READER))
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

/// A function `ae_b` of the shell that has [`SAYING`], which writes what [`command`] reads: password, mark, script.
pub(super) fn feeding(account: &Account, script: &str) -> String {
    let password = account.password.as_ref().map(Secret::expose).unwrap_or_default();
    format!("ae_b() {{ ae_say {}; }}", word(&format!("{password}\n{MARK}\n{script}\n")))
}

/// A function body, to be run by that user; it may `return`.
pub(super) fn body(account: &Account, body: &str) -> String {
    let script = format!("{LINE_BREAK}autoexec_as() {{\n{body}\n}}\nautoexec_as");
    format!("{}\nae_b | {}", feeding(account, &script), command(account))
}

/// Sends the first of the files that has something in it, read by the user: it may have put a link there to what is not its own. A
/// file of which nothing is heard is announced, so that it is missed.
pub(super) fn sending(account: &Account, token: &Token, max_bytes: u64, files: &[String]) -> String {
    let words = files.iter().map(|file| word(file)).collect::<Vec<_>>().join(" ");
    let script =
        format!("{LINE_BREAK}{REPORT}{FILE}ae_t={}; ae_h=; x=0; ae_f {max_bytes} {words}; :", token.text());
    format!(
        "[ \"$x\" != 0 ] || {{ {}; ae_b | {} || {{ ae_r file 1; ae_r end 0; }}; }}; ",
        feeding(account, &script),
        command(account)
    )
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
/// already is its own, and its list cannot be changed by us. From then on its files may be links to anything: nothing may be written
/// or run there by anybody else.
pub(super) fn share(account: &Account, root: &str) -> String {
    let user = word(&account.user);
    format!(
        "if [ \"$(id -u)\" = 0 ]; then chown -R {user} {root}; else \
         ae_a=u:{user}:rwX,d:u:{user}:rwX,d:u:\"$(id -un)\":rwX; id {user} >/dev/null && \
         {{ setfacl -R -m \"$ae_a\" {root} 2>/dev/null || setfacl -m \"$ae_a\" {root}; }}; fi"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::shell::shells_for_tests::{of, shells};

    #[test]
    fn no_shell_puts_password_or_script_into_the_command_line_of_a_program() {
        let place = tempfile::tempdir().unwrap();
        let seen = place.path().join("seen");
        for name in ["printf", "echo"] {
            let program = place.path().join(name);
            let text =
                format!("#!/bin/sh\nprintf '%s|' \"$@\" >>{}\nexec /usr/bin/{name} \"$@\"\n", seen.display());
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let password = "-n hun\\ter2%s";
        let account = Account {
            user: "x".to_owned(),
            method: Method::Sudo,
            password: Some(Secret::new(password.to_owned())),
        };
        let feeding = feeding(&account, "echo 'secret script\\n'");
        for shell in shells() {
            let script = format!("{LINE_BREAK}{SAYING}{feeding}; ae_b");
            let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
            let output = of(shell).arg(script).env("PATH", path).output().unwrap();
            let want = format!("{password}\n{MARK}\necho 'secret script\\n'\n");
            assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{shell}: {output:?}");
            let seen = std::fs::read_to_string(&seen).unwrap_or_default();
            assert!(!seen.contains("hun") && !seen.contains("secret"), "{shell}: {seen}");
        }
    }
}
