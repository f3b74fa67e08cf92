//! Putting a tree of files on a target in one stream (defects 43, 51, 53).

use std::io::{BufWriter, Write};

use super::connection::Worker;
use super::error::{SshErrorKind, Step, excerpt};
use super::exec::Conversation;
use super::feed::{Feed, Outcome};
use super::marker::{Filter, Report, Token};
use super::patience::{Cancel, Patience};
use super::sftp;
use crate::entry::{UploadEntry, UploadSource};
use crate::shell::quote;
use crate::stop::StopLevel;

/// The command line has no path and no secret in it: the first line of the input is the script, and the stream follows.
const STREAM_SHELL: &str = r#"exec /bin/sh -c 'IFS= read -r l && eval "$l"'"#;
const BUFFER: usize = 32 * 1024;

pub(super) fn upload(
    worker: &Worker,
    entries: &[UploadEntry],
    dir: &str,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    check(entries, dir)?;
    if entries.is_empty() {
        return Ok(());
    }
    let token = Token::random()?;
    let mut patience =
        Patience::new(Step::Start, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let filter = Some(Filter::new(&token));
    let mut conversation = Conversation::start(&worker.link, STREAM_SHELL, filter, false, &patience, None)?;
    let result = send(worker, &mut conversation, entries, dir, &token, &mut patience);
    let tar_missing = conversation.last == Some(Report::NoTar);
    conversation.close(&worker.link);
    if tar_missing {
        tracing::debug!(target = %worker.target, "no tar on the target; uploading over SFTP");
        return sftp::upload(worker, entries, dir, cancel);
    }
    result
}

fn check(entries: &[UploadEntry], dir: &str) -> Result<(), SshErrorKind> {
    if dir.is_empty() || dir.contains(['\0', '\n']) {
        let detail = "it is empty or holds a NUL byte or a line break".to_owned();
        return Err(SshErrorKind::Invalid { what: "remote directory", detail });
    }
    match entries.iter().find(|entry| !entry.is_inside()) {
        None => Ok(()),
        Some(entry) => Err(SshErrorKind::Invalid {
            what: "upload path",
            detail: format!("{:?} is not a path below the target directory", entry.dest),
        }),
    }
}

fn send(
    worker: &Worker,
    conversation: &mut Conversation,
    entries: &[UploadEntry],
    dir: &str,
    token: &Token,
    patience: &mut Patience<'_>,
) -> Result<(), SshErrorKind> {
    let link = &worker.link;
    // Modes are exact (-p); the owner is whoever extracts, for the headers say root and only root can obey.
    let line = format!(
        "{start}; if cd {dir} 2>/dev/null; then if command -v tar >/dev/null 2>&1; then {ready}; tar -xpf -; {exit}; \
         else {notar}; fi; else {nodir}; fi\n",
        start = token.report("start", "0"),
        dir = quote(dir),
        ready = token.report("ready", "0"),
        exit = token.report("exit", "\"$?\""),
        notar = token.report("notar", "0"),
        nodir = token.report("nodir", "0"),
    );
    conversation.send(link, line.as_bytes(), patience, &mut |_| {})?;
    await_ready(worker, conversation, dir, patience)?;
    let outcome = Outcome::default();
    let streamed = stream(worker, conversation, entries, patience.at(Step::Send), &outcome);
    match streamed {
        Ok(()) => conversation.end_input(link, patience)?,
        // What tar says about its own end is the better message.
        Err(_) if outcome.remote_ended() => {}
        Err(kind) => return Err(kind),
    }
    conversation.until_exit(link, patience, None, &mut |_| {})?;
    match conversation.exit {
        Some((0, _)) if !outcome.remote_ended() => Ok(()),
        Some((code, _)) => {
            let action = format!("unpacking files in {dir}");
            Err(SshErrorKind::Remote { action, code, message: excerpt(&conversation.stderr) })
        }
        None => Err(SshErrorKind::NoExit),
    }
}

fn await_ready(
    worker: &Worker,
    conversation: &mut Conversation,
    dir: &str,
    patience: &Patience<'_>,
) -> Result<(), SshErrorKind> {
    loop {
        match conversation.last {
            Some(Report::Ready) => return Ok(()),
            Some(Report::NoDirectory) => return Err(SshErrorKind::RemoteDirectory { dir: dir.to_owned() }),
            // The caller takes the other way.
            Some(Report::NoTar) => return Err(SshErrorKind::NoExit),
            _ if conversation.ended => return Err(SshErrorKind::NotStarted { output: conversation.noise() }),
            _ => {}
        }
        if !conversation.pump(&worker.link, &mut |_| {})? {
            patience.check()?;
            worker.link.wait(patience.until())?;
        }
    }
}

/// Writes the archive.
fn stream(
    worker: &Worker,
    conversation: &mut Conversation,
    entries: &[UploadEntry],
    patience: Patience<'_>,
    outcome: &Outcome,
) -> Result<(), SshErrorKind> {
    let feed = Feed::new(&worker.link, conversation, patience, outcome);
    let mut archive = tar::Builder::new(BufWriter::with_capacity(BUFFER, feed));
    for entry in entries {
        if let Err(kind) = append(&mut archive, entry, outcome) {
            outcome.shut();
            return Err(kind);
        }
    }
    let finished = archive.into_inner().and_then(|mut buffer| buffer.flush());
    finished.map_err(|error| {
        outcome.take_error().unwrap_or(SshErrorKind::Channel { step: Step::Send, detail: error.to_string() })
    })
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    entry: &UploadEntry,
    outcome: &Outcome,
) -> Result<(), SshErrorKind> {
    let content =
        entry.open().map_err(|source| SshErrorKind::LocalFile { path: entry.local_path(), source })?;
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
        (None, UploadSource::File(path)) => SshErrorKind::LocalFile { path: path.clone(), source: error },
        (None, UploadSource::Bytes(_)) => {
            SshErrorKind::Invalid { what: "upload path", detail: format!("{:?}: {error}", entry.dest) }
        }
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
