//! The client: who we are, and how a call is made, repeated and understood.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use autoexec_model::Secret;
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::{LARGEST_REPLY, Length, Limits, Outgoing, Wire, base_of, pool};
use crate::redact::redact;
use crate::reply::Reply;
use crate::sign::Signer;
use crate::{Call, ConsoleError, ConsoleSettings, Endpoint, PassThrough, RetryPolicy, download};

/// A client of one console server.
///
/// Proxies named by the environment (`http_proxy` and so on) are not used: runner and server are neighbours, and a
/// proxy would see signed requests that can be replayed. One client serves any number of calls at once.
pub struct ConsoleClient {
    wire: Wire,
    key: Secret,
    base: Arc<str>,
    session: RwLock<Session>,
    dev_mode: bool,
    retry: RetryPolicy,
}

/// What changes once the job's parameters are known.
struct Session {
    tenant: HeaderValue,
    pass_through: PassThrough,
}

/// The head of a download.
pub(crate) enum Fetched {
    /// 200: a body follows.
    Body(Response),
    /// 204, 205 or 304: the local copy is good.
    NotModified(HeaderMap),
}

impl ConsoleClient {
    /// Checks the settings and reads the certificates; connects to nothing.
    pub fn new(settings: ConsoleSettings) -> Result<Self, ConsoleError> {
        let base = base_of(&settings.base_url)?;
        let wire = Wire {
            pool: pool(&settings, &base)?,
            user: header("server.username", &settings.user)?,
            signer: Signer::new(&settings.user, &settings.key)?,
            limits: Limits {
                connect: settings.connect_timeout,
                total: settings.total_timeout,
                idle: settings.idle_timeout,
            },
            base: base.clone(),
        };
        let tenant = header("tenant", &settings.tenant)?;
        let session = RwLock::new(Session { tenant, pass_through: settings.pass_through });
        let (dev_mode, retry) = (settings.dev_mode, settings.retry);
        Ok(Self { wire, key: settings.key, base: base.into(), session, dev_mode, retry })
    }

    /// Sets the tenant of all later requests, also of those that the outbox still holds.
    pub fn set_tenant(&self, tenant: &str) -> Result<(), ConsoleError> {
        let tenant = header("tenant", tenant)?;
        self.session.write().unwrap_or_else(PoisonError::into_inner).tenant = tenant;
        Ok(())
    }

    /// Sets the `passThroughEnv` of all later requests.
    pub fn set_pass_through(&self, pass_through: PassThrough) {
        self.session.write().unwrap_or_else(PoisonError::into_inner).pass_through = pass_through;
    }

    /// The base URL, fit for messages.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Whether devmode leaves `call` out.
    pub(crate) fn is_silent(&self, call: Call) -> bool {
        self.dev_mode && call.is_silent_in_dev_mode()
    }

    pub(crate) fn endpoint(&self, call: Call) -> Endpoint {
        Endpoint::new(Arc::clone(&self.base), call)
    }

    /// `passThroughEnv` as JSON.
    pub(crate) fn pass_through(&self) -> Value {
        self.session.read().unwrap_or_else(PoisonError::into_inner).pass_through.to_value()
    }

    pub(crate) fn tenant(&self) -> String {
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(session.tenant.as_bytes()).into_owned()
    }

    /// The members of `fields` in their order.
    pub(crate) fn body_of(
        &self,
        call: Call,
        fields: &impl Serialize,
    ) -> Result<Map<String, Value>, ConsoleError> {
        match serde_json::to_value(fields) {
            Ok(Value::Object(body)) => Ok(body),
            _ => Err(ConsoleError::bad_reply(&self.endpoint(call), "the request is not a JSON object")),
        }
    }

    /// `fields` with `passThroughEnv` as the last member.
    pub(crate) fn body_with_pass_through(
        &self,
        call: Call,
        fields: &impl Serialize,
    ) -> Result<Map<String, Value>, ConsoleError> {
        let mut body = self.body_of(call, fields)?;
        body.insert("passThroughEnv".to_owned(), self.pass_through());
        Ok(body)
    }

    /// POSTs `body`, repeated as the policy allows.
    pub(crate) async fn post(&self, call: Call, body: Map<String, Value>) -> Result<Reply, ConsoleError> {
        let request = Self::json(call, body);
        self.repeat(call, || self.exchange(&request)).await
    }

    /// POSTs `body` once: the outbox repeats on its own terms.
    pub(crate) async fn post_once(
        &self,
        call: Call,
        body: Map<String, Value>,
    ) -> Result<Reply, ConsoleError> {
        let request = Self::json(call, body);
        self.exchange(&request).await.map_err(|error| self.clean(error))
    }

    /// POSTs `body` to a path below that of `call`.
    pub(crate) async fn post_below(
        &self,
        call: Call,
        below: Arc<str>,
        body: Map<String, Value>,
    ) -> Result<Reply, ConsoleError> {
        let request = Outgoing { below, ..Self::json(call, body) };
        self.repeat(call, || self.exchange(&request)).await
    }

    /// GETs a JSON reply.
    pub(crate) async fn get_json(&self, call: Call) -> Result<Reply, ConsoleError> {
        let request = Outgoing {
            call,
            below: Arc::default(),
            query: String::new(),
            body: None,
            length: Length::Bounded,
        };
        self.repeat(call, || self.exchange(&request)).await
    }

    /// GETs the head of a download and hands it to `consume`; both together are what is repeated.
    pub(crate) async fn get<T, F: Future<Output = Result<T, ConsoleError>>>(
        &self,
        call: Call,
        query: String,
        consume: impl Fn(Fetched) -> F,
    ) -> Result<T, ConsoleError> {
        let request = Outgoing { call, below: Arc::default(), query, body: None, length: Length::Unbounded };
        self.repeat(call, || async { consume(self.fetch(&request).await?).await }).await
    }

    /// Writes the body of a download to `path`.
    pub(crate) async fn save(&self, call: Call, response: Response, path: &Path) -> Result<(), ConsoleError> {
        download::save(&self.wire, &self.endpoint(call), response, path).await
    }

    /// Reads the body of a download into memory.
    pub(crate) async fn collect(
        &self,
        call: Call,
        response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, ConsoleError> {
        self.wire.body(&self.endpoint(call), Length::Unbounded, response, limit).await
    }

    fn json(call: Call, body: Map<String, Value>) -> Outgoing {
        let text = Value::Object(body).to_string();
        Outgoing {
            call,
            below: Arc::default(),
            query: String::new(),
            body: Some(Bytes::from(text)),
            length: Length::Bounded,
        }
    }

    async fn exchange(&self, request: &Outgoing) -> Result<Reply, ConsoleError> {
        let endpoint = self.endpoint(request.call).below(Arc::clone(&request.below));
        let response = self.wire.send(&endpoint, request, self.tenant_header()).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.wire.refusal(endpoint, response).await);
        }
        let body = self.wire.body(&endpoint, Length::Bounded, response, LARGEST_REPLY).await?;
        Reply::parse(endpoint, status.as_u16(), &body)
    }

    async fn fetch(&self, request: &Outgoing) -> Result<Fetched, ConsoleError> {
        let endpoint = self.endpoint(request.call).below(Arc::clone(&request.below));
        let response = self.wire.send(&endpoint, request, self.tenant_header()).await?;
        match response.status() {
            StatusCode::OK => Ok(Fetched::Body(response)),
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => {
                Ok(Fetched::NotModified(response.headers().clone()))
            }
            _ => Err(self.wire.refusal(endpoint, response).await),
        }
    }

    async fn repeat<T, F: Future<Output = Result<T, ConsoleError>>>(
        &self,
        call: Call,
        attempt: impl Fn() -> F,
    ) -> Result<T, ConsoleError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => self.clean(error),
            };
            let Some(pause) = self.retry.next_pause(&error, attempts, call.repeat()) else {
                return Err(error);
            };
            tracing::warn!(%error, attempts, ?pause, "call to the server is repeated");
            tokio::time::sleep(pause).await;
        }
    }

    fn tenant_header(&self) -> HeaderValue {
        self.session.read().unwrap_or_else(PoisonError::into_inner).tenant.clone()
    }

    /// Masks in the error whatever the server may have repeated of what it was sent.
    fn clean(&self, error: ConsoleError) -> ConsoleError {
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        let secrets = session.pass_through.secrets().chain([self.key.expose()]);
        error.cleaned(|text| redact(text, secrets))
    }
}

impl std::fmt::Debug for ConsoleClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleClient")
            .field("base", &self.base)
            .field("dev_mode", &self.dev_mode)
            .finish_non_exhaustive()
    }
}

fn header(field: &'static str, text: &str) -> Result<HeaderValue, ConsoleError> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| ConsoleError::settings(field, "it holds a control character"))
}
