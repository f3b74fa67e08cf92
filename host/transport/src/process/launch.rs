//! Starting a process on the cheap path, and saying clearly why it did not start.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeWriter, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::ProcessSpec;
use super::error::ProcessError;
use super::group::Group;

/// Another thread that forks between our closing a freshly written script and its own exec makes the script "busy"
/// for a moment; only after this many tries is it somebody else's open file.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Started {
    pub(super) child: Child,
    pub(super) group: Group,
    pub(super) stdin: PipeWriter,
    pub(super) output: Receiver,
}

/// A process whose three streams are apart.
pub(super) struct Apart {
    pub(super) child: Child,
    pub(super) group: Group,
    pub(super) stdin: PipeWriter,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
}

pub(super) async fn start(spec: &ProcessSpec) -> Result<Started, ProcessError> {
    patiently(spec, try_start).await
}

pub(super) async fn start_apart(spec: &ProcessSpec) -> Result<Apart, ProcessError> {
    patiently(spec, try_start_apart).await
}

async fn patiently<T>(
    spec: &ProcessSpec,
    try_start: impl Fn(&ProcessSpec) -> io::Result<T>,
) -> Result<T, ProcessError> {
    for _ in 1..BUSY_TRIES {
        match try_start(spec) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            started => return started.map_err(|error| explain(spec, error)),
        }
    }
    try_start(spec).map_err(|error| explain(spec, error))
}

/// No `pre_exec`, user or group change: std then starts the child with `posix_spawn`, which does not copy page
/// tables. The `Command` is dropped here, and with it our copies of the child's pipe ends.
fn try_start(spec: &ProcessSpec) -> io::Result<Started> {
    let (stdin_read, stdin) = io::pipe()?;
    let (output, stdout) = io::pipe()?;
    let stderr = stdout.try_clone()?;
    let mut command = command(spec);
    command.stdin(Stdio::from(stdin_read)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    let output = Receiver::from_owned_fd(output.into())?;
    let (child, group) = spawn(&mut command)?;
    Ok(Started { child, group, stdin, output })
}

fn try_start_apart(spec: &ProcessSpec) -> io::Result<Apart> {
    let (stdin_read, stdin) = io::pipe()?;
    let (stdout, stdout_write) = io::pipe()?;
    let (stderr, stderr_write) = io::pipe()?;
    let mut command = command(spec);
    command
        .stdin(Stdio::from(stdin_read))
        .stdout(Stdio::from(stdout_write))
        .stderr(Stdio::from(stderr_write));
    let (stdout, stderr) = (Receiver::from_owned_fd(stdout.into())?, Receiver::from_owned_fd(stderr.into())?);
    let (child, group) = spawn(&mut command)?;
    Ok(Apart { child, group, stdin, stdout, stderr })
}

fn command(spec: &ProcessSpec) -> Command {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).env_clear().envs(&spec.env).current_dir(&spec.cwd).process_group(0);
    command
}

fn spawn(command: &mut Command) -> io::Result<(Child, Group)> {
    let child = command.spawn()?;
    let pid = child.id().ok_or_else(|| io::Error::other("the process has no id"))?;
    Ok((child, Group::led_by(pid)?))
}

fn explain(spec: &ProcessSpec, source: io::Error) -> ProcessError {
    let program = spec.program.clone();
    if let Err(source) = std::fs::read_dir(&spec.cwd) {
        // Entering needs less than listing: a directory that can only be passed through is not the reason.
        if source.kind() != io::ErrorKind::PermissionDenied {
            return ProcessError::WorkingDirectory { program, cwd: spec.cwd.clone(), source };
        }
    }
    match source.raw_os_error() {
        Some(libc::ENOENT) => match interpreter(&spec.cwd.join(&spec.program)) {
            Some(interpreter) => ProcessError::NoInterpreter { program, interpreter },
            None => ProcessError::NotFound { program },
        },
        Some(libc::ENOEXEC) => ProcessError::NotAProgram { program },
        Some(libc::EACCES) => ProcessError::NotExecutable { program },
        Some(libc::ETXTBSY) => ProcessError::Busy { program },
        Some(libc::E2BIG) => ProcessError::TooLong { program },
        _ => ProcessError::Start { program, source },
    }
}

/// The interpreter a script's first line names; none for a file that is missing or no script.
fn interpreter(script: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(script).ok()?).take(256).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.strip_suffix(b"\n").unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    text.trim_start_matches([' ', '\t']).split([' ', '\t']).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_keeps_a_stray_carriage_return() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("s");
        std::fs::write(&script, "#! /bin/sh\r\necho\n").unwrap();
        assert_eq!(interpreter(&script).as_deref(), Some("/bin/sh\r"));
        std::fs::write(&script, "echo\n").unwrap();
        assert_eq!(interpreter(&script), None);
        assert_eq!(interpreter(&dir.path().join("none")), None);
    }
}
