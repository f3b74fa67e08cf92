//! A real agent of Net-SNMP on loopback.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

const PROGRAM: &str = "/usr/sbin/snmpd";

/// A running agent, ended with this value.
pub struct Snmpd {
    port: u16,
    process: Child,
    _dir: TempDir,
}

impl Snmpd {
    /// Starts one with the text of its `snmpd.conf`.
    ///
    /// # Errors
    /// It is not installed, or can not be started.
    pub fn start(config: &str) -> Result<Self> {
        ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: run `cargo xtask prepare`");
        let dir = TempDir::new()?;
        let file = dir.path().join("snmpd.conf");
        std::fs::write(&file, config)?;
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(PROGRAM)
            .args(["-f", "-Ln", "-C", "-c"])
            .arg(&file)
            .arg("-p")
            .arg(dir.path().join("pid"))
            .arg(format!("udp:127.0.0.1:{port}"))
            .env("SNMP_PERSISTENT_DIR", dir.path())
            .env("MIBS", "")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {PROGRAM}"))?;
        Ok(Self { port, process, _dir: dir })
    }

    /// Its UDP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}
