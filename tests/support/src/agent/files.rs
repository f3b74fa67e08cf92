//! Uploads and downloads (§4).

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::conversation::Talk;
use super::{AgentRequest, Fault, Moment, windows};

/// Largest data chunk, as the specification has it.
const DATA: usize = 32768;

/// The place a path means here: `$NAME`, `${NAME}` and `%NAME%` from the environment, doubled slashes.
fn place(talk: &Talk<'_>, path: &[u8]) -> PathBuf {
    let text = windows::decode(&talk.options.charset, path);
    let text = text.replace('\\', "/");
    if windows::is_windows(&talk.options) {
        return windows::place(talk.shared.tmp.path(), &text);
    }
    let tmp = talk.shared.tmp.path().display().to_string();
    let text = ["$TMPDIR", "${TMPDIR}", "%TMPDIR%"].iter().fold(text, |text, name| text.replace(name, &tmp));
    PathBuf::from(text.split("//").collect::<Vec<_>>().join("/"))
}

pub(super) fn upload(talk: &mut Talk<'_>, request: &AgentRequest) -> Result<()> {
    let source = request.text(1);
    let base = source.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default().to_owned();
    let raw = request.fields.get(2).cloned().unwrap_or_default();
    let mut dest = place(talk, &raw);
    let ends_in_slash = raw.ends_with(b"/") || raw.ends_with(b"\\");
    match request.text(0).as_str() {
        "file" => {
            if dest.is_dir() || ends_in_slash {
                dest.push(&base);
            }
            upload_file(talk, &dest)
        }
        "dir" | "windir" => {
            if ends_in_slash && dest.file_name().is_none_or(|name| *name != *base) {
                dest.push(&base);
            }
            upload_folder(talk, &dest)
        }
        kind => talk.end(&format!("{kind} not supported.")),
    }
}

/// The next piece of an upload; `Err` holds the text of a sender that gave up.
fn piece(talk: &mut Talk<'_>) -> Result<Result<Option<Vec<u8>>, Vec<u8>>> {
    if let Some(bytes) = talk.wire.read_chunk()? {
        return Ok(Ok(Some(bytes)));
    }
    let text = talk.wire.read_final_text()?;
    Ok(if text.is_empty() { Ok(None) } else { Err(text) })
}

fn upload_file(talk: &mut Talk<'_>, dest: &Path) -> Result<()> {
    let parent = dest.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        return talk.end(&format!("{} not exists.", parent.display()));
    }
    let mut file = match File::create(dest) {
        Ok(file) => file,
        Err(error) => return talk.end(&format!("create {} failed:{error}", dest.display())),
    };
    talk.wire.chunk(b"Status:200")?;
    loop {
        match piece(talk)? {
            Ok(Some(bytes)) => {
                file.write_all(&bytes)?;
                talk.moment(Moment::Data)?;
                if let Fault::DiskFull(text) = talk.options.fault {
                    return talk.end(text);
                }
            }
            Ok(None) => return talk.end(""),
            Err(text) => {
                fs::remove_file(dest)?;
                return talk.end(&String::from_utf8_lossy(&text));
            }
        }
    }
}

fn upload_folder(talk: &mut Talk<'_>, dest: &Path) -> Result<()> {
    let parent = dest.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        return talk.end(&format!("{} not exists.", parent.display()));
    }
    fs::create_dir_all(dest)?;
    let mut tar = Command::new("tar")
        .args(["xiBf", "-"])
        .current_dir(dest)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("tar")?;
    let mut input = tar.stdin.take().context("tar's input")?;
    talk.wire.chunk(b"Status:200")?;
    let ended = loop {
        match piece(talk) {
            Ok(Ok(Some(bytes))) => {
                let _ = input.write_all(&bytes);
                if let Err(error) = talk.moment(Moment::Data) {
                    break Err(error);
                }
                if let Fault::DiskFull(text) = talk.options.fault {
                    break Ok(text.to_owned());
                }
            }
            Ok(Ok(None)) => break Ok(String::new()),
            Ok(Err(text)) => break Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) => break Err(error),
        }
    };
    drop(input);
    let output = tar.wait_with_output()?;
    match ended? {
        text if !text.is_empty() => talk.end(&text),
        _ if output.status.success() => talk.end(""),
        _ => talk.end(&format!("execute tar failed {}", String::from_utf8_lossy(&output.stderr))),
    }
}

pub(super) fn download(talk: &mut Talk<'_>, request: &AgentRequest) -> Result<()> {
    let raw = request.fields.first().cloned().unwrap_or_default();
    let path = place(talk, &raw);
    let shown = windows::decode(&talk.options.charset, &raw);
    let found = matches(&path);
    match found.as_slice() {
        [] => talk.end(&format!("{shown} not exists.")),
        [one] if *one == path && one.is_dir() => {
            let kind = if windows::is_windows(&talk.options) { "windir" } else { "dir" };
            talk.wire.chunk(format!("Status:200,FileType:{kind}").as_bytes())?;
            let follow = if request.text(1) == "1" { "ch" } else { "c" };
            let mut tar = Command::new("tar")
                .args([&format!("{follow}f"), "-", "."])
                .current_dir(one)
                .stdout(Stdio::piped())
                .spawn()?;
            let output = tar.stdout.take().context("tar's output")?;
            let sent = send(talk, output);
            let status = tar.wait()?;
            sent?;
            if let Fault::LateFailure(text) = talk.options.fault {
                for _ in 0..200 {
                    talk.wire.chunk(&[0; 512])?;
                }
                return talk.end(text);
            }
            talk.end(if status.success() { "" } else { "execute tar failed" })
        }
        [one] if *one == path => {
            let file = match File::open(one) {
                Ok(file) => file,
                Err(error) => return talk.end(&format!("open {shown} failed:{error}")),
            };
            talk.wire.chunk(b"Status:200,FileType:file")?;
            send(talk, file)?;
            talk.end("")
        }
        several => {
            let paths: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            talk.wire.chunk(format!("Status:200,FileType:multiple,{}", paths.join("|")).as_bytes())
        }
    }
}

fn send(talk: &mut Talk<'_>, mut from: impl std::io::Read) -> Result<()> {
    let mut buffer = vec![0; DATA];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        talk.data(&buffer[..length])?;
    }
}

/// The paths a pattern matches: `*` in the last part is enough here. A class matches something else than itself, which is
/// not there.
fn matches(path: &Path) -> Vec<PathBuf> {
    let text = path.to_string_lossy();
    if text.contains('[') && text.contains(']') {
        return Vec::new();
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return if path.exists() { vec![path.to_owned()] } else { Vec::new() };
    };
    let Some((start, end)) = name.split_once('*') else {
        return if path.exists() { vec![path.to_owned()] } else { Vec::new() };
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Reads a file of the agent's machine, for those who play its programs.
pub(super) fn content(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).with_context(|| path.display().to_string())?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
