//! The API server.

use std::time::Duration;

use autoexec_sdk::{Failure, http};
use serde_json::Value;

use crate::rollout::{Pods, Progress};
use crate::{Options, list, number, text};

/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of one answer.
const LIMIT: u64 = 16 << 20;

/// Annotation of deployments and replica sets.
const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

/// One deployment of a cluster.
pub(crate) struct Cluster {
    base: String,
    authorization: String,
    namespace: String,
    deployment: String,
    name: String,
}

impl Cluster {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        for (option, value) in
            [("namespace", &options.namespace), ("deployment", &options.deployment), ("name", &options.name)]
        {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if value.is_empty() || !value.chars().all(is_plain) {
                let message =
                    format!("\"{value}\" is no name in a cluster: letters, digits, `-`, `.` and `_` only");
                return Err(Failure::invalid_option(option, message).with_exit_code(2));
            }
        }
        let host = options.host.trim();
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        Ok(Self {
            base: format!("https://{host}:{}", options.apiport),
            authorization: format!("Bearer {}", options.token.reference()),
            namespace: options.namespace.clone(),
            deployment: options.deployment.clone(),
            name: options.name.clone(),
        })
    }

    fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments/{}", self.namespace, self.deployment)
    }

    fn send(&self, request: http::Request) -> Result<Value, Failure> {
        let answer = request
            .header("authorization", &self.authorization)
            .header("accept", "application/json")
            .timeout(TIMEOUT)
            .send()?;
        Ok(answer.require_success()?.json(LIMIT)?)
    }

    fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(http::get(format!("{}{path}", self.base)))
    }

    /// The deployment as it is.
    pub(crate) fn deployment(&self) -> Result<Value, Failure> {
        self.get(&self.path())
    }

    /// Changes the deployment.
    pub(crate) fn patch(&self, change: &Value) -> Result<(), Failure> {
        let request = http::Request::new("PATCH", format!("{}{}", self.base, self.path()))
            .header("content-type", "application/strategic-merge-patch+json")
            .body(serde_json::to_vec(change)?);
        self.send(request).map(drop)
    }

    /// The replica sets of the deployment, with their revisions.
    fn replica_sets(&self, deployment: &Value) -> Result<Vec<(u64, Value)>, Failure> {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/replicasets?labelSelector=app%3D{}",
            self.namespace, self.name
        );
        let answer = self.get(&path)?;
        let uid = text(deployment, "/metadata/uid");
        let is_own =
            |set: &&Value| list(set, "/metadata/ownerReferences").any(|owner| text(owner, "/uid") == uid);
        let sets = list(&answer, "/items").filter(is_own);
        Ok(sets.map(|set| (revision(set), set.clone())).collect())
    }

    /// The image of the revision before the present one.
    pub(crate) fn previous_image(&self, deployment: &Value) -> Result<String, Failure> {
        let present = revision(deployment);
        let sets = self.replica_sets(deployment)?;
        let previous =
            sets.iter().filter(|(revision, _)| *revision < present).max_by_key(|(revision, _)| *revision);
        let image = previous.and_then(|(_, set)| image_of(set, &self.name));
        image.ok_or_else(|| {
            let message =
                format!("the deployment {} has no revision before {present} to go back to", self.deployment);
            Failure::not_found(message)
        })
    }

    /// How far the cluster is.
    pub(crate) fn progress(&self) -> Result<Progress, Failure> {
        let deployment = self.deployment()?;
        let desired = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        if number(&deployment, "/status/observedGeneration") < number(&deployment, "/metadata/generation") {
            return Ok(Progress::Runs { pods: Pods::default(), desired });
        }
        let present = revision(&deployment);
        let sets = self.replica_sets(&deployment)?;
        let newest = sets.into_iter().find(|(revision, _)| *revision == present);
        let pods = match &newest {
            None => Pods::default(),
            Some((_, set)) => {
                let hash = text(set, "/metadata/labels/pod-template-hash");
                let path = format!(
                    "/api/v1/namespaces/{}/pods?labelSelector=app%3D{}%2Cpod-template-hash%3D{hash}",
                    self.namespace, self.name
                );
                Pods::read(&self.get(&path)?)
            }
        };
        let is = |pointer: &str| number(&deployment, pointer) == desired;
        if is("/status/updatedReplicas") && is("/status/availableReplicas") && is("/status/replicas") {
            return Ok(Progress::Done(pods));
        }
        if desired == 0 && number(&deployment, "/status/replicas") == 0 {
            return Ok(Progress::Done(pods));
        }
        let given_up = list(&deployment, "/status/conditions")
            .find(|condition| text(condition, "/reason") == "ProgressDeadlineExceeded");
        Ok(match given_up {
            Some(condition) => Progress::GivenUp { why: text(condition, "/message").to_owned(), pods },
            None => Progress::Runs { pods, desired },
        })
    }
}

fn revision(document: &Value) -> u64 {
    text(document, REVISION).parse().unwrap_or_default()
}

/// The image of a container in the template of a deployment or replica set.
pub(crate) fn image_of(document: &Value, container: &str) -> Option<String> {
    let found =
        list(document, "/spec/template/spec/containers").find(|own| text(own, "/name") == container)?;
    Some(text(found, "/image").to_owned())
}
