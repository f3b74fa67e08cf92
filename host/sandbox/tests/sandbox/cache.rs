//! The compiled cache: used when it is ours, compiled again when it is not, safe to share.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use autoexec_sandbox::{Grants, Sandbox, SandboxSettings, ToolOutcome};
use tempfile::TempDir;

use crate::support::{Recorder, call, guest, run, sandbox};

fn cached(dir: &Path) -> Sandbox {
    sandbox(SandboxSettings { slots: 4, cache_dir: Some(dir.to_owned()), ..SandboxSettings::default() })
}

fn compiled_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

fn only_compiled_file(dir: &Path) -> PathBuf {
    let files = compiled_files(dir);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Loads hello in a sandbox of its own and runs it.
async fn run_hello(dir: &Path) {
    let sandbox = cached(dir);
    let tool = sandbox.load(&guest("demo/hello"), &Grants::none()).unwrap();
    let host = Recorder::new();
    let ended = run(&sandbox, &tool, call(&serde_json::json!({"who": "cache"})), &host).await;
    assert!(matches!(ended, Ok(ToolOutcome::Succeeded { .. })), "{ended:?}");
    assert_eq!(host.log_text(), "Hello, cache!\n");
}

#[tokio::test]
async fn a_compiled_tool_is_used_by_the_next_process() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    run_hello(&dir).await;
    let file = only_compiled_file(&dir);
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    run_hello(&dir).await;
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written, "it was compiled again");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&file), mode(&dir.join("key"))), (0o700, 0o600, 0o600));
}

#[tokio::test]
async fn a_tampered_file_is_compiled_again_and_never_loaded() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    run_hello(&dir).await;
    let file = only_compiled_file(&dir);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [flipped, good[..good.len() / 2].to_vec(), vec![], b"autoexec-cwasm 1\nshort".to_vec()] {
        fs::write(&file, &bad).unwrap();
        run_hello(&dir).await;
        assert_ne!(fs::read(&file).unwrap(), bad, "the bad file is still there");
    }
}

#[tokio::test]
async fn a_good_file_under_another_tools_name_is_not_loaded() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    let sandbox = cached(&dir);
    sandbox.load(&guest("demo/nodefacts"), &Grants::none()).unwrap();
    let other = only_compiled_file(&dir);
    let wrong = fs::read(&other).unwrap();
    run_hello(&dir).await;
    let hello = compiled_files(&dir).into_iter().find(|file| *file != other).unwrap();
    fs::write(&hello, &wrong).unwrap();
    run_hello(&dir).await;
    assert_ne!(fs::read(&hello).unwrap(), wrong);
}

#[tokio::test]
async fn a_file_made_with_another_key_is_compiled_again() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    run_hello(&dir).await;
    let before = fs::read(only_compiled_file(&dir)).unwrap();
    fs::remove_file(dir.join("key")).unwrap();
    run_hello(&dir).await;
    assert_ne!(fs::read(only_compiled_file(&dir)).unwrap(), before);
}

#[tokio::test]
async fn a_directory_that_others_can_write_is_not_used() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    run_hello(&dir).await;
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    run_hello(&dir).await;
    fs::remove_file(only_compiled_file(&dir)).unwrap();
    fs::set_permissions(dir.join("key"), Permissions::from_mode(0o644)).unwrap();
    run_hello(&dir).await;
    assert_eq!(compiled_files(&dir), [] as [PathBuf; 0]);
}

/// The content is good, and still it is not loaded: whoever owns a file or may write it could change it at any time.
#[tokio::test]
async fn a_good_file_in_the_wrong_hands_is_compiled_again() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    run_hello(&dir).await;
    let file = only_compiled_file(&dir);
    let good = fs::read(&file).unwrap();
    let elsewhere = temporary.path().join("elsewhere");
    let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
    let expect_new = async |what: &str, prepare: &dyn Fn()| {
        fs::remove_file(&file).unwrap();
        prepare();
        let before = inode(&file);
        run_hello(&dir).await;
        let metadata = fs::symlink_metadata(&file).unwrap();
        assert!(metadata.is_file() && metadata.ino() != before, "{what}: it was not replaced");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{what}");
    };
    expect_new("others can read it", &|| {
        fs::write(&file, &good).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    })
    .await;
    expect_new("a link to a good file", &|| {
        fs::write(&elsewhere, &good).unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    })
    .await;
    expect_new("a pipe", &|| {
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    })
    .await;
    if rustix::process::geteuid().is_root() {
        expect_new("another user's file", &|| {
            fs::write(&file, &good).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        })
        .await;
    } else {
        eprintln!("another user's file is not tried: only root can make one");
    }
    assert_eq!(fs::read(&elsewhere).unwrap(), good, "nothing is written through a link");
}

#[tokio::test]
async fn a_directory_that_is_a_link_or_another_users_is_not_used() {
    let temporary = TempDir::new().unwrap();
    let real = temporary.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::set_permissions(&real, Permissions::from_mode(0o700)).unwrap();
    let link = temporary.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    run_hello(&link).await;
    assert_eq!(fs::read_dir(&real).unwrap().count(), 0, "a link was followed");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&real, Some(65_534), None).unwrap();
        run_hello(&real).await;
        assert_eq!(fs::read_dir(&real).unwrap().count(), 0, "another user's directory was used");
    } else {
        eprintln!("another user's directory is not tried: only root can make one");
    }
}

#[tokio::test]
async fn other_settings_have_a_file_of_their_own() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    run_hello(&dir).await;
    let settings = SandboxSettings {
        memory_cap: 32 << 20,
        cache_dir: Some(dir.clone()),
        slots: 4,
        ..SandboxSettings::default()
    };
    sandbox(settings).load(&guest("demo/hello"), &Grants::none()).unwrap();
    assert_eq!(compiled_files(&dir).len(), 2);
}

#[test]
fn several_at_once_share_a_new_directory() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| cached(&dir).load(&guest("demo/hello"), &Grants::none()).unwrap());
        }
    });
    only_compiled_file(&dir);
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "key and compiled tool only: {left:?}");
}
