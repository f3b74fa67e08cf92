use super::*;
use autoexec_sdk::http::HttpError;
use autoexec_sdk::testing::Host;

const DEPLOYMENT: &str = "https://k8s:8443/apis/apps/v1/namespaces/shop/deployments/cart";
const SETS: &str = "https://k8s:8443/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dcart";

fn options(action: &str) -> Value {
    json!({"host": "k8s", "token": "ref-1", "action": action, "image": "cart:2", "name": "cart", "namespace": "shop",
        "deployment": "cart", "timeout": "10"})
}

fn deployment(revision: u32, status: Value) -> String {
    json!({"metadata": {"uid": "u1", "generation": 5, "annotations": {"deployment.kubernetes.io/revision": revision.to_string()}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "cart", "image": "cart:1"}]}}}, "status": status})
    .to_string()
}

fn behind() -> Value {
    json!({"observedGeneration": 5, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2})
}

fn complete() -> Value {
    json!({"observedGeneration": 5, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})
}

fn set(revision: u32, uid: &str, image: &str) -> Value {
    json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "labels": {"pod-template-hash": format!("h{revision}")}, "ownerReferences": [{"uid": uid}]},
        "spec": {"template": {"spec": {"containers": [{"name": "cart", "image": image}]}}}})
}

fn sets() -> String {
    json!({"items": [set(2, "u1", "cart:0.9"), set(4, "u1", "cart:1"), set(3, "u1", "cart:0.95"), set(3, "other", "x")]}).to_string()
}

fn pod(name: &str, phase: &str, waiting: Option<&str>) -> Value {
    let container = json!({"state": waiting.map_or(json!({"running": {}}), |reason| json!({"waiting": {"reason": reason}}))});
    json!({"metadata": {"name": name}, "status": {"phase": phase, "containerStatuses": [container],
        "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// One look at the deployment, its sets and the pods of revision 4.
fn look(host: &Host, status: Value, pods: &[Value]) {
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, status));
    host.http().request("GET", SETS).responds(200, sets());
    let url =
        "https://k8s:8443/api/v1/namespaces/shop/pods?labelSelector=app%3Dcart%2Cpod-template-hash%3Dh4";
    host.http().request("GET", url).responds(200, json!({"items": pods}).to_string());
}

fn patched(host: &Host, expected: &'static str) {
    host.http()
        .request("PATCH", DEPLOYMENT)
        .checked(move |sent| {
            assert_eq!(sent.header("authorization"), Some("Bearer ref-1"));
            assert_eq!(sent.header("content-type"), Some("application/strategic-merge-patch+json"));
            assert_eq!(String::from_utf8_lossy(&sent.body), expected);
        })
        .responds(200, "{}");
}

#[test]
fn an_image_is_set_and_the_pods_are_waited_for() {
    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(3, complete()));
    patched(&host, r#"{"spec":{"template":{"spec":{"containers":[{"name":"cart","image":"cart:2"}]}}}}"#);
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(3, json!({"observedGeneration": 4})));
    look(&host, behind(), &[pod("a", "Running", None), pod("b", "Pending", Some("ContainerCreating"))]);
    look(&host, complete(), &[pod("a", "Running", None), pod("b", "Running", None)]);
    let outcome = host.run::<K8sCtl>(options("patch")).unwrap();
    assert_eq!(outcome.message.as_deref(), Some("Patch application cart(shop/cart) with cart:2 success."));
    assert_eq!(host.waited(), PAUSE * 2);
    assert_eq!(host.log_lines()[2], "INFO: Desired pod: 2, Pending pod: 1, Running pod: 1, Failed pod: 0 .");
    let data: Value = serde_json::from_str(host.output("k8s_data").unwrap().as_str().unwrap()).unwrap();
    assert_eq!(
        (&data["image"], &data["pods"][1]),
        (&json!("cart:2"), &json!({"name": "b", "state": "Running"}))
    );
}

#[test]
fn a_rollback_takes_the_image_of_the_revision_before() {
    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    host.http().request("GET", SETS).responds(200, sets());
    patched(&host, r#"{"spec":{"template":{"spec":{"containers":[{"name":"cart","image":"cart:0.95"}]}}}}"#);
    look(&host, complete(), &[]);
    host.run::<K8sCtl>(options("rollback")).unwrap();

    host.http().request("GET", DEPLOYMENT).responds(200, deployment(2, complete()));
    host.http().request("GET", SETS).responds(200, sets());
    let failure = host.run::<K8sCtl>(options("rollback")).unwrap_err();
    assert!(failure.message().contains("no revision before 2"), "{failure}");
}

#[test]
fn a_restart_marks_the_template_of_the_pods() {
    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    patched(
        &host,
        r#"{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2024-01-01T00:00:00Z"}}}}}"#,
    );
    look(&host, complete(), &[]);
    host.run::<K8sCtl>(options("restart")).unwrap();
}

#[test]
fn pods_that_fail_fail_the_step() {
    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    patched(&host, r#"{"spec":{"template":{"spec":{"containers":[{"name":"cart","image":"cart:2"}]}}}}"#);
    look(&host, behind(), &[pod("a", "Running", None), pod("b", "Pending", Some("ImagePullBackOff"))]);
    let failure = host.run::<K8sCtl>(options("patch")).unwrap_err();
    assert_eq!(failure.message(), "1 of 2 pod(s) failed: b ImagePullBackOff");
    assert!(host.output("k8s_data").is_some());
}

#[test]
fn the_time_is_limited_and_the_cluster_may_give_up() {
    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    patched(&host, r#"{"spec":{"template":{"spec":{"containers":[{"name":"cart","image":"cart:2"}]}}}}"#);
    (0..4).for_each(|_| look(&host, behind(), &[pod("a", "Pending", None)]));
    let failure = host.run::<K8sCtl>(options("patch")).unwrap_err();
    assert!(failure.message().starts_with("0 of 2 pod(s) run after 10 s"), "{failure}");
    drop(host);

    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    patched(&host, r#"{"spec":{"template":{"spec":{"containers":[{"name":"cart","image":"cart:2"}]}}}}"#);
    let mut status = behind();
    status["conditions"] =
        json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]);
    look(&host, status, &[]);
    assert!(host.run::<K8sCtl>(options("patch")).unwrap_err().message().contains("given up: timed out"));
}

#[test]
fn a_check_changes_nothing() {
    let host = Host::new();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    let changes = host.check::<K8sCtl>(options("patch")).unwrap();
    assert_eq!(changes, [Change::changed("deployment shop/cart", "cart:1", "cart:2")]);
    let mut same = options("patch");
    same["image"] = "cart:1".into();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    assert!(host.check::<K8sCtl>(same).unwrap().is_empty());
}

#[test]
fn what_can_not_be_done_is_said_before_anything_is_changed() {
    let host = Host::new();
    for (option, value) in [("namespace", "a/b"), ("deployment", ""), ("name", "${SYS_NAME}-x")] {
        let mut options = options("patch");
        options[option] = value.into();
        assert!(host.run::<K8sCtl>(options).is_err(), "{option}");
    }
    let mut unresolved = options("patch");
    unresolved["image"] = "cart:${VERSION}".into();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    assert!(host.run::<K8sCtl>(unresolved).unwrap_err().message().contains("without a value"));
    let mut other = options("patch");
    other["name"] = "web".into();
    host.http().request("GET", DEPLOYMENT).responds(200, deployment(4, complete()));
    assert!(host.run::<K8sCtl>(other).unwrap_err().message().contains("no container web"));
    host.http().request("GET", DEPLOYMENT).responds(403, r#"{"message": "forbidden"}"#);
    assert!(host.run::<K8sCtl>(options("patch")).unwrap_err().message().contains("403"));
    host.http().request("GET", DEPLOYMENT).fails(HttpError::Tls("unknown issuer".into()));
    assert!(host.run::<K8sCtl>(options("patch")).unwrap_err().message().contains("unknown issuer"));
}
