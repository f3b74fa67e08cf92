//! An instance that is made and thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::border::Border;
use crate::grants::Grants;
use crate::host::{JobContext, LogLevel, NodeFacts, ToolHost};
use crate::invoke::{Ended, InvokeError, new_store, shut_down};
use crate::limits::Limits;
use crate::sandbox::Sandbox;
use crate::secrets::Secrets;
use crate::tape::Running;
use crate::tool::Tool;

impl Sandbox {
    /// Makes an instance of the tool and throws it away, and says how long making it took: for measurements, and to see whether it can
    /// start here. Nothing of the tool is called but what it does when it starts, without a host.
    pub async fn start_and_drop(&self, tool: &Tool, limits: Limits) -> Result<Duration, InvokeError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| shut_down())?;
        let limits = Limits { memory: limits.memory.min(tool.engine.memory_cap), ..limits };
        let border = Border::new(
            Arc::new(Nobody),
            Grants::none(),
            limits,
            Secrets::default(),
            Arc::clone(&self.network),
            Running::Off,
            true,
        );
        let border = Arc::new(border);
        let mut store = new_store(&tool.engine, Arc::clone(&border));
        let instance = tool.instance.clone();
        let task = self.threads.spawn(border.cpu.measure(async move {
            let _slot = slot;
            let begin = Instant::now();
            match instance.instantiate_async(&mut store).await {
                Ok(_) => Ok(begin.elapsed()),
                Err(error) => Err(Ended::new(error, &store, false).explain(&limits)),
            }
        }));
        let ended = task.ok_or_else(shut_down)?.await;
        ended.unwrap_or_else(|error| Err(InvokeError::Internal(error.to_string())))
    }
}

/// The host of an instance that nobody calls.
struct Nobody;

impl ToolHost for Nobody {
    fn context(&self) -> JobContext {
        JobContext::default()
    }

    fn node(&self) -> NodeFacts {
        NodeFacts::default()
    }

    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn log(&self, _level: LogLevel, _text: &str) {}

    fn write(&self, _bytes: &[u8]) {}

    fn output(&self, _name: &str, _value: Value) {}

    fn live_data(&self, _data: Value) {}
}
