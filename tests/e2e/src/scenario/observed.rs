//! What came of a scenario, masked, by the name of the file that says what is expected.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Result;
use autoexec_test_support::sshd::Sshd;

use super::stage::read;
use crate::job::files_below;
use crate::{Finished, Mask, TestJob};

/// Text per file below `expected/`.
#[derive(Debug, Default)]
pub struct Observed {
    files: BTreeMap<String, String>,
}

impl Observed {
    /// The texts by file name.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    fn append(&mut self, name: &str, text: &str) {
        self.files.entry(name.to_owned()).or_default().push_str(text);
    }

    /// Adds what a process did.
    pub(super) fn add_process(&mut self, arguments: &[String], finished: &Finished, calls: Vec<String>) {
        let code = finished.code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
        self.append("exit", &format!("{code}\n"));
        if !finished.stderr.is_empty() {
            self.append("stderr.txt", &finished.stderr);
        }
        self.append("calls.txt", &format!("# {}\n", arguments.join(" ")));
        for call in calls {
            self.append("calls.txt", &format!("{call}\n"));
        }
    }

    /// Adds what stands in the job directory, and masks everything.
    pub(super) fn gather(&mut self, job: &TestJob, sshd: Option<&Sshd>) -> Result<()> {
        let home = std::fs::canonicalize(job.home.path())?;
        let mut mask = Mask::new()?
            .text(home.display().to_string(), "<home>")
            .text(job.home.path().display().to_string(), "<home>")
            .text(job.server.address().to_string(), "<server>");
        if let Some(sshd) = sshd {
            mask = mask.text(sshd.user(), "<user>").text(format!(":{}", sshd.port()), ":<port>");
        }
        self.gather_tree(job, &mask)?;
        for text in self.files.values_mut() {
            *text = mask.apply(text);
        }
        Ok(())
    }

    fn gather_tree(&mut self, job: &TestJob, mask: &Mask) -> Result<()> {
        let directory = job.dir();
        if !directory.is_dir() {
            return Ok(());
        }
        let mut tree = Vec::new();
        for path in files_below(&directory)? {
            let name = path.display().to_string();
            // The executor's own files are nobody else's business.
            if name.starts_with('.') {
                continue;
            }
            let full = directory.join(&path);
            if let Some(expected) = compared_as(&name).filter(|_| !is_link_to_present_log(&full)) {
                self.append(&mask.apply(&expected), &read(&full)?);
            }
            tree.push(format!("{}\n", mask.apply(&name)));
        }
        tree.extend(empty_directories(&directory)?);
        tree.sort();
        self.append("tree.txt", &tree.concat());
        Ok(())
    }
}

/// Where the content of a file of the job directory is compared, if it is.
fn compared_as(name: &str) -> Option<String> {
    if name == "log/console.txt" {
        return Some("console.txt".to_owned());
    }
    if name.starts_with("log/console.hislog/") {
        return None;
    }
    if let Some(log) = name.strip_prefix("log/") {
        return Some(format!("node-logs/{log}"));
    }
    let is_document =
        ["status/", "output/", "input/", "output-op/", "livedata/"].iter().any(|d| name.starts_with(d));
    is_document.then(|| format!("documents/{name}"))
}

/// Whether a history file is the log of the last run itself, which is compared already.
fn is_link_to_present_log(path: &Path) -> bool {
    let Some((log, _)) = path.to_str().and_then(|path| path.split_once(".hislog/")) else { return false };
    let inode = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.ino()).ok();
    inode(Path::new(&format!("{log}.txt"))) == inode(path)
}

/// Directories that are there from the start (`spec/workdir.md` §5.1) and stayed empty.
fn empty_directories(directory: &Path) -> Result<Vec<String>> {
    let mut empty = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && files_below(&path)?.is_empty() {
            empty.push(format!("{name}/\n"));
        }
    }
    Ok(empty)
}
