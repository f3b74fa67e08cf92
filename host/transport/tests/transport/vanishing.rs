//! A peer that is gone without a word: no end of the connection, no answer, nothing.

use std::time::{Duration, Instant};

use autoexec_test_support::wire::Wire;
use autoexec_transport::ssh::{
    DetachedRun, RemoteDir, RemoteTask, Setup, SshConnection, SshErrorKind, SshSettings,
};
use autoexec_transport::{Exit, StopToken};

use crate::harness::{Apart, Collected, shell};

/// Three intervals, or ten seconds (`docs/ssh.md`), after the first message that is not acknowledged.
const KEEPALIVE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(10);
/// What a busy machine may add.
const LATE: Duration = Duration::from_secs(15);

struct Ground {
    wire: Wire,
    apart: Apart,
}

impl Ground {
    /// None without root.
    fn new() -> Option<Self> {
        let apart = Apart::with("a network of its own", |settings| SshSettings {
            keepalive: Some(KEEPALIVE),
            ..settings
        })?;
        Some(Self { wire: Wire::to(&apart.machine).unwrap(), apart })
    }

    async fn connect(&self) -> SshConnection {
        self.apart.connect(self.wire.address(), "root", self.apart.key()).await.unwrap()
    }
}

#[tokio::test]
async fn a_pulled_cable_is_noticed_in_time_and_a_detached_command_is_found_again() {
    let Some(ground) = Ground::new() else { return };
    let (mut silent, mut talking, mut first) =
        (ground.connect().await, ground.connect().await, ground.connect().await);
    // One that waits for output only, one whose output stops, and one that goes on without us.
    let (heard, seen, sink) = (Collected::new(), Collected::new(), Collected::new());
    let never = StopToken::never;
    let waits = {
        let heard = heard.clone();
        tokio::spawn(
            async move { silent.run(shell("echo ready; exec sleep 300"), heard, &never(), |_| {}).await },
        )
    };
    let talks = {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); sleep 0.1; done";
        let seen = seen.clone();
        tokio::spawn(async move { talking.run(shell(script), seen, &never(), |_| {}).await })
    };
    let dir = RemoteDir::new("autoexec-vanishing").unwrap();
    let mut command =
        shell("i=0; while [ ! -e go ]; do echo line $i; i=$((i+1)); sleep 0.1; done; echo end; exit 5");
    dir.path().clone_into(&mut command.dir);
    let setup = Setup { dir: dir.clone(), make: true, entries: Vec::new(), inventory: None, kept: None };
    let run = DetachedRun::new(&dir, "run1");
    let task =
        RemoteTask { setup: Some(setup), command, wanted: None, detached: Some(run), removes_dir: false };
    let goes_on = {
        let (task, sink) = (task.clone(), sink.clone());
        tokio::spawn(async move { first.run_task(task, sink, &never(), |_| {}).await.map(drop) })
    };
    heard.line("ready").await;
    seen.line("line 3").await;
    sink.line("line 3").await;

    ground.wire.pull(&ground.apart.machine).unwrap();
    let begun = Instant::now();
    let ends = [waits.await.unwrap().map(drop), talks.await.unwrap().map(drop), goes_on.await.unwrap()];
    let took = begun.elapsed();
    for error in ends.map(Result::unwrap_err) {
        assert!(matches!(error.kind(), SshErrorKind::ConnectionLost { .. }), "{error}");
        assert!(error.to_string().contains(&ground.wire.address().to_string()), "which host: {error}");
        assert!(error.to_string().contains("answers no more"), "{error}");
    }
    assert!(took < LIMIT + 2 * KEEPALIVE + LATE, "{took:?}");

    ground.wire.plug_in(&ground.apart.machine).unwrap();
    ground.apart.machine.write(&format!("{dir}/go"), "").unwrap();
    let mut connection = ground.connect().await;
    let end = connection.attach(task, sink.clone(), &StopToken::never()).await.unwrap();
    assert_eq!(end.end.exit, Some(Exit::Code(5)));
    let text = sink.text();
    let lines = text.lines().count() - 1;
    let whole = (0..lines).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
    assert_eq!(text, whole + "end\n", "nothing twice, nothing missing");
    assert!(lines > 50, "it went on meanwhile: {lines}");
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}
