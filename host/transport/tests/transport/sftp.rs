//! A server whose SFTP is hostile: real sshd, and a subsystem of its own. What it says costs neither time nor memory, and is not
//! taken for success.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_transport::StopToken;
use autoexec_transport::ssh::{SshError, UploadEntry, UploadSource};

use crate::harness::{Bed, DEADLINE};

const LIMIT: Duration = Duration::from_secs(1);

/// Answers as SFTP version 3 does, but for what the mode says.
const SERVER: &str = r"
import os, struct, sys, time
mode = sys.argv[1]
def send(body, length=None):
    data = struct.pack('>I', len(body) if length is None else length) + body
    while data:
        data = data[os.write(1, data):]
def take(n):
    data = b''
    while len(data) < n:
        more = os.read(0, n - len(data))
        if not more:
            sys.exit()
        data += more
    return data
def string(text):
    return struct.pack('>I', len(text)) + text
def status(number, code, text=b'words'):
    send(b'\x65' + struct.pack('>II', number, code) + string(text) + string(b''))
while True:
    length, = struct.unpack('>I', take(4))
    body = take(length)
    kind, number = body[0], body[1:5]
    if kind == 1:
        if mode == 'version-garbage':
            send(b'\x02')
        elif mode == 'version-of-4-gib':
            send(b'\x02' + bytes(2000), 0xffffffff)
        elif mode == 'version-silent':
            time.sleep(300)
        else:
            send(b'\x02' + struct.pack('>I', 3) + string(b'x' * 1000) * 50)
        continue
    number, = struct.unpack('>I', number)
    if mode.startswith('unasked'):
        text = b'' if mode == 'unasked-and-small' else b'x' * 30000
        answer = b'\x65' + struct.pack('>II', 0x40000000, 0) + string(text) + string(b'')
        answer = struct.pack('>I', len(answer)) + answer
        many = answer * (100000 // len(answer) + 1)
        while True:
            os.write(1, many)
    if kind == 3:
        if mode == 'handle-of-megabytes':
            send(b'\x66' + struct.pack('>I', number) + string(b'h' * 2000000))
        elif mode == 'handle-that-lies':
            send(b'\x66' + struct.pack('>II', number, 0x7fffffff) + b'h')
        elif mode == 'handle-of-nothing':
            send(b'\x66' + struct.pack('>I', number) + string(b''))
        elif mode == 'names-instead':
            name = string(b'../../etc/passwd\0') + string(b'/') + struct.pack('>I', 0)
            send(b'\x68' + struct.pack('>II', number, 0x7fffffff) + name * 100)
        elif mode == 'empty-packets':
            while True:
                send(b'')
        elif mode == 'byte-by-byte':
            for byte in struct.pack('>I', 20000) + bytes(20000):
                os.write(1, bytes([byte]))
                time.sleep(0.2)
        elif mode == 'packet-without-end':
            send(b'\x66' + struct.pack('>I', number), 0x3ffff)
            while True:
                os.write(1, bytes(8192))
        else:
            send(b'\x66' + struct.pack('>I', number) + string(b'h'))
    elif kind == 6 and mode == 'writes-fail':
        status(number, 4, b'No space left on device')
    elif kind == 6 and mode == 'writes-of-others':
        status(number + 1000, 0)
    elif kind == 6 and mode == 'writes-refused-in-megabytes':
        status(number, 4, b'x' * 200000)
    elif kind == 6 and mode == 'data-instead':
        send(b'\x67' + struct.pack('>I', number) + string(b'x' * 1000))
    elif kind == 4 and mode == 'close-fails':
        status(number, 4)
    elif kind == 9 and mode == 'mode-fails':
        status(number, 3)
    else:
        status(number, 0)
";

/// A target without tar, and with such an SFTP.
fn target(mode: &str) -> (Bed, tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let tools = tempfile::tempdir().unwrap();
    for tool in ["sh", "cat", "mkdir", "rm", "chmod", "head"] {
        std::os::unix::fs::symlink(Path::new("/bin").join(tool), tools.path().join(tool)).unwrap();
    }
    let server = tools.path().join("server.py");
    std::fs::write(&server, SERVER).unwrap();
    for path in [tools.path(), &server] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut bed = Bed::config(&[
        &format!("SetEnv PATH={}", tools.path().display()),
        &format!("Subsystem sftp /usr/bin/python3 {} {mode}", server.display()),
    ]);
    if mode != "none" {
        bed.settings.write_timeout = LIMIT;
    }
    (bed, tools)
}

/// What comes of sending two files, and the most memory that the process with the connection had.
async fn send(mode: &str) -> (Result<(), SshError>, Duration, u64) {
    let (bed, _tools) = target(mode);
    let mut connection = bed.connect().await;
    let process = connection.process_id().unwrap();
    let entries = ["first", "below/second"].map(|dest| UploadEntry {
        source: UploadSource::Bytes(vec![b'\0'; 200_000]),
        dest: dest.to_owned(),
        mode: 0o600,
    });
    let (dir, never) = (bed.server.dir().to_str().unwrap().to_owned(), StopToken::never());
    let begun = Instant::now();
    let sending = tokio::spawn(async move { connection.upload_tree(entries.to_vec(), &dir, &never).await });
    let mut most = 0;
    while !sending.is_finished() {
        assert!(begun.elapsed() < DEADLINE, "{mode}");
        most = most.max(resident_kib(process));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (sending.await.unwrap(), begun.elapsed(), most)
}

/// Memory of a process, 0 for one that is gone.
fn resident_kib(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sftp_server_that_lies_is_an_error_in_time_and_costs_little_memory() {
    // Modes, and what the error says besides the host.
    let modes = [
        ("version-silent", "timed out after 1s in a file transfer (SFTP)"),
        ("version-garbage", "timed out after 1s in a file transfer (SFTP)"),
        ("names-instead", "timed out after 1s in a file transfer (SFTP)"),
        ("byte-by-byte", "timed out after 1s in a file transfer (SFTP)"),
        ("writes-of-others", "timed out after 1s in a file transfer (SFTP)"),
        ("data-instead", "timed out after 1s in a file transfer (SFTP)"),
        // Where the server is the faster one, libssh2 does not come back by itself, and the connection is ended.
        ("unasked", "in a file transfer (SFTP)"),
        ("unasked-and-small", "in a file transfer (SFTP)"),
        ("packet-without-end", "first"),
        ("handle-of-megabytes", "/first"),
        ("handle-of-nothing", "/first"),
        ("empty-packets", "/first"),
        ("writes-fail", "first: failure"),
        ("writes-refused-in-megabytes", "first: failure"),
        ("close-fails", "/first: failure"),
        ("mode-fails", "/first: permission denied"),
        // Not SFTP at all, so files go by commands; the account may not write there.
        ("version-of-4-gib", "cannot create ./first: Permission denied"),
    ];
    let places = Arc::new(tokio::sync::Semaphore::new(6));
    let mut trials = tokio::task::JoinSet::new();
    for (mode, says) in modes {
        let places = Arc::clone(&places);
        trials.spawn(async move {
            let _place = places.acquire_owned().await;
            (mode, says, send(mode).await)
        });
    }
    while let Some(trial) = trials.join_next().await {
        let (mode, says, (result, took, most)) = trial.unwrap();
        println!("{mode}: {result:?} {took:?} {most} KiB");
        let error = result.unwrap_err().to_string();
        assert!(error.contains(says), "{mode}: {error}");
        assert!(took < DEADLINE / 4, "{mode}: {took:?}");
        assert!(most < 1200 * 1024, "{mode}: {most} KiB");
    }
}

#[tokio::test]
async fn a_server_that_tells_no_lies_is_served() {
    // So the errors above are those of the lies. A handle that says to be longer than its packet is cut to it.
    for mode in ["none", "handle-that-lies"] {
        send(mode).await.0.unwrap();
    }
}
