//! Registration of tools (`spec/tool-descriptor.md`).

use serde_json::{Map, Value};

use crate::{Call, ConsoleClient, ConsoleError};

/// A tool to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The tool's description, as it stands in its file.
    pub description: Map<String, Value>,
    /// `bundle/name`.
    pub op_name: String,
    /// Marks all tools of one import: its start in whole seconds since 1970.
    pub import_time: i64,
    /// Where it runs: `runner`, `target`, `runner_target`, `sqlfile` or `native`.
    pub op_type: String,
}

impl ConsoleClient {
    /// Registers a tool or renews its registration.
    pub async fn register_tool(&self, tool: Registration) -> Result<(), ConsoleError> {
        let mut body = tool.description;
        for (name, value) in [
            ("opName", tool.op_name.into()),
            ("importTime", tool.import_time.into()),
            ("opType", tool.op_type.into()),
        ] {
            // A member of that name in the description would keep its place and its order.
            body.shift_remove(name);
            body.insert(name.to_owned(), value);
        }
        self.post(Call::Register, body).await.map(drop)
    }

    /// Deletes the tools that were not registered with `import_time`.
    pub async fn clean_up_tools(&self, import_time: i64) -> Result<(), ConsoleError> {
        let mut body = Map::new();
        body.insert("importTime".to_owned(), import_time.into());
        self.post(Call::CleanUp, body).await.map(drop)
    }
}
