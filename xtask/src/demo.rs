//! `cargo xtask demo`: a real job over three real SSH targets on this machine, and nothing left afterwards.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use autoexec_test_support::sshd::{Sshd, SshdOptions};

use crate::stage::{self, Profile, StagedHome};
use crate::step::{self, Attended};
use crate::{guests, packages, workspace};

/// The tools that the job names.
const TOOLS: [&str; 3] = ["demo/hello", "demo/nodefacts", "demo/summary"];

/// The nodes, with an address of the loopback network and an sshd each.
const NODES: [(&str, &str); 3] = [("alpha", "127.0.0.1"), ("beta", "127.0.0.2"), ("gamma", "127.0.0.3")];

/// The job, as people write one.
const JOB: &str = "docs/examples/demo/demo.job.yaml";

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
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
    let home = StagedHome::new(&program, &TOOLS)?;
    let outcome = run_job(&attended, &home);
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

fn run_job(attended: &Attended, home: &StagedHome) -> Result<()> {
    let servers = start_servers()?;
    attended.check()?;
    let inventory = home.write("demo.hosts.yaml", &inventory(&servers), 0o600)?;
    let job = workspace::root()?.join(JOB);
    let mut autoexec = Command::new(home.program());
    autoexec.arg("run").arg(&job).arg("-i").arg(&inventory).env("AUTOEXEC_HOME", home.path());
    step::say(format_args!("autoexec run {JOB} -i {}", inventory.display()));
    let status = attended.run(&mut autoexec)?;
    if !status.success() {
        bail!("autoexec ended with {status}");
    }
    Ok(())
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
