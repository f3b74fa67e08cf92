//! Controlling a running job: abort, pause, the job socket, and the modes that run beside it.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

mod abort;
mod housekeeping;
mod interaction;
mod locks;
mod pause;
mod register;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Output, Stdio};

use autoexec_e2e::TestJob;
use autoexec_e2e::wait::{LONG, until};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

/// What the job in these tests is fired with.
const FIRE: [&str; 3] = ["--firstfire", "--execid", "900"];

/// Marks that it runs and blocks until the test writes to the FIFO.
const BLOCK: &str = "#!/bin/sh\n: > \"$AUTOEXEC_HOME/started\"\nread answer < \"$AUTOEXEC_HOME/fifo\"\necho \"answered $answer\"\n";

/// Sends its first argument to the job socket; prints the reply when there is a second one.
const SEND: &str = r#"use Socket;
my ($datagram, $wait) = @ARGV;
my $own = "$ENV{AUTOEXEC_WORK_PATH}/client$$.sock";
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
bind($s, pack_sockaddr_un($own)) or die "bind: $!";
send($s, $datagram, 0, pack_sockaddr_un($ENV{AUTOEXEC_JOB_SOCK})) or die "send: $!";
if ($wait) { recv($s, my $reply, 1024, 0); print "reply $reply\n"; }
unlink $own;
"#;

/// A mode, run to its end.
fn mode(job: &TestJob, flags: &[&str]) -> Output {
    job.command(flags).unwrap().stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Installs what the plugins of these tests use: the FIFO and the sender.
fn prepare(job: &TestJob) {
    mkfifo(&job.home.path().join("fifo"), Mode::S_IRWXU).unwrap();
    job.home.write("send.pl", SEND).unwrap();
}

fn wait_for_file(path: &Path) {
    until(&path.display().to_string(), LONG, || path.exists().then_some(())).unwrap();
}

fn wait_until_started(job: &TestJob) {
    wait_for_file(&job.home.path().join("started"));
}

/// Lets a plugin go on that reads the FIFO at `path`. Opening fails until it does.
fn write_fifo(path: &Path, line: &str) {
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let open =
        || -> Option<File> { OpenOptions::new().write(true).custom_flags(nonblocking).open(path).ok() };
    let mut fifo = until("a reader of the FIFO", LONG, open).unwrap();
    fifo.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn release(job: &TestJob) {
    write_fifo(&job.home.path().join("fifo"), "go on");
}

/// Writes a datagram to the job's socket, as the runner does for the server.
fn inform(job: &TestJob, datagram: &Value) {
    let socket = job.dir().join("job900.sock");
    UnixDatagram::unbound().unwrap().send_to(datagram.to_string().as_bytes(), socket).unwrap();
}

/// The calls that say something of a status, shortened to `<call> <status>`, in canonical order.
fn statuses(job: &TestJob) -> Vec<String> {
    let lines = job.call_lines();
    let status =
        |line: &str| line.split(' ').find_map(|word| word.strip_prefix("status=").map(str::to_owned));
    lines.iter().filter_map(|line| Some(format!("{} {}", line.split(' ').next()?, status(line)?))).collect()
}
