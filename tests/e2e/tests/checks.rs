//! The checking tools of `plugins-wasm` in whole jobs, against a real nginx, a real sshd and the double of an agent.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what the tests share fails as the tests do"
)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{one_shot, op, params, phase, with_argument, with_option, with_output};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::agent::{AgentDouble, AgentOptions};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

/// A tool that `cargo xtask guests` built.
fn component(name: &str) -> Vec<u8> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins/wasm");
    let directory = std::env::var_os("AUTOEXEC_GUESTS").map_or(built, PathBuf::from);
    let path = directory.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask guests`", path.display()))
}

fn installed(job: &TestJob, tools: &[&str], policy: &str) {
    for tool in tools {
        job.install_component(tool, &component(tool)).unwrap();
    }
    job.home.write("conf/policy/10-site.toml", policy).unwrap();
}

fn step(tool: &str, number: u32, arguments: &[String]) -> Value {
    let step = with_output(op(tool, "runner_target", number), "DATA", "json");
    arguments.iter().fold(step, |step, text| with_argument(step, "text", text))
}

fn data(job: &TestJob, key: &str, step: &str) -> Value {
    let text = job.file(&format!("output-op/{key}/{step}.json"));
    let outputs: Value = serde_json::from_str(&text).expect("the outputs are JSON");
    outputs["DATA"].clone()
}

/// nginx with a login by cookie, on a port of its own.
struct Nginx {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Free a moment ago; nobody else takes ports of the range for clients in between.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let root = directory.path().display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {root}/{kind};"))
            .join(" ");
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
             events {{}}\n\
             http {{ access_log {root}/access.log; {paths}\n\
             server {{ listen 127.0.0.1:{port};\n\
             location = /login {{ add_header Set-Cookie \"sid=7; Path=/; HttpOnly\" always; return 302 /home; }}\n\
             location = /home {{ if ($cookie_sid != \"7\") {{ return 401; }} return 200 \"welcome\"; }}\n\
             location = /broken {{ return 503; }} }} }}\n"
        );
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let process = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed by `cargo xtask prepare`");
        let nginx = Self { process, port, _directory: directory };
        until("nginx answers", LONG, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()).unwrap();
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn pages_are_asked_in_one_session_and_what_fails_is_recorded() {
    let nginx = Nginx::start();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", nginx.port);
    let node = json!({"resourceId": 71, "nodeName": "web", "nodeType": "Nginx", "host": "127.0.0.1", "port": nginx.port,
        "protocol": "ssh", "protocolPort": 22, "username": "nobody", "password": "x", "runnerId": 1});
    let operations = vec![
        step(
            "inspect/urlcheck",
            1,
            &["POST,http://${host}:${port}/login,user=a".to_owned(), format!("GET,{}", url("/home"))],
        ),
        step("inspect/urlcheck", 2, &[format!("GET,{}", url("/home"))]),
        step("inspect/urlcheck", 3, &[format!("GET,{}", url("/broken"))]),
        with_option(
            step("inspect/urlwait", 4, &[format!("GET,{}", url("/login"))]),
            "targetstatus",
            "text",
            "up",
        ),
        with_option(
            step("deploy/checksvc", 5, &[url("/login"), format!("127.0.0.1:{}", nginx.port)]),
            "timeout",
            "text",
            "10",
        ),
    ];
    let job = TestJob::new(params([one_shot([phase("A", "runner_target", operations)])]), &[node]).unwrap();
    let grants = "[[grant]]\ntools = [\"*\"]\nnet-probe = { hosts = [\"${node.host}\"] }\n\
         http = { hosts = [\"${node.host}\"], schemes = [\"http\"] }\n";
    installed(&job, &["inspect/urlcheck", "inspect/urlwait", "deploy/checksvc"], grants);
    job.expect(0, &["--firstfire"]).unwrap();

    let key = format!("127.0.0.1-{}-71", nginx.port);
    let log = job.node_log("A", &key);
    let availability = |number: u32| {
        let data = data(&job, &key, &format!("inspect/urlcheck_{number}"));
        assert_eq!((&data["MGMT_IP"], &data["PORT"]), (&json!("127.0.0.1"), &json!(nginx.port)), "{log}");
        (data["AVAILABILITY"].clone(), data["ERROR_MESSAGE"].as_str().unwrap().to_owned())
    };
    assert_eq!(availability(1), (json!(1), String::new()), "{log}");
    assert_eq!(availability(2), (json!(0), format!("GET {}: the answer has the status 401", url("/home"))));
    assert_eq!(availability(3), (json!(0), format!("GET {}: the answer has the status 503", url("/broken"))));
    for line in [
        "FINE: Http requests all complete succeed.".to_owned(),
        "FINE: Wait url up succeed.".to_owned(),
        format!("INFO: Checking 127.0.0.1:{} success.", nginx.port),
        "INFO: Service started.".to_owned(),
    ] {
        assert!(log.contains(&line), "no `{line}` in:\n{log}");
    }
}

const LOGINS: &str = "[[grant]]\ntools = [\"*\"]\ntarget = { commands = [\"echo HEALTH_OK\"] }\n";

#[test]
fn a_login_over_ssh_is_tried_with_the_nodes_account() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let node = |id: u32, password: &str| {
        json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
            "protocolPort": sshd.port(), "username": sshd.user(), "password": password, "runnerId": 1})
    };
    let operations = vec![step("inspect/sshcheck", 1, &[]), step("deploy/inscheck", 2, &[])];
    let params = params([one_shot([phase("A", "runner_target", operations)])]);
    let job = TestJob::new(params, &[node(71, sshd.password()), node(72, "wrong-Secret-9")]).unwrap();
    if sshd.password().is_empty() {
        // Without root only the key can log in.
        let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
        let identity = format!("ssh.identity = {}\n", sshd.key_path().display());
        job.home.write("conf/config.ini", config + &identity).unwrap();
    }
    installed(&job, &["inspect/sshcheck", "deploy/inscheck"], LOGINS);
    let code = i32::from(!sshd.password().is_empty());
    job.expect(code, &["--firstfire"]).unwrap();

    let log = job.node_log("A", "127.0.0.1--71");
    let good = data(&job, "127.0.0.1--71", "inspect/sshcheck_1");
    assert_eq!((&good["AVAILABILITY"], &good["PORT"]), (&json!(1), &json!(sshd.port())), "{log}");
    assert_eq!(log.matches("FINE: SSH logon succeed.").count(), 2, "{log}");
    if code == 1 {
        let log = job.node_log("A", "127.0.0.1--72");
        let bad = data(&job, "127.0.0.1--72", "inspect/sshcheck_1");
        assert_eq!(bad["AVAILABILITY"], json!(0), "{log}");
        assert!(bad["ERROR_MESSAGE"].as_str().unwrap().contains("does not accept the account"), "{bad}");
        assert!(log.contains("ERROR: 127.0.0.1 does not take a login by SSH"), "{log}");
        assert!(!log.contains("wrong-Secret-9"), "{log}");
    }
}

#[test]
fn an_agent_is_asked_with_its_credential() {
    let agent = AgentDouble::start(AgentOptions::default()).unwrap();
    let node = |id: u32, credential: &str| {
        json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": "127.0.0.1", "port": 1,
            "protocol": format!("tagent.{}", agent.port()), "protocolPort": 2, "username": "none", "password": credential,
            "runnerId": 1})
    };
    let operations = vec![step("inspect/tagentcheck", 1, &[]), step("deploy/inscheck", 2, &[])];
    let params = params([one_shot([phase("A", "runner_target", operations)])]);
    let job = TestJob::new(params, &[node(71, "demo-Secret-01"), node(72, "wrong-Secret-9")]).unwrap();
    installed(&job, &["inspect/tagentcheck", "deploy/inscheck"], LOGINS);
    job.expect(1, &["--firstfire"]).unwrap();

    let log = job.node_log("A", "127.0.0.1-1-71");
    assert_eq!(data(&job, "127.0.0.1-1-71", "inspect/tagentcheck_1")["AVAILABILITY"], json!(1), "{log}");
    assert!(
        log.contains("FINE: Tagent logon succeed.") && log.contains("FINE: Tagent test succeed."),
        "{log}"
    );
    let log = job.node_log("A", "127.0.0.1-1-72");
    assert_eq!(data(&job, "127.0.0.1-1-72", "inspect/tagentcheck_1")["AVAILABILITY"], json!(0), "{log}");
    assert!(log.contains("WARN: Tagent logon failed.") && !log.contains("wrong-Secret-9"), "{log}");
}
