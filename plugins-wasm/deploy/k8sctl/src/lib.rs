//! Tool `deploy/k8sctl`: gives a Kubernetes deployment another image, rolls it back or restarts it, and waits for its pods
//! (spec/tools-behaviour/15-application-deploy.md).

use std::time::Duration;

use autoexec_sdk::options::Secret;
use autoexec_sdk::{
    Call, Change, Checkable, Choice, Failure, Options, Outcome, Outputs, Tool, ToolResult, clock, log,
    output::Outputs as _,
};
use serde_json::{Value, json};

mod cluster;
mod rollout;

use cluster::Cluster;
use rollout::{Pods, Progress};

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(3);

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Host of the API server
    host: String,
    /// Port of the API server
    #[option(label = "API port", default = 8443, required = true)]
    apiport: u16,
    /// Kept for existing jobs and not used
    #[option(name = "mgmtport", label = "Dashboard port", default = 30001)]
    _mgmtport: Option<String>,
    /// Token of an account of the cluster
    #[option(default = "${global:k8s.token}", required = true)]
    token: Secret,
    /// What is done
    #[option(default = "patch", required = true)]
    action: Action,
    /// Image that `patch` sets
    #[option(default = "${SYS_NAME}-${MODULE_NAME}:${ENV_NAME}-${VERSION}", required = true)]
    image: String,
    /// Name of the container, and label `app` of the pods
    #[option(default = "${SYS_NAME}-${MODULE_NAME}", required = true)]
    name: String,
    /// Namespace of the deployment
    namespace: String,
    /// The deployment
    deployment: String,
    /// Seconds to wait for the pods
    #[option(default = 120, required = true, validate = "integer_p")]
    timeout: Duration,
}

/// What can be done with a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
enum Action {
    Patch,
    Rollback,
    Restart,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Done {
    /// Namespace, deployment, image and pods, as a JSON text
    #[output(name = "k8s_data", label = "Result")]
    data: String,
}

struct K8sCtl;

/// What is changed, and in which deployment.
struct Plan {
    cluster: Cluster,
    /// The image the container has.
    before: String,
    /// The image it gets; the same for a restart.
    after: String,
}

impl Plan {
    fn of(options: &Options) -> Result<Self, Failure> {
        let cluster = Cluster::new(options)?;
        let deployment = cluster.deployment()?;
        let before = cluster::image_of(&deployment, &options.name).ok_or_else(|| {
            let message = format!(
                "the deployment {} has no container {}: correct the option `name`",
                options.deployment, options.name
            );
            Failure::not_found(message)
        })?;
        let after = match options.action {
            Action::Patch if options.image.contains("${") || options.image.trim().is_empty() => {
                let message = format!("the image \"{}\" has a variable without a value", options.image);
                return Err(Failure::invalid_option("image", message));
            }
            Action::Patch => options.image.trim().to_owned(),
            Action::Rollback => cluster.previous_image(&deployment)?,
            Action::Restart => before.clone(),
        };
        Ok(Self { cluster, before, after })
    }
}

impl Tool for K8sCtl {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let Plan { cluster, after, .. } = Plan::of(&options)?;
        let change = if options.action == Action::Restart {
            let now = i64::try_from(clock::since_epoch().as_secs()).unwrap_or(i64::MAX);
            let now = jiff::Timestamp::from_second(now).map(|now| now.to_string()).unwrap_or_default();
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}})
        } else {
            json!({"spec": {"containers": [{"name": options.name, "image": after}]}})
        };
        cluster.patch(&json!({"spec": {"template": change}}))?;
        let application = format!("{}({}/{})", options.name, options.namespace, options.deployment);
        log::info(format_args!("Patch application {application} with {after}."));

        let waited = wait(&cluster, options.timeout);
        let pods = waited.as_ref().unwrap_or_else(|(_, pods)| pods);
        let data = json!({"namespace": options.namespace, "deployment": options.deployment, "image": after, "pods": pods.shown()});
        Done { data: data.to_string() }.put();
        match waited {
            Ok(_) => {
                Ok(Outcome::with_message(format!("Patch application {application} with {after} success.")))
            }
            Err((failure, _)) => Err(failure),
        }
    }
}

/// Waits until the pods are as they are to be; why they are not, and how they are.
fn wait(cluster: &Cluster, timeout: Duration) -> Result<Pods, (Failure, Pods)> {
    let begin = clock::Instant::now();
    let mut last = Pods::default();
    loop {
        let progress = match cluster.progress() {
            Ok(progress) => progress,
            Err(failure) => return Err((failure, last)),
        };
        let (pods, desired) = match progress {
            Progress::Done(pods) => {
                pods.log(pods.running);
                return Ok(pods);
            }
            Progress::GivenUp { why, pods } => {
                return Err((Failure::check_failed(format!("the cluster has given up: {why}")), pods));
            }
            Progress::Runs { pods, desired } => (pods, desired),
        };
        pods.log(desired);
        if pods.failed > 0 && pods.running + pods.failed >= desired {
            let message = format!("{} of {desired} pod(s) failed: {}", pods.failed, pods.reasons());
            return Err((Failure::check_failed(message), pods));
        }
        if begin.elapsed() + PAUSE > timeout {
            let message = format!(
                "{} of {desired} pod(s) run after {} s, {} failed; the deployment goes on without this step",
                pods.running,
                timeout.as_secs(),
                pods.failed
            );
            return Err((Failure::timed_out(message), pods));
        }
        last = pods;
        clock::sleep(PAUSE);
    }
}

impl Checkable for K8sCtl {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let options = call.options;
        let Plan { before, after, .. } = Plan::of(&options)?;
        let subject = format!("deployment {}/{}", options.namespace, options.deployment);
        Ok(match options.action {
            Action::Restart => {
                vec![Change::changed(subject, format!("{before}, running"), format!("{before}, restarted"))]
            }
            _ if before == after => Vec::new(),
            _ => vec![Change::changed(subject, before, after)],
        })
    }
}

/// A number of a document, 0 where there is none.
fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// A text of a document.
fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The members of a list in a document.
fn list<'a>(document: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    document.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

autoexec_sdk::export_tool!(K8sCtl: check);

#[cfg(test)]
mod tests;
