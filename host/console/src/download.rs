//! Bodies that go to a file: a temporary one beside the destination, renamed when it is complete.

use std::path::Path;

use reqwest::Response;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use crate::http::{Length, Wire};
use crate::{ConsoleError, Endpoint, UnixTime};

/// When `path` was last changed; none when it does not exist.
pub(crate) async fn modified(path: &Path) -> Result<Option<UnixTime>, ConsoleError> {
    match tokio::fs::metadata(path).await.and_then(|about| about.modified()) {
        Ok(time) => Ok(Some(time.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConsoleError::file(path, error)),
    }
}

/// Writes the body to `path`, mode 0600. `path` is either as it was or complete, whatever happens.
pub(crate) async fn save(
    wire: &Wire,
    endpoint: &Endpoint,
    mut response: Response,
    path: &Path,
) -> Result<(), ConsoleError> {
    let wrong = |error| ConsoleError::file(path, error);
    let temporary = temporary_beside(path).map_err(wrong)?;
    let mut file = tokio::fs::File::from_std(temporary.as_file().try_clone().map_err(wrong)?);
    while let Some(chunk) = wire.chunk(endpoint, Length::Unbounded, &mut response).await? {
        file.write_all(&chunk).await.map_err(wrong)?;
    }
    file.sync_all().await.map_err(wrong)?;
    temporary.persist(path).map_err(|error| wrong(error.error))?;
    Ok(())
}

fn temporary_beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A name that the next process of the job removes if this one is killed here.
    let prefix = format!(".autoexec-{}-download.", std::process::id());
    tempfile::Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(directory)
}
