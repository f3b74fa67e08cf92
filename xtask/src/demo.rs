//! `cargo xtask demo`: a real job over three real SSH targets on this machine, and nothing left afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use tempfile::TempDir;

use crate::stage::{self, Profile, StagedHome};
use crate::step::{self, Attended};
use crate::{guests, packages, workspace};

/// A job that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Example {
    /// Tools here, for every node and on every node, and a table of what they put out.
    #[default]
    ThreeNodes,
    /// Collect, inspect, back up, compare, change with a check before and after, report.
    SixPhases,
}

impl Example {
    /// The job, as people write one.
    fn job(self) -> &'static str {
        match self {
            Self::ThreeNodes => "docs/examples/demo/demo.job.yaml",
            Self::SixPhases => "docs/examples/six-phases/six-phases.job.yaml",
        }
    }

    /// The components that the job names.
    fn tools(self) -> &'static [&'static str] {
        match self {
            Self::ThreeNodes => &["demo/hello", "demo/nodefacts", "demo/summary"],
            Self::SixPhases => &["demo/summary", "inspect/tcpcheck", "native/getvalfromtxt"],
        }
    }
}

/// The nodes, with an address of the loopback network and an sshd each.
const NODES: [(&str, &str); 3] = [("alpha", "127.0.0.1"), ("beta", "127.0.0.2"), ("gamma", "127.0.0.3")];

/// Configuration of the service on each node, before the job of six phases.
const SETTINGS: &str = "# demonstration\n[server]\nlisten = 8080\nworkers = 4\n";

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which job.
    #[arg(value_enum, default_value_t)]
    example: Example,
    /// Leave the whole home where it is, and say where; else only the job's directory is kept, until the next demo.
    #[arg(long)]
    keep: bool,
}

/// Prepares, builds, runs the job, cleans up.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::SSHD])?;
    guests::run(&guests::Options::tools_only())?;
    let program = stage::build(Profile::Debug)?;
    // From here on there are servers and maybe an account to be removed, whatever happens.
    let attended = Attended::start()?;
    let home = StagedHome::new(&program, options.example.tools())?;
    let outcome = show(options.example, &attended, &home);
    step::say("the servers are stopped");
    if options.keep {
        step::say(format_args!("the home is kept: {}", home.keep().display()));
    } else if let Some(logs) = keep_logs(&home)? {
        step::say(format_args!("the home is removed; the logs are kept in {}", logs.display()));
    }
    outcome
}

/// Saves the job's directory from a home that will be removed, in place of the one of the demo before.
fn keep_logs(home: &StagedHome) -> Result<Option<PathBuf>> {
    let jobs = home.path().join("data/job");
    if !jobs.is_dir() {
        return Ok(None);
    }
    let kept = stage::target()?.join("demo");
    if kept.exists() {
        fs::remove_dir_all(&kept).with_context(|| format!("removing {}", kept.display()))?;
    }
    fs::rename(&jobs, &kept).with_context(|| format!("moving {} to {}", jobs.display(), kept.display()))?;
    let entries = walkdir::WalkDir::new(&kept).into_iter().filter_map(Result::ok);
    let logs = entries.map(walkdir::DirEntry::into_path).find(|path| path.ends_with("log"));
    Ok(Some(logs.unwrap_or(kept)))
}

fn show(example: Example, attended: &Attended, home: &StagedHome) -> Result<()> {
    let servers = start_servers()?;
    attended.check()?;
    let inventory = home.write("demo.hosts.yaml", &inventory(&servers), 0o600)?;
    let run = |further: &[&str]| run_job(example, attended, home, &inventory, further);
    match example {
        Example::ThreeNodes => run(&[]),
        Example::SixPhases => {
            home.install_remote()?;
            let nodes = Settings::write()?;
            let place = format!("place={}", nodes.dir.path().display());
            run(&["-o", &place])?;
            nodes.check()
        }
    }
}

fn run_job(
    example: Example,
    attended: &Attended,
    home: &StagedHome,
    inventory: &Path,
    further: &[&str],
) -> Result<()> {
    let job = workspace::root()?.join(example.job());
    let mut autoexec = Command::new(home.program());
    autoexec.arg("run").arg(&job).arg("-i").arg(inventory).args(further);
    autoexec.env("AUTOEXEC_HOME", home.path());
    step::say(format_args!(
        "autoexec run {} -i {} {}",
        example.job(),
        inventory.display(),
        further.join(" ")
    ));
    let status = attended.run(&mut autoexec)?;
    if !status.success() {
        bail!("autoexec ended with {status}");
    }
    Ok(())
}

/// The configuration files that the job of six phases works on, where the throw-away account may change them.
struct Settings {
    dir: TempDir,
}

impl Settings {
    fn write() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("autoexec-nodes.")
            .tempdir()
            .context("making a directory for the nodes")?;
        let settings = Self { dir };
        open_to_all(settings.dir.path(), 0o755)?;
        for (name, _) in NODES {
            let file = settings.file(name);
            let own = settings.dir.path().join(name);
            fs::create_dir(&own).with_context(|| format!("making {}", own.display()))?;
            open_to_all(&own, 0o777)?;
            fs::write(&file, SETTINGS).with_context(|| format!("writing {}", file.display()))?;
            open_to_all(&file, 0o666)?;
        }
        Ok(settings)
    }

    fn file(&self, node: &str) -> PathBuf {
        self.dir.path().join(node).join("app.ini")
    }

    /// The job is over: every file has the new setting, and the rest of it as it was.
    fn check(&self) -> Result<()> {
        let wanted = SETTINGS.replace("workers = 4", "workers = 8");
        for (name, _) in NODES {
            let file = self.file(name);
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            ensure!(text == wanted, "{} was not changed as the job says:\n{text}", file.display());
        }
        Ok(())
    }
}

fn open_to_all(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("opening {}", path.display()))
}

fn start_servers() -> Result<Vec<Sshd>> {
    let servers = NODES.iter().map(|(name, address)| {
        let options =
            SshdOptions { config: vec![format!("ListenAddress {address}")], ..SshdOptions::default() };
        Sshd::start(options).with_context(|| format!("starting sshd for {name}"))
    });
    let servers: Vec<Sshd> = servers.collect::<Result<_>>()?;
    let places = NODES.iter().zip(&servers).map(|((_, address), sshd)| format!("{address}:{}", sshd.port()));
    let user = servers.first().map(Sshd::user).unwrap_or_default();
    let places: Vec<String> = places.collect();
    step::say(format_args!("started sshd on {} for the account {user}", places.join(", ")));
    Ok(servers)
}

/// The nodes, as people write them (`docs/standalone.md`). Login is by key, so no secret stands in it.
fn inventory(servers: &[Sshd]) -> String {
    let nodes = NODES.iter().zip(servers).map(|((name, address), sshd)| node(name, address, sshd));
    format!("nodes:\n{}", nodes.collect::<String>())
}

fn node(name: &str, address: &str, sshd: &Sshd) -> String {
    let (port, user, key) = (sshd.port(), sshd.user(), sshd.key_path());
    let key = key.display();
    format!("  - {{name: {name}, host: {address}, protocol_port: {port}, user: {user}, key: {key}}}\n")
}
