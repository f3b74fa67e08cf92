//! Directories and files on a target.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::become_user::{self, Account};
use super::connection::Worker;
use super::digests::{self, FileDigest};
use super::error::{SshErrorKind, Step};
use super::filesystem;
use super::isolation::protocol::Download;
use super::patience::{Cancel, Patience};
use super::script::{self, Ran};
use super::unpacking::{MIN_GZIP, Unpacking};
use crate::shell::quote;
use crate::stop::StopLevel;

const MAX_PREFIX: usize = 128;
const MISSING: i32 = 83;
const NOT_A_FILE: i32 = 84;
/// Removing a large tree is silent work.
pub(super) const REMOVE_LIMIT: Duration = Duration::from_mins(10);

/// A private directory on a target, made by [`super::SshConnection::make_private_dir`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !needs_no_quoting(prefix) {
            let detail = format!("{prefix:?} must be 1 to {MAX_PREFIX} of A-Z a-z 0-9 . _ -");
            return Err(SshErrorKind::Invalid { what: "remote directory prefix".into(), detail });
        }
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|error| SshErrorKind::Local {
            what: "random numbers".into(),
            detail: error.to_string(),
        })?;
        Ok(Self { path: format!("/tmp/{prefix}.{}", hex::encode(random)) })
    }

    /// A directory whose name was noted when it was made; none where [`Self::new`] gives no such name to `prefix`.
    pub fn noted(path: &str, prefix: &str) -> Option<Self> {
        let name = path.strip_prefix("/tmp/")?;
        (name.starts_with(prefix) && name.len() <= MAX_PREFIX + 13 && needs_no_quoting(name))
            .then(|| Self { path: path.to_owned() })
    }
}

fn needs_no_quoting(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

pub(super) fn make_private_dir(
    worker: &Worker,
    dir: &RemoteDir,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    // mkdir fails on anything that is there already, a planted link included.
    let body = format!("umask 077; mkdir -m 700 {}", quote(&dir.path));
    let made = quiet(worker, &body, worker.settings.write_timeout, cancel)?
        .expect_success(|| format!("making the directory {dir}"));
    filesystem::explained(made, worker, dir.path(), cancel)
}

/// Removes a directory and looks whether it is gone. What other users made in it may need those users.
pub(super) fn remove_dir(
    worker: &Worker,
    dir: &RemoteDir,
    accounts: &[Account],
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    let body = removal(dir, accounts);
    let limit = worker.settings.write_timeout.max(REMOVE_LIMIT);
    quiet(worker, &body, limit, cancel)?.expect_success(|| format!("removing the directory {}", dir.path))
}

/// The end of a function that removes a directory and looks whether it is gone.
pub(super) fn removal(dir: &RemoteDir, accounts: &[Account]) -> String {
    let path = quote(&dir.path);
    let mut as_accounts = String::new();
    for account in accounts {
        let _ = write!(
            as_accounts,
            "\n{}\n[ ! -d {path} ] || ae_b | {} >/dev/null 2>&1",
            become_user::feeding(account, &format!("rm -rf {path}/* {path}/.[!.]*")),
            become_user::command(account)
        );
    }
    // Members without the right to write (a read-only source tree) would keep rm from removing their content.
    format!(
        "cd / && rm -rf {path} 2>/dev/null && return 0{as_accounts}; chmod -R u+rwx {path} 2>/dev/null; \
         rm -rf {path}; [ ! -e {path} ]"
    )
}

fn quiet(worker: &Worker, body: &str, limit: Duration, cancel: &Cancel) -> Result<Ran, SshErrorKind> {
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate)).up_to(0);
    script::run(&worker.link, body, &mut patience, None, &mut |_| {})
}

pub(super) fn read_file(
    worker: &Worker,
    remote: &str,
    max_bytes: u64,
    cancel: &Cancel,
) -> Result<Option<Vec<u8>>, SshErrorKind> {
    let mut content = Vec::new();
    let found = fetch(worker, (remote, None), 0, max_bytes, cancel, &mut |bytes| {
        content.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(found.map(|_| content))
}

/// Fetches a file to the end of what has arrived of it.
pub(super) fn download(
    worker: &Worker,
    wanted: &Download,
    mut file: File,
    cancel: &Cancel,
) -> Result<Option<u64>, SshErrorKind> {
    let Download { remote, local, max_bytes, account } = wanted;
    let source = (remote.as_str(), account.as_ref());
    let at_local = |source| SshErrorKind::LocalFile { path: local.clone(), source };
    let mut length = file.metadata().map_err(at_local)?.len();
    let own = |file: &mut File| file.rewind().and_then(|()| digests::digest_of(file));
    if length > 0 && !begins_alike(worker, source, own(&mut file).map_err(at_local)?, length, cancel)? {
        file.set_len(0).map_err(at_local)?;
        length = 0;
    }
    file.seek(SeekFrom::Start(length)).map_err(at_local)?;
    let found = fetch(worker, source, length, *max_bytes, cancel, &mut |bytes| {
        file.write_all(bytes).map_err(at_local)
    })?;
    if found.is_some() {
        file.sync_data().map_err(at_local)?;
    }
    Ok(found)
}

/// A remote path and who reads it, where it is not the one that logs in.
type Source<'a> = (&'a str, Option<&'a Account>);

fn read_by(account: Option<&Account>, body: String) -> String {
    match account {
        Some(account) => become_user::body(account, &body),
        None => body,
    }
}

/// Whether the remote file still begins with what has arrived. A target that cannot tell is asked for all of it.
fn begins_alike(
    worker: &Worker,
    (remote, account): Source<'_>,
    own: FileDigest,
    length: u64,
    cancel: &Cancel,
) -> Result<bool, SshErrorKind> {
    let path = quote(remote);
    let body = read_by(account, format!("head -c {length} < {path} | sha256sum"));
    let mut said = Vec::new();
    let limit = worker.settings.write_timeout.max(REMOVE_LIMIT);
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate)).up_to(0);
    script::run(&worker.link, &body, &mut patience, None, &mut |bytes| {
        if said.len() < MAX_PREFIX {
            said.extend_from_slice(bytes);
        }
    })?;
    Ok(said.starts_with(hex::encode(own).as_bytes()))
}

/// Hands a remote file's bytes from `offset` on to `write`. Returns its length, none for a missing file.
fn fetch(
    worker: &Worker,
    (remote, account): Source<'_>,
    offset: u64,
    max_bytes: u64,
    cancel: &Cancel,
    write: &mut dyn FnMut(&[u8]) -> Result<(), SshErrorKind>,
) -> Result<Option<u64>, SshErrorKind> {
    if remote.is_empty() || remote.contains('\0') {
        let detail = "it is empty or holds a NUL byte".to_owned();
        return Err(SshErrorKind::Invalid { what: "remote path".into(), detail });
    }
    let path = quote(remote);
    let skip = if offset > 0 { format!("tail -c +{}", offset + 1) } else { "cat".to_owned() };
    // head bounds what a growing file sends; one byte more than allowed is enough to know. Not every head can count.
    // The first byte says whether the rest is packed. Of a pipe a shell tells how its last part ended; here the first one counts,
    // which may fail in the middle of the file.
    let sent = |bounded: &str| {
        format!("{{ ae_y=$( {{ {{ {skip} < {path}; echo $? >&4; }} | {bounded}$ae_z >&3; }} 4>&1 ); }} 3>&1")
    };
    let body = format!(
        "[ -e {path} ] || return {MISSING}\n[ -f {path} ] || return {NOT_A_FILE}\n[ -r {path} ] || {{ cat < {path}; return; }}\n\
         ae_y=$(2>/dev/null wc -c < {path})\n\
         if [ \"$((${{ae_y:-0}}))\" -ge {MIN_GZIP} ] && command -v gzip >/dev/null 2>&1; then printf z; ae_z='gzip -1c'; \
         else printf p; ae_z=cat; fi\n\
         if head -c 1 </dev/null >/dev/null 2>&1; then {}; else {}; fi\n\
         return \"$((${{ae_y:-1}}))\"",
        sent(&format!("head -c {} | ", max_bytes.saturating_add(1).saturating_sub(offset))),
        sent(""),
    );
    let body = read_by(account, body);
    let mut unpacking = Unpacking::new(offset, max_bytes, write);
    let limit = worker.settings.write_timeout;
    // A file that is packed may get a little longer.
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate))
        .up_to(max_bytes.saturating_add(max_bytes / 64).saturating_add(MIN_GZIP));
    let ran = script::run(&worker.link, &body, &mut patience, None, &mut |bytes| unpacking.take(bytes))?;
    match ran.code {
        MISSING => return Ok(None),
        NOT_A_FILE => return Err(SshErrorKind::NotAFile { path: remote.to_owned() }),
        _ => {}
    }
    match unpacking.finish() {
        // Its end was cut off, which whoever read it may call a failure.
        Ok(length) if length > max_bytes => {
            Err(SshErrorKind::TooLarge { path: remote.to_owned(), limit: max_bytes })
        }
        Err(local @ SshErrorKind::LocalFile { .. }) => Err(local),
        length => ran.expect_success(|| format!("reading {remote}")).and(length).map(Some),
    }
}
