//! The capability `target`: commands and files on the node of a call, over the executor's own connection. The policy was
//! asked by the sandbox before any of this.
//!
//! Everything is done by files in a private directory and short POSIX scripts, the same over SSH and over an agent.
//! Command lines and inputs travel in files: neither stands in a process list or an agent's log.

mod output;
mod scripts;
mod staging;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use autoexec_engine::ports::{OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_sandbox::{
    Captured, DownloadSink, Ending, TargetCommand, TargetEntry, TargetError, TargetHost, TargetSession,
    UploadSource as Source,
};
use autoexec_transport::ssh::quote;
use autoexec_transport::{Exit, StopToken, UploadEntry, UploadSource};
use tokio::sync::OnceCell;

use self::output::{Collected, run_within};
use self::scripts::{LOOK, PUT, START, done, entries};
use self::staging::{Staged, one_file, stage, unpack};
use crate::bridge::ProcessOutput;
use crate::node_shell::{self, NodeShell};
use crate::settings::Shared;

/// The most bytes one copy brings.
const MAX_DOWNLOAD: u64 = 4 * 1024 * 1024 * 1024;
/// The most bytes of a listing.
const MAX_LISTING: u64 = 16 * 1024 * 1024;
/// How long the removal of the directory is waited for.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of the mark between the two outputs of a command, generously.
const MARKS: u64 = 256;

/// The connection of one call, made when it is first needed.
pub(crate) struct NodeTarget {
    shared: Arc<Shared>,
    unit: UnitInfo,
    sink: Arc<dyn OperationSink>,
    shell: OnceCell<Box<dyn NodeShell>>,
    uses: AtomicU64,
}

impl NodeTarget {
    pub(crate) fn new(shared: &Arc<Shared>, unit: &UnitInfo, sink: Arc<dyn OperationSink>) -> Self {
        Self {
            shared: Arc::clone(shared),
            unit: unit.clone(),
            sink,
            shell: OnceCell::new(),
            uses: AtomicU64::new(0),
        }
    }

    async fn shell(&self) -> Result<&dyn NodeShell, TargetError> {
        let open = || async {
            let node = &self.unit.node;
            let prefix =
                format!("autoexec-{}-{}-{}", self.shared.settings.job, node.resource, self.unit.phase.index);
            node_shell::open(&self.shared, node, &prefix, &StopToken::never()).await
        };
        self.shell.get_or_try_init(open).await.map(AsRef::as_ref)
    }

    /// The same, for what needs the tools of a POSIX system.
    async fn posix(&self, what: &str) -> Result<&dyn NodeShell, TargetError> {
        let shell = self.shell().await?;
        if shell.is_windows() {
            return Err(TargetError::Unsupported(format!("{what} on a Windows node")));
        }
        Ok(shell)
    }

    /// The name of a file or directory of this use, below the private directory.
    fn next(&self) -> String {
        format!("use-{}", self.uses.fetch_add(1, Ordering::Relaxed))
    }

    /// Removes the private directory, where there is one.
    pub(crate) async fn close(&self) {
        let Some(shell) = self.shell.get() else { return };
        let closed = tokio::time::timeout(CLOSE_LIMIT, shell.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            let text = format!("The directory {} may be left behind on the target.", shell.directory());
            self.sink.info(Level::Warn, &text);
        }
    }

    /// Runs a script of ours, given as a file; what it writes and its status.
    async fn script(&self, body: &str, limit: u64) -> Result<(i32, Vec<u8>), TargetError> {
        let shell = self.posix("files").await?;
        let name = self.next();
        shell.put(vec![bytes(&format!("{name}.sh"), body.as_bytes())]).await?;
        let collected = Collected::new(limit, 0);
        let end = collected.gather(shell, &format!("sh {name}.sh"), Vec::new(), None).await?;
        Ok((status(end), collected.take()))
    }

    /// Puts a command's files in place; the directory they are in.
    async fn place(
        &self,
        shell: &dyn NodeShell,
        command: &TargetCommand,
        body: &str,
    ) -> Result<String, TargetError> {
        let name = self.next();
        let entries = vec![
            bytes(&format!("{name}/line"), command.line.as_bytes()),
            bytes(&format!("{name}/input"), command.input.expose()),
            bytes(&format!("{name}/run"), body.replace("@USE@", &name).as_bytes()),
        ];
        shell.put(entries).await?;
        Ok(name)
    }
}

#[async_trait]
impl TargetHost for NodeTarget {
    async fn capture(&self, command: TargetCommand, limit: u64) -> Result<Captured, TargetError> {
        let shell = self.shell().await?;
        if shell.is_windows() {
            refuse_input(&command)?;
            // The agent merges both outputs.
            let collected = Collected::new(limit, 0);
            let end = collected.gather(shell, &command.line, command.environment, command.timeout).await?;
            return Ok(Captured { ending: ending(end), stdout: collected.take(), stderr: Vec::new() });
        }
        // Standard error follows standard output behind a mark that no output has by accident.
        let mark = format!("\u{1e}{}", random()?);
        let body = format!(
            "{START}\"$shell\" -c \"$line\" <\"$d/input\" 2>\"$d/errors\"\ncode=$?\n\
             printf '%s %s\\n' {} \"$code\"; cat \"$d/errors\"; rm -rf \"$d\"; exit 0\n",
            quote(&mark)
        );
        let name = self.place(shell, &command, &body).await?;
        let collected = Collected::new(limit, MARKS);
        let line = format!("sh {name}/run");
        let end = collected.gather(shell, &line, command.environment, command.timeout).await?;
        let output = collected.take();
        let Some(at) = find(&output, mark.as_bytes()) else {
            return match end {
                Exit::Signal(number) => {
                    Ok(Captured { ending: signalled(number), stdout: output, stderr: Vec::new() })
                }
                Exit::Code(_) => Err(TargetError::Other("the command did not say how it ended".to_owned())),
            };
        };
        let (stdout, rest) = output.split_at(at);
        let rest = rest.get(mark.len() + 1..).unwrap_or_default();
        let line_end = find(rest, b"\n").unwrap_or(rest.len());
        let code = std::str::from_utf8(rest.get(..line_end).unwrap_or_default()).ok();
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(-1);
        let stderr = rest.get(line_end + 1..).unwrap_or_default().to_vec();
        if (stdout.len() + stderr.len()) as u64 > limit {
            return Err(TargetError::TooLarge(limit));
        }
        Ok(Captured { ending: Ending::Exited(code), stdout: stdout.to_vec(), stderr })
    }

    async fn run(&self, command: TargetCommand) -> Result<Ending, TargetError> {
        let shell = self.shell().await?;
        let sink = Arc::new(ProcessOutput(Arc::clone(&self.sink)));
        let line = if shell.is_windows() {
            refuse_input(&command)?;
            command.line
        } else {
            let body = format!(
                "{START}\"$shell\" -c \"$line\" <\"$d/input\"\ncode=$?\nrm -rf \"$d\"; exit \"$code\"\n"
            );
            format!("sh {}/run", self.place(shell, &command, &body).await?)
        };
        run_within(shell, &line, command.environment, sink, command.timeout).await.map(ending)
    }

    async fn upload(&self, source: Source, remote: &str, keep_times: bool) -> Result<u64, TargetError> {
        let shell = self.posix("files").await?;
        let name = self.next();
        let staged = tokio::task::spawn_blocking({
            let name = name.clone();
            move || stage(source, &name)
        });
        // The open files live until they are sent.
        let Staged { entries, directories, is_file, total, files } =
            staged.await.map_err(|error| TargetError::Other(error.to_string()))??;
        shell.put(entries).await?;
        drop(files);
        let body = format!(
            "d=$(pwd)/{name}; to={to}; keep={keep}\n{PUT}",
            to = quote(remote),
            keep = if keep_times { "-p" } else { "''" },
        );
        let made = directories.iter().fold(String::new(), |text, path| text + "made " + &quote(path) + "\n");
        let action =
            if is_file { "one \"$d/content\" \"$to\"\n".to_owned() } else { format!("{made}tree\n") };
        let (status, said) = self.script(&format!("{body}{action}rm -rf \"$d\"\n"), MAX_LISTING).await?;
        done(status, &said, remote)?;
        Ok(total)
    }

    async fn download(
        &self,
        remote: &str,
        mut sink: Box<dyn DownloadSink>,
        _keep_times: bool,
    ) -> Result<u64, TargetError> {
        let facts = self.stat(remote).await?;
        let shell = self.shell().await?;
        let name = self.next();
        let fetched = format!("{}/{name}", shell.directory());
        // A link of a name of ours: an agent reads other names as patterns.
        let prepare = format!(
            "p={}; to={}\ncase $p in /*) ;; *) p=${{HOME:-}}/$p ;; esac\n\
             if [ -d \"$p\" ]; then cd \"$p\" && tar -cf \"$to\" .; else ln -s \"$p\" \"$to\"; fi\n",
            quote(remote),
            quote(&fetched)
        );
        let (status, said) = self.script(&prepare, MAX_LISTING).await?;
        done(status, &said, remote)?;
        let local = tempfile::tempdir().map_err(TargetError::from)?;
        let content = local.path().join("content");
        let length = shell.fetch(&fetched, &content, MAX_DOWNLOAD).await?;
        length.ok_or_else(|| TargetError::NotFound(remote.to_owned()))?;
        let (status, said) = self.script(&format!("rm -f {}\n", quote(&fetched)), MAX_LISTING).await?;
        done(status, &said, remote)?;
        let file = std::fs::File::open(&content).map_err(TargetError::from)?;
        let unpacked = tokio::task::spawn_blocking(move || {
            if facts.is_directory { unpack(file, &mut *sink) } else { one_file(file, &facts, &mut *sink) }
        });
        unpacked.await.map_err(|error| TargetError::Other(error.to_string()))?
    }

    async fn list_directory(&self, path: &str) -> Result<Vec<TargetEntry>, TargetError> {
        let body = format!("p={}\n{LOOK}list\n", quote(path));
        let (status, said) = self.script(&body, MAX_LISTING).await?;
        done(status, &said, path)?;
        let mut entries: Vec<TargetEntry> = entries(&said).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    async fn stat(&self, path: &str) -> Result<TargetEntry, TargetError> {
        let body = format!("p={}\n{LOOK}look \"$p\"\n", quote(path));
        let (status, said) = self.script(&body, MAX_LISTING).await?;
        done(status, &said, path)?;
        let entry = entries(&said).next();
        entry.ok_or_else(|| TargetError::Other(format!("{path} is neither a file nor a directory")))
    }

    async fn open_session(&self, columns: u16, rows: u16) -> Result<Box<dyn TargetSession>, TargetError> {
        node_shell::open_session(&self.shared, &self.unit.node, columns, rows).await
    }
}

fn status(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal(number) => 128 + number,
    }
}

/// A Windows command gets no input from an agent.
fn refuse_input(command: &TargetCommand) -> Result<(), TargetError> {
    if command.input.expose().is_empty() {
        return Ok(());
    }
    Err(TargetError::Unsupported("input of a command on a Windows node".to_owned()))
}

fn ending(exit: Exit) -> Ending {
    match exit {
        Exit::Code(code) => Ending::Exited(code),
        Exit::Signal(number) => signalled(number),
    }
}

fn signalled(number: i32) -> Ending {
    let name = match number {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        6 => "ABRT",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        other => return Ending::Signalled(other.to_string()),
    };
    Ending::Signalled(name.to_owned())
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

fn random() -> Result<String, TargetError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| TargetError::Other(error.to_string()))?;
    Ok(hex::encode(random))
}

fn bytes(dest: &str, content: &[u8]) -> UploadEntry {
    UploadEntry { source: UploadSource::Bytes(content.to_vec()), dest: dest.to_owned(), mode: 0o600 }
}

#[cfg(test)]
mod tests;
