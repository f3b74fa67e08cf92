//! Custom scripts from the console server (`spec/server-api.md` §4.4), as the runners ask for them.

use std::sync::Arc;

use async_trait::async_trait;
use autoexec_console::{ConsoleClient, Script, ScriptHeaders, ScriptQuery};
use autoexec_model::JobId;
use autoexec_runners::{FetchedScript, ScriptAbout, ScriptFetcher, ScriptRequest};

/// Downloads scripts of one job.
pub(crate) struct ScriptSource {
    pub(crate) client: Arc<ConsoleClient>,
    pub(crate) job: JobId,
}

#[async_trait]
impl ScriptFetcher for ScriptSource {
    async fn fetch(&self, request: &ScriptRequest) -> Result<FetchedScript, String> {
        let query = ScriptQuery {
            job: self.job.clone(),
            operation: request.operation.clone(),
            script_id: request.script,
            version_id: request.version,
            local: request.local.map(Into::into),
        };
        match self.client.script(&query).await.map_err(|error| error.to_string())? {
            Script::New { headers, content } => Ok(FetchedScript::New { about: about(headers), content }),
            Script::NotModified { headers } => Ok(FetchedScript::NotModified { about: about(headers) }),
        }
    }
}

fn about(headers: ScriptHeaders) -> ScriptAbout {
    ScriptAbout {
        version: headers.version_id,
        name: headers.name,
        interpreter: headers.interpreter,
        libraries: headers.libraries,
    }
}
