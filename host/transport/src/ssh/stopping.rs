//! Stopping a process group on a target, and proving that nothing of it is left (defects 54, 56, 57).

use std::time::Duration;

use super::become_user::{self, Account};
use super::connection::Worker;
use super::error::{SshErrorKind, Step};
use super::link::{Link, Meanwhile, lent};
use super::patience::{Cancel, Patience};
use super::script;
use crate::stop::StopLevel;
use crate::stop_script::stop_script;

/// Time between TERM and KILL on the target.
pub const REMOTE_GRACE: Duration = Duration::from_secs(4);

/// Limit for the target's answer about a KILL.
const KILL_WAIT: Duration = Duration::from_secs(20);

/// All that the target may take for a stop, with the time in which a command that is just starting names its group.
pub(super) const STOP_LIMIT: Duration = Duration::from_mins(1);

/// Ends a process group: over this connection, or over a new one where this one is gone or full. True when it is
/// proved dead.
pub(super) fn stop_group(
    worker: &Worker,
    group: i32,
    account: Option<&Account>,
    cancel: &Cancel,
    meanwhile: Meanwhile<'_>,
) -> Result<bool, SshErrorKind> {
    match stop_over(&worker.link, group, account, cancel, meanwhile) {
        Ok(dead) => Ok(dead),
        Err(kind) => {
            tracing::debug!(target = %worker.target, error = %kind, "stopping over a new connection");
            let link = worker.another_link(cancel)?;
            stop_over(&link, group, account, cancel, None)
        }
    }
}

fn stop_over(
    link: &Link,
    group: i32,
    account: Option<&Account>,
    cancel: &Cancel,
    mut meanwhile: Meanwhile<'_>,
) -> Result<bool, SshErrorKind> {
    if cancel.level() < StopLevel::Kill {
        let mut patience =
            Patience::new(Step::Output, REMOTE_GRACE + KILL_WAIT, cancel, Some(StopLevel::Kill)).up_to(0);
        match script::run(
            link,
            &as_account(stop_script(&group.to_string(), REMOTE_GRACE), account),
            &mut patience,
            lent(&mut meanwhile),
            &mut |_| {},
        ) {
            Ok(ran) => return Ok(ran.code == 0),
            // Told to kill now: the polite script is left behind.
            Err(SshErrorKind::Stopped) => {}
            Err(kind) => return Err(kind),
        }
    }
    let mut patience = Patience::new(Step::Output, KILL_WAIT, cancel, None).up_to(0);
    let ran = script::run(
        link,
        &as_account(stop_script(&group.to_string(), Duration::ZERO), account),
        &mut patience,
        meanwhile,
        &mut |_| {},
    )?;
    Ok(ran.code == 0)
}

/// The script, run by the user whose processes are to be signalled.
fn as_account(body: String, account: Option<&Account>) -> String {
    let Some(account) = account else { return body };
    format!("{} >/dev/null 2>&1", become_user::body(account, &body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::shells_for_tests::{of, shells};

    /// The whole script, for a shell.
    fn stopping(group: i32, grace: Duration) -> String {
        format!("f() {{\n{}\n}}\nf", stop_script(&group.to_string(), grace))
    }

    /// A group whose leader ignores TERM and has a child, and a thread that reaps the leader.
    fn stubborn_group() -> (i32, std::thread::JoinHandle<()>) {
        let (group, reaper, _) =
            stubborn("trap '' TERM; sleep 300 & echo ready; while :; do sleep 0.1; done");
        (group, reaper)
    }

    /// The leader of a group, which does that; and the first line that it says.
    fn stubborn(script: &str) -> (i32, std::thread::JoinHandle<()>, String) {
        leader(script, |_| {})
    }

    /// The same after something was done with the process.
    fn leader(script: &str, prepare: impl FnOnce(u32)) -> (i32, std::thread::JoinHandle<()>, String) {
        use std::os::unix::process::CommandExt;
        let pipe = std::process::Stdio::piped;
        let mut leader = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("read go; {script}")])
            .process_group(0)
            .stdin(pipe())
            .stdout(pipe())
            .spawn()
            .unwrap();
        prepare(leader.id());
        std::io::Write::write_all(&mut leader.stdin.take().unwrap(), b"go\n").unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let group = i32::try_from(leader.id()).unwrap();
        (group, std::thread::spawn(move || drop(leader.wait())), line)
    }

    #[test]
    fn a_process_that_is_about_to_lead_its_group_is_waited_for() {
        for shell in shells() {
            let mut coming = std::process::Command::new("/bin/sh")
                .args(["-c", "sleep 0.3; exec setsid sleep 300"])
                .spawn()
                .unwrap();
            let group = i32::try_from(coming.id()).unwrap();
            let reaper = std::thread::spawn(move || coming.wait().unwrap());
            let script = stopping(group, Duration::from_secs(2));
            assert!(of(shell).arg(script).status().unwrap().success(), "{shell}");
            let ended = std::os::unix::process::ExitStatusExt::signal(&reaper.join().unwrap());
            assert_eq!(ended, Some(15), "{shell}");
        }
    }

    #[test]
    fn a_process_that_only_has_the_number_of_the_group_is_no_proof_and_lives_on() {
        let mut other = std::process::Command::new("/bin/sleep").arg("300").spawn().unwrap();
        let script = stopping(i32::try_from(other.id()).unwrap(), Duration::ZERO);
        assert_eq!(of("/bin/sh").arg(script).status().unwrap().code(), Some(1));
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    /// True while something of the group is more than a zombie: a container's init may take its time to reap.
    fn lives(group: i32) -> bool {
        let output = std::process::Command::new("ps").args(["-A", "-o", "pgid=,stat="]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace();
            fields.next() == Some(&group.to_string()) && !fields.next().unwrap().starts_with('Z')
        })
    }

    /// One that is in a session of its own, and its child, of a leader that has a group.
    const KIN: &str = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 300 & echo $$; while :; do sleep 0.1; done' & \
                       while :; do sleep 0.1; done";

    #[test]
    fn descendants_in_sessions_of_their_own_are_ended_too() {
        for shell in shells() {
            let (group, reaper, said) = stubborn(KIN);
            let kin: i32 = said.trim().parse().unwrap();
            assert!(lives(kin), "{shell}");
            let output = of(shell).arg(stopping(group, Duration::from_millis(400))).output().unwrap();
            assert!(output.status.success(), "{shell}: {output:?}");
            assert!(!lives(group) && !lives(kin), "{shell}");
            reaper.join().unwrap();
        }
    }

    #[test]
    fn each_shell_sees_a_daemon_in_the_scope_of_the_login() {
        for (number, shell) in shells().into_iter().enumerate() {
            let name = format!("session-stop{}x{number}.scope", std::process::id());
            let Some(scope) = autoexec_test_support::scope::Scope::new(&name).unwrap() else { return };
            for (start, code) in [("setsid sh -c 'sleep 300 >/dev/null & echo $!'", 1), ("echo", 0)] {
                let script = format!("{start}; sleep 300");
                let (group, reaper, said) = leader(&script, |pid| scope.enter(pid).unwrap());
                let output = of(shell).arg(stopping(group, Duration::from_secs(2))).output().unwrap();
                assert_eq!(output.status.code(), Some(code), "{shell}: {output:?}");
                assert!(output.stderr.is_empty(), "{shell}: {output:?}");
                reaper.join().unwrap();
                if let Ok(daemon) = said.trim().parse() {
                    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon), nix::sys::signal::SIGKILL)
                        .unwrap();
                }
            }
        }
    }

    #[test]
    fn the_stop_script_works_in_each_shell_with_and_without_ps() {
        let tools = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/sleep", tools.path().join("sleep")).unwrap();
        let without_ps = tools.path().to_str().unwrap();
        for shell in shells() {
            for path in ["/usr/bin:/bin", without_ps] {
                let (group, reaper) = stubborn_group();
                let script = stopping(group, Duration::from_millis(400));
                let output = of(shell).arg(script).env("PATH", path).output().unwrap();
                assert!(output.status.success(), "{shell} {path}: {output:?}");
                assert!(!lives(group), "{shell} {path}");
                reaper.join().unwrap();
            }
        }
    }
}
