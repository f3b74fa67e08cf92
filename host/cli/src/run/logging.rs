//! The executor's own log, `logs/autoexec.log`: only errors, rotated (`spec/cli.md` §1.1).

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use autoexec_store::Home;
use tracing::level_filters::LevelFilter;

/// Size at which a new file is begun, in bytes.
const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// Old files that are kept.
const KEPT: u32 = 5;

/// Sends errors to the log of the home. A home without a writable `logs` directory runs without it: the job's own
/// logs are elsewhere.
pub(crate) fn to_file(home: &Home) {
    let Some(file) = open(&home.logs()) else { return };
    // A second run in the same process (tests) keeps the first one's log.
    let _ = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::ERROR)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .try_init();
}

fn open(directory: &Path) -> Option<File> {
    fs::create_dir_all(directory).ok()?;
    let path = directory.join("autoexec.log");
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() >= ROTATE_AT) {
        rotate(directory);
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok()
}

/// Another process may rotate at the same time; at worst an old file is lost early.
fn rotate(directory: &Path) {
    let numbered = |number: u32| directory.join(format!("autoexec.log.{number}"));
    for number in (1..KEPT).rev() {
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
    let _ = fs::rename(directory.join("autoexec.log"), numbered(1));
}

/// Whether standard error is open on the file at `path`.
pub(crate) fn stderr_is(path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let stderr = fs::metadata("/proc/self/fd/2").map(identity);
    let file = fs::metadata(path).map(identity);
    matches!((stderr, file), (Ok(a), Ok(b)) if a == b)
}
