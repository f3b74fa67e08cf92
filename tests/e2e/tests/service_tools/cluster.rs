//! `deploy/k8sctl` with a cluster's API server, over the TLS of the sandbox.

use autoexec_test_support::cluster::{ClusterDouble, DEPLOYMENT, NAMESPACE};
use serde_json::{Value, json};

use crate::{Bench, operation};

const TOKEN: &str = "t0ken-of-the-cluster";

fn step(cluster: &ClusterDouble, number: u32, action: &str, token: &str) -> Value {
    let port = cluster.port().to_string();
    let options = [
        ("host", "127.0.0.1"),
        ("apiport", &port),
        ("token", token),
        ("action", action),
        ("image", "cart:3"),
        ("name", DEPLOYMENT),
        ("namespace", NAMESPACE),
        ("deployment", DEPLOYMENT),
        ("timeout", "10"),
    ];
    let mut step = operation("deploy/k8sctl", number, &options);
    step["desc"]["token"] = json!("password");
    step
}

fn policy(cluster: &ClusterDouble) -> String {
    let place = format!("127.0.0.1:{}", cluster.port());
    format!(
        "http = {{ hosts = [\"{place}\"], methods = [\"GET\", \"PATCH\"] }}\n\
         secret = {{ \"option:token\" = {{ https = [\"{place}\"] }} }}\n"
    )
}

/// A job whose runner knows the authority of the cluster.
fn bench(cluster: &ClusterDouble, steps: Vec<Value>) -> Bench {
    let bench = Bench::new(&json!({"protocol": "ssh"}), steps, &policy(cluster));
    let authority = bench.job.home.write("conf/cluster.pem", cluster.authority()).unwrap();
    let config = bench.job.home.path().join("conf/config.ini");
    // The section is the last one of the file.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\nplugins.cafile = {}\n", authority.display())).unwrap();
    bench
}

#[test]
fn an_image_is_set_rolled_back_and_restarted() {
    let cluster = ClusterDouble::start(TOKEN, &["cart:1", "cart:2"]).unwrap();
    let actions = ["patch", "rollback", "restart"];
    let steps = (1..).zip(actions).map(|(number, action)| step(&cluster, number, action, TOKEN)).collect();
    let bench = bench(&cluster, steps);
    let log = bench.run(0);
    let patches: Vec<_> =
        cluster.requests().into_iter().filter(|request| request.line.starts_with("PATCH")).collect();
    let images: Vec<&Value> = patches
        .iter()
        .map(|patch| &patch.body["spec"]["template"]["spec"]["containers"][0]["image"])
        .collect();
    assert_eq!(images, [&json!("cart:3"), &json!("cart:2"), &Value::Null]);
    assert!(cluster.requests().iter().all(|request| request.code == 200), "{:?}", cluster.requests());
    let restarted = &cluster.template()["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    assert!(restarted.is_string(), "{}", cluster.template());
    let data = |step: &str| -> Value {
        serde_json::from_str(bench.outputs()[step]["k8s_data"].as_str().unwrap()).unwrap()
    };
    assert_eq!(data("deploy/k8sctl_1")["image"], "cart:3");
    assert_eq!(data("deploy/k8sctl_3")["pods"], json!([{"name": "cart-5-x", "state": "Running"}]));
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_wrong_token_and_a_certificate_of_nobody_change_nothing() {
    let cluster = ClusterDouble::start(TOKEN, &["cart:1"]).unwrap();
    let log = bench(&cluster, vec![step(&cluster, 1, "patch", "another")]).run(1);
    assert!(log.contains("401"), "{log}");
    let untrusted =
        Bench::new(&json!({"protocol": "ssh"}), vec![step(&cluster, 1, "patch", TOKEN)], &policy(&cluster));
    let log = untrusted.run(1);
    assert!(log.contains("is not trusted"), "{log}");
    let codes: Vec<u16> = cluster.requests().iter().map(|request| request.code).collect();
    assert_eq!(codes, [401], "the token was not sent to a server that is not trusted");
    assert_eq!(cluster.template()["spec"]["containers"][0]["image"], "cart:1");
}
