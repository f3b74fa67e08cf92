//! Download of file parameters into the cache.

use std::path::Path;

use reqwest::header::{CONTENT_DISPOSITION, HeaderMap};

use super::Freshness;
use crate::client::Fetched;
use crate::disposition::{NameError, file_name};
use crate::http::query_text;
use crate::{Call, ConsoleClient, ConsoleError, UnixTime, download};

/// What became of a cached file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReply {
    /// The name the file was uploaded under: a plain file name; none when the server does not give one.
    pub name: Option<String>,
    /// Whether the cached file was replaced.
    pub freshness: Freshness,
}

impl ConsoleClient {
    /// Brings the cached file at `path` up to date with file `id` of the server.
    ///
    /// A name that would leave its directory is an error, and nothing is written then.
    pub async fn download_file(&self, id: &str, path: &Path) -> Result<FileReply, ConsoleError> {
        let local = download::modified(path).await?;
        let query = query_text(&[
            ("id", id.to_owned()),
            ("lastModified", UnixTime::last_modified(local).to_string()),
        ]);
        let reply = self.get(Call::File, query, |fetched| self.cache_file(fetched, path)).await?;
        if local.is_none() && reply.freshness == Freshness::NotModified {
            let reason = "the server says that the file has not changed, but there is no local copy";
            return Err(ConsoleError::bad_reply(&self.endpoint(Call::File), reason));
        }
        Ok(reply)
    }

    async fn cache_file(&self, fetched: Fetched, path: &Path) -> Result<FileReply, ConsoleError> {
        let name = match &fetched {
            Fetched::Body(response) => self.offered_name(response.headers())?,
            Fetched::NotModified(headers) => self.offered_name(headers)?,
        };
        let freshness = self.replace(Call::File, fetched, path).await?;
        Ok(FileReply { name, freshness })
    }

    fn offered_name(&self, headers: &HeaderMap) -> Result<Option<String>, ConsoleError> {
        let Some(header) = headers.get(CONTENT_DISPOSITION) else { return Ok(None) };
        match file_name(header.as_bytes()) {
            Ok(name) => Ok(Some(name)),
            Err(NameError::Missing) => Ok(None),
            Err(error) => Err(ConsoleError::bad_reply(&self.endpoint(Call::File), error.to_string())),
        }
    }
}
