//! A throw-away home directory with everything a run of the real program needs.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// Key of job secrets in the homes made here.
pub const PASSWORD_KEY: &str = "k3y-for-tests-0123456789abcdefgh";

/// `AUTOEXEC_HOME` in a temporary directory; removed when dropped.
#[derive(Debug)]
pub struct TestHome {
    root: TempDir,
}

impl TestHome {
    /// Makes `bin`, `conf`, `data`, `logs`, `plugins` and a `conf/config.ini` that points to a server.
    pub fn new(base_url: &str, user: &str, key: &str) -> Result<Self> {
        let home = Self { root: tempfile::Builder::new().prefix("autoexec-home.").tempdir()? };
        for directory in [
            "bin",
            "conf",
            "data/job",
            "data/cache",
            "logs",
            "plugins/local",
            "plugins/remote",
            "plugins/wasm",
        ] {
            std::fs::create_dir_all(home.path().join(directory))?;
        }
        home.write_config(base_url, user, key)?;
        Ok(home)
    }

    /// Writes `conf/config.ini` with the keys of `spec/cli.md` §1.8, secrets in plain text.
    pub fn write_config(&self, base_url: &str, user: &str, key: &str) -> Result<PathBuf> {
        let text = format!(
            "[server]\nserver.baseurl = {base_url}\nserver.username = {user}\nserver.password = {key}\n\
             password.key = {PASSWORD_KEY}\n\n[autoexec]\nrexec.connectTimeout = 5\nrexec.readTimeout = 60\n\
             rexec.writeTimeout = 10\ndb.url =\ndb.maxPoolSize = 0\ndeploy.possibleEncodings = UTF-8,GBK\n"
        );
        self.write("conf/config.ini", &text)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file below the home, its directories included.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        write_file(&self.path().join(relative), content.as_ref(), 0o600)
    }

    /// Writes an executable `plugins/local/<bundle>/<name>`.
    pub fn write_local_plugin(&self, bundle: &str, name: &str, script: &str) -> Result<PathBuf> {
        write_file(&self.path().join("plugins/local").join(bundle).join(name), script.as_bytes(), 0o755)
    }

    /// Writes `plugins/remote/<bundle>/<name>`.
    pub fn write_remote_plugin(&self, bundle: &str, name: &str, script: &str) -> Result<PathBuf> {
        write_file(&self.path().join("plugins/remote").join(bundle).join(name), script.as_bytes(), 0o755)
    }

    /// The directory of a job: its id cut in threes.
    pub fn job_dir(&self, job: &str) -> PathBuf {
        let characters: Vec<char> = job.chars().collect();
        let pieces = characters.chunks(3).map(|piece| piece.iter().collect::<String>());
        pieces.fold(self.path().join("data/job"), |path, piece| path.join(piece))
    }

    /// Writes a file into the directory of a job, for instance `params.json` or `nodes.json`.
    pub fn write_job_file(&self, job: &str, relative: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        write_file(&self.job_dir(job).join(relative), content.as_ref(), 0o600)
    }

    /// Reads a file from the directory of a job.
    pub fn read_job_file(&self, job: &str, relative: &str) -> Result<String> {
        let path = self.job_dir(job).join(relative);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The program, put at `bin/autoexec` so that it finds this home, with an environment of `PATH`, `HOME` and
    /// `LANG` only.
    pub fn autoexec<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Command> {
        let program = self.path().join("bin/autoexec");
        if !program.exists() {
            install(&find_program()?, &program)?;
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path())
            .env("LANG", "C.UTF-8");
        Ok(command)
    }
}

fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<PathBuf> {
    let named = || format!("cannot write {}", path.display());
    let directory = path.parent().with_context(named)?;
    std::fs::create_dir_all(directory).with_context(named)?;
    std::fs::write(path, content).with_context(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).with_context(named)?;
    Ok(path.to_owned())
}

/// A hard link is free; a copy serves another file system.
fn install(program: &Path, place: &Path) -> Result<()> {
    if std::fs::hard_link(program, place).is_err() {
        std::fs::copy(program, place)
            .with_context(|| format!("cannot copy {} to {}", program.display(), place.display()))?;
    }
    Ok(())
}

/// `AUTOEXEC_BIN`, what cargo names for a test of the program's own package, or the newest build in the target
/// directory this test itself runs from.
pub fn find_program() -> Result<PathBuf> {
    for name in ["AUTOEXEC_BIN", "CARGO_BIN_EXE_autoexec"] {
        if let Some(path) = std::env::var_os(name).map(PathBuf::from) {
            return if path.is_file() {
                Ok(path)
            } else {
                bail!("{name} names {}, no such file", path.display())
            };
        }
    }
    let test = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).context("the test does not run from a target directory")?;
    let program = profile.join("autoexec");
    if program.is_file() {
        return Ok(program);
    }
    bail!("no program at {}; run `cargo build -p autoexec-cli` first or set AUTOEXEC_BIN", program.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_what_the_program_looks_for() {
        let home = TestHome::new("http://127.0.0.1:1", "u", "k").unwrap();
        let config = std::fs::read_to_string(home.path().join("conf/config.ini")).unwrap();
        assert!(config.contains("server.baseurl = http://127.0.0.1:1\n"), "{config}");
        assert_eq!(home.job_dir("12345"), home.path().join("data/job/123/45"));

        let plugin = home.write_local_plugin("basic", "hello", "#!/bin/sh\necho hello $1\n").unwrap();
        let output = Command::new(plugin).arg("you").output().unwrap();
        assert_eq!(output.stdout, b"hello you\n");

        home.write_job_file("620011223344", "params.json", "{}").unwrap();
        assert_eq!(home.read_job_file("620011223344", "params.json").unwrap(), "{}");
        assert!(home.path().join("data/job/620/011/223/344/params.json").is_file());
    }
}
