//! Logging in.

use std::path::Path;

use libssh2_sys as raw;

use super::answers::Answers;
use super::credential::{Credential, Key};
use super::error::SshErrorKind;
use super::fault::{Failure, Fault};
use super::link::Link;
use super::patience::Patience;
use super::private_key::{Ed25519Key, is_encrypted, public_part};
use super::signing;
use crate::secret::Secret;

/// Tries the ways to log in, in their order, as far as the server offers them.
pub(super) fn log_in(
    link: &Link,
    user: &str,
    credentials: &[Credential],
    patience: &Patience<'_>,
) -> Result<(), SshErrorKind> {
    let mut offered: Option<Vec<String>> = None;
    let mut attempt = Attempt { link, user, patience, tried: Vec::new() };
    for auth in credentials {
        if link.session().authenticated() {
            break;
        }
        let first = attempt.tried.is_empty();
        if first && matches!(auth, Credential::Key { .. }) {
            // Most servers take keys, and one that does not says so in its answer: no round trip for the question.
            attempt.with(auth, &["publickey".to_owned()])?;
            continue;
        }
        // A server that wants a key and then a password offers the password only after the key.
        let is_known = |methods: &Vec<String>| first || methods.iter().any(|method| serves(auth, method));
        let methods = match offered.take().filter(is_known) {
            Some(methods) => methods,
            None => offers(link, user, patience)?,
        };
        attempt.with(auth, &methods)?;
        offered = Some(methods);
    }
    if link.session().authenticated() {
        return Ok(());
    }
    let offered = match offered.map_or_else(|| offers(link, user, patience), Ok) {
        Ok(offered) => offered,
        Err(_) if link.is_broken() => return Err(turned_out(&attempt.tried)),
        // It is for the error's text alone.
        Err(_) => Vec::new(),
    };
    Err(SshErrorKind::Auth { tried: attempt.tried, offered })
}

fn offers(link: &Link, user: &str, patience: &Patience<'_>) -> Result<Vec<String>, SshErrorKind> {
    let methods = link
        .drive(patience, None, || link.auth_methods(user))
        .map_err(|failure| failure.during(super::Step::Auth))?;
    Ok(methods.split(',').filter(|method| !method.is_empty()).map(printable).collect())
}

/// The server broke off: what it does as well when the account may not come in, whatever it shows.
fn turned_out(tried: &[String]) -> SshErrorKind {
    let tried = tried.join(", ");
    let detail = format!(
        "tried {tried}. Servers also break off when they do not let an account in that has logged in rightly: look whether it \
         has expired or is locked, and whether the host is closed (/run/nologin)"
    );
    SshErrorKind::ConnectionLost { step: super::Step::Auth, detail }
}

fn printable(method: &str) -> String {
    method.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// Whether a key could not be read or used, by the words that libssh2 has for it; else the server did not want it.
fn is_about_the_file(fault: &Fault) -> bool {
    fault.code == Some(raw::LIBSSH2_ERROR_FILE) || fault.detail == "Callback returned error"
}

fn serves(auth: &Credential, method: &str) -> bool {
    match auth {
        Credential::Password(_) => matches!(method, "password" | "keyboard-interactive"),
        Credential::Key { .. } | Credential::Agent => method == "publickey",
    }
}

struct Attempt<'a> {
    link: &'a Link,
    user: &'a str,
    patience: &'a Patience<'a>,
    tried: Vec<String>,
}

impl Attempt<'_> {
    fn with(&mut self, auth: &Credential, offered: &[String]) -> Result<(), SshErrorKind> {
        let offers = |wanted: &str| offered.iter().any(|method| method == wanted);
        match auth {
            // One of the two, not both: each failure counts towards the account's lock-out.
            Credential::Password(password) if offers("password") => self.password(password),
            Credential::Password(password) if offers("keyboard-interactive") => self.keyboard(password),
            Credential::Password(_) => self.pass_over("password (not offered)".to_owned()),
            Credential::Key { path, key, passphrase } if offers("publickey") => {
                self.key(path, key, passphrase.as_ref())
            }
            Credential::Key { path, .. } => self.pass_over(format!("key {} (not offered)", path.display())),
            Credential::Agent if offers("publickey") => self.agent(),
            Credential::Agent => self.pass_over("agent (not offered)".to_owned()),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "one arm of a match whose other arms can fail")]
    fn pass_over(&mut self, what: String) -> Result<(), SshErrorKind> {
        self.tried.push(what);
        Ok(())
    }

    /// A refusal is noted; only a broken or overdue connection is an error.
    fn note(&mut self, what: String, result: Result<(), Failure>) -> Result<(), SshErrorKind> {
        match result {
            Ok(()) => self.tried.push(what),
            Err(Failure::Kind(kind)) => return Err(kind),
            Err(Failure::Fault(fault)) => {
                self.tried.push(format!("{what} ({})", fault.detail));
                if self.link.is_broken() {
                    return Err(turned_out(&self.tried));
                }
            }
        }
        Ok(())
    }

    fn password(&mut self, password: &Secret) -> Result<(), SshErrorKind> {
        let session = self.link.session();
        let result =
            self.link.drive(self.patience, None, || session.userauth_password(self.user, password.expose()));
        self.note("password".to_owned(), result)
    }

    fn keyboard(&mut self, password: &Secret) -> Result<(), SshErrorKind> {
        let session = self.link.session();
        let mut answers = Answers::new(password);
        let result = self
            .link
            .drive(self.patience, None, || session.userauth_keyboard_interactive(self.user, &mut answers));
        self.note(format!("keyboard-interactive{}", answers.remark()), result)
    }

    fn key(&mut self, path: &Path, key: &Key, passphrase: Option<&Secret>) -> Result<(), SshErrorKind> {
        let what = format!("key {}", path.display());
        let key = match key {
            Key::Read(key) => key.expose(),
            Key::Unreadable(why) => return self.pass_over(format!("{what} (cannot be read: {why})")),
        };
        let session = self.link.session();
        if let Some(key) = Ed25519Key::read(key) {
            let result = self.link.drive(self.patience, None, || signing::log_in(session, self.user, &key));
            return self.note(what, result);
        }
        let encrypted = is_encrypted(key);
        if encrypted && passphrase.is_none() {
            return self.pass_over(format!("{what} (it is encrypted, and no passphrase is configured)"));
        }
        let passphrase = passphrase.map(Secret::expose);
        let public = public_part(key);
        let result = self.link.drive(self.patience, None, || {
            session.userauth_pubkey_memory(self.user, public.as_deref(), key, passphrase)
        });
        let unopened = matches!(&result, Err(Failure::Fault(fault)) if encrypted && is_about_the_file(fault));
        let what = if unopened { format!("{what}: the passphrase does not open it") } else { what };
        self.note(what, result)
    }

    fn agent(&mut self) -> Result<(), SshErrorKind> {
        let listed = self.link.session().agent().and_then(|mut agent| {
            agent.connect()?;
            agent.list_identities()?;
            let identities = agent.identities()?;
            Ok((agent, identities))
        });
        let (agent, identities) = match listed {
            Ok(listed) => listed,
            Err(error) => return self.pass_over(format!("agent (cannot be used: {})", error.message())),
        };
        if identities.is_empty() {
            return self.pass_over("agent (it has no keys)".to_owned());
        }
        for identity in &identities {
            let result = self.link.drive(self.patience, None, || agent.userauth(self.user, identity));
            self.note(format!("agent key {:?}", identity.comment()), result)?;
            if self.link.session().authenticated() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_method_name_is_made_printable() {
        assert_eq!(printable("a\x1b[2Jé"), "a?[2J?");
    }
}
