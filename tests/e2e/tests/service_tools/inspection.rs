//! A node is inspected: the tools that look at it and those that tell the console, on a real sshd and in one job.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;

use autoexec_e2e::build::with_argument;
use autoexec_test_support::server::CallName;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

use crate::{Bench, KEY, operation};

const PATHS: &str = "rest/inspect/configfile/resource/path/list";
const ATTRIBUTES: &str = "rest/cmdb/cientity/attrentity/get";
const UPDATE: &str = "rest/autoexec/job/resource/inspect/update";
const NOTIFY: &str = "rest/inspect/autoexec/job/report/notify";

fn node(sshd: &Sshd) -> Value {
    json!({"protocol": "ssh", "protocolPort": sshd.port(), "username": sshd.user(), "password": sshd.password()})
}

#[test]
fn files_are_brought_and_the_console_is_told() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        // Without root only a key can log in, which these nodes do not have.
        return;
    }
    let there = tempfile::tempdir().unwrap();
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let remote = there.path().to_str().unwrap();
    fs::create_dir_all(there.path().join("etc/app.d")).unwrap();
    fs::write(there.path().join("etc/app.d/a.conf"), "port = 1\n").unwrap();
    fs::write(there.path().join("etc/known.ini"), "[known]\n").unwrap();

    let backup = operation("inspect/confbackup", 2, &[]);
    let mut notify = operation("inspect/notifyinspectreport", 5, &[]);
    notify["opt"]["notifyTargets"] = json!(["user#7", "role#ops"]);
    notify["desc"]["notifyTargets"] = json!("userselect");
    let steps = vec![
        with_argument(backup, "text", &format!("{remote}/etc/*.d/*.conf")),
        operation("inspect/endpointcheck", 3, &[]),
        operation("inspect/setresjobid", 4, &[]),
        notify,
    ];
    let port = sshd.port();
    let policy = format!(
        "target = {{ read = [\"{remote}\"] }}\n\
         filesystem = {{ read = [\"${{job.dir}}/output-op\"], write = [\"${{job.dir}}/output-op\"] }}\n\
         net-probe = {{ hosts = [\"127.0.0.1:{port}\"] }}\nhttp = {{ hosts = [\"127.0.0.1:{port}\"] }}\n\
         server = {{ calls = [\"{PATHS}\", \"{ATTRIBUTES}\", \"{UPDATE}\", \"{NOTIFY}\"] }}\n"
    );
    let bench = Bench::new(&node(&sshd), steps, &policy);
    let server = &bench.job.server;
    server.set_reply(PATHS, json!({"tbodyList": [{"path": format!("{remote}/etc/known.ini")}]}));
    let endpoint = json!({"actualValueList": [format!("127.0.0.1:{port}")]});
    server.set_reply(ATTRIBUTES, json!({"attrEntityData": {"access_endpoint": endpoint}}));
    server.set_reply(UPDATE, json!({}));
    server.set_reply(NOTIFY, json!({}));
    let log = bench.run(0);

    let kept = |path: &str| bench.job.file(&format!("output-op/{KEY}/inspect/confbackup_2{remote}/{path}"));
    assert_eq!((kept("etc/app.d/a.conf"), kept("etc/known.ini")), ("port = 1\n".into(), "[known]\n".into()));
    let outputs = bench.outputs();
    assert_eq!(outputs["inspect/confbackup_2"]["fileList"].as_array().unwrap().len(), 2, "{log}");
    assert_eq!(outputs["inspect/endpointcheck_3"]["DATA"]["AVAILABILITY"], 1, "{outputs}");
    let calls = server.calls_of(CallName::Unknown);
    let told = |name: &str| calls.iter().find(|call| call.path.ends_with(name)).unwrap().json();
    assert_eq!((&told(UPDATE)["resourceId"], &told(UPDATE)["phaseName"]), (&json!(71), &json!("A")));
    assert_eq!(told(NOTIFY)["notifyTargets"], json!(["user#7", "role#ops"]));
    assert_eq!(server.bad_signatures(), 0);
}

#[test]
fn a_port_and_an_address_are_waited_for() {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = service.local_addr().unwrap().port().to_string();
    let mut steps = vec![operation(
        "inspect/tcpwait",
        1,
        &[("host", "127.0.0.1"), ("port", &port), ("targetstatus", "up")],
    )];
    // Only root may send an echo request everywhere.
    if nix::unistd::geteuid().is_root() {
        steps.push(operation("inspect/pingcheck", 2, &[("timeout", "5")]));
        steps.push(operation("inspect/pingwait", 3, &[("host", "127.0.0.2"), ("targetstatus", "up")]));
    }
    let with_echo = steps.len() > 1;
    let node = json!({"protocol": "ssh", "protocolPort": 22, "username": "none", "password": "x"});
    let bench = Bench::new(&node, steps, "net-probe = { hosts = [\"127.0.0.0/8\"] }\n");
    let log = bench.run(0);
    assert!(log.contains(&format!("INFO: Connect to 127.0.0.1:{port} success.")), "{log}");
    if with_echo {
        assert_eq!(bench.outputs()["inspect/pingcheck_2"]["DATA"]["AVAILABILITY"], 1, "{log}");
        assert!(log.contains("INFO: 127.0.0.2 is reachable"), "{log}");
    }
}
