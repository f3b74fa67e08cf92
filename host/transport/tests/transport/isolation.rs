//! Connections are held by processes of their own: what a crash of one costs, what such a process has, and what it can do
//! to the run.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use autoexec_confine::Support;
use autoexec_transport::ssh::{
    DetachedRun, RemoteDir, RemotePid, RemoteTask, Setup, SshConnection, SshConnector, SshError,
    SshErrorKind, SshSettings, SshTarget, TaskEnd,
};
use autoexec_transport::{Exit, StopToken};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;

use crate::harness::{Bed, Collected, lives, shell, until, worker};

/// Names of one server: three targets, as far as we know.
fn targets(bed: &Bed) -> [SshTarget; 3] {
    ["127.0.0.1", "localhost", "LOCALHOST"]
        .map(|host| SshTarget { host: host.to_owned(), ..bed.target(vec![bed.key()]) })
}

async fn connect(connector: &SshConnector, target: &SshTarget) -> SshConnection {
    connector.connect(target, &StopToken::never()).await.unwrap()
}

/// More than once: the first one is taken by Rust's own handler, which expects the fault to come again.
async fn crash(process: u32) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap());
    until("the crash", || kill(pid, Signal::SIGSEGV).is_err() || !lives(process)).await;
}

type Running = JoinHandle<Result<TaskEnd, SshError>>;

fn run(mut connection: SshConnection, task: RemoteTask, sink: &Arc<Collected>) -> Running {
    let sink = sink.clone();
    tokio::spawn(async move { connection.run_task(task, sink, &StopToken::never(), |_| {}).await })
}

fn task(dir: &RemoteDir, script: &str, detached: bool) -> RemoteTask {
    let mut command = shell(script);
    dir.path().clone_into(&mut command.dir);
    RemoteTask {
        setup: Some(Setup { dir: dir.clone(), make: true, entries: Vec::new(), inventory: None, kept: None }),
        command,
        wanted: None,
        detached: detached.then(|| DetachedRun::new(dir, "run1")),
        removes_dir: false,
    }
}

#[tokio::test]
async fn a_crash_costs_the_connections_of_one_process_and_a_detached_command_goes_on() {
    let bed = Bed::new();
    let connector = SshConnector::new(bed.settings.clone());
    let targets = targets(&bed);
    let dirs = [(); 3].map(|()| RemoteDir::new("autoexec-crash").unwrap());
    let gate = bed.path("gate");
    std::fs::set_permissions(bed.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!(
        "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); done; until [ -e {} ]; do sleep 0.05; done; echo over",
        gate.display()
    );
    let (mut running, mut sinks, mut processes) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut detached = None;
    for (index, (target, dir)) in targets.iter().zip(&dirs).enumerate() {
        let connection = connect(&connector, target).await;
        processes.insert(connection.process_id().unwrap());
        let task = task(dir, &script, index == 0);
        if index == 0 {
            detached = Some(task.clone());
        }
        sinks.push(Collected::new());
        running.push(run(connection, task, &sinks[index]));
    }
    let process = processes.pop_first().unwrap();
    assert!(processes.is_empty(), "a few connections share a process");
    for sink in &sinks {
        sink.line("line 19").await;
    }
    let detached = detached.unwrap();
    until("the process group is told", || detached.detached.as_ref().unwrap().group().is_some()).await;

    crash(process).await;
    for running in running {
        let error = running.await.unwrap().unwrap_err();
        let SshErrorKind::WorkerEnded { others: 2, .. } = error.kind() else { panic!("{error}") };
        let text = error.to_string();
        assert!(text.contains("signal 11 (SIGSEGV), with 2 more connections"), "{text}");
    }

    // Each is a suspect now: alone, so that the one that is the reason hits nobody else again.
    let mut suspects = Vec::new();
    for target in &targets {
        suspects.push(connect(&connector, target).await);
    }
    let alone: BTreeSet<_> = suspects.iter().map(|connection| connection.process_id().unwrap()).collect();
    assert_eq!(alone.len(), 3);
    std::fs::write(&gate, "").unwrap();
    let end = suspects[0].attach(detached, sinks[0].clone(), &StopToken::never()).await.unwrap();
    assert_eq!(end.end.exit, Some(Exit::Code(0)));
    let lines = (0..20).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
    assert_eq!(sinks[0].text(), lines + "over\n", "nothing twice, nothing missing");

    // The crash of a suspect is its own.
    crash(suspects[1].process_id().unwrap()).await;
    let error =
        suspects[1].run(shell("true"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::WorkerEnded { others: 0, .. }), "{error}");
    for index in [0, 2] {
        let end = suspects[index].run(shell("exit 3"), Collected::new(), &StopToken::never(), |_| {}).await;
        assert_eq!(end.unwrap().exit, Some(Exit::Code(3)));
    }

    // Who got through an operation is no suspect any more.
    let [first, second, third] = &targets;
    let (first, second, third) = (
        connect(&connector, first).await,
        connect(&connector, second).await,
        connect(&connector, third).await,
    );
    assert_eq!(first.process_id(), third.process_id());
    assert_ne!(first.process_id(), second.process_id());
    for dir in &dirs {
        suspects[0].remove_dir(dir, &StopToken::never()).await.unwrap();
    }
}

#[tokio::test]
async fn so_many_connections_share_a_process_and_then_there_is_another_one() {
    let bed = Bed::new();
    let connector = SshConnector::new(bed.settings.clone());
    let target = bed.target(vec![bed.key()]);
    let mut live = Vec::new();
    for _ in 0..18 {
        live.push(connect(&connector, &target).await);
    }
    let processes: BTreeSet<_> = live.iter().map(|connection| connection.process_id().unwrap()).collect();
    assert_eq!(processes.len(), 2);
    // With the last connection and the connector they end.
    drop(live);
    connector.close().await;
    assert!(!processes.iter().any(lives), "they are waited for");
}

fn file(process: u32, name: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{process}/{name}")).unwrap()
}

#[tokio::test]
async fn a_process_has_no_secret_in_sight_and_nothing_of_the_run() {
    let bed = Bed::new();
    // Without the flag that keeps it from other programs.
    let mine = std::fs::File::create(bed.path("mine")).unwrap();
    rustix::io::fcntl_setfd(&mine, rustix::io::FdFlags::empty()).unwrap();
    let auth = if bed.server.password().is_empty() { bed.key() } else { bed.password() };
    let connection = bed.try_connect(auth).await.unwrap();
    let process = connection.process_id().unwrap();
    for name in ["cmdline", "environ"] {
        let text = String::from_utf8_lossy(&file(process, name)).into_owned();
        assert!(!text.contains("CARGO"), "{text}");
        assert!(bed.server.password().is_empty() || !text.contains(bed.server.password()), "{name}");
    }
    let open: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .collect();
    assert!(!open.contains(&bed.path("mine")), "{open:?}");
    let files: Vec<_> = open.iter().filter(|path| path.is_absolute() && !path.starts_with("/dev")).collect();
    assert!(files.is_empty(), "{files:?}");
    let status = String::from_utf8(file(process, "status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1") && status.starts_with("Name:\tautoexec-ssh\n"), "{status}");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    // CAP_DAC_OVERRIDE.
    assert_eq!(u64::from_str_radix(line, 16).unwrap() & !(1 << 1), 0, "{line}");
    let limits = String::from_utf8(file(process, "limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"), "{core}");
    let group = nix::unistd::getpgid(Some(Pid::from_raw(i32::try_from(process).unwrap()))).unwrap();
    assert_ne!(group, nix::unistd::getpgrp(), "a Ctrl-C is for the run");
}

/// What the kernel says to a worker that somebody else has taken over.
#[test]
fn who_takes_over_a_process_gets_no_file_no_program_and_no_other_process() {
    let Some(abi) = landlock() else { return };
    let bed = Bed::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = bed.path("secret");
    std::fs::write(&file, "secret").unwrap();
    let (_control, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let output = std::process::Command::new(worker(&[]).path)
        .arg("taken-over")
        .arg(&file)
        .arg(listener.local_addr().unwrap().port().to_string())
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut tried = 0;
    for line in said.lines() {
        let (what, how) = line.split_once(": ").unwrap();
        let wanted = match what {
            "connect" => "done",
            "listen" if abi < 4 => "done",
            "signal" if abi < 6 => "done",
            _ => "PermissionDenied",
        };
        assert_eq!(how, wanted, "{what}");
        tried += 1;
    }
    assert_eq!(tried, 14, "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "secret");
}

/// The version of Landlock; without it there is nothing to see, which is said.
fn landlock() -> Option<u32> {
    match Support::of_this_kernel() {
        Support::Full { abi } | Support::TooOld { abi } => Some(abi),
        support => {
            println!("SKIPPED, SSH processes have the files of the account here: {support}");
            None
        }
    }
}

#[tokio::test]
async fn a_process_whose_words_make_no_sense_is_killed() {
    let bed = Bed::new();
    for mode in ["huge", "kind", "garbage", "file", "host", "half"] {
        let settings = SshSettings { worker: worker(&[mode]), ..bed.settings.clone() };
        let connector = SshConnector::new(settings);
        let error = connector.connect(&bed.target(vec![bed.key()]), &StopToken::never()).await.unwrap_err();
        let SshErrorKind::WorkerEnded { how, others: 0 } = error.kind() else { panic!("{mode}: {error}") };
        if mode == "half" {
            assert_eq!(how, "ended with exit code 0");
        } else {
            assert!(how.starts_with("was killed, because what it sent makes no sense ("), "{mode}: {how}");
        }
    }
}

#[tokio::test]
async fn the_connections_beside_one_whose_words_make_no_sense_end_with_it() {
    let bed = Bed::new();
    let settings = SshSettings { worker: worker(&["second"]), ..bed.settings.clone() };
    let connector = SshConnector::new(settings);
    let [first, second, _] = targets(&bed);
    let never = StopToken::never();
    let waiting = {
        let (connector, first) = (connector.clone(), first.clone());
        tokio::spawn(async move { connector.connect(&first, &StopToken::never()).await })
    };
    // The double answers only to the second one.
    let error = connector.connect(&second, &never).await.unwrap_err();
    for error in [error, waiting.await.unwrap().unwrap_err()] {
        let SshErrorKind::WorkerEnded { how, others: 1 } = error.kind() else { panic!("{error}") };
        assert!(how.contains("makes no sense"), "{how}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let bed = Bed::new();
    let mut settings = bed.settings.clone();
    settings.worker.path = bed.path("no-such-program");
    let connector = SshConnector::new(settings);
    let error = connector.connect(&bed.target(vec![bed.key()]), &StopToken::never()).await.unwrap_err();
    assert!(error.to_string().contains("no-such-program"), "{error}");
}

#[tokio::test]
async fn the_processes_of_a_killed_run_end_and_what_runs_on_targets_goes_on() {
    let bed = Bed::new();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "isolation::child_that_is_killed", "--nocapture"])
        .env("TEST_PORT", bed.server.port().to_string())
        .env("TEST_USER", bed.server.user())
        .env("TEST_KEY", bed.server.key_path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let numbers = std::io::BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
        let (_, numbers) = line.split_once("KILL ME ")?;
        let mut numbers = numbers.split(' ').map(|number| number.parse::<i32>().unwrap());
        Some((numbers.next()?, numbers.next()?))
    });
    let (process, remote) = numbers.unwrap();
    assert!(lives(process) && lives(remote));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the process ends with the run", || !lives(process)).await;
    assert!(lives(remote), "as when the run held the connection itself");
    let mut connection = bed.connect().await;
    let outcome = connection.stop_group(RemotePid { group: remote }, None, &StopToken::never()).await;
    assert!(outcome.unwrap().proved_dead);
}

#[tokio::test]
#[ignore = "a part of the_processes_of_a_killed_run_end, which runs and kills it"]
async fn child_that_is_killed() {
    let variable = |name| std::env::var(name).unwrap();
    let target = SshTarget {
        host: "127.0.0.1".to_owned(),
        port: variable("TEST_PORT").parse().unwrap(),
        user: variable("TEST_USER"),
        auth: vec![autoexec_transport::ssh::SshAuth::KeyFile {
            path: variable("TEST_KEY").into(),
            passphrase: None,
        }],
        jumps: None,
    };
    let settings = SshSettings {
        host_keys: autoexec_transport::ssh::HostKeyPolicy::AcceptAll,
        worker: worker(&[]),
        ..SshSettings::new("/nonexistent".into())
    };
    let mut connection = connect(&SshConnector::new(settings), &target).await;
    let process = connection.process_id().unwrap();
    let sink = Collected::new();
    let seen = sink.clone();
    let running = tokio::spawn(async move {
        connection.run(shell("echo pid $$; exec sleep 300"), seen, &StopToken::never(), |_| {}).await
    });
    let remote = sink.pid("pid").await;
    println!("KILL ME {process} {remote}");
    let _ = running.await;
}
