//! Putting a tree of files on a target in one stream (defects 43, 51, 53).

use std::io::{self, BufWriter, Read, Write};

use super::connection::Worker;
use super::error::{SshErrorKind, Step, excerpt};
use super::exec::Conversation;
use super::feed::{Feed, Outcome};
use super::hearing;
use super::link::Link;
use super::marker::{Report, Token};
use super::patience::{Cancel, Patience};
use super::resident::{Afterwards, Line, TELL, word};
use super::sftp;
use super::wrapper::{END, Inline, Packing, Wrapper};
use crate::entry::{Content, UploadEntry, UploadSource};
use crate::stop::StopLevel;

/// The most bytes of small text files that travel in the script itself, which a shell reads byte by byte.
const MAX_INLINE: u64 = 8 * 1024;
/// From here on compressing costs less than sending, except on the fastest networks.
const MIN_GZIP: u64 = 64 * 1024;
const BUFFER: usize = 32 * 1024;

/// Opens an entry's content.
pub(super) fn open(entry: &UploadEntry) -> Result<Content, SshErrorKind> {
    entry.open().map_err(|source| SshErrorKind::LocalFile { path: entry.local_path(), source })
}

fn length(entry: &UploadEntry) -> Result<u64, SshErrorKind> {
    entry.length().map_err(|source| SshErrorKind::LocalFile { path: entry.local_path(), source })
}

fn check(entries: &[UploadEntry], dir: &str) -> Result<(), SshErrorKind> {
    if dir.is_empty() || dir.contains(['\0', '\n']) {
        let detail = "it is empty or holds a NUL byte or a line break".to_owned();
        return Err(SshErrorKind::Invalid { what: "remote directory".into(), detail });
    }
    match entries.iter().find(|entry| !entry.is_inside()) {
        None => Ok(()),
        Some(entry) => Err(SshErrorKind::Invalid {
            what: "upload path".into(),
            detail: format!("{:?} is not a path below the target directory", entry.dest),
        }),
    }
}

/// Files on their way, and how they travel.
#[derive(Default)]
pub(super) struct Cargo<'a> {
    entries: &'a [UploadEntry],
    inline: Vec<Inline>,
    packing: Option<Packing>,
    end: Option<String>,
}

impl<'a> Cargo<'a> {
    /// Small texts go into the script, everything else into an archive.
    pub(super) fn of(entries: &'a [UploadEntry], dir: &str, gzip: bool) -> Result<Self, SshErrorKind> {
        check(entries, dir)?;
        if let Some(inline) = inline(entries)? {
            return Ok(Self { inline, ..Self::default() });
        }
        // What is nothing needs no archive.
        let inline = entries.iter().filter(|entry| is_nothing(entry)).map(emptied).collect();
        let total = entries.iter().map(length).sum::<Result<u64, _>>()?;
        let packing = if gzip && total >= MIN_GZIP { Packing::Gzip } else { Packing::Plain };
        Ok(Self { entries, inline, packing: Some(packing), end: None })
    }

    /// An archive gets a last file, by which the target knows that it has all.
    pub(super) fn with_end(self) -> Result<Self, SshErrorKind> {
        let end = self.packing.map(|_| Token::random()).transpose()?;
        Ok(Self { end: end.map(|token| token.text().to_owned()), ..self })
    }

    /// What is in that file.
    pub(super) fn end(&self) -> Option<&str> {
        self.end.as_deref().filter(|_| self.packing.is_some())
    }

    pub(super) fn inline(&self) -> &[Inline] {
        &self.inline
    }

    pub(super) fn packing(&self) -> Option<Packing> {
        self.packing
    }

    /// Goes without compression.
    pub(super) fn unpacked(&mut self) {
        self.packing = self.packing.map(|_| Packing::Plain);
    }

    /// Sends the archive, if there is one.
    pub(super) fn stream(
        &self,
        link: &Link,
        conversation: &mut Conversation<'_>,
        patience: Patience<'_>,
        outcome: &Outcome,
    ) -> Result<(), SshErrorKind> {
        let Some(packing) = self.packing else { return Ok(()) };
        let feed = Feed::new(link, conversation, patience, outcome);
        let buffer = BufWriter::with_capacity(BUFFER, feed);
        match packing {
            Packing::Plain => self.archive(buffer, outcome, |mut buffer| buffer.flush()),
            Packing::Gzip => {
                let level = flate2::Compression::fast();
                let encoder = flate2::write::GzEncoder::new(buffer, level);
                self.archive(encoder, outcome, |encoder| encoder.finish()?.flush())
            }
        }
    }

    /// Writes the archive and finishes what it is written through.
    fn archive<W: Write>(
        &self,
        to: W,
        outcome: &Outcome,
        finish: impl FnOnce(W) -> io::Result<()>,
    ) -> Result<(), SshErrorKind> {
        let mut archive = tar::Builder::new(to);
        let end = self.end().map(|end| UploadEntry {
            source: UploadSource::Bytes(format!("{end}\n").into_bytes()),
            dest: END.to_owned(),
            mode: 0o600,
        });
        for entry in self.entries.iter().filter(|entry| !is_nothing(entry)).chain(&end) {
            if let Err(kind) = append(&mut archive, entry, outcome) {
                outcome.shut();
                return Err(kind);
            }
        }
        archive.into_inner().and_then(finish).map_err(|error| {
            outcome
                .take_error()
                .unwrap_or(SshErrorKind::Channel { step: Step::Send, detail: error.to_string() })
        })
    }
}

/// The files as texts of the script; none when one is too large, no text, or to be made unwritable.
fn inline(entries: &[UploadEntry]) -> Result<Option<Vec<Inline>>, SshErrorKind> {
    let mut room = MAX_INLINE;
    let mut files = Vec::new();
    for entry in entries {
        if is_nothing(entry) {
            files.push(emptied(entry));
            continue;
        }
        let length = length(entry)?;
        if length > room || entry.mode & 0o600 != 0o600 {
            return Ok(None);
        }
        room -= length;
        let mut bytes = Vec::new();
        open(entry)?
            .reader
            .read_to_end(&mut bytes)
            .map_err(|source| SshErrorKind::LocalFile { path: entry.local_path(), source })?;
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                files.push(Inline { dest: entry.dest.clone(), text: Some(text), mode: entry.mode & 0o7777 });
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(files))
}

fn is_nothing(entry: &UploadEntry) -> bool {
    matches!(entry.source, UploadSource::Nothing)
}

fn emptied(entry: &UploadEntry) -> Inline {
    Inline { dest: entry.dest.clone(), text: None, mode: entry.mode & 0o7777 }
}

/// Puts files below a directory that is there.
pub(super) fn upload(
    worker: &Worker,
    entries: &[UploadEntry],
    dir: &str,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    if entries.is_empty() {
        return check(entries, dir);
    }
    let mut cargo = Cargo::of(entries, dir, worker.gzip())?;
    loop {
        match deliver(worker, &cargo, dir, cancel)? {
            Some(Report::NoGzip) if cargo.packing == Some(Packing::Gzip) => {
                worker.forget_gzip();
                cargo.unpacked();
            }
            Some(Report::NoTar) => return one_by_one(worker, entries, dir, cancel),
            _ => return Ok(()),
        }
    }
}

/// One try; what the target lacks is the result.
fn deliver(
    worker: &Worker,
    cargo: &Cargo<'_>,
    dir: &str,
    cancel: &Cancel,
) -> Result<Option<Report>, SshErrorKind> {
    let link = &worker.link;
    let token = Token::random()?;
    let wrapper = Wrapper { root: dir, inline: &cargo.inline, stream: cargo.packing, ..Wrapper::default() };
    let line = wrapper.line(&token);
    let mut patience =
        Patience::new(Step::Start, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let mut conversation = Conversation::in_shell(link, &token, &line, &patience, None, hearing::nobody())?;
    let outcome = Outcome::default();
    let sent = conversation
        .send_line(link, &line, &mut patience)
        .and_then(|()| cargo.stream(link, &mut conversation, patience.at(Step::Send), &outcome));
    // The time so far was for sending.
    patience.renew();
    let mut patience = patience.up_to(0);
    let sent = match sent {
        Ok(()) => conversation.end_input(link, &patience),
        // What the target says about its own end is the better message.
        Err(_) if outcome.remote_ended() => Ok(()),
        Err(kind) => Err(kind),
    };
    let result = sent.and_then(|()| conversation.until_exit(link, &mut patience, None)).and_then(|()| {
        conversation.take_words(link);
        judge(&conversation, dir)
    });
    let stale = conversation.proves_stale(link);
    conversation.close(link);
    // Nothing has been done, and no shell stands by any more.
    if stale { deliver(worker, cargo, dir, cancel) } else { result }
}

fn judge(conversation: &Conversation<'_>, dir: &str) -> Result<Option<Report>, SshErrorKind> {
    match (conversation.heard.exit, conversation.heard.last) {
        (Some((0, _)), _) => Ok(None),
        (_, lacks @ Some(Report::NoTar | Report::NoGzip)) => Ok(lacks),
        (_, Some(Report::NoDirectory)) => Err(SshErrorKind::RemoteDirectory { dir: dir.to_owned() }),
        (Some((code, _)), _) | (_, Some(Report::Failed(code))) => {
            let action = format!("unpacking files in {dir}");
            Err(SshErrorKind::Remote { action, code, message: excerpt(&conversation.stderr) })
        }
        _ if conversation.started() => Err(SshErrorKind::NoExit),
        _ => Err(conversation.not_started()),
    }
}

/// For targets without `tar`: over SFTP, or where that is not offered either, by a command for each file.
pub(super) fn one_by_one(
    worker: &Worker,
    entries: &[UploadEntry],
    dir: &str,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    match sftp::open(worker, cancel)? {
        Some(sftp) => sftp::upload(worker, sftp, entries, dir, cancel),
        None => entries.iter().try_for_each(|entry| by_command(worker, entry, dir, cancel)),
    }
}

fn by_command(worker: &Worker, entry: &UploadEntry, dir: &str, cancel: &Cancel) -> Result<(), SshErrorKind> {
    let link = &worker.link;
    let token = Token::random()?;
    let dest = word(&format!("./{}", entry.dest));
    let parent = entry
        .dest
        .rsplit_once('/')
        .map_or(String::new(), |(parent, _)| format!("mkdir -p {} && ", word(&format!("./{parent}"))));
    let body = format!(
        "{TELL}umask 077; cd {} && {parent}rm -f {dest} && cat >{dest} && chmod {:o} {dest}; ae_r exit \"$?\"; ",
        word(dir),
        entry.mode & 0o7777,
    );
    let line = Line::new(&token, &body, Afterwards::Ends);
    let mut patience =
        Patience::new(Step::Start, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let mut conversation = Conversation::in_shell(link, &token, &line, &patience, None, hearing::nobody())?;
    let outcome = Outcome::default();
    let mut content = open(entry)?;
    let mut sent = conversation.send_line(link, &line, &mut patience);
    if sent.is_ok() {
        let mut feed = Feed::new(link, &mut conversation, patience.at(Step::Send), &outcome);
        if let Err(source) = io::copy(&mut content.reader, &mut feed) {
            sent = match outcome.take_error() {
                Some(kind) => Err(kind),
                None if outcome.remote_ended() => Ok(()),
                None => Err(SshErrorKind::LocalFile { path: entry.local_path(), source }),
            };
        }
    }
    patience.renew();
    let mut patience = patience.up_to(0);
    let result = sent
        .and_then(|()| conversation.end_input(link, &patience))
        .and_then(|()| conversation.until_exit(link, &mut patience, None))
        .and_then(|()| {
            conversation.take_words(link);
            judge(&conversation, dir).map(drop)
        });
    conversation.close(link);
    result
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    entry: &UploadEntry,
    outcome: &Outcome,
) -> Result<(), SshErrorKind> {
    let content = open(entry)?;
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(content.length);
    header.set_mode(entry.mode & 0o7777);
    header.set_mtime(content.modified);
    header.set_uid(0);
    header.set_gid(0);
    let appended = archive.append_data(&mut header, &entry.dest, content.reader);
    appended.map_err(|error| match (outcome.take_error(), &entry.source) {
        (Some(kind), _) => kind,
        (None, UploadSource::Bytes(_) | UploadSource::Nothing) => {
            SshErrorKind::Invalid { what: "upload path".into(), detail: format!("{:?}: {error}", entry.dest) }
        }
        (None, _) => SshErrorKind::LocalFile { path: entry.local_path(), source: error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_must_stay_below_the_directory() {
        let entry =
            |dest: &str| UploadEntry { source: UploadSource::Bytes(vec![]), dest: dest.into(), mode: 0o600 };
        for bad in ["", "/etc/passwd", "../a", "a/../b", "./a", "a/", "a\0b"] {
            assert!(check(&[entry(bad)], "/tmp").is_err(), "{bad:?}");
        }
        assert!(check(&[entry("a/b c/\u{e9}")], "/tmp").is_ok());
        assert!(check(&[], "a\nb").is_err());
    }
}
