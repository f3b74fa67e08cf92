//! A double of the console server: real HTTP on a loopback port, data set by the test, failures on demand.
//!
//! It follows `spec/server-api.md` on its own, without the client's types, so that a misreading there is found here.
//! It runs on a thread with a runtime of its own: synchronous tests can use it, and an asynchronous test that waits
//! for it must run on the multi-threaded runtime.

mod answer;
mod call;
mod data;
mod failure;
mod listen;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

pub use self::call::{Call, CallName};
pub use self::data::{File, Scope, Script};
pub use self::failure::FailMode;

use self::data::Data;
use self::failure::{Chooser, Failures};
use self::listen::Listener;
use crate::tls::Authority;

/// What the server is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The only user it knows.
    pub user: String,
    /// That user's HMAC key.
    pub key: String,
    /// Whether it speaks TLS, with a certificate of an authority made for it.
    pub tls: bool,
    /// The names and addresses in that certificate.
    pub certificate_names: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user: "autoexec".to_owned(),
            key: "tok-4711".to_owned(),
            tls: false,
            certificate_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        }
    }
}

/// The running double; it ends when dropped.
#[derive(Debug)]
pub struct ConsoleDouble {
    shared: Arc<Shared>,
    listener: Listener,
    authority: Option<Authority>,
}

/// What the connections and the test share.
#[derive(Debug)]
struct Shared {
    config: Config,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    bad_signatures: usize,
    data: Data,
    failures: Failures,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsoleDouble {
    /// Starts it on a free loopback port.
    pub fn start(config: Config) -> Result<Self> {
        let authority = if config.tls { Some(Authority::new()?) } else { None };
        let tls = authority.as_ref().map(|by| by.acceptor(&config.certificate_names)).transpose()?;
        let shared =
            Arc::new(Shared { config, state: Mutex::new(State::default()), changed: Condvar::new() });
        let listener = Listener::start(Arc::clone(&shared), tls)?;
        Ok(Self { shared, listener, authority })
    }

    /// `server.baseurl`.
    pub fn base_url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The certificate of its authority, PEM; none without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::pem)
    }

    /// The user and key it accepts.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// All requests with a good signature, in the order in which they arrived.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Those of one name.
    pub fn calls_of(&self, name: CallName) -> Vec<Call> {
        self.shared.state().calls.iter().filter(|call| call.name == name).cloned().collect()
    }

    /// How many requests had a wrong or missing signature.
    pub fn bad_signatures(&self) -> usize {
        self.shared.state().bad_signatures
    }

    /// Waits until `is_reached` is true of the calls so far, and gives them.
    pub fn wait_for(&self, is_reached: impl Fn(&[Call]) -> bool, within: Duration) -> Result<Vec<Call>> {
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), within, |state| !is_reached(&state.calls))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let names: Vec<_> = state.calls.iter().map(|call| call.name).collect();
            bail!("not reached within {within:?}; {} calls so far: {names:?}", names.len());
        }
        Ok(state.calls.clone())
    }

    /// Makes the next `times` requests of that name fail (all of them for none).
    pub fn fail(&self, name: CallName, mode: FailMode, times: Option<usize>) {
        self.shared.state().failures.add(name, mode, times);
    }

    /// Asks `choose` about every request that no [`fail`](Self::fail) applies to.
    pub fn fail_when(&self, choose: impl FnMut(&Call) -> Option<FailMode> + Send + 'static) {
        self.shared.state().failures.chooser = Some(Chooser::new(choose));
    }

    /// Ends all failures.
    pub fn heal(&self) {
        self.shared.state().failures = Failures::default();
    }

    /// Closes the port and cuts all connections; connecting is refused until [`come_back`](Self::come_back).
    pub fn go_away(&self) -> Result<()> {
        self.listener.close().context("closing the port of the console double")
    }

    /// Listens again on the same port.
    pub fn come_back(&self) -> Result<()> {
        self.listener.open().context("opening the port of the console double again")
    }

    fn set(&self, change: impl FnOnce(&mut Data)) {
        change(&mut self.shared.state().data);
    }

    /// `Return` of "get parameters". Refused with 520 until set.
    pub fn set_params(&self, params: Value) {
        self.set(|data| data.params = Some(params));
    }

    /// From here on the job is unknown.
    pub fn forget_params(&self) {
        self.set(|data| data.params = None);
    }

    /// The node list of a scope, and when it last changed (seconds since 1970).
    pub fn set_nodes(&self, scope: Scope, text: impl Into<String>, modified: f64) {
        self.set(|data| drop(data.nodes.insert(scope, (text.into(), modified))));
    }

    /// A custom script.
    pub fn set_script(&self, id: i64, script: Script) {
        self.set(|data| drop(data.scripts.insert(id.to_string(), script)));
    }

    /// A file parameter.
    pub fn set_file(&self, id: &str, file: File) {
        self.set(|data| drop(data.files.insert(id.to_owned(), file)));
    }

    /// The password of an account.
    pub fn set_account(&self, account_id: &str, password: &str) {
        self.set(|data| drop(data.accounts.insert(account_id.to_owned(), password.to_owned())));
    }

    /// `Return` of "global lock" for one `action`. A `lock` without a `lockId` gets a new one each time.
    pub fn set_lock_reply(&self, action: &str, reply: Value) {
        self.set(|data| drop(data.locks.insert(action.to_owned(), reply)));
    }

    /// `Return` of "Mongo settings".
    pub fn set_mongo(&self, settings: Value) {
        self.set(|data| data.mongo = Some(settings));
    }

    /// `Return` of "deploy ids".
    pub fn set_deploy_ids(&self, ids: Value) {
        self.set(|data| data.deploy_ids = Some(ids));
    }

    /// `Return` of a call that is not in the table, by its path below the API; null leaves `Return` out.
    pub fn set_reply(&self, path: &str, result: Value) {
        self.set(|data| drop(data.further.insert(path.to_owned(), result)));
    }

    /// `Return` of "runner group".
    pub fn set_runner_group(&self, group: Value) {
        self.set(|data| data.runner_group = Some(group));
    }

    /// The only keys that "global parameter" knows. All are known until set.
    pub fn set_global_parameters(&self, keys: &[&str]) {
        self.set(|data| data.global_parameters = Some(keys.iter().map(|key| (*key).to_owned()).collect()));
    }

    /// Makes node statuses of `phase` be answered with `hasFailNode` = 1, as old servers do.
    pub fn set_failed_elsewhere(&self, phase: &str) {
        self.set(|data| data.failed_elsewhere.extend([phase.to_owned()]));
    }
}
