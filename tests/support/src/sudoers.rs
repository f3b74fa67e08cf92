//! A rule of `sudo` for the account of a test server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One account may run anything as another, once it has given its own password. Dropping it takes the rule away.
#[derive(Debug)]
pub struct Sudoers(PathBuf);

impl Sudoers {
    /// Writes the rule; none where that is not possible here (no root, or no `sudo` and `setfacl`).
    pub fn allow(login: &str, other: &str) -> Result<Option<Self>> {
        let tools = ["/usr/bin/sudo", "/usr/bin/setfacl"];
        if !nix::unistd::geteuid().is_root() || !tools.iter().all(|tool| Path::new(tool).exists()) {
            return Ok(None);
        }
        let name = format!("autoexec-test-{login}-{other}-{}", std::process::id());
        let rule = Self(Path::new("/etc/sudoers.d").join(name));
        let text = format!("{login} ALL=({other}) ALL\nDefaults:{login} lecture=never\n");
        fs::write(&rule.0, text).with_context(|| format!("write {}", rule.0.display()))?;
        fs::set_permissions(&rule.0, fs::Permissions::from_mode(0o440))?;
        Ok(Some(rule))
    }
}

impl Drop for Sudoers {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
