//! A process that is really killed: what it had been told is in the file stays in the file.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use autoexec_console::Outbox;

use crate::setup::{SOON, hasty, node, server, settings, shared_client};

const PATH: &str = "OUTBOX_OF_THE_CHILD";

/// Run by the test below as a process of its own: puts callbacks in until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else { return };
    let client =
        std::sync::Arc::new(autoexec_console::ConsoleClient::new(settings("http://127.0.0.1:9")).unwrap());
    let (outbox_settings, _told) = hasty();
    let (outbox, _) = Outbox::open(&path, client, outbox_settings).unwrap();
    for time in 1_u32.. {
        let seq = outbox.enqueue(node("A", 7, f64::from(time))).unwrap();
        println!("\nseq {}", seq.get());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(PATH, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let accepted: usize = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("seq ")?.parse().ok())
        .find(|seq| *seq >= 500)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let server = server();
    let (outbox_settings, _told) = hasty();
    let (outbox, report) = Outbox::open(&path, shared_client(&server), outbox_settings).unwrap();
    assert!(report.left_over >= accepted && report.unreadable_lines <= 1, "{accepted}: {report:?}");
    assert_eq!(outbox.drain(tokio::time::Instant::now() + SOON).await.undelivered, 0);
    let times: Vec<_> = server.calls().iter().map(|call| call.json()["time"].as_f64().unwrap()).collect();
    assert_eq!(times.len(), report.left_over);
    assert!(times.is_sorted(), "in order");
}
