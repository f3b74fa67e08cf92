//! A cable between this machine and a scratch one, which can be pulled: the peer is gone without a word.
//!
//! It is a pair of virtual interfaces of their own with addresses for documentation, which lead nowhere else. It goes with the
//! scratch machine.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::scratch::Scratch;

const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const THERE: &str = "wire0";

/// The cable, and a server of the scratch machine at its other end.
#[derive(Debug)]
pub struct Wire {
    address: Ipv4Addr,
    server: Child,
}

impl Wire {
    /// Lays the cable, and starts sshd on port 22 of the scratch machine's end.
    pub fn to(machine: &Scratch) -> Result<Self> {
        let here = format!("ae{}", std::process::id());
        // A pair of addresses for each process, as far as they go.
        let first = u8::try_from(std::process::id() % 120 * 2)?;
        let (own, address) = (Ipv4Addr::new(198, 51, 100, first), Ipv4Addr::new(198, 51, 100, first + 1));
        let netns = machine.pid().to_string();
        ip(&["link", "add", &here, "type", "veth", "peer", "name", THERE, "netns", &netns])?;
        ip(&["addr", "add", &format!("{own}/31"), "dev", &here])?;
        ip(&["link", "set", &here, "up"])?;
        machine.sh(&format!("ip addr add {address}/31 dev {THERE} && ip link set {THERE} up"))?;
        let server = machine
            .command("/usr/sbin/sshd")
            .args(["-D", "-e", "-p", "22", "-f", "/run/scratch/sshd_config", "-o"])
            .arg(format!("ListenAddress={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start sshd")?;
        let mut wire = Self { address, server };
        wire.wait()?;
        Ok(wire)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.address, 22))
    }

    /// Pulls the cable at the other end: what is sent from here gets lost, and nobody hears of it.
    pub fn pull(&self, machine: &Scratch) -> Result<()> {
        machine.sh(&format!("ip link set {THERE} down")).map(drop)
    }

    /// Plugs it in again.
    pub fn plug_in(&self, machine: &Scratch) -> Result<()> {
        machine.sh(&format!("ip link set {THERE} up")).map(drop)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect_timeout(&self.address(), START_LIMIT).is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("sshd ended with {status}");
            }
            ensure!(Instant::now() < deadline, "sshd does not listen on {}", self.address());
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output =
        Command::new("ip").args(arguments).output().context("start ip (apt-get install iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
