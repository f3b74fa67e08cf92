//! Commands on a target: output, codes, environment, secrets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use autoexec_test_support::skip::skipped;
use autoexec_test_support::sshd::SshdOptions;
use autoexec_transport::ssh::{ExecRequest, RemoteCommand, RemoteEnd, SshConnection, SshErrorKind, quote};
use autoexec_transport::{Exit, StopToken};

use crate::harness::{Bed, Collected, lives, numbers, shell};

async fn exec(connection: &mut SshConnection, command: &str, stdin: &[u8]) -> (Option<Exit>, Vec<u8>) {
    let sink = Collected::new();
    let request = ExecRequest { command: command.to_owned(), stdin: stdin.to_vec() };
    let end = connection.exec(request, sink.clone(), &StopToken::never()).await.unwrap();
    (end.exit, sink.bytes())
}

pub(crate) async fn run(connection: &mut SshConnection, command: RemoteCommand) -> (Option<Exit>, String) {
    let sink = Collected::new();
    let end = connection.run(command, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.stopped, None);
    (end.exit, sink.text())
}

#[tokio::test]
async fn exec_gives_output_codes_signals_and_takes_input() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let (exit, output) = exec(&mut connection, "echo out; echo err >&2; exit 9", b"").await;
    assert_eq!(exit, Some(Exit::Code(9)));
    let mut lines: Vec<_> = output.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    assert_eq!(lines, [&b""[..], b"err", b"out"]);
    assert_eq!(exec(&mut connection, "kill -TERM $$", b"").await.0, Some(Exit::Signal(15)));
    assert_eq!(exec(&mut connection, "cat", b"in\0put").await.1, b"in\0put");
}

#[tokio::test]
async fn twenty_megabytes_there_and_back_arrive_intact() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let text = numbers(2_700_000);
    let (exit, output) = exec(&mut connection, "cat", text.as_bytes()).await;
    assert_eq!(exit, Some(Exit::Code(0)));
    assert!(output == text.as_bytes(), "{} of {} bytes", output.len(), text.len());
    let (exit, output) = run(&mut connection, shell("seq 1 2700000")).await;
    assert_eq!(exit, Some(Exit::Code(0)));
    assert!(output == text, "{} of {} bytes", output.len(), text.len());
}

#[tokio::test]
async fn run_keeps_order_gives_exact_codes_and_an_empty_input() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let ordered = "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done; exit 0";
    assert_eq!(run(&mut connection, shell(ordered)).await.1, "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\n");
    for code in [0, 1, 2, 77, 126, 255] {
        assert_eq!(run(&mut connection, shell(&format!("exit {code}"))).await.0, Some(Exit::Code(code)));
    }
    assert_eq!(run(&mut connection, shell("kill -TERM $$")).await.0, Some(Exit::Signal(15)));
    assert_eq!(run(&mut connection, shell("cat; echo end")).await.1, "end\n");
    let no_newline = RemoteCommand { program_line: "printf abc".to_owned(), ..shell("") };
    assert_eq!(run(&mut connection, no_newline).await.1, "abc");
    let missing = RemoteCommand { program_line: "no-such-program".to_owned(), ..shell("") };
    assert_eq!(run(&mut connection, missing).await.0, Some(Exit::Code(127)));
}

#[tokio::test]
async fn directory_and_environment_arrive_whatever_they_hold() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let dir = bed.server.dir().join("it's $HOME \"x\"");
    std::fs::create_dir(&dir).unwrap();
    let value = "a'b\"c $HOME `id` \\ !x\nsecond line é";
    let command = RemoteCommand {
        dir: dir.to_str().unwrap().to_owned(),
        env: vec![("VALUE".to_owned(), value.to_owned())],
        program_line: "/bin/sh -c 'pwd; printf %s \"$VALUE\"'".to_owned(),
        account: None,
    };
    let (exit, output) = run(&mut connection, command).await;
    assert_eq!(output, format!("{}\n{value}", dir.display()));
    assert_eq!(exit, Some(Exit::Code(0)));
    let lost = RemoteCommand { dir: "/no/such/dir".to_owned(), ..shell("true") };
    let error = connection.run(lost, Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(
        matches!(error.kind(), SshErrorKind::RemoteDirectory { dir } if dir == "/no/such/dir"),
        "{error}"
    );
    // The connection is as good as before.
    assert_eq!(run(&mut connection, shell("echo x")).await.1, "x\n");
}

#[tokio::test]
async fn no_secret_is_in_the_process_list() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let secret = "s3cr3t-value-of-this-test";
    let command = RemoteCommand {
        env: vec![("PASS".to_owned(), secret.to_owned())],
        ..shell("echo ready; while [ ! -e \"$MARK\" ]; do sleep 0.05; done; echo got $PASS")
    };
    let mark = bed.server.dir().join("go");
    let command = RemoteCommand {
        env: [command.env, vec![("MARK".to_owned(), mark.to_str().unwrap().to_owned())]].concat(),
        ..command
    };
    let sink = Collected::new();
    let seen = sink.clone();
    let (started, start) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(async move {
        let end = connection
            .run(command, seen, &StopToken::never(), |pid| started.send(pid).unwrap())
            .await
            .unwrap();
        (end, connection)
    });
    sink.line("ready").await;
    let list = Command::new("ps").args(["-e", "-ww", "-o", "pid=,args="]).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let pid = start.await.unwrap().group;
    assert!(list.lines().any(|line| line.trim_start().starts_with(&format!("{pid} "))), "{list}");
    assert!(!list.contains(secret), "{list}");
    std::fs::write(&mark, "").unwrap();
    assert_eq!(running.await.unwrap().0.exit, Some(Exit::Code(0)));
    assert_eq!(sink.line("got").await, secret);
}

#[tokio::test]
async fn noise_of_the_login_shell_stays_out_and_explains_a_failure() {
    let bed =
        Bed::config(&["ForceCommand /bin/sh -c 'echo Welcome to this host; eval \"$SSH_ORIGINAL_COMMAND\"'"]);
    let mut connection = bed.connect().await;
    assert_eq!(run(&mut connection, shell("echo x")).await.1, "x\n");
    let bed = Bed::config(&["ForceCommand echo This account is closed.; exit 1"]);
    let mut connection = bed.connect().await;
    let error =
        connection.run(shell("true"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::NotStarted { .. }), "{error}");
    assert!(error.to_string().contains("This account is closed."), "{error}");
}

#[tokio::test]
async fn login_scripts_that_ask_or_fail_or_lose_the_home_do_not_hold_up_the_run() {
    let mut bed = Bed::config(&[
        "ForceCommand /bin/sh -c 'echo Which database?; read answer; eval \"$SSH_ORIGINAL_COMMAND\"'",
    ]);
    bed.settings.write_timeout = Duration::from_secs(2);
    let mut connection = bed.connect().await;
    let begun = Instant::now();
    let error =
        connection.run(shell("true"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::NotBegun { .. }), "{error}");
    assert!(
        error.to_string().contains("Which database?") && error.to_string().contains("login scripts"),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for login in [
        "cd /no/such/home",
        "false",
        "trap 'exit 3' EXIT",
        "set -e",
        "set -u",
        "umask 777",
        "exec 2>/dev/null",
    ] {
        let bed = Bed::config(&[&format!("ForceCommand {login}; eval \"$SSH_ORIGINAL_COMMAND\"")]);
        let mut connection = bed.connect().await;
        assert_eq!(
            run(&mut connection, shell("echo x; exit 7")).await,
            (Some(Exit::Code(7)), "x\n".to_owned()),
            "{login}"
        );
    }
}

#[tokio::test]
async fn csh_users_are_served() {
    let csh = Path::new("/bin/tcsh");
    if !csh.exists() {
        skipped("tcsh (apt-get install tcsh)");
        return;
    }
    if !crate::harness::root_or_skip("an account with csh") {
        return;
    }
    let bed = Bed::with(SshdOptions { shell: csh.to_owned(), ..SshdOptions::default() });
    let mut connection = bed.connect().await;
    assert_eq!(exec(&mut connection, "echo $shell", b"").await.1, b"/bin/tcsh\n");
    let value = "it's !x $y\nz";
    let command = RemoteCommand {
        env: vec![("V".to_owned(), value.to_owned())],
        program_line: format!("printf %s {}", quote(value)),
        ..shell("")
    };
    assert_eq!(run(&mut connection, command).await, (Some(Exit::Code(0)), value.to_owned()));
    let dir = connection.make_private_dir("autoexec-csh", &StopToken::never()).await.unwrap();
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
    assert!(!Path::new(dir.path()).exists());
}

#[tokio::test]
async fn a_daemon_that_keeps_the_output_does_not_hold_up_the_run() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let (exit, output) = run(&mut connection, shell("sleep 300 & echo daemon $!; exit 4")).await;
    assert_eq!(exit, Some(Exit::Code(4)));
    let daemon: i32 = output.trim().strip_prefix("daemon ").unwrap().parse().unwrap();
    assert!(lives(daemon), "starting a daemon is legal");
    // Not poisoned by the channel that the daemon still has.
    assert_eq!(run(&mut connection, shell("echo x")).await.1, "x\n");
}

#[tokio::test]
async fn a_target_without_setsid_still_gets_a_group() {
    let tools = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/bash", tools.path().join("sh")).unwrap();
    for tool in ["cat", "ps", "sleep", "seq"] {
        let found =
            ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(tool)).find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), tools.path().join(tool)).unwrap();
    }
    std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let bed = Bed::config(&[&format!("SetEnv PATH={}", tools.path().display())]);
    let mut connection = bed.connect().await;
    let sink = Collected::new();
    let (started, start) = tokio::sync::oneshot::channel();
    let command = shell("echo pid $$; exit 6");
    let never = StopToken::never();
    let end =
        connection.run(command, sink.clone(), &never, |pid| started.send(pid.group).unwrap()).await.unwrap();
    assert_eq!(end, RemoteEnd { exit: Some(Exit::Code(6)), stopped: None });
    assert!(start.await.unwrap() > 1);
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_is_an_error_and_not_a_hang() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let sink = Collected::new();
    let seen = sink.clone();
    let running = tokio::spawn(async move {
        let result = connection.run(shell("echo ready; sleep 300"), seen, &StopToken::never(), |_| {}).await;
        (result, connection)
    });
    sink.line("ready").await;
    bed.server.kill_sessions();
    let (result, mut connection) = running.await.unwrap();
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::ConnectionLost { .. }), "{error}");
    let error =
        connection.run(shell("true"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::ConnectionLost { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_command_is_stopped_at_the_read_timeout() {
    let mut bed = Bed::new();
    bed.settings.read_timeout = Some(Duration::from_millis(1500));
    let mut connection = bed.connect().await;
    let sink = Collected::new();
    // Talking resets the limit.
    let talking = "for i in 1 2 3 4; do sleep 0.5; echo $i; done; echo pid $$; exec sleep 300";
    let begun = Instant::now();
    let error = connection.run(shell(talking), sink.clone(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Silent { proved_dead: true, .. }), "{error}");
    assert!(begun.elapsed() > Duration::from_secs(3));
    assert!(!lives(sink.pid("pid").await));
}

#[tokio::test]
async fn a_connection_that_rests_is_kept_alive() {
    let bed = Bed::config(&["ClientAliveInterval 1", "ClientAliveCountMax 100", "LogLevel DEBUG3"]);
    let mut connection = bed.connect().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !bed.server.log().contains("keepalive@libssh2.org") {
        assert!(Instant::now() < deadline, "no keep-alive in {}", bed.server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(run(&mut connection, shell("echo x")).await.1, "x\n");
}
