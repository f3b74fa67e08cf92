//! Many targets connected at once, with nothing to do: what each of them costs, beside an `ssh` client for each.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use autoexec_test_support::process;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde_json::json;

use super::job::{BenchJob, Nodes};
use crate::stage::StagedHome;
use crate::step::{self, Attended};

/// Until all targets are connected.
const PATIENCE: Duration = Duration::from_mins(10);
/// Logins per second: both sides of a thousand at once share this machine's processors.
const LOGINS: u32 = 15;
const POLL: Duration = Duration::from_millis(50);

/// Numbers of targets: the first one is what is there without them.
pub(super) fn sizes(quick: bool) -> Vec<u32> {
    if quick { vec![1, 10] } else { vec![1, 100, 1000] }
}

/// What was measured.
pub(super) struct Tables(Vec<Row>);

struct Row {
    what: &'static str,
    nodes: u32,
    connected: Duration,
    held: Held,
    /// KiB that each target added to what one of them needs.
    each: Option<f64>,
}

/// What a tool and the processes it has started hold.
struct Held {
    processes: usize,
    threads: usize,
    /// Proportional set size: memory shared by several processes counts once.
    kib: u64,
}

pub(super) fn measure(home: &StagedHome, sizes: &[u32]) -> Result<Tables> {
    let attended = Attended::start()?;
    let config = vec!["MaxStartups 3000".to_owned()];
    let sshd = Sshd::start(SshdOptions { config, ..SshdOptions::default() })?;
    let most = sizes.iter().max().copied().unwrap_or(1);
    let identity = sshd.key_path();
    let config = format!("[autoexec]\nssh.identity = {}\nssh.maxConnections = {most}\n", identity.display());
    home.write("conf/config.ini", &config, 0o600)?;
    let shaping = format!("[[hosts]]\nmatch = [\"127.0.0.1\"]\nlogins_per_second = {LOGINS}\n");
    home.write("conf/ssh.toml", &shaping, 0o600)?;
    let mut rows = Vec::new();
    for (what, start) in
        [("autoexec", ours as fn(&Place<'_>) -> Result<Running>), ("an `ssh` for each target", clients)]
    {
        let mut first = None;
        for nodes in sizes {
            attended.check()?;
            step::say(format_args!("measuring: {nodes} idle targets, {what}"));
            let place = Place::new(home, &sshd, *nodes)?;
            let begin = Instant::now();
            let mut running = start(&place)?;
            place.wait_for_all(&mut running.child, &attended)?;
            let connected = begin.elapsed();
            let held = Held::by(pid_of(&running.child));
            place.let_go()?;
            let status = running.child.wait().context("waiting for its end")?;
            ensure!(status.success(), "{what} with {nodes} targets ended with {status}");
            let (less, kib) = *first.get_or_insert((*nodes, held.kib));
            let added = held.kib.saturating_sub(kib) as f64;
            let each = (*nodes > less).then(|| added / f64::from(nodes - less));
            rows.push(Row { what, nodes: *nodes, connected, held, each });
        }
    }
    Ok(Tables(rows))
}

/// One measurement's files.
struct Place<'a> {
    home: &'a StagedHome,
    sshd: &'a Sshd,
    nodes: u32,
    /// Where each command says that it runs, and the pipe at which it waits.
    dir: PathBuf,
}

impl<'a> Place<'a> {
    fn new(home: &'a StagedHome, sshd: &'a Sshd, nodes: u32) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = sshd.dir().join("idle");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        let gate = dir.join("gate");
        nix::unistd::mkfifo(&gate, Mode::S_IRWXU).context("making a pipe")?;
        for (path, mode) in [(&dir, 0o777), (&gate, 0o666)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(Self { home, sshd, nodes, dir })
    }

    fn script(&self) -> String {
        let dir = self.dir.display();
        format!("true > {dir}/here.$$; read line < {dir}/gate; true")
    }

    fn wait_for_all(&self, child: &mut Child, attended: &Attended) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            // The pipe is there as well.
            let here = fs::read_dir(&self.dir)?.count().saturating_sub(1);
            if here >= self.nodes as usize {
                return Ok(());
            }
            attended.check()?;
            if let Some(status) = child.try_wait()? {
                bail!("it ended with {status} when {here} of {} targets were connected", self.nodes);
            }
            ensure!(Instant::now() < until, "only {here} of {} targets were connected", self.nodes);
            std::thread::sleep(POLL);
        }
    }

    /// Whoever waits at the pipe reads its end when its writer has gone.
    fn let_go(&self) -> Result<()> {
        fs::OpenOptions::new().write(true).open(self.dir.join("gate")).map(drop).context("opening the pipe")
    }
}

fn ours(place: &Place<'_>) -> Result<Running> {
    let nodes = Nodes {
        count: place.nodes,
        width: place.nodes,
        ssh_port: place.sshd.port(),
        user: place.sshd.user().to_owned(),
    };
    let operation = json!({"opId": "bench/idle_1", "opName": "bench/idle", "opType": "target", "isScript": 1,
        "scriptContent": place.script(), "interpreter": "sh", "opt": {}, "desc": {}, "output": {}});
    let job = BenchJob::new(place.home, &format!("idle{}", place.nodes), &nodes, "target", &[operation])?;
    let (child, id) = job.start()?;
    Ok(Running { child, directories: Some((format!("autoexec-{id}-"), place.sshd.uid())) })
}

fn clients(place: &Place<'_>) -> Result<Running> {
    let client = format!(
        "#!/bin/sh\nexec ssh -F /dev/null -i {} -p {} -o BatchMode=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR {}@127.0.0.1 '{}'\n",
        place.sshd.key_path().display(),
        place.sshd.port(),
        place.sshd.user(),
        place.script()
    );
    let client = place.home.write("idle.sh", &client, 0o700)?;
    let all = format!("seq {0} | xargs -P{0} -n1 {1}", place.nodes, client.display());
    let child = quiet(Command::new("sh").args(["-c", &all])).spawn().context("starting the clients")?;
    Ok(Running { child, directories: None })
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Ends what still runs when something goes wrong, and removes what it cannot remove any more.
struct Running {
    child: Child,
    /// How the directories of its job begin in the targets' /tmp, and whose they are.
    directories: Option<(String, u32)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        for pid in process::tree(pid_of(&self.child)) {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.wait();
        if let Some((prefix, owner)) = &self.directories {
            remove_directories(Path::new("/tmp"), prefix, *owner);
        }
    }
}

/// Removes the directories of that owner whose names begin so.
fn remove_directories(place: &Path, prefix: &str, owner: u32) {
    use std::os::unix::fs::MetadataExt as _;
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_theirs = entry.metadata().is_ok_and(|data| data.is_dir() && data.uid() == owner);
        if is_theirs && entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Held {
    fn by(root: Pid) -> Self {
        let tree = process::tree(root);
        let read =
            |pid: &Pid, file: &str| fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file));
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let sum = |file: &str, name: &str| -> u64 {
            tree.iter().filter_map(|pid| field(&read(pid, file).ok()?, name)).sum()
        };
        Self {
            processes: tree.len(),
            threads: usize::try_from(sum("status", "Threads:")).unwrap_or_default(),
            kib: sum("smaps_rollup", "Pss:"),
        }
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### Idle targets\n")?;
        writeln!(f, "| | targets | connected after | processes | threads | memory | for each target |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|")?;
        for Row { what, nodes, connected, held, each } in &self.0 {
            writeln!(
                f,
                "| {what} | {nodes} | {:.1} s | {} | {} | {:.1} MiB | {} |",
                connected.as_secs_f64(),
                held.processes,
                held.threads,
                held.kib as f64 / 1024.0,
                each.map_or_else(String::new, |kib| format!("{kib:.0} KiB")),
            )?;
        }
        writeln!(
            f,
            "\nEvery target runs a command that waits, all at once, on one real sshd on loopback; memory (Pss) is that of the client's \
             side, all of its processes together. autoexec is told to log in at most {LOGINS} times a second, the clients start all at \
             once: how long that takes is not compared."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_holds_is_seen() {
        let held = Held::by(Pid::this());
        assert!(held.processes >= 1 && held.threads >= 1 && held.kib > 100);
    }

    #[test]
    fn only_the_directories_of_one_job_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["autoexec-000idle10-1-1.aa", "autoexec-000idle100-1-1.aa", "autoexec-001idle10-1-1.aa"] {
            fs::create_dir_all(dir.path().join(name).join("below")).unwrap();
        }
        let own = nix::unistd::geteuid().as_raw();
        remove_directories(dir.path(), "autoexec-000idle10-", own + 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "somebody else's");
        remove_directories(dir.path(), "autoexec-000idle10-", own);
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["autoexec-000idle100-1-1.aa", "autoexec-001idle10-1-1.aa"]);
    }

    #[test]
    fn a_row_says_what_each_target_adds() {
        let row = |nodes, kib, each| Row {
            what: "x",
            nodes,
            connected: Duration::from_millis(1500),
            held: Held { processes: 2, threads: 3, kib },
            each,
        };
        let text = Tables(vec![row(1, 1024, None), row(11, 2048, Some(102.4))]).to_string();
        assert!(text.contains("| x | 1 | 1.5 s | 2 | 3 | 1.0 MiB |  |\n"), "{text}");
        assert!(text.contains("| x | 11 | 1.5 s | 2 | 3 | 2.0 MiB | 102 KiB |\n"), "{text}");
    }
}
