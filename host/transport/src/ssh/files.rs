//! Directories and files on a target.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::become_user::{self, Account};
use super::connection::Worker;
use super::error::{SshErrorKind, Step};
use super::patience::{Cancel, Patience};
use super::script::{self, Ran};
use crate::shell::quote;
use crate::stop::StopLevel;

const MAX_PREFIX: usize = 128;
const MISSING: i32 = 83;
const NOT_A_FILE: i32 = 84;
/// Removing a large tree is silent work.
const REMOVE_LIMIT: Duration = Duration::from_mins(10);

/// A private directory on a target, made by [`super::SshConnection::make_private_dir`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDir {
    path: String,
}

impl RemoteDir {
    /// Its absolute path; it needs no quoting.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for RemoteDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl RemoteDir {
    /// A name for a new directory under `/tmp`: `prefix` (ASCII letters, digits, `.`, `_`, `-`) plus a random ending. Only
    /// making it says whether it is there; no name is ever reused (defects 48, 49).
    pub fn new(prefix: &str) -> Result<Self, SshErrorKind> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(usable) {
            let detail = format!("{prefix:?} must be 1 to {MAX_PREFIX} of A-Z a-z 0-9 . _ -");
            return Err(SshErrorKind::Invalid { what: "remote directory prefix", detail });
        }
        let mut random = [0; 6];
        getrandom::fill(&mut random)
            .map_err(|error| SshErrorKind::Local { what: "random numbers", detail: error.to_string() })?;
        Ok(Self { path: format!("/tmp/{prefix}.{}", hex::encode(random)) })
    }
}

pub(super) fn make_private_dir(
    worker: &Worker,
    prefix: &str,
    cancel: &Cancel,
) -> Result<RemoteDir, SshErrorKind> {
    let dir = RemoteDir::new(prefix)?;
    // mkdir fails on anything that is there already, a planted link included.
    let body = format!("umask 077; mkdir -m 700 {}", quote(&dir.path));
    quiet(worker, &body, worker.settings.write_timeout, cancel)?
        .expect_success(|| format!("making the directory {dir}"))?;
    Ok(dir)
}

/// Removes a directory and looks whether it is gone. What another user made in it may need that user.
pub(super) fn remove_dir(
    worker: &Worker,
    dir: &RemoteDir,
    account: Option<&Account>,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    let path = quote(&dir.path);
    let as_account = match account {
        Some(account) => format!(
            "ae_n=$(printf '\\nx'); ae_n=${{ae_n%x}}\n{}\n[ ! -d {path} ] || ae_b | {} >/dev/null 2>&1\n",
            become_user::feeding(account, &format!("rm -rf {path}/*")),
            become_user::command(account)
        ),
        None => String::new(),
    };
    // Members without the right to write (a read-only source tree) would keep rm from removing their content.
    let body = format!(
        "cd / && rm -rf {path} 2>/dev/null && return 0\n{as_account}chmod -R u+rwx {path} 2>/dev/null\n\
         rm -rf {path}\n[ ! -e {path} ]"
    );
    let limit = worker.settings.write_timeout.max(REMOVE_LIMIT);
    quiet(worker, &body, limit, cancel)?.expect_success(|| format!("removing the directory {}", dir.path))
}

fn quiet(worker: &Worker, body: &str, limit: Duration, cancel: &Cancel) -> Result<Ran, SshErrorKind> {
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate));
    script::run(&worker.link, body, &mut patience, None, &mut |_| {})
}

pub(super) fn read_file(
    worker: &Worker,
    remote: &str,
    max_bytes: u64,
    cancel: &Cancel,
) -> Result<Option<Vec<u8>>, SshErrorKind> {
    let mut content = Vec::new();
    let found = fetch(worker, remote, max_bytes, cancel, &mut |bytes| {
        content.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(found.map(|_| content))
}

pub(super) fn download(
    worker: &Worker,
    remote: &str,
    local: &Path,
    max_bytes: u64,
    cancel: &Cancel,
) -> Result<Option<u64>, SshErrorKind> {
    let at_local = |source| SshErrorKind::LocalFile { path: local.to_owned(), source };
    let dir = local.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Under a name that the next process of the job removes if this one is killed here.
    let prefix = format!(".autoexec-{}-fetch.", std::process::id());
    let mut file =
        tempfile::Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(dir).map_err(at_local)?;
    let found =
        fetch(worker, remote, max_bytes, cancel, &mut |bytes| file.write_all(bytes).map_err(at_local))?;
    if found.is_some() {
        file.as_file().sync_data().map_err(at_local)?;
        file.persist(local).map_err(|error| at_local(error.error))?;
    }
    Ok(found)
}

/// Hands a remote file's bytes to `write`. Returns its length, none for a missing file.
fn fetch(
    worker: &Worker,
    remote: &str,
    max_bytes: u64,
    cancel: &Cancel,
    write: &mut dyn FnMut(&[u8]) -> Result<(), SshErrorKind>,
) -> Result<Option<u64>, SshErrorKind> {
    if remote.is_empty() || remote.contains('\0') {
        let detail = "it is empty or holds a NUL byte".to_owned();
        return Err(SshErrorKind::Invalid { what: "remote path", detail });
    }
    let path = quote(remote);
    // head bounds what a growing file sends; one byte more than allowed is enough to know. Not every head can count.
    let body = format!(
        "[ -e {path} ] || return {MISSING}\n[ -f {path} ] || return {NOT_A_FILE}\n\
         if head -c 1 </dev/null >/dev/null 2>&1; then head -c {} < {path}; else cat < {path}; fi",
        max_bytes.saturating_add(1)
    );
    let mut length: u64 = 0;
    let mut written = Ok(());
    let mut take = |bytes: &[u8]| {
        length = length.saturating_add(bytes.len() as u64);
        if written.is_ok() && length <= max_bytes {
            written = write(bytes);
        }
    };
    let mut patience =
        Patience::new(Step::Output, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let ran = script::run(&worker.link, &body, &mut patience, None, &mut take)?;
    written?;
    if length > max_bytes {
        return Err(SshErrorKind::TooLarge { path: remote.to_owned(), limit: max_bytes });
    }
    match ran.code {
        MISSING => return Ok(None),
        NOT_A_FILE => return Err(SshErrorKind::NotAFile { path: remote.to_owned() }),
        _ => ran.expect_success(|| format!("reading {remote}"))?,
    }
    Ok(Some(length))
}
