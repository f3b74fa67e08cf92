//! Bringing back what an operation left on its target.

use std::path::Path;

use async_trait::async_trait;
use autoexec_engine::ports::OperationSink;
use autoexec_events::Level;
use autoexec_transport::StopToken;
use autoexec_transport::ssh::{Account, Arriving};

use super::detached::is_lost;
use super::reconnect::{NoConnection, Reconnect};
use super::{Session, SshSessions};
use crate::delivery::OUTPUT_FILE;
use crate::outputs::RemoteFiles;

/// Files of a session's target.
pub(super) struct SshFiles<'a> {
    pub(super) sessions: &'a SshSessions,
    pub(super) session: &'a mut Session,
    pub(super) sink: &'a dyn OperationSink,
    pub(super) stop: &'a StopToken,
    /// The output file, which came with the end of the operation.
    pub(super) output: Option<Vec<u8>>,
    /// The other user that the operation ran as.
    pub(super) reader: Option<Account>,
}

#[async_trait]
impl RemoteFiles for SshFiles<'_> {
    async fn read(&mut self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, String> {
        if path.ends_with(&format!("/{OUTPUT_FILE}")) {
            return Ok(self.output.take());
        }
        let read = self.session.connection.read_file(path, max_bytes, self.stop).await;
        read.map_err(|error| error.to_string())
    }

    /// A file of which something has arrived goes on over a new connection.
    async fn download(&mut self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, String> {
        let arriving = Arriving::new(local).map_err(|kind| kind.to_string())?;
        let mut reconnect = Reconnect::new(self.sessions, self.sink, self.stop);
        loop {
            let reader = self.reader.clone();
            let fetching =
                self.session.connection.download_on(remote, reader, &arriving, max_bytes, self.stop);
            let error = match fetching.await {
                Ok(length) => return Ok(length),
                Err(error) if is_lost(&error) && arriving.length() > 0 => error,
                Err(error) => return Err(error.to_string()),
            };
            let text = format!("{error}. Connecting again to fetch the rest of {remote}.");
            self.sink.info(Level::Warn, &text);
            match reconnect.connect(self.session, &error).await {
                Ok(()) => {}
                Err(NoConnection::Stopped) => return Err(error.to_string()),
                Err(NoConnection::Failed(problem)) => return Err(problem),
            }
        }
    }
}
