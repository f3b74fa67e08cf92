//! Calls of the console server for tools.

use std::sync::Arc;

use async_trait::async_trait;
use autoexec_console::{ApiPath, ConsoleClient, ConsoleError};
use autoexec_sandbox::{ServerError, ServerHost};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// The server of the job.
pub(super) struct Console {
    pub(super) client: Arc<ConsoleClient>,
    /// Where the client's connections live: they outlast the call of a guest.
    pub(super) runtime: Handle,
}

#[async_trait]
impl ServerHost for Console {
    async fn call(&self, name: &str, parameters: Value) -> Result<Value, ServerError> {
        let path = ApiPath::new(name).map_err(|error| ServerError::Refused(error.to_string()))?;
        let Value::Object(parameters) = parameters else {
            return Err(ServerError::Refused("the parameters of a server call are a JSON object".to_owned()));
        };
        let client = Arc::clone(&self.client);
        let call = self.runtime.spawn(async move { client.call_of_tool(&path, parameters).await });
        match AbortOnDropHandle::new(call).await {
            Ok(answer) => answer.map_err(|error| why(&error)),
            Err(error) => Err(ServerError::Unavailable(format!("the call was lost: {error}"))),
        }
    }
}

/// An answer that will be the same next time is a refusal.
fn why(error: &ConsoleError) -> ServerError {
    let text = error.to_string();
    match error {
        ConsoleError::Rejected { .. } => ServerError::Refused(text),
        ConsoleError::Http { code, .. } if (400..500).contains(code) && !error.is_transient() => {
            ServerError::Refused(text)
        }
        _ => ServerError::Unavailable(text),
    }
}
