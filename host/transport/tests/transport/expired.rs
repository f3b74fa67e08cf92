//! Accounts whose password has expired, and hosts that let nobody in: a clear error in time, no password changed, no attempt
//! more than one.

use std::time::{Duration, Instant};

use autoexec_transport::ssh::{Account, Method, SshAuth, SshConnection, SshError, SshErrorKind};
use autoexec_transport::{Exit, Secret, StopToken};

use crate::harness::{Apart, Collected, shell};

const PASSWORD: &str = "old-Pass1-of-bob";
const OTHERS: &str = "old-Pass1-of-eve";
/// Much longer than an answer takes, much shorter than waiting for one.
const SOON: Duration = Duration::from_secs(20);

/// A machine with two accounts.
struct Ground {
    apart: Apart,
}

impl Ground {
    /// None without root.
    fn new() -> Option<Self> {
        let apart = Apart::start("accounts of a machine of its own")?;
        let machine = &apart.machine;
        for (user, password) in [("bob", PASSWORD), ("eve", OTHERS)] {
            machine
                .sh(&format!("useradd -m -s /bin/sh {user} && echo {user}:{password} | chpasswd"))
                .unwrap();
        }
        Some(Self { apart })
    }

    fn key(&self) -> SshAuth {
        self.apart.key()
    }

    async fn connect(&self, user: &str, auth: SshAuth) -> Result<SshConnection, SshError> {
        self.apart.connect(self.apart.address(), user, auth).await
    }

    /// What the machine knows of its passwords.
    fn shadow(&self) -> String {
        self.apart.machine.read("/etc/shadow").unwrap()
    }
}

fn password() -> SshAuth {
    SshAuth::Password(Secret::new(PASSWORD.to_owned()))
}

const BY_PASSWORD: &str = "UsePAM yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no";
const BY_QUESTIONS: &str = "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication yes";

#[tokio::test]
async fn an_expired_password_is_an_error_that_says_so_and_is_not_changed() {
    let Some(ground) = Ground::new() else { return };
    ground.apart.configure(BY_QUESTIONS);
    ground.connect("bob", password()).await.unwrap();
    ground.apart.machine.sh("chage -d 0 bob").unwrap();
    let before = ground.shadow();
    // The questions are: password, current password, new password, new password again, and so on.
    let begun = Instant::now();
    let error = ground.connect("bob", password()).await.unwrap_err();
    let SshErrorKind::Auth { tried, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.len(), 1);
    let text = error.to_string();
    assert!(text.contains("the account's password has expired"), "{text}");
    assert!(text.contains("Current password") && !text.contains(PASSWORD), "{text}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());

    // With a password, or a key, the login is one, and nothing can be done with it.
    ground.apart.configure(BY_PASSWORD);
    for auth in [password(), ground.key()] {
        let begun = Instant::now();
        let mut connection = ground.connect("bob", auth).await.unwrap();
        let run = connection
            .run(shell("echo ran"), Collected::new(), &StopToken::never(), |_| {})
            .await
            .unwrap_err();
        let made = connection.make_private_dir("autoexec-expired", &StopToken::never()).await.unwrap_err();
        for error in [run, made] {
            assert!(matches!(error.kind(), SshErrorKind::PasswordExpired { .. }), "{error}");
            assert!(error.to_string().contains("Your password has expired"), "{error}");
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    assert_eq!(ground.shadow(), before, "no password has changed");
}

/// Codes by event, so that no clock is needed.
const CODES: &str = "auth required pam_oath.so usersfile=/etc/users.oath window=5 digits=6\n";
const OTHERWISE: &str = "account required pam_unix.so\nsession required pam_permit.so\n";

#[tokio::test]
async fn a_code_is_not_answered_with_the_password() {
    let Some(ground) = Ground::new() else { return };
    let machine = &ground.apart.machine;
    if machine.sh("ls /lib/*/security/pam_oath.so").is_err() {
        autoexec_test_support::skip::skipped("pam_oath (apt-get install libpam-oath)");
        return;
    }
    // What is answered is a code that is used up where it is one: the password is right as an answer to both.
    machine.write("/etc/users.oath", "HOTP bob - 3132333435363738393031323334353637383930\n").unwrap();
    machine.sh("chmod 600 /etc/users.oath").unwrap();
    machine.sh("echo bob:755224 | chpasswd").unwrap();
    let code = || SshAuth::Password(Secret::new("755224".to_owned()));
    for (before, methods, auth) in [
        ("auth required pam_unix.so\n", "keyboard-interactive", vec![code()]),
        ("", "publickey,keyboard-interactive", vec![ground.key(), code()]),
    ] {
        machine.write("/etc/pam.d/sshd", format!("{before}{CODES}{OTHERWISE}")).unwrap();
        ground.apart.configure(&format!("{BY_QUESTIONS}\nAuthenticationMethods {methods}"));
        let error = ground.apart.connect_with(ground.apart.address(), "bob", auth).await.unwrap_err();
        let SshErrorKind::Auth { .. } = error.kind() else { panic!("{methods}: {error}") };
        let text = error.to_string();
        assert!(text.contains("One-time password") && !text.contains("755224"), "{methods}: {text}");
    }
    assert!(!machine.read("/etc/users.oath").unwrap().contains("755224"), "the code was used");
}

#[tokio::test]
async fn a_host_that_lets_the_account_not_in_is_an_error_that_says_where_to_look() {
    let Some(ground) = Ground::new() else { return };
    for prepare in ["chage -E 0 bob", "chage -E -1 bob; echo closed >/run/nologin"] {
        ground.apart.machine.sh(prepare).unwrap();
        for (config, auth) in [(BY_PASSWORD, password()), (BY_QUESTIONS, ground.key())] {
            ground.apart.configure(config);
            let error = ground.connect("bob", auth).await.unwrap_err();
            assert!(matches!(error.kind(), SshErrorKind::ConnectionLost { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("has expired or is locked") && text.contains("/run/nologin"), "{text}");
            assert!(text.contains("tried password (") || text.contains("tried key "), "{text}");
        }
    }
}

#[tokio::test]
async fn an_expired_password_at_sudo_or_su_is_an_error_that_shows_what_they_say() {
    let Some(ground) = Ground::new() else { return };
    if !ground.apart.machine.path("/usr/bin/sudo").exists() {
        autoexec_test_support::skip::skipped("sudo (apt-get install sudo)");
        return;
    }
    ground.apart.machine.write("/etc/sudoers.d/bob", "bob ALL=(eve) ALL\n").unwrap();
    for (method, expired, login, says) in [
        (Method::Su, "eve", "bob", "required to change your password"),
        (Method::Su, "eve", "root", "required to change your password"),
        (Method::Sudo, "bob", "bob", "password is expired"),
    ] {
        ground.apart.machine.sh(&format!("chage -d 0 {expired}")).unwrap();
        let before = ground.shadow();
        let begun = Instant::now();
        let mut connection = ground.connect(login, ground.key()).await.unwrap();
        let mut command = shell("echo ran");
        let password = if method == Method::Su { OTHERS } else { PASSWORD };
        command.account = Some(Account {
            user: "eve".to_owned(),
            method,
            password: Some(Secret::new(password.to_owned())),
        });
        let sink = Collected::new();
        let end = connection.run(command, sink.clone(), &StopToken::never(), |_| {}).await;
        let said = sink.text();
        match end {
            Err(error) => {
                assert!(matches!(error.kind(), SshErrorKind::NotBecome { .. }), "{error}");
                assert!(said.contains(says) && !said.contains("ran") && !said.contains(PASSWORD), "{said}");
            }
            // Root needs no password for another user, and not all versions of su look at its age then.
            Ok(end) => assert_eq!((login, end.exit), ("root", Some(Exit::Code(0))), "{said}"),
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(ground.shadow(), before, "{method:?} as {login}: no password has changed");
        ground.apart.machine.sh(&format!("chage -d 10000 {expired}; chage -M 99999 {expired}")).unwrap();
    }
}
