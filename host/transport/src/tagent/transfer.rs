//! Files to and from a target (spec §4, upload and download).

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer::{Download, upload_ready};
use super::charset::{Charset, LineEnds, TextConverter};
use super::client::{Agent, Turn, refused};
use super::error::{Step, TagentError, TagentErrorKind};
use super::frame::{DATA_CHUNK, Frame};
use super::handshake::AgentInfo;
use super::pack;
use super::request::{Request, UploadKind};
use super::wire::Wire;
use crate::entry::{PROGRESS, UploadEntry, UploadSource};
use crate::stop::StopToken;

/// Pieces of a file that wait to be sent.
const AHEAD: usize = 4;
/// How long an agent is waited for that removes half a file.
const REMOVE_LIMIT: Duration = Duration::from_secs(10);

/// How long a file may take: a peer that sends a byte now and then makes no progress.
struct Pace {
    limit: Duration,
    until: Instant,
    moved: usize,
}

impl Pace {
    fn new(limit: Duration) -> Self {
        Self { limit, until: Instant::now(), moved: PROGRESS }
    }

    async fn receive(&mut self, wire: &mut Wire) -> Result<Frame, TagentErrorKind> {
        // From here on, for what we do with a piece takes its time as well.
        if self.moved >= PROGRESS {
            (self.until, self.moved) = (Instant::now() + self.limit, 0);
        }
        let frame = wire.receive_before(Step::Download, Some((self.until, self.limit))).await?;
        if let Frame::Data(bytes) = &frame {
            self.moved += bytes.len();
        }
        Ok(frame)
    }
}

/// What a file becomes on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// The charset to write.
    pub charset: Charset,
    /// The ends of lines.
    pub line_ends: LineEnds,
}

/// A piece of an upload, or why there are no more.
pub(super) type Piece = Result<Vec<u8>, TagentErrorKind>;

impl Agent {
    /// Puts files below `dir`, which has to exist, in one tar stream. Directories between are made.
    pub async fn upload_tree(
        &self,
        entries: Vec<UploadEntry>,
        dir: &str,
        stop: &StopToken,
    ) -> Result<(), TagentError> {
        if let Some(entry) = entries.iter().find(|entry| !entry.is_inside()) {
            let detail = format!("{:?} is not a path below the target directory", entry.dest);
            return Err(self.error(TagentErrorKind::Invalid { what: "upload path", detail }));
        }
        if entries.is_empty() {
            return Ok(());
        }
        let work = async {
            let pieces = produce(move |pieces| pack::pack(&entries, pieces));
            let request = Request::Upload { kind: UploadKind::Folder, source: dir, dest: dir };
            self.upload(&request, pieces, dir).await
        };
        self.guarded(stop, work).await
    }

    /// Writes one file. Its directory has to exist; a file that is there is overwritten in place.
    pub async fn upload_file(
        &self,
        source: UploadSource,
        dest: &str,
        conversion: Option<Conversion>,
        stop: &StopToken,
    ) -> Result<(), TagentError> {
        let name = base_of(dest).to_owned();
        let entry = UploadEntry { source, dest: name.clone(), mode: 0o600 };
        let work = async {
            let pieces = produce(move |pieces| send_content(&entry, conversion, pieces));
            let request = Request::Upload { kind: UploadKind::File, source: &name, dest };
            self.upload(&request, pieces, dest).await
        };
        self.guarded(stop, work).await
    }

    /// Writes a file that another agent sends, as a file or a directory, without keeping it here.
    pub async fn copy_from(
        &self,
        other: &Self,
        source: &str,
        dest: &str,
        stop: &StopToken,
    ) -> Result<(), TagentError> {
        let work = async {
            let (mut from, info) = other.open(Turn::Wait).await?;
            let kind = other.start_download(&mut from, &info, source).await?;
            let kind = match kind {
                None => return Err(refused(format!("reading {source}"), b"there is no such file", &info)),
                Some(Download::Several(paths)) => return Err(several(source, &paths)),
                Some(Download::File) => UploadKind::File,
                Some(Download::Folder) => UploadKind::Folder,
            };
            let (sender, pieces) = mpsc::channel::<Piece>(AHEAD);
            let mut pace = Pace::new(other.settings().write_timeout);
            let pump = async {
                loop {
                    let piece = match pace.receive(&mut from).await {
                        Ok(Frame::Data(bytes)) => Ok(bytes),
                        Ok(Frame::Final(text)) if text.is_empty() => break,
                        Ok(Frame::Final(text)) => Err(refused(format!("reading {source}"), &text, &info)),
                        Err(kind) => Err(kind),
                    };
                    let is_over = piece.is_err();
                    if sender.send(piece).await.is_err() || is_over {
                        break;
                    }
                }
                drop(sender);
                // The other side says how it ended.
                std::future::pending::<std::convert::Infallible>().await
            };
            let request = Request::Upload { kind, source: base_of(source), dest };
            tokio::select! {
                uploaded = self.upload(&request, pieces, dest) => uploaded,
                never = pump => match never {},
            }
        };
        self.guarded(stop, work).await
    }

    async fn upload(
        &self,
        request: &Request<'_>,
        mut pieces: mpsc::Receiver<Piece>,
        dest: &str,
    ) -> Result<(), TagentErrorKind> {
        let action = || format!("writing {dest}");
        let (mut wire, info) = self.open(Turn::Wait).await?;
        self.ask(&mut wire, &info, request).await?;
        match wire.receive(Step::Answer, Some(self.answer_limit())).await? {
            Frame::Data(payload) => upload_ready(&payload)?,
            Frame::Final(text) => return Err(refused(action(), &text, &info)),
        }
        let limit = self.settings().write_timeout;
        while let Some(piece) = pieces.recv().await {
            let bytes = match piece {
                Ok(bytes) => bytes,
                Err(kind) => {
                    // The agent removes what it has and says so. Why it got no more is our error, whatever that is.
                    if let Ok(None) = wire.send_final(b"the sender gave up", limit).await {
                        let _ = wire.receive(Step::Upload, Some(REMOVE_LIMIT)).await;
                    }
                    return Err(kind);
                }
            };
            for part in bytes.chunks(DATA_CHUNK) {
                if let Some(frame) = wire.send_data(part, limit).await? {
                    return Err(early(frame, action(), &info));
                }
            }
        }
        if let Some(frame) = wire.send_final(b"", limit).await? {
            return Err(early(frame, action(), &info));
        }
        // Unpacking may go on after the last byte.
        match wire.receive(Step::Upload, Some(self.answer_limit())).await? {
            Frame::Final(text) if text.is_empty() => Ok(()),
            Frame::Final(text) => Err(refused(action(), &text, &info)),
            frame @ Frame::Data(_) => Err(early(frame, action(), &info)),
        }
    }

    /// The content of a file, at most `max_bytes`; none for a missing one.
    pub async fn read_file(
        &self,
        path: &str,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<Vec<u8>>, TagentError> {
        let mut content = Vec::new();
        let mut keep = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        let found = self.guarded(stop, self.fetch(path, max_bytes, &mut keep)).await?;
        Ok(found.map(|_| content))
    }

    /// Fetches a file as it is. It appears whole or not at all; its length, none for a missing one.
    pub async fn download(
        &self,
        remote: &str,
        local: &Path,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<u64>, TagentError> {
        let at_local = |source| TagentErrorKind::LocalFile { path: local.to_owned(), source };
        let dir = local.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(dir).map_err(|error| self.error(at_local(error)))?;
        let mut keep = |bytes: &[u8]| file.write_all(bytes).map_err(at_local);
        let found = self.guarded(stop, self.fetch(remote, max_bytes, &mut keep)).await?;
        if found.is_some() {
            let kept = file
                .as_file()
                .sync_data()
                .map_err(at_local)
                .and_then(|()| file.persist(local).map_err(|error| at_local(error.error)));
            kept.map_err(|kind| self.error(kind))?;
        }
        Ok(found)
    }

    /// Fetches the contents of a directory below `local`, which has to exist: files and directories, nothing else.
    /// The bytes of the files; none for a missing directory.
    pub async fn download_tree(
        &self,
        remote: &str,
        local: &Path,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<u64>, TagentError> {
        let work = async {
            let (mut wire, info) = self.open(Turn::Wait).await?;
            match self.start_download(&mut wire, &info, remote).await? {
                None => return Ok(None),
                Some(Download::Folder) => {}
                Some(Download::File) => return Err(TagentErrorKind::NotAFile { path: remote.to_owned() }),
                Some(Download::Several(paths)) => return Err(several(remote, &paths)),
            }
            let (sender, pieces) = mpsc::channel(AHEAD);
            let (local, path) = (local.to_owned(), remote.to_owned());
            let unpacking =
                tokio::task::spawn_blocking(move || pack::unpack(pieces, &local, &path, max_bytes));
            let received = self.pump(&mut wire, &info, remote, &sender).await;
            drop(sender);
            let unpacked = unpacking
                .await
                .map_err(|error| TagentErrorKind::Local { what: "a thread", detail: error.to_string() })?;
            // What the peer did is the reason for what became of its stream.
            received?;
            unpacked.map(Some)
        };
        self.guarded(stop, work).await
    }

    async fn pump(
        &self,
        wire: &mut Wire,
        info: &AgentInfo,
        remote: &str,
        sender: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), TagentErrorKind> {
        let mut pace = Pace::new(self.settings().write_timeout);
        loop {
            match pace.receive(wire).await? {
                // An unpacker that is gone has an error of its own.
                Frame::Data(bytes) => {
                    if sender.send(bytes).await.is_err() {
                        return Ok(());
                    }
                }
                Frame::Final(text) if text.is_empty() => return Ok(()),
                Frame::Final(text) => return Err(refused(format!("reading {remote}"), &text, info)),
            }
        }
    }

    async fn fetch(
        &self,
        path: &str,
        max_bytes: u64,
        write: &mut (dyn FnMut(&[u8]) -> Result<(), TagentErrorKind> + Send),
    ) -> Result<Option<u64>, TagentErrorKind> {
        let (mut wire, info) = self.open(Turn::Wait).await?;
        match self.start_download(&mut wire, &info, path).await? {
            None => return Ok(None),
            Some(Download::File) => {}
            Some(Download::Folder) => return Err(TagentErrorKind::NotAFile { path: path.to_owned() }),
            Some(Download::Several(paths)) => return Err(several(path, &paths)),
        }
        let mut length: u64 = 0;
        let mut pace = Pace::new(self.settings().write_timeout);
        loop {
            match pace.receive(&mut wire).await? {
                Frame::Data(bytes) => {
                    length = length.saturating_add(bytes.len() as u64);
                    if length > max_bytes {
                        return Err(TagentErrorKind::TooLarge { path: path.to_owned(), limit: max_bytes });
                    }
                    write(&bytes)?;
                }
                Frame::Final(text) if text.is_empty() => return Ok(Some(length)),
                Frame::Final(text) => return Err(refused(format!("reading {path}"), &text, &info)),
            }
        }
    }

    /// Asks for a file or directory; none where the agent has no such path.
    async fn start_download(
        &self,
        wire: &mut Wire,
        info: &AgentInfo,
        path: &str,
    ) -> Result<Option<Download>, TagentErrorKind> {
        if path.is_empty() || path.contains('\0') {
            let detail = "it is empty or holds a NUL byte".to_owned();
            return Err(TagentErrorKind::Invalid { what: "remote path", detail });
        }
        self.ask(wire, info, &Request::Download { path, follow_links: false }).await?;
        match wire.receive(Step::Answer, Some(self.answer_limit())).await? {
            Frame::Data(payload) => Download::parse(&payload, info.charset).map(Some),
            Frame::Final(text) => {
                if is_missing(&info.charset.decode_lossy(&text)) {
                    return Ok(None);
                }
                Err(refused(format!("reading {path}"), &text, info))
            }
        }
    }
}

/// Whether a failed download says that nothing is there. It is told by the end: the path is shown as the agent reads it,
/// which need not be as it was sent. An account that does not exist has the same end (spec §4).
fn is_missing(said: &str) -> bool {
    let said = said.trim_end();
    let is_account = said.starts_with("Get uid from [") || said.ends_with(" failed, user not exists.");
    said.ends_with(" not exists.") && !is_account
}

/// The agent took the path for a pattern.
fn several(path: &str, paths: &[String]) -> TagentErrorKind {
    let detail = format!(
        "the agent reads {path:?} as a pattern, and {} paths match it; it cannot send a file of that name",
        paths.len()
    );
    TagentErrorKind::Invalid { what: "remote path", detail }
}

/// The agent spoke before the end of the upload.
fn early(frame: Frame, action: String, info: &AgentInfo) -> TagentErrorKind {
    match frame {
        Frame::Final(text) => refused(action, &text, info),
        Frame::Data(bytes) => refused(action, &bytes, info),
    }
}

/// The last part of a path of either system.
fn base_of(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

/// Lets a blocking producer run ahead by a few pieces. It ends when the receiver is gone.
fn produce(
    work: impl FnOnce(&mpsc::Sender<Piece>) -> Result<(), TagentErrorKind> + Send + 'static,
) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(kind) = work(&sender) {
            // Nobody to tell: the upload is over already.
            let _ = sender.blocking_send(Err(kind));
        }
    });
    receiver
}

fn send_content(
    entry: &UploadEntry,
    conversion: Option<Conversion>,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), TagentErrorKind> {
    let at_local = |source| TagentErrorKind::LocalFile { path: entry.local_path(), source };
    let mut content = entry.open().map_err(at_local)?;
    let mut converter = conversion.map(|to| TextConverter::new(to.charset, to.line_ends));
    let mut buffer = vec![0; DATA_CHUNK];
    loop {
        let length = match content.reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(at_local)?,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let mut out = Vec::new();
        match (&mut converter, length) {
            (Some(converter), 1..) => converter.push(bytes, &mut out),
            (None, 1..) => out.extend_from_slice(bytes),
            (_, 0) => {
                if let Some(converter) = converter.take() {
                    converter.finish(&mut out);
                }
            }
        }
        if !out.is_empty() && pieces.blocking_send(Ok(out)).is_err() {
            return Ok(());
        }
        if length == 0 {
            return Ok(());
        }
    }
}
