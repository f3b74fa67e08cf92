//! Calls of operations that need an answer: from the server, or a clear refusal where there is none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use autoexec_console::{AccountQuery, ConsoleClient, GlobalParameter, RoundEnded, UnixTime};
use autoexec_control::JobControl;
use autoexec_engine::ports::JobServices;
use autoexec_events::Level;
use autoexec_model::value::AccountRequest;
use autoexec_model::{GroupNo, JobId, Node, PhaseName, RunnerId};
use autoexec_store::{Cache, FileId, JobDir};
use tokio::sync::OnceCell;

/// Asks the console server.
pub(crate) struct Services {
    /// None in a run without a server.
    pub(crate) client: Option<Arc<ConsoleClient>>,
    pub(crate) job: JobId,
    pub(crate) runner: RunnerId,
    pub(crate) job_dir: JobDir,
    pub(crate) cache: Cache,
    /// Files of the job that were fetched, by id: once per process, however many nodes ask for one at a time.
    pub(crate) fetched: Mutex<HashMap<FileId, Arc<OnceCell<String>>>>,
    /// The exec id, else the process id: names the job socket on every runner of the group.
    pub(crate) instance: String,
    pub(crate) control: JobControl,
}

impl Services {
    fn client(&self, what: &str) -> Result<&ConsoleClient, String> {
        self.client
            .as_deref()
            .ok_or_else(|| format!("{what} needs the console server, and this run has none."))
    }

    /// Brings a file to the cache and links it into the job; its name there.
    async fn download(&self, file: FileId) -> Result<String, String> {
        let path = self.cache.path(&file);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|error| format!("Can not create {}: {error}", directory.display()))?;
        }
        let client = self.client("a file option")?;
        let reply = client.download_file(file.as_str(), &path).await.map_err(|error| error.to_string())?;
        let name = reply.name.unwrap_or_else(|| file.as_str().to_owned());
        let linked = self.cache.link(&self.job_dir, &file, &name).map_err(|error| error.to_string())?;
        Ok(linked.strip_prefix("file/").map_or(linked.clone(), str::to_owned))
    }
}

#[async_trait]
impl JobServices for Services {
    async fn account_password(&self, node: &Node, account: &AccountRequest) -> Result<String, String> {
        let query = AccountQuery {
            job: self.job.clone(),
            resource: node.resource,
            host: node.host.clone(),
            port: node.port,
            username: account.user.clone(),
            account_id: account.account_id.clone(),
            protocol: account.protocol.clone(),
        };
        let answer = self.client("an account")?.account(&query).await.map_err(|error| error.to_string())?;
        let answer = answer.ok_or("accounts are not looked up in devmode")?;
        Ok(answer.password().expose().to_owned())
    }

    async fn fetch_file(&self, id: &str) -> Result<String, String> {
        let file = FileId::new(id).map_err(|error| error.to_string())?;
        let fetched = {
            let mut all = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(file.clone()).or_default())
        };
        fetched.get_or_try_init(|| self.download(file)).await.cloned()
    }

    async fn update_global_parameter(&self, name: &str, value: &str) -> Result<(), String> {
        let parameter = GlobalParameter {
            job: self.job.clone(),
            key: name.to_owned(),
            default_value: value.to_owned(),
            time: UnixTime::now(),
        };
        let client = self.client("native/updategparam")?;
        client.set_global_parameter(&parameter).await.map_err(|error| error.to_string())
    }

    async fn evaluate_in_shell(&self, text: &str) -> Result<String, String> {
        let output = tokio::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("echo {text}"))
            .current_dir(self.job_dir.root())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("Can not run /bin/sh: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(format!("The shell failed on the value: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
    }

    async fn end_control(&self) -> Vec<(Level, String)> {
        self.control.finish().await
    }

    async fn round_ended(&self, group: GroupNo, phase: &PhaseName, round: u64) -> Result<(), String> {
        let ended = RoundEnded {
            job: self.job.clone(),
            runner: self.runner,
            group,
            phase: phase.clone(),
            round_no: round,
            time: UnixTime::now(),
            pid: self.instance.clone(),
        };
        self.client("a round over several runners")?
            .round_ended(&ended)
            .await
            .map_err(|error| error.to_string())
    }
}
