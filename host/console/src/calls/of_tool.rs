//! Calls that a tool in the sandbox makes, under whatever name its site allows.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{Call, ConsoleClient, ConsoleError};

/// The path of a call below `/neatlogic/api/`, such as `rest/autoexec/job/status/get`. It is signed and sent as it
/// stands: nothing in it can leave that place or be read in two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiPath(Arc<str>);

/// Why a text is no [`ApiPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name of a server call: words of letters, digits and `-_.` with `/` between them, none of them `.` or `..`"
)]
pub struct NoApiPath(String);

impl ApiPath {
    /// Checks the text.
    ///
    /// # Errors
    /// It has an empty part, `.` or `..` among its parts, or a character that means something to a URL.
    pub fn new(text: &str) -> Result<Self, NoApiPath> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
        if text.split('/').all(is_part) { Ok(Self(text.into())) } else { Err(NoApiPath(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConsoleClient {
    /// Makes a tool's call; its `Return`, null when the server has nothing to say.
    ///
    /// Only a request that cannot have reached the server is repeated: nobody knows what doing it twice would do.
    pub async fn call_of_tool(
        &self,
        path: &ApiPath,
        parameters: Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        let reply = self.post_below(Call::OfTool, Arc::clone(&path.0), parameters).await?;
        Ok(reply.decode_optional()?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_api_or_reads_in_two_ways() {
        for good in ["rest/autoexec/job/status/get", "binary/x", "a.b-c_d", "..."] {
            assert_eq!(ApiPath::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "/rest/x",
            "rest/",
            "a//b",
            "..",
            "rest/../../admin",
            "./x",
            "a?b=c",
            "a#b",
            "a%2e",
            "a\\b",
            "a b",
            "a\r\nX: y",
            "a:b",
            "a@b",
            "人",
        ] {
            let text = ApiPath::new(bad).unwrap_err().to_string();
            assert!(text.contains("is no name of a server call"), "{bad}: {text}");
        }
    }
}
