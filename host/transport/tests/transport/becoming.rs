//! Commands as another user, by `sudo` and `su` with a password.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use autoexec_test_support::skip::skipped;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use autoexec_test_support::sudoers::Sudoers;
use autoexec_transport::ssh::{
    Account, Arriving, DetachedRun, Method, RemoteDir, RemotePid, RemoteTask, Setup, SshErrorKind,
    UploadEntry, UploadSource, Wanted,
};
use autoexec_transport::{Exit, Secret, StopHandle, StopLevel, StopToken};

use crate::harness::{Bed, Collected, lives, shell};

/// Two accounts: one logs in, the other one is become.
struct Pair {
    bed: Bed,
    other: Sshd,
    _sudoers: Sudoers,
}

impl Pair {
    /// None where it cannot be tried here.
    fn new() -> Option<Self> {
        let bed = Bed::new();
        // An account goes with its shell; this one is another.
        let options = SshdOptions { shell: PathBuf::from("/bin/bash"), ..SshdOptions::default() };
        let other = Sshd::start(options).unwrap();
        let Some(sudoers) = Sudoers::allow(bed.server.user(), other.user()).unwrap() else {
            skipped("root, sudo and setfacl (apt-get install sudo acl)");
            return None;
        };
        Some(Self { bed, other, _sudoers: sudoers })
    }

    fn account(&self, method: Method) -> Account {
        let password = match method {
            Method::Sudo => self.bed.server.password(),
            Method::Su => self.other.password(),
        };
        Account {
            user: self.other.user().to_owned(),
            method,
            password: Some(Secret::new(password.to_owned())),
        }
    }

    fn task(&self, method: Method, dir: &RemoteDir, make: bool, script: &str) -> RemoteTask {
        let mut command = shell(script);
        dir.path().clone_into(&mut command.dir);
        command.env = vec![("VALUE".to_owned(), "it's\n$two".to_owned())];
        command.account = Some(self.account(method));
        let source = UploadSource::Bytes(b"given\n".to_vec());
        let entry = UploadEntry { source, dest: "in/a".to_owned(), mode: 0o600 };
        RemoteTask {
            setup: Some(Setup { dir: dir.clone(), make, entries: vec![entry], inventory: None, kept: None }),
            command,
            wanted: Some(Wanted { files: vec![format!("{dir}/out")], max_bytes: 100 }),
            detached: None,
            removes_dir: false,
        }
    }
}

#[tokio::test]
async fn a_command_runs_as_the_other_user_with_a_password() {
    let Some(pair) = Pair::new() else { return };
    let never = StopToken::never();
    let mut connection = pair.bed.connect().await;
    for method in [Method::Sudo, Method::Su] {
        let dir = RemoteDir::new("autoexec-become").unwrap();
        let script = "id -un; cat in/a; printf '%s' \"$VALUE\"; mkdir -p closed/in .hidden; : >closed/in/f; \
                      chmod 700 closed .hidden; rm -f out; printf 42 >out; chmod 600 out; exit 0";
        for (turn, make) in [true, false].into_iter().enumerate() {
            let sink = Collected::new();
            let task = pair.task(method, &dir, make, script);
            let end = connection.run_task(task, sink.clone(), &never, |_| {}).await;
            let end = end.unwrap_or_else(|error| panic!("{method:?} {turn}: {error}\n{}", sink.text()));
            assert_eq!(end.end.exit, Some(Exit::Code(0)), "{method:?} {turn}: {}", sink.text());
            assert_eq!(end.file.as_deref(), Some(&b"42"[..]), "{method:?} {turn}");
            let want = format!("{}\ngiven\nit's\n$two", pair.other.user());
            assert!(sink.text().ends_with(&want), "{method:?} {turn}: {}", sink.text());
            assert!(!sink.text().contains(pair.bed.server.password()), "{method:?} {turn}");
        }
        let sink = Collected::new();
        let task = pair.task(method, &dir, false, "exit 7");
        let end = connection.run_task(task, sink, &never, |_| {}).await.unwrap();
        assert_eq!(end.end.exit, Some(Exit::Code(7)), "{method:?}");
        // What the other user closed to us is removed by that user.
        connection.remove_dir_of(&dir, vec![pair.account(method)], &never).await.unwrap();
        assert!(!Path::new(dir.path()).exists(), "{method:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_names_the_user_and_runs_nothing() {
    let Some(pair) = Pair::new() else { return };
    let mut connection = pair.bed.connect().await;
    let dir = RemoteDir::new("autoexec-become").unwrap();
    for (method, make) in [(Method::Sudo, true), (Method::Su, false)] {
        let mut task = pair.task(method, &dir, make, "echo ran");
        task.command.account.as_mut().unwrap().password = Some(Secret::new("wr0ng-Pa55".to_owned()));
        let sink = Collected::new();
        let error = connection.run_task(task, sink.clone(), &StopToken::never(), |_| {}).await.unwrap_err();
        assert!(matches!(error.kind(), SshErrorKind::NotBecome { .. }), "{method:?}: {error}");
        let text = format!("{error} {}", sink.text());
        // Nothing that follows the password is tried as one: accounts are locked for that.
        let tries = text.matches("incorrect password attempt").collect::<Vec<_>>();
        assert!(method == Method::Su || (tries.len() == 1 && text.contains("1 incorrect")), "{text}");
        assert!(
            text.contains(pair.other.user()) && !text.contains("wr0ng") && !text.contains("ran"),
            "{text}"
        );
    }
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_command_of_the_other_user_is_stopped_for_certain() {
    let Some(pair) = Pair::new() else { return };
    for method in [Method::Sudo, Method::Su] {
        let mut connection = pair.bed.connect().await;
        let dir = RemoteDir::new("autoexec-become").unwrap();
        let task =
            pair.task(method, &dir, true, "trap '' TERM; echo; echo pid $$; sleep 300 & wait; sleep 300");
        let (stop, sink) = (StopHandle::new(), Collected::new());
        let (token, seen) = (stop.token(), sink.clone());
        let running = tokio::spawn(async move {
            let end = connection.run_task(task, seen, &token, |_| {}).await;
            (end, connection)
        });
        let pid = sink.pid("pid").await;
        stop.raise(StopLevel::Kill);
        let (end, mut connection) = running.await.unwrap();
        let stopped = end.unwrap().end.stopped.unwrap();
        assert!(stopped.proved_dead && !lives(pid), "{method:?}");
        connection.remove_dir_of(&dir, vec![pair.account(method)], &StopToken::never()).await.unwrap();
    }
}

#[tokio::test]
async fn a_detached_command_of_the_other_user_survives_and_is_stopped() {
    let Some(pair) = Pair::new() else { return };
    for method in [Method::Sudo, Method::Su] {
        let mut connection = pair.bed.connect().await;
        let dir = RemoteDir::new("autoexec-become").unwrap();
        for (make, code) in [(true, 0), (false, 5)] {
            let script = format!("id -un; printf 42 >out; exit {code}");
            let mut task = pair.task(method, &dir, make, &script);
            let apart = RemoteDir::new("autoexec-become").unwrap();
            task.detached = Some(DetachedRun::apart(&apart));
            let sink = Collected::new();
            let end = connection.run_task(task, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
            assert_eq!(end.end.exit, Some(Exit::Code(code)), "{method:?}: {}", sink.text());
            assert_eq!(end.file.as_deref(), (code == 0).then_some(&b"42"[..]), "{method:?}");
            assert!(sink.text().ends_with(&format!("{}\n", pair.other.user())), "{}", sink.text());
            connection.remove_dir(&apart, &StopToken::never()).await.unwrap();
        }

        let mut task = pair.task(method, &dir, false, "echo; echo pid $$; exec sleep 300");
        let run = DetachedRun::new(&dir, "run2");
        task.detached = Some(run.clone());
        let sink = Collected::new();
        let seen = sink.clone();
        let running =
            tokio::spawn(async move { connection.run_task(task, seen, &StopToken::never(), |_| {}).await });
        let pid = sink.pid("pid").await;
        pair.bed.server.kill_sessions();
        running.await.unwrap().unwrap_err();
        assert!(lives(pid), "{method:?}");
        let mut connection = pair.bed.connect().await;
        let (group, account) = (run.group().unwrap(), pair.account(method));
        let outcome = connection
            .stop_group(RemotePid { group }, Some(account.clone()), &StopToken::never())
            .await
            .unwrap();
        assert!(outcome.proved_dead && !lives(pid), "{method:?}");
        connection.remove_dir_of(&dir, vec![account], &StopToken::never()).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_other_user_links_to_is_read_by_that_user() {
    let Some(pair) = Pair::new() else { return };
    let never = StopToken::never();
    let secret = pair.bed.path("secret");
    std::fs::write(&secret, "of who logs in").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&secret, Some(pair.bed.server.uid()), None).unwrap();
    for method in [Method::Sudo, Method::Su] {
        let mut connection = pair.bed.connect().await;
        let dir = RemoteDir::new("autoexec-become").unwrap();
        let script = format!("ln -s {} out", secret.display());
        let task = pair.task(method, &dir, true, &script);
        let end = connection.run_task(task, Collected::new(), &never, |_| {}).await;
        let got = end.map(|end| end.file).map_err(|error| error.to_string());
        assert!(!format!("{got:?}").contains("who logs in"), "{method:?}: {got:?}");
        let local = pair.bed.path("fetched");
        let arriving = Arriving::new(&local).unwrap();
        let account = Some(pair.account(method));
        let fetched =
            connection.download_on(&format!("{dir}/out"), account.clone(), &arriving, 100, &never).await;
        assert!(fetched.is_err() && !local.exists(), "{method:?}: {fetched:?}");
        let fetched = connection.download_on(&format!("{dir}/in/a"), account, &arriving, 100, &never).await;
        assert_eq!(fetched.unwrap(), Some(6), "{method:?}");
        assert_eq!(std::fs::read_to_string(&local).unwrap(), "given\n", "{method:?}");
        std::fs::remove_file(local).unwrap();
        connection.remove_dir_of(&dir, vec![pair.account(method)], &never).await.unwrap();
    }
}
