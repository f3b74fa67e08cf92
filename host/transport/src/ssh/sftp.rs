//! Uploading file by file, for targets without `tar`.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ssh2::{FileStat, OpenFlags, OpenType, Sftp};

use super::connection::Worker;
use super::error::{SshErrorKind, Step};
use super::fault::{Failure, Fault};
use super::link::CLOSE_LIMIT;
use super::patience::{Cancel, Patience};
use super::upload;
use crate::entry::UploadEntry;
use crate::stop::StopLevel;

const BUFFER: usize = 32 * 1024;

/// Opens SFTP; none where the server does not offer it.
pub(super) fn open(worker: &Worker, cancel: &Cancel) -> Result<Option<Sftp>, SshErrorKind> {
    let patience =
        Patience::new(Step::Sftp, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let link = &worker.link;
    link.dismiss();
    let _watch = worker.watch(patience.until());
    loop {
        let fault = match link.session().sftp().map_err(Fault::from) {
            Ok(sftp) => return Ok(Some(sftp)),
            Err(fault) => fault,
        };
        if !fault.would_block {
            tracing::debug!(target = %worker.target, detail = fault.detail, "no SFTP on the target");
            // A subsystem that ends at once is told as a lost connection; the next request shows whether it is one.
            return Ok(None);
        }
        patience.check()?;
        link.wait(patience.until())?;
    }
}

pub(super) fn upload(
    worker: &Worker,
    sftp: Sftp,
    entries: &[UploadEntry],
    dir: &str,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    let mut patience =
        Patience::new(Step::Sftp, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let mut target = Target { worker, sftp, root: Path::new(dir), made: HashSet::new() };
    let result = entries.iter().try_for_each(|entry| {
        patience.renew();
        target.put(entry, &mut patience)
    });
    target.end();
    result
}

struct Target<'a> {
    worker: &'a Worker,
    sftp: Sftp,
    root: &'a Path,
    made: HashSet<PathBuf>,
}

impl Target<'_> {
    fn drive<T, E: Into<Fault>>(
        &self,
        patience: &Patience<'_>,
        step: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Failure> {
        let _watch = self.worker.watch(patience.until());
        self.worker.link.drive(patience, None, step)
    }

    fn put(&mut self, entry: &UploadEntry, patience: &mut Patience<'_>) -> Result<(), SshErrorKind> {
        let path = self.root.join(&entry.dest);
        let during = |failure: Failure| match failure.during(Step::Sftp) {
            SshErrorKind::Channel { step, detail } => {
                SshErrorKind::Channel { step, detail: format!("{}: {detail}", path.display()) }
            }
            other => other,
        };
        self.make_parents(Path::new(&entry.dest), patience);
        let content = upload::open(entry)?;
        let mode = i32::try_from(entry.mode & 0o7777).unwrap_or(0o600);
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let mut file = self
            .drive(patience, || self.sftp.open_mode(&path, flags, mode, OpenType::File))
            .map_err(during)?;
        let copied = self.copy(entry, content.reader, &mut file, patience);
        let closed = self.drive(patience, || file.close());
        // An open one is closed by its end.
        let watch = self.worker.watch(Instant::now() + CLOSE_LIMIT);
        drop((file, watch));
        copied?;
        closed.map_err(during)?;
        // The server applied its umask when it made the file.
        let stat = || FileStat {
            size: None,
            uid: None,
            gid: None,
            perm: Some(entry.mode & 0o7777),
            atime: None,
            mtime: None,
        };
        self.drive(patience, || self.sftp.setstat(&path, stat())).map_err(during)
    }

    /// A directory that cannot be made shows itself when the file in it cannot: it may just be there already.
    fn make_parents(&mut self, dest: &Path, patience: &Patience<'_>) {
        let mut parents: Vec<&Path> =
            dest.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).collect();
        parents.reverse();
        for parent in parents {
            if self.made.insert(parent.to_owned()) {
                let path = self.root.join(parent);
                let _ = self.drive(patience, || self.sftp.mkdir(&path, 0o755));
            }
        }
    }

    fn copy(
        &self,
        entry: &UploadEntry,
        mut from: Box<dyn Read>,
        to: &mut ssh2::File,
        patience: &mut Patience<'_>,
    ) -> Result<(), SshErrorKind> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = from
                .read(&mut buffer)
                .map_err(|source| SshErrorKind::LocalFile { path: entry.local_path(), source })?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            while !rest.is_empty() {
                let sent = self.drive(patience, || to.write(rest)).map_err(|failure| {
                    match failure.during(Step::Sftp) {
                        SshErrorKind::Channel { step, detail } => {
                            SshErrorKind::Channel { step, detail: format!("{}: {detail}", entry.dest) }
                        }
                        other => other,
                    }
                })?;
                rest = rest.get(sent..).unwrap_or_default();
                patience.moved(sent);
            }
        }
    }

    /// The binding cannot repeat a shutdown that would block; the session's own limit bounds this one.
    fn end(mut self) {
        let session = self.worker.link.session();
        let _watch = self.worker.watch(Instant::now() + CLOSE_LIMIT);
        session.set_blocking(true);
        if let Err(error) = self.sftp.shutdown() {
            tracing::debug!(%error, "an SFTP session does not close");
        }
        session.set_blocking(false);
    }
}
