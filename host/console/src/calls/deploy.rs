//! Names and runners of deploy jobs (`spec/job-params.md`, deploy set).

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Call, ConsoleClient, ConsoleError};

/// The parts of a deploy path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployNames {
    /// Application system.
    pub sys_name: String,
    /// Module.
    pub module_name: String,
    /// Environment, where the path has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_name: Option<String>,
}

/// The ids of the parts of a deploy path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployIds {
    /// Application system.
    #[serde(deserialize_with = "id")]
    pub sys_id: i64,
    /// Module.
    #[serde(deserialize_with = "id")]
    pub module_id: i64,
    /// Environment; none where the names had none. Sent as null then.
    #[serde(default, deserialize_with = "optional_id")]
    pub env_id: Option<i64>,
}

/// Ids come as numbers or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    optional_id(deserializer)?.ok_or_else(|| de::Error::custom("an id is missing"))
}

fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match Option::<Id>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Id::Number(number)) => Ok(Some(number)),
        Some(Id::Text(text)) if text.is_empty() => Ok(None),
        Some(Id::Text(text)) => text.parse().map(Some).map_err(de::Error::custom),
    }
}

impl ConsoleClient {
    /// Asks for the ids of the parts of a deploy path.
    pub async fn deploy_ids(&self, names: &DeployNames) -> Result<DeployIds, ConsoleError> {
        let body = self.with_tenant(Call::DeployIds, names)?;
        self.post(Call::DeployIds, body).await?.decode()
    }

    /// Asks for the runners of a deploy environment: runner id → host, in the server's order.
    pub async fn runner_group(&self, ids: &DeployIds) -> Result<Map<String, Value>, ConsoleError> {
        let body = self.with_tenant(Call::RunnerGroup, ids)?;
        self.post(Call::RunnerGroup, body).await?.decode()
    }

    fn with_tenant(&self, call: Call, fields: &impl Serialize) -> Result<Map<String, Value>, ConsoleError> {
        let mut body = self.body_of(call, fields)?;
        body.insert("tenant".to_owned(), self.tenant().into());
        Ok(body)
    }
}
