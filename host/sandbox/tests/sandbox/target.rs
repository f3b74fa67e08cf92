//! `target`: what reaches the connection to the node, and what is handed over for copies.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use autoexec_sandbox::{
    Captured, DataDirection, DownloadSink, Ending, GrantedDirectory, Limits, SourceFacts, SourceKind,
    TargetCommand, TargetEntry, TargetError, TargetHost, TargetSession, UploadSource,
};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Recorder, use_everything};

/// A node that keeps what it is given, and has hostile files.
#[derive(Default)]
struct Node {
    received: Arc<Mutex<Vec<String>>>,
    /// Names of the files that a download brings.
    offers: Vec<&'static str>,
    long: bool,
}

#[async_trait]
impl TargetHost for Node {
    async fn capture(&self, command: TargetCommand, limit: u64) -> Result<Captured, TargetError> {
        let stdout = if self.long {
            vec![b'x'; usize::try_from(limit).unwrap() + 1]
        } else {
            command.line.into_bytes()
        };
        Ok(Captured { ending: Ending::Exited(0), stdout, stderr: vec![] })
    }

    async fn run(&self, _command: TargetCommand) -> Result<Ending, TargetError> {
        Ok(Ending::Exited(0))
    }

    async fn upload(&self, source: UploadSource, _remote: &str, _times: bool) -> Result<u64, TargetError> {
        let mut bytes = 0;
        let mut take = |path: &Path, mut file: fs::File| {
            let mut text = String::new();
            bytes += file.read_to_string(&mut text).unwrap() as u64;
            self.received.lock().push(format!("{}={text}", path.display()));
        };
        match source {
            UploadSource::File(file) => take(Path::new(""), file.file),
            UploadSource::Directory(entries) => {
                for entry in entries {
                    let entry = entry?;
                    match entry.kind {
                        SourceKind::Directory(_) => {
                            self.received.lock().push(format!("{}/", entry.path.display()));
                        }
                        SourceKind::File(file) => take(&entry.path, file.file),
                    }
                }
            }
        }
        Ok(bytes)
    }

    async fn download(
        &self,
        _remote: &str,
        mut sink: Box<dyn DownloadSink>,
        _times: bool,
    ) -> Result<u64, TargetError> {
        let facts = SourceFacts { modified: SystemTime::UNIX_EPOCH, mode: 0o4755 };
        let mut bytes = 0;
        for name in &self.offers {
            bytes += sink.file(Path::new(name), facts, &mut "data".as_bytes())?;
        }
        Ok(bytes)
    }

    async fn list_directory(&self, _path: &str) -> Result<Vec<TargetEntry>, TargetError> {
        Ok(vec![])
    }

    async fn stat(&self, path: &str) -> Result<TargetEntry, TargetError> {
        Err(TargetError::NotFound(path.into()))
    }

    async fn open_session(&self, _columns: u16, _rows: u16) -> Result<Box<dyn TargetSession>, TargetError> {
        Ok(Box::new(Echo(Arc::clone(&self.received))))
    }
}

/// Types back what it gets, with a prompt.
struct Echo(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl TargetSession for Echo {
    async fn send(&mut self, text: autoexec_sandbox::SecretValue) -> Result<(), TargetError> {
        self.0.lock().push(String::from_utf8(text.expose().to_vec()).unwrap());
        Ok(())
    }

    async fn receive(&mut self, _timeout: Duration) -> Result<Vec<u8>, TargetError> {
        Ok(b"done".to_vec())
    }
}

fn host(node: Node, dir: &Path, allowed: &[&str]) -> Arc<Recorder> {
    let directories = vec![GrantedDirectory { path: dir.to_owned(), direction: DataDirection::Write }];
    let allowed = allowed.iter().map(|&rule| rule.to_owned()).collect();
    Arc::new(Recorder { allowed, directories, target: Some(Box::new(node)), ..Recorder::default() })
}

#[tokio::test]
async fn commands_are_permitted_one_by_one_and_their_output_is_bounded() {
    let dir = TempDir::new().unwrap();
    let ask = json!({"what": "command", "subject": "uptime"});
    let limits = Limits::default();
    let allowed = host(Node::default(), dir.path(), &["target run uptime"]);
    assert_eq!(use_everything(&allowed, &ask, limits).await, Ok(json!("uptime")));
    let refused = use_everything(&host(Node::default(), dir.path(), &["target run who"]), &ask, limits).await;
    assert!(refused.unwrap_err().contains("Denied"));
    let long = host(Node { long: true, ..Node::default() }, dir.path(), &["target*"]);
    let refused = use_everything(&long, &ask, Limits { response: 1000, ..limits }).await;
    assert!(refused.unwrap_err().contains("1000"));
    let nowhere = Arc::new(Recorder { allowed: vec!["target*".into()], ..Recorder::default() });
    assert!(use_everything(&nowhere, &ask, limits).await.unwrap_err().contains("no connection to a node"));
}

#[tokio::test]
async fn an_upload_hands_over_what_is_granted_and_no_links() {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("in");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(inside.join("a"), "1").unwrap();
    fs::write(inside.join("sub/b"), "22").unwrap();
    fs::write(dir.path().join("secret"), "s").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), inside.join("link")).unwrap();
    let node = Node::default();
    let received = Arc::clone(&node.received);
    let recorder = host(node, &inside, &["target*", "file read*"]);
    let ask = json!({"what": "upload", "subject": inside, "text": "/tmp/there"});
    assert_eq!(use_everything(&recorder, &ask, Limits::default()).await, Ok(json!(3)));
    assert_eq!(*received.lock(), ["a=1", "sub/", "sub/b=22"]);
    let outside = json!({"what": "upload", "subject": dir.path().join("secret"), "text": "/tmp/there"});
    let granted = host(Node::default(), &inside, &["target*", "file*"]);
    let refused = use_everything(&granted, &outside, Limits::default());
    assert!(refused.await.unwrap_err().contains("Denied"));
}

#[tokio::test]
async fn names_from_a_hostile_node_stay_below_the_destination() {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("in");
    fs::create_dir(&inside).unwrap();
    let ask = json!({"what": "download", "subject": "/remote", "text": inside.join("dest")});
    for bad in ["../../evil", "/evil", "a/../../../evil"] {
        let node = Node { offers: vec![bad], ..Node::default() };
        let refused =
            use_everything(&host(node, &inside, &["target*", "file*"]), &ask, Limits::default()).await;
        assert!(refused.unwrap_err().contains("Denied"), "{bad}");
    }
    let node = Node { offers: vec!["a", "deep/er/b"], ..Node::default() };
    let done = use_everything(&host(node, &inside, &["target*", "file*"]), &ask, Limits::default()).await;
    assert_eq!(done, Ok(json!(8)));
    let written = fs::metadata(inside.join("dest/deep/er/b")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&written.permissions()) & 0o7777, 0o755);
}

#[tokio::test]
async fn a_secret_is_typed_only_where_it_may_go() {
    let dir = TempDir::new().unwrap();
    let node = Node::default();
    let received = Arc::clone(&node.received);
    let recorder = host(node, dir.path(), &["Target(Session)"]);
    let ask = json!({"what": "session", "subject": "enable"});
    assert!(use_everything(&recorder, &ask, Limits::default()).await.is_ok());
    assert!(received.lock()[0].starts_with("enable"));
}
