//! A large file in a request of its own, which goes on after a broken connection where the last one ended.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Read, Write};
use std::time::Duration;

use super::connection::Worker;
use super::digests::FileDigest;
use super::error::{SshErrorKind, Step, excerpt};
use super::exec::Conversation;
use super::feed::{Feed, Outcome};
use super::files::RemoteDir;
use super::hearing;
use super::marker::{Report, Token};
use super::patience::{Cancel, Patience};
use super::remote::News;
use super::resident::{Afterwards, Line, TELL, word};
use super::upload;
use super::wrapper;
use crate::entry::UploadEntry;
use crate::stop::StopLevel;

/// From here on a file is worth a request of its own.
pub(super) const LARGE: u64 = 8 * 1024 * 1024;
const BUFFER: usize = 32 * 1024;
/// What a slow target reads of a file in a second.
const READ_A_SECOND: u64 = 8 * 1024 * 1024;
/// Code of a file that did not arrive as it was sent.
const NOT_THE_SAME: i32 = 95;

/// Puts one file below `dir`. A part that an earlier try left is used.
pub(super) fn send(
    worker: &Worker,
    dir: &RemoteDir,
    make: bool,
    entry: &UploadEntry,
    digest: &FileDigest,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<(), SshErrorKind> {
    // As long as there is no directory, nobody can go on with the rest.
    if !make {
        news.sending(true);
    }
    match attempt(worker, dir, make, entry, digest, cancel, news)? {
        Some(Report::NoGzip) if worker.gzip() => {
            worker.forget_gzip();
            // The first try has made the directory.
            attempt(worker, dir, false, entry, digest, cancel, news)?;
        }
        _ => {}
    }
    news.sending(false);
    Ok(())
}

fn line(
    token: &Token,
    dir: &RemoteDir,
    make: bool,
    entry: &UploadEntry,
    digest: &str,
    length: u64,
    gzip: bool,
) -> Line {
    let root = word(dir.path());
    let dest = word(&format!("./{}", entry.dest));
    let part = word(&format!("./{}.part-{}.", entry.dest, digest.get(..16).unwrap_or(digest)));
    let mut line = TELL.to_owned();
    if make {
        line.push_str(&wrapper::make_root(&root, std::iter::empty()));
    }
    let parent = entry
        .dest
        .rsplit_once('/')
        .map_or(String::new(), |(parent, _)| format!("mkdir -p {} || ae_q; ", word(&format!("./{parent}"))));
    let (need, unpack) = if gzip {
        ("command -v gzip >/dev/null 2>&1 || { ae_r nogzip 0; exit 9; }; ", "gzip -dc")
    } else {
        ("", "cat")
    };
    // What the script of a broken connection still writes goes to the old part: the new one is a copy.
    let _ = write!(
        line,
        "umask 077; ae_c {root}; {need}{parent}\
         n={part}{own}; : >\"$n\" || ae_q; z=0; \
         for f in {part}*; do if [ \"$f\" != \"$n\" ] && [ -f \"$f\" ]; then y=$(($(wc -c <\"$f\"))); \
         if [ \"$y\" -gt \"$z\" ] && [ \"$y\" -le {length} ] && cat \"$f\" >\"$n\"; then z=$(($(wc -c <\"$n\"))); fi; \
         rm -f \"$f\"; fi; done; ae_r have \"$z\"; \
         {unpack} >>\"$n\" || ae_q; \
         if [ \"$(($(wc -c <\"$n\")))\" != {length} ]; then ae_r failed {NOT_THE_SAME}; exit 1; fi; \
         if command -v sha256sum >/dev/null 2>&1; then case $(sha256sum <\"$n\") in {digest}*) ;; \
         *) rm -f \"$n\"; ae_r failed {NOT_THE_SAME}; exit 1 ;; esac; fi; \
         chmod {mode:o} \"$n\" && mv -f \"$n\" {dest}; ae_r exit \"$?\"; ",
        own = token.text(),
        mode = entry.mode & 0o7777,
    );
    Line::new(token, &line, Afterwards::Ends)
}

/// One try; the report of a target without `gzip` is a result.
fn attempt(
    worker: &Worker,
    dir: &RemoteDir,
    make: bool,
    entry: &UploadEntry,
    digest: &FileDigest,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<Option<Report>, SshErrorKind> {
    let (link, token, gzip) = (&worker.link, Token::random()?, worker.gzip());
    let mut content = upload::open(entry)?;
    let text = line(&token, dir, make, entry, &hex::encode(digest), content.length, gzip);
    let limit = worker.settings.write_timeout;
    let mut patience = Patience::new(Step::Start, limit, cancel, Some(StopLevel::Terminate));
    // The target is silent while it copies what it has of the file, and while it works out the digest.
    let silent = || {
        let limit = limit.saturating_add(Duration::from_secs(content.length / READ_A_SECOND));
        Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate)).up_to(0)
    };
    let (copying, mut judging) = (silent(), silent());
    let mut conversation = Conversation::in_shell(link, &token, &text, &patience, None, hearing::nobody())?;
    let result = conversation
        .send_line(link, &text, &mut patience)
        .and_then(|()| {
            conversation.until(link, &copying, None, |conversation| {
                matches!(conversation.heard.last, Some(Report::Have(_)))
            })
        })
        .and_then(|()| match conversation.heard.last {
            Some(Report::Have(have)) => {
                news.sending(true);
                let entry = (entry, &mut content.reader);
                patience.renew();
                feed(worker, &mut conversation, patience.at(Step::Send), entry, have, gzip)
            }
            _ => Ok(()),
        })
        .and_then(|()| {
            judging.renew();
            conversation.end_input(link, &judging)
        })
        .and_then(|()| conversation.until_exit(link, &mut judging, None))
        .and_then(|()| {
            conversation.take_words(link);
            judge(&conversation, dir, entry)
        });
    let begun = matches!(conversation.heard.last, Some(Report::Have(_)));
    let stale = conversation.proves_stale(link);
    conversation.close(link);
    if stale {
        // Nothing has been done, and no shell stands by any more.
        return attempt(worker, dir, make, entry, digest, cancel, news);
    }
    result.map_err(|kind| match kind {
        SshErrorKind::ConnectionLost { .. } | SshErrorKind::Timeout { .. } | SshErrorKind::NoExit
            if begun =>
        {
            SshErrorKind::Interrupted { problem: Box::new(kind) }
        }
        kind => kind,
    })
}

fn feed(
    worker: &Worker,
    conversation: &mut Conversation<'_>,
    patience: Patience<'_>,
    (entry, reader): (&UploadEntry, &mut Box<dyn Read + Send>),
    have: u64,
    gzip: bool,
) -> Result<(), SshErrorKind> {
    let outcome = Outcome::default();
    let buffer = BufWriter::with_capacity(BUFFER, Feed::new(&worker.link, conversation, patience, &outcome));
    let sent = if gzip {
        let encoder = flate2::write::GzEncoder::new(buffer, flate2::Compression::fast());
        copy(reader, have, encoder, &outcome, flate2::write::GzEncoder::finish)
    } else {
        copy(reader, have, buffer, &outcome, Ok)
    };
    sent.or_else(|source| match outcome.take_error() {
        Some(kind) => Err(kind),
        // What the target says about its own end is the better message.
        None if outcome.remote_ended() => Ok(()),
        None => Err(SshErrorKind::LocalFile { path: entry.local_path(), source }),
    })
}

/// Copies what follows the first `have` bytes, and finishes the writer only if all of it could be read.
fn copy<W: Write, B: Write>(
    reader: &mut dyn Read,
    have: u64,
    mut writer: W,
    outcome: &Outcome,
    finish: impl FnOnce(W) -> io::Result<B>,
) -> io::Result<()> {
    let copied =
        io::copy(&mut reader.take(have), &mut io::sink()).and_then(|_| io::copy(reader, &mut writer));
    if copied.is_err() {
        outcome.shut();
    }
    copied.and_then(|_| finish(writer)?.flush())
}

fn judge(
    conversation: &Conversation<'_>,
    dir: &RemoteDir,
    entry: &UploadEntry,
) -> Result<Option<Report>, SshErrorKind> {
    match (conversation.heard.exit, conversation.heard.last) {
        (Some((0, _)), _) => Ok(None),
        (_, lacks @ Some(Report::NoGzip)) => Ok(lacks),
        (_, Some(Report::NoDirectory)) => Err(SshErrorKind::RemoteDirectory { dir: dir.path().to_owned() }),
        (Some((code, _)), _) | (_, Some(Report::Failed(code))) => {
            let message = if code == NOT_THE_SAME {
                "what arrived is not what was sent".to_owned()
            } else {
                excerpt(&conversation.stderr)
            };
            let action = format!("writing {dir}/{}", entry.dest);
            Err(SshErrorKind::Remote { action, code, message })
        }
        _ if conversation.started() => Err(SshErrorKind::NoExit),
        _ => Err(conversation.not_started()),
    }
}
