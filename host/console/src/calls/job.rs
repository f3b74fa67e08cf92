//! Calls about the job as a whole: parameters, MongoDB, rounds, global parameters.

use autoexec_model::{GroupNo, JobId, PhaseName, RunnerId, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::{Call, ConsoleClient, ConsoleError, UnixTime};

/// Where the shared MongoDB is.
#[derive(Debug, Clone)]
pub struct MongoSource {
    /// `host:port`, or several of them separated by commas.
    pub host: String,
    /// Database name.
    pub database: String,
    /// User name; empty when none is needed.
    pub username: String,
    /// Password as the server keeps it, plain.
    pub password: Secret,
    /// Options of the connection string, without `?`; empty when there are none.
    pub option: String,
}

impl MongoSource {
    /// The connection string without user and password: `mongodb://<host>/?<option>`.
    pub fn url(&self) -> String {
        let mark = if self.option.is_empty() { "" } else { "?" };
        format!("mongodb://{}/{mark}{}", self.host, self.option)
    }
}

#[derive(Deserialize)]
struct MongoReturn {
    host: String,
    database: String,
    username: Option<String>,
    #[serde(rename = "passwordPlain")]
    password_plain: Option<String>,
    option: Option<String>,
}

/// This runner is through with a round of a gray-scale group.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoundEnded {
    /// The job.
    #[serde(rename = "jobId")]
    pub job: JobId,
    /// This runner.
    #[serde(rename = "runnerId")]
    pub runner: RunnerId,
    /// The group.
    #[serde(rename = "groupNo")]
    pub group: GroupNo,
    /// The phase.
    pub phase: PhaseName,
    /// The round, from 1.
    pub round_no: u64,
    /// When it ended.
    pub time: UnixTime,
    /// The exec id when there is one, else the process id: the server builds the name of the job socket of
    /// *every* runner of the group from it (`spec/job-socket.md` §9.3).
    pub pid: String,
}

/// New value of a global parameter.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalParameter {
    /// The job.
    #[serde(rename = "jobId")]
    pub job: JobId,
    /// Key of the parameter; the server refuses one it does not know.
    pub key: String,
    /// The value.
    pub default_value: String,
    /// When it was set.
    pub time: UnixTime,
}

impl ConsoleClient {
    /// Asks where the shared MongoDB is; none in devmode, and where the server has none to name.
    pub async fn mongo_settings(&self) -> Result<Option<MongoSource>, ConsoleError> {
        if self.is_silent(Call::MongoSettings) {
            return Ok(None);
        }
        let found: Option<MongoReturn> = self.get_json(Call::MongoSettings).await?.decode_optional()?;
        Ok(found.map(|found| MongoSource {
            host: found.host,
            database: found.database,
            username: found.username.unwrap_or_default(),
            password: Secret::new(found.password_plain.unwrap_or_default()),
            option: found.option.unwrap_or_default(),
        }))
    }

    /// Fetches the job's parameters: the text of `params.json`, byte for byte as the server wrote it.
    ///
    /// `local` is when the local copy was last changed.
    pub async fn job_parameters(&self, job: &JobId, local: Option<UnixTime>) -> Result<String, ConsoleError> {
        let mut body = Map::new();
        body.insert("jobId".to_owned(), json!(job));
        body.insert("lastModified".to_owned(), UnixTime::last_modified(local).into());
        self.post(Call::Parameters, body).await?.into_text()
    }

    /// Tells that this runner is through with a round. The answer comes over the job socket.
    pub async fn round_ended(&self, round: &RoundEnded) -> Result<(), ConsoleError> {
        self.notify(Call::RoundEnded, round).await.map(drop)
    }

    /// Sets a global parameter.
    pub async fn set_global_parameter(&self, parameter: &GlobalParameter) -> Result<(), ConsoleError> {
        self.notify(Call::GlobalParameter, parameter).await.map(drop)
    }
}
