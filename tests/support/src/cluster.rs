//! A stand-in for the API server of a Kubernetes cluster: TLS with a certificate of an authority of its own, tokens, and the
//! paths that the roll-out of one deployment needs. A cluster is in none of the registries that tests may use.
//!
//! It holds requests to what a real one asks for: no token is 401, a patch whose content type is no strategic merge is 415,
//! what it does not know is 404. A roll-out is over as soon as it has begun.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::tls::Authority;

/// The namespace.
pub const NAMESPACE: &str = "shop";
/// The deployment, its container and the label `app`.
pub const DEPLOYMENT: &str = "cart";

const UID: &str = "5f1c";
const REVISION: &str = "deployment.kubernetes.io/revision";
const MERGE: &str = "application/strategic-merge-patch+json";

/// The running server; it ends when dropped.
#[derive(Debug)]
pub struct ClusterDouble {
    address: SocketAddr,
    authority: Authority,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request that arrived, and how it was answered.
#[derive(Debug, Clone)]
pub struct ClusterRequest {
    /// Method, path and query.
    pub line: String,
    /// Code of the answer.
    pub code: u16,
    /// The body, null where there was none.
    pub body: Value,
}

#[derive(Debug)]
struct State {
    token: String,
    /// The pod template of each revision; the last one is the present one.
    templates: Vec<Value>,
    requests: Vec<ClusterRequest>,
}

impl ClusterDouble {
    /// Starts it on a free loopback port, with a deployment that has had these images. `token` is the token that it takes.
    pub fn start(token: &str, images: &[&str]) -> Result<Self> {
        let authority = Authority::new()?;
        let tls = authority.acceptor(&[Ipv4Addr::LOCALHOST.to_string()])?;
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind the cluster double")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let template = |image: &&str| json!({"metadata": {}, "spec": {"containers": [{"name": DEPLOYMENT, "image": image}]}});
        let templates = images.iter().map(template).collect();
        let state = Arc::new(Mutex::new(State { token: token.to_owned(), templates, requests: Vec::new() }));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("cluster-double".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, tls, served) => {}
                }
            });
        })?;
        Ok(Self { address, authority, state, stop: Some(stop), thread: Some(thread) })
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Certificate of the authority, as PEM.
    pub fn authority(&self) -> &str {
        self.authority.pem()
    }

    /// All requests, in the order in which they arrived.
    pub fn requests(&self) -> Vec<ClusterRequest> {
        lock(&self.state).requests.clone()
    }

    /// The present pod template.
    pub fn template(&self) -> Value {
        lock(&self.state).present().clone()
    }
}

impl Drop for ClusterDouble {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; the test fails by what it misses.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: std::net::TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, tls.clone(), Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    // A client that does not trust the certificate ends the handshake: nothing to serve.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(|request| respond(&state, request));
    // Ends with an error when the client is gone.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    state: &Mutex<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = lock(state);
    let is_known = header("authorization") == format!("Bearer {}", state.token);
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let (code, answer) = match (is_known, head.method.as_str()) {
        (false, _) => status(401, "Unauthorized"),
        (true, "PATCH") if header("content-type") != MERGE => {
            status(415, "the body of the request was in an unknown format")
        }
        (true, "PATCH") => state.patch(&path, &body),
        (true, "GET") => state.get(&path),
        (true, _) => status(405, "the server does not allow this method on the requested resource"),
    };
    state.requests.push(ClusterRequest { line: format!("{} {path}", head.method), code, body });
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    Ok(response)
}

fn status(code: u16, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}),
    )
}

impl State {
    fn present(&self) -> &Value {
        static NONE: Value = Value::Null;
        self.templates.last().unwrap_or(&NONE)
    }

    fn deployment(&self) -> Value {
        let revision = self.templates.len();
        json!({
            "metadata": {"uid": UID, "generation": revision, "annotations": {REVISION: revision.to_string()}},
            "spec": {"replicas": 1, "template": self.present()},
            "status": {"observedGeneration": revision, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
        })
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let label = format!("labelSelector=app%3D{DEPLOYMENT}");
        let hash = self.templates.len();
        if path == deployment_path() {
            (200, self.deployment())
        } else if path == format!("/apis/apps/v1/namespaces/{NAMESPACE}/replicasets?{label}") {
            let set = |(index, template): (usize, &Value)| {
                let revision = (index + 1).to_string();
                json!({"metadata": {"annotations": {REVISION: revision}, "labels": {"pod-template-hash": revision},
                    "ownerReferences": [{"uid": UID}]}, "spec": {"template": template}})
            };
            (200, json!({"items": self.templates.iter().enumerate().map(set).collect::<Vec<_>>()}))
        } else if path == format!("/api/v1/namespaces/{NAMESPACE}/pods?{label}%2Cpod-template-hash%3D{hash}")
        {
            let ready = json!([{"type": "Ready", "status": "True"}]);
            let pod = json!({"metadata": {"name": format!("{DEPLOYMENT}-{hash}-x")},
                "status": {"phase": "Running", "conditions": ready, "containerStatuses": [{"state": {"running": {}}}]}});
            (200, json!({"items": [pod]}))
        } else {
            status(404, "the server could not find the requested resource")
        }
    }

    /// Merges as a strategic merge does: objects by their keys, containers by their names.
    fn patch(&mut self, path: &str, change: &Value) -> (u16, Value) {
        if path != deployment_path() {
            return status(404, "the server could not find the requested resource");
        }
        let mut template = self.present().clone();
        merge(&mut template, &change["spec"]["template"]);
        if template != *self.present() {
            self.templates.push(template);
        }
        (200, self.deployment())
    }
}

fn deployment_path() -> String {
    format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DEPLOYMENT}")
}

fn merge(own: &mut Value, change: &Value) {
    match (own, change) {
        (Value::Object(own), Value::Object(change)) => {
            for (key, value) in change {
                merge(own.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(own), Value::Array(change)) => {
            for item in change {
                match own.iter_mut().find(|present| present["name"] == item["name"]) {
                    Some(present) => merge(present, item),
                    None => own.push(item.clone()),
                }
            }
        }
        (own, change) => *own = change.clone(),
    }
}
