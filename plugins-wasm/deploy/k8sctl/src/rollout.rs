//! How far a deployment is.

use autoexec_sdk::log;
use serde_json::{Value, json};

use crate::{list, text};

/// Reasons to wait that waiting does not end.
const FAILED: [&str; 9] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// What one look shows.
#[derive(Debug)]
pub(crate) enum Progress {
    /// All pods are there.
    Done(Pods),
    /// The cluster does not try any more.
    GivenUp { why: String, pods: Pods },
    /// Not yet.
    Runs { pods: Pods, desired: u64 },
}

/// The pods of the newest replica set.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    pub(crate) running: u64,
    pub(crate) failed: u64,
    pending: u64,
    /// Name and state of each.
    states: Vec<(String, String)>,
}

impl Pods {
    pub(crate) fn read(answer: &Value) -> Self {
        let mut pods = Self::default();
        for pod in list(answer, "/items") {
            let phase = text(pod, "/status/phase");
            let waiting = ["/status/containerStatuses", "/status/initContainerStatuses"]
                .into_iter()
                .flat_map(|pointer| list(pod, pointer))
                .map(|container| text(container, "/state/waiting/reason"))
                .find(|reason| FAILED.contains(reason));
            let is_ready = list(pod, "/status/conditions")
                .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
            let state = match (waiting, phase) {
                (Some(reason), _) => {
                    pods.failed += 1;
                    reason
                }
                (None, "Failed") => {
                    pods.failed += 1;
                    "Failed"
                }
                (None, "Running") if is_ready => {
                    pods.running += 1;
                    "Running"
                }
                (None, phase) => {
                    pods.pending += 1;
                    if phase.is_empty() { "Pending" } else { phase }
                }
            };
            pods.states.push((text(pod, "/metadata/name").to_owned(), state.to_owned()));
        }
        pods
    }

    pub(crate) fn log(&self, desired: u64) {
        log::info(format_args!(
            "Desired pod: {desired}, Pending pod: {}, Running pod: {}, Failed pod: {} .",
            self.pending, self.running, self.failed
        ));
    }

    /// The pods that are neither running nor pending.
    pub(crate) fn reasons(&self) -> String {
        let failed =
            self.states.iter().filter(|(_, state)| state == "Failed" || FAILED.contains(&state.as_str()));
        failed.map(|(name, state)| format!("{name} {state}")).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn shown(&self) -> Vec<Value> {
        self.states.iter().map(|(name, state)| json!({"name": name, "state": state})).collect()
    }
}
