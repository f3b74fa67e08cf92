//! `cargo xtask demo`: a real job over three real SSH targets on this machine, and nothing left afterwards.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use autoexec_test_support::sshd::{Sshd, SshdOptions};

use crate::stage::{self, Profile, StagedHome};
use crate::step::{self, Attended};
use crate::{guests, packages, workspace};

/// The tools that the job names.
const TOOLS: [&str; 3] = ["demo/hello", "demo/nodefacts", "demo/summary"];

/// The nodes: one sshd each.
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// The job, as people write one.
const JOB: &str = "docs/examples/demo/demo.job.yaml";

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave the home with the job's files where it is, and say where.
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
    if options.keep {
        step::say(format_args!("kept: {}", home.keep().display()));
    } else {
        drop(home);
        step::say("the servers are stopped and the home is removed; `--keep` keeps the home");
    }
    outcome
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
    let servers: Vec<Sshd> = NODES
        .iter()
        .map(|name| Sshd::start(SshdOptions::default()).with_context(|| format!("starting sshd for {name}")))
        .collect::<Result<_>>()?;
    let ports: Vec<String> = servers.iter().map(|sshd| format!("127.0.0.1:{}", sshd.port())).collect();
    let user = servers.first().map(Sshd::user).unwrap_or_default();
    step::say(format_args!("started sshd on {} for the account {user}", ports.join(", ")));
    Ok(servers)
}

/// The nodes, as people write them. Login is by key, so no secret stands in it.
fn inventory(servers: &[Sshd]) -> String {
    let nodes =
        NODES.iter().zip(servers).map(|(name, sshd)| (*name, sshd.port(), sshd.user(), sshd.key_path()));

    nodes
        .map(|(name, port, user, key)| node(name, port, user, &key))
        .fold("nodes:\n".to_owned(), |text, node| text + &node)
}

fn node(name: &str, port: u16, user: &str, key: &Path) -> String {
    format!(
        "  - name: {name}\n    host: 127.0.0.1\n    port: {port}\n    user: {user}\n    key: {}\n",
        key.display()
    )
}
