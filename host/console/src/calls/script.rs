//! Download of custom scripts and their libraries (`spec/server-api.md` §4.4).

use autoexec_model::{JobId, OpId};
use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use crate::client::Fetched;
use crate::http::query_text;
use crate::reply::Reply;
use crate::{Call, ConsoleClient, ConsoleError, UnixTime};

/// Largest script or package. It is held in memory, because where it goes is known only from its headers.
const LARGEST_SCRIPT: usize = 256 << 20;

/// Which script.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptQuery {
    /// The job.
    pub job: JobId,
    /// The operation whose own script it is; none for a library.
    pub operation: Option<OpId>,
    /// The script.
    pub script_id: i64,
    /// A certain version; none for the active one.
    pub version_id: Option<i64>,
    /// When the local copy was last changed; none when there is none.
    pub local: Option<UnixTime>,
}

/// What the headers say of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptHeaders {
    /// The script, where the server names it.
    pub script_id: Option<i64>,
    /// The version, where the server names it.
    pub version_id: Option<i64>,
    /// Decoded name, with its extension. Not checked: it may hold what cannot be a file name.
    pub name: Option<String>,
    /// Path in the catalogue.
    pub catalog: Option<String>,
    /// Interpreter word; `package` means that the body is a tar file.
    pub interpreter: Option<String>,
    /// Whether some script uses it as a library.
    pub is_library: bool,
    /// Scripts it uses as libraries.
    pub libraries: Vec<i64>,
}

/// A script, or the word that the local copy is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// 200: the content.
    New {
        /// What the headers say.
        headers: ScriptHeaders,
        /// The script, or a tar file.
        content: Vec<u8>,
    },
    /// 205: the headers are there nevertheless.
    NotModified {
        /// What the headers say.
        headers: ScriptHeaders,
    },
}

#[derive(Deserialize)]
struct ScriptReturn {
    script: String,
}

impl ScriptQuery {
    fn text(&self) -> String {
        let operation = self.operation.as_ref().map_or("None", OpId::as_str);
        let mut pairs = vec![
            ("jobId", self.job.to_string()),
            ("operationId", operation.to_owned()),
            ("scriptId", self.script_id.to_string()),
        ];
        pairs.extend(self.version_id.map(|version| ("scriptVersionId", version.to_string())));
        pairs.push(("acceptStream", "True".to_owned()));
        pairs.push(("lastModified", UnixTime::last_modified(self.local).to_string()));
        query_text(&pairs)
    }
}

impl ConsoleClient {
    /// Fetches a script unless the local copy is good.
    pub async fn script(&self, query: &ScriptQuery) -> Result<Script, ConsoleError> {
        let script = self.get(Call::Script, query.text(), |fetched| self.read_script(fetched)).await?;
        if query.local.is_none() && matches!(script, Script::NotModified { .. }) {
            let reason = "the server says that the script has not changed, but there is no local copy";
            return Err(ConsoleError::bad_reply(&self.endpoint(Call::Script), reason));
        }
        Ok(script)
    }

    async fn read_script(&self, fetched: Fetched) -> Result<Script, ConsoleError> {
        let response = match fetched {
            Fetched::Body(response) => response,
            Fetched::NotModified(headers) => {
                return Ok(Script::NotModified { headers: self.script_headers(&headers)? });
            }
        };
        let headers = self.script_headers(response.headers())?;
        let is_json = text_of(response.headers(), CONTENT_TYPE.as_str())
            .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"));
        let body = self.collect(Call::Script, response, LARGEST_SCRIPT).await?;
        if !is_json {
            return Ok(Script::New { headers, content: body });
        }
        let found: ScriptReturn = Reply::parse(self.endpoint(Call::Script), 200, &body)?.decode()?;
        Ok(Script::New { headers, content: found.script.into_bytes() })
    }

    fn script_headers(&self, headers: &HeaderMap) -> Result<ScriptHeaders, ConsoleError> {
        Ok(ScriptHeaders {
            script_id: self.number(headers, "ScriptId")?,
            version_id: self.number(headers, "ScriptVersionId")?,
            name: decoded(headers, "ScriptName"),
            catalog: decoded(headers, "ScriptCatalog"),
            interpreter: text_of(headers, "ScriptInterpreter"),
            is_library: text_of(headers, "ScriptIsLib").is_some_and(|flag| flag == "1"),
            libraries: self.libraries(headers)?,
        })
    }

    fn number(&self, headers: &HeaderMap, name: &str) -> Result<Option<i64>, ConsoleError> {
        let Some(text) = text_of(headers, name) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.bad_header(name, "a number")),
        }
    }

    /// Ids stand in the array as numbers or as text.
    fn libraries(&self, headers: &HeaderMap) -> Result<Vec<i64>, ConsoleError> {
        let Some(text) = text_of(headers, "ScriptUseLibs") else { return Ok(Vec::new()) };
        let wrong = || self.bad_header("ScriptUseLibs", "a JSON array of script ids");
        let ids: Vec<serde_json::Value> = serde_json::from_str(&text).map_err(|_| wrong())?;
        let number = |id: &serde_json::Value| id.as_i64().or_else(|| id.as_str()?.parse().ok());
        ids.iter().map(|id| number(id).ok_or_else(wrong)).collect()
    }

    fn bad_header(&self, name: &str, expected: &str) -> ConsoleError {
        ConsoleError::bad_reply(
            &self.endpoint(Call::Script),
            format!("the header `{name}` is not {expected}"),
        )
    }
}

/// A header as text; none when it is absent or blank.
fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(name)?.as_bytes()).trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

fn decoded(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(percent_decode_str(&text_of(headers, name)?).decode_utf8_lossy().into_owned())
}
