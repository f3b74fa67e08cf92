//! The other tools, each set up as its users would for speed: kept connections, no fact gathering, the same width.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use autoexec_test_support::sshd::Sshd;

use super::cost::{self, Cost};
use crate::bench::job::quietly;
use crate::stage::StagedHome;

/// What all tools work on.
pub(super) struct Ground<'a> {
    pub(super) home: &'a StagedHome,
    pub(super) sshd: &'a Sshd,
    /// Programs of the virtual environment.
    pub(super) python: &'a Path,
    pub(super) nodes: u32,
    pub(super) width: u32,
    pub(super) operations: u32,
    /// What a login shell runs on each target.
    pub(super) script: &'static str,
}

/// A tool and how it is started.
pub(super) struct Contender {
    pub(super) what: &'static str,
    /// It takes long with many nodes, so that it is run once there.
    pub(super) is_slow: bool,
    words: Vec<String>,
}

/// One node by the `ssh` client: the operations one after the other over one connection.
const CLIENT: &str = r#"#!/bin/sh
set -e
node=$1
ssh_() {
    ssh -F /dev/null -i "$BENCH_KEY" -p "$BENCH_PORT" -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
        -o "UserKnownHostsFile=$BENCH_DIR/known_hosts" -o LogLevel=ERROR \
        -o ControlMaster=auto -o ControlPersist=60 -o "ControlPath=$BENCH_DIR/c$node" "$@"
}
i=0
while [ "$i" -lt "$BENCH_OPERATIONS" ]; do
    ssh_ "$BENCH_USER@127.0.0.1" "sh -lc '$BENCH_SCRIPT'" </dev/null
    i=$((i + 1))
done
ssh_ "$BENCH_USER@127.0.0.1" -O exit
"#;

/// parallel-ssh is a library.
const PARALLEL_SSH: &str = r#"import os
from pssh.clients import ParallelSSHClient

nodes, width = int(os.environ["BENCH_NODES"]), int(os.environ["BENCH_WIDTH"])
client = ParallelSSHClient(
    ["127.0.0.1"] * nodes, user=os.environ["BENCH_USER"], port=int(os.environ["BENCH_PORT"]),
    pkey=os.environ["BENCH_KEY"], pool_size=width, allow_agent=False, num_retries=3,
)
for _ in range(int(os.environ["BENCH_OPERATIONS"])):
    output = client.run_command(os.environ["BENCH_SCRIPT"], shell="sh -lc", stop_on_errors=True)
    client.join(output)
    for host in output:
        lines = list(host.stdout)
        if host.exit_code != 0 or lines != ["done"]:
            raise SystemExit(f"{host.exit_code} {lines}")
"#;

impl Contender {
    /// All of them, with their files written.
    pub(super) fn all(ground: &Ground<'_>) -> Result<Vec<Self>> {
        Ok(vec![client(ground)?, ansible(ground)?, pyinfra(ground)?, parallel_ssh(ground)?])
    }

    /// Runs it once.
    pub(super) fn run(&self, ground: &Ground<'_>) -> Result<Cost> {
        let measured = cost::of(ground.home, |mut time| {
            quietly(
                time.args(&self.words)
                    .current_dir(ground.home.path())
                    .env("BENCH_DIR", ground.home.path())
                    .env("BENCH_KEY", ground.sshd.key_path())
                    .env("BENCH_PORT", ground.sshd.port().to_string())
                    .env("BENCH_USER", ground.sshd.user())
                    .env("BENCH_NODES", ground.nodes.to_string())
                    .env("BENCH_WIDTH", ground.width.to_string())
                    .env("BENCH_OPERATIONS", ground.operations.to_string())
                    .env("BENCH_SCRIPT", ground.script)
                    .env("ANSIBLE_CONFIG", ground.home.path().join("ansible.cfg"))
                    .env("HOME", ground.home.path()),
            )
        });
        measured.with_context(|| format!("measuring `{}`", self.what))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn login(ground: &Ground<'_>) -> String {
    format!("sh -lc '{}'", ground.script)
}

fn program(ground: &Ground<'_>, name: &str) -> String {
    text(&ground.python.join(name))
}

fn client(ground: &Ground<'_>) -> Result<Contender> {
    let script = ground.home.write("client.sh", CLIENT, 0o700)?;
    let command = format!("seq {} | xargs -P{} -I@ {} @", ground.nodes, ground.width, script.display());
    Ok(Contender {
        what: "`ssh` with ControlMaster",
        is_slow: true,
        words: vec!["sh".to_owned(), "-c".to_owned(), command],
    })
}

/// A connection of its own for each node, although all have one address.
fn ansible(ground: &Ground<'_>) -> Result<Contender> {
    let config = format!(
        "[defaults]\nforks = {}\nhost_key_checking = False\ngathering = explicit\nretry_files_enabled = False\n\
         interpreter_python = /usr/bin/python3\nstdout_callback = minimal\n\
         [ssh_connection]\npipelining = True\nssh_args = -F /dev/null -o ControlMaster=auto -o ControlPersist=60\n",
        ground.width
    );
    ground.home.write("ansible.cfg", &config, 0o600)?;
    let mut inventory = String::from("[all]\n");
    for node in 1..=ground.nodes {
        let _ = writeln!(
            inventory,
            "node{node} ansible_host=127.0.0.1 ansible_port={} ansible_user={} ansible_ssh_private_key_file={} \
             ansible_control_path={}/a{node}",
            ground.sshd.port(),
            ground.sshd.user(),
            ground.sshd.key_path().display(),
            ground.home.path().display(),
        );
    }
    let inventory = ground.home.write("ansible.ini", &inventory, 0o600)?;
    let mut playbook = String::from("- hosts: all\n  gather_facts: false\n  tasks:\n");
    for _ in 0..ground.operations {
        let _ = writeln!(playbook, "    - ansible.builtin.shell: {}", login(ground));
    }
    let playbook = ground.home.write("ansible.yaml", &playbook, 0o600)?;
    let words = [program(ground, "ansible-playbook"), "-i".to_owned(), text(&inventory), text(&playbook)];
    Ok(Contender { what: "ansible-core with pipelining", is_slow: true, words: words.to_vec() })
}

fn pyinfra(ground: &Ground<'_>) -> Result<Contender> {
    let mut inventory = String::from("nodes = [\n");
    for node in 1..=ground.nodes {
        let _ = writeln!(
            inventory,
            "    (\"node{node}\", {{\"ssh_hostname\": \"127.0.0.1\", \"ssh_port\": {}, \"ssh_user\": {:?}, \"ssh_key\": {:?}, \
             \"ssh_strict_host_key_checking\": \"off\"}}),",
            ground.sshd.port(),
            ground.sshd.user(),
            text(&ground.sshd.key_path()),
        );
    }
    inventory.push_str("]\n");
    let inventory: PathBuf = ground.home.write("pyinfra_inventory.py", &inventory, 0o600)?;
    let mut deploy = String::from("from pyinfra.operations import server\n");
    for number in 1..=ground.operations {
        let _ = writeln!(deploy, "server.shell(name=\"step {number}\", commands=[{:?}])", login(ground));
    }
    let deploy = ground.home.write("pyinfra_deploy.py", &deploy, 0o600)?;
    let words = [
        program(ground, "pyinfra"),
        "-y".to_owned(),
        "--parallel".to_owned(),
        ground.width.to_string(),
        text(&inventory),
        text(&deploy),
    ];
    Ok(Contender { what: "pyinfra", is_slow: false, words: words.to_vec() })
}

fn parallel_ssh(ground: &Ground<'_>) -> Result<Contender> {
    let script = ground.home.write("parallel_ssh.py", PARALLEL_SSH, 0o600)?;
    let words = [program(ground, "python"), text(&script)];
    Ok(Contender { what: "parallel-ssh", is_slow: false, words: words.to_vec() })
}
