//! Directories and files on a target.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use autoexec_transport::ssh::{RemoteTask, SshConnection, SshErrorKind, UploadEntry, UploadSource, Wanted};
use autoexec_transport::{StopHandle, StopLevel, StopToken};

use crate::harness::{Bed, Collected, root_or_skip, shell};

fn bytes(dest: &str, content: &[u8], mode: u32) -> UploadEntry {
    UploadEntry { source: UploadSource::Bytes(content.to_vec()), dest: dest.to_owned(), mode }
}

/// A local tree with what breaks naive uploads.
fn local_tree(root: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let long = format!("{}/{}/file", "d".repeat(120), "e".repeat(120));
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let files = [
        ("a/b/c/deep.sh", b"#!/bin/sh\necho hi\n".to_vec(), 0o755),
        ("it's a $name \"x\"", b"odd".to_vec(), 0o640),
        ("\u{e9}t\u{e9}/\u{4e2d}", b"utf-8".to_vec(), 0o600),
        ("empty", vec![], 0o400),
        ("-rf", b"looks like an option".to_vec(), 0o644),
        (long.as_str(), b"long".to_vec(), 0o644),
        ("big", big, 0o600),
    ];
    let mut wanted = BTreeMap::new();
    for (name, content, mode) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        wanted.insert(format!("lib/{name}"), (content, mode));
    }
    wanted
}

fn found_tree(root: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let entries = UploadEntry::tree(root, "").unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.dest.clone(), (std::fs::read(root.join(&entry.dest)).unwrap(), entry.mode)))
        .collect()
}

pub(crate) async fn uploads_a_tree(bed: &Bed, connection: &mut SshConnection) {
    let never = StopToken::never();
    let local = bed.path("tree");
    let wanted = local_tree(&local);
    let dir = connection.make_private_dir("autoexec-7-42-1", &never).await.unwrap();
    let entries = UploadEntry::tree(&local, "lib").unwrap();
    if let Err(error) = connection.upload_tree(entries.clone(), dir.path(), &never).await {
        panic!("{error}\n{}", bed.server.log());
    }
    assert!(found_tree(Path::new(dir.path())) == wanted, "the trees differ");
    // Again over what is there, and smaller: nothing of the old content may stay.
    connection.upload_tree(vec![bytes("lib/big", b"small", 0o700)], dir.path(), &never).await.unwrap();
    assert_eq!(std::fs::read(Path::new(dir.path()).join("lib/big")).unwrap(), b"small");
    connection.remove_dir(&dir, &never).await.unwrap();
    assert!(!Path::new(dir.path()).exists());
}

#[tokio::test]
async fn a_tree_goes_up_in_one_stream() {
    let bed = Bed::config(&["Subsystem sftp /bin/false"]);
    let mut connection = bed.connect().await;
    uploads_a_tree(&bed, &mut connection).await;
}

#[tokio::test]
async fn a_target_without_tar_is_served_over_sftp() {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["sh", "cat", "mkdir", "rm", "chmod", "head"] {
        std::os::unix::fs::symlink(Path::new("/bin").join(tool), tools.path().join(tool)).unwrap();
    }
    std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let bed = Bed::config(&[&format!("SetEnv PATH={}", tools.path().display())]);
    let mut connection = bed.connect().await;
    uploads_a_tree(&bed, &mut connection).await;
    let never = StopToken::never();
    let error =
        connection.upload_tree(vec![bytes("x/f", b"\0", 0o600)], "/proc/1", &never).await.unwrap_err();
    assert!(error.to_string().contains("/proc/1/x/f"), "{error}");
}

#[tokio::test]
async fn a_target_without_tar_and_sftp_is_served_by_commands() {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["sh", "cat", "mkdir", "rm", "chmod", "head"] {
        std::os::unix::fs::symlink(Path::new("/bin").join(tool), tools.path().join(tool)).unwrap();
    }
    std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("SetEnv PATH={}", tools.path().display());
    let bed = Bed::config(&[&path, "Subsystem sftp /bin/false"]);
    let mut connection = bed.connect().await;
    uploads_a_tree(&bed, &mut connection).await;
    let bed =
        Bed::config(&[&path, "Subsystem sftp-is-not-here /bin/false", "Subsystem sftp /no/such/server"]);
    let mut connection = bed.connect().await;
    uploads_a_tree(&bed, &mut connection).await;
}

#[tokio::test]
async fn private_directories_are_private_and_unique() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let never = StopToken::never();
    let first = connection.make_private_dir("autoexec-1", &never).await.unwrap();
    let second = connection.make_private_dir("autoexec-1", &never).await.unwrap();
    assert_ne!(first, second);
    for dir in [&first, &second] {
        assert!(dir.path().starts_with("/tmp/autoexec-1."));
        let metadata = std::fs::symlink_metadata(dir.path()).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o700, bed.server.uid()));
        connection.remove_dir(dir, &never).await.unwrap();
    }
    for bad in ["", "../x", "a b", "a/b", "$(id)"] {
        let error = connection.make_private_dir(bad, &never).await.unwrap_err();
        assert!(matches!(error.kind(), SshErrorKind::Invalid { .. }), "{error}");
    }
}

#[tokio::test]
async fn failures_of_an_upload_name_the_file() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let never = StopToken::never();
    let dir = connection.make_private_dir("autoexec-2", &never).await.unwrap();
    // On the target: the path of a parent is taken by a file.
    let entries = vec![bytes("taken", b"file", 0o600), bytes("taken/below", b"x", 0o600)];
    let error = connection.upload_tree(entries, dir.path(), &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Remote { .. }), "{error}");
    assert!(error.to_string().contains("taken"), "{error}");
    // Here: a source that is missing, after one that is large.
    let missing = UploadEntry { source: UploadSource::File(bed.path("missing")), ..bytes("m", b"", 0o600) };
    let entries = vec![bytes("large", &vec![7; 5_000_000], 0o600), missing];
    let error = connection.upload_tree(entries, dir.path(), &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::LocalFile { .. }), "{error}");
    let error = connection.upload_tree(vec![bytes("f", b"", 0o600)], "/no/such", &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::RemoteDirectory { .. }), "{error}");
    let error =
        connection.upload_tree(vec![bytes("../f", b"", 0o600)], dir.path(), &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Invalid { .. }), "{error}");
    // The connection is as good as before.
    connection.upload_tree(vec![bytes("ok", b"1", 0o600)], dir.path(), &never).await.unwrap();
    assert_eq!(connection.read_file(&format!("{dir}/ok"), 10, &never).await.unwrap().unwrap(), b"1");
    connection.remove_dir(&dir, &never).await.unwrap();
}

#[tokio::test]
async fn an_upload_can_be_stopped() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let dir = connection.make_private_dir("autoexec-3", &StopToken::never()).await.unwrap();
    let stop = StopHandle::new();
    stop.raise(StopLevel::Terminate);
    let entries = vec![bytes("f", &vec![1; 20_000_000], 0o600)];
    let error = connection.upload_tree(entries, dir.path(), &stop.token()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Stopped), "{error}");
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn downloads_are_whole_bounded_and_atomic() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let never = StopToken::never();
    let content: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let remote = bed.server.dir().join("it's remote");
    std::fs::write(&remote, &content).unwrap();
    let remote = remote.to_str().unwrap();
    let local = bed.path("local");
    let length = content.len() as u64;
    assert_eq!(connection.download(remote, &local, length, &never).await.unwrap(), Some(length));
    assert!(std::fs::read(&local).unwrap() == content);
    let error = connection.download(remote, &local, length - 1, &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::TooLarge { .. }), "{error}");
    assert!(std::fs::read(&local).unwrap() == content, "a failed download leaves the old file");
    assert_eq!(connection.download("/no/such/file", &local, 9, &never).await.unwrap(), None);
    assert_eq!(connection.read_file("/no/such/file", 9, &never).await.unwrap(), None);
    let error = connection.read_file("/tmp", 9, &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::NotAFile { .. }), "{error}");
    let error = connection.read_file("/dev/zero", 9, &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::NotAFile { .. }), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(local.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.len() <= 2, "temporary files stay behind: {left:?}");
}

#[tokio::test]
async fn an_unreadable_file_is_an_error_with_the_shells_reason() {
    if !crate::harness::root_or_skip("a file the account cannot read") {
        return;
    }
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let path = bed.server.dir().join("closed");
    std::fs::write(&path, "x").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = connection.read_file(path.to_str().unwrap(), 9, &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Remote { .. }), "{error}");
    assert!(error.to_string().contains("ermission denied"), "{error}");
}

#[tokio::test]
async fn a_file_that_can_not_be_read_to_its_end_is_an_error() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let never = StopToken::never();
    let sink = Collected::new();
    connection
        .run(shell("sleep 300 >/dev/null 2>&1 & echo pid $!"), sink.clone(), &never, |_| {})
        .await
        .unwrap();
    let process = sink.pid("pid").await;
    // It opens, and fails at the first byte.
    let error = connection.read_file(&format!("/proc/{process}/mem"), 100, &never).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    let error = error.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Remote { .. }), "{error}");
}

fn leaving_output(bed: &Bed, script: &str) -> RemoteTask {
    let mut command = shell(script);
    bed.server.dir().to_str().unwrap().clone_into(&mut command.dir);
    let wanted = Some(Wanted { files: vec![format!("{}/out", command.dir)], max_bytes: 100 });
    RemoteTask { setup: None, command, wanted, detached: None, removes_dir: false }
}

#[tokio::test]
async fn an_output_that_can_not_be_read_is_an_error_and_not_none() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let out = bed.server.dir().join("out");
    std::fs::write(&out, "42").unwrap();
    let never = StopToken::never();
    let readable = connection.run_task(leaving_output(&bed, "true"), Collected::new(), &never, |_| {}).await;
    assert_eq!(readable.unwrap().file.as_deref(), Some(&b"42"[..]));
    if !root_or_skip("a file of another user") {
        return;
    }
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = connection.run_task(leaving_output(&bed, "true"), Collected::new(), &never, |_| {}).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("/out") && text.contains("not the whole file"), "{text}");
}

#[tokio::test]
async fn an_output_may_take_longer_than_the_end_of_its_command_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let slow = place.path().join("cat");
    let script = "#!/bin/sh\n[ $# = 0 ] && exec /bin/cat\nhead -c 1 \"$1\"; sleep 3; tail -c +2 \"$1\"\n";
    std::fs::write(&slow, script).unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let bed = Bed::config(&[&format!("SetEnv PATH={}:/usr/bin:/bin", place.path().display())]);
    let mut connection = bed.connect().await;
    let out = bed.server.dir().join("out");
    std::fs::write(&out, "42").unwrap();
    let task = leaving_output(&bed, "true");
    let end = connection.run_task(task, Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.file.as_deref(), Some(&b"42"[..]));
}
