//! Files of operations on targets: sent once, and taken up again where a connection broke.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::fmt::Write as _;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{one_shot, op, params, phase, with_option, with_output};
use autoexec_test_support::noise::noise;
use autoexec_test_support::proxy::Proxy;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

const KEY: &str = "127.0.0.1--71";

fn job(sshd: &Sshd, proxy: &Proxy, operations: Vec<Value>) -> TestJob {
    let node = json!({"resourceId": 71, "nodeName": "n71", "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
        "protocolPort": proxy.port(), "username": sshd.user(), "password": sshd.password(), "runnerId": 1});
    let job = TestJob::new(params([one_shot([phase("T", "target", operations)])]), &[node]).unwrap();
    if sshd.password().is_empty() {
        let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
        let identity = format!("ssh.identity = {}\n", sshd.key_path().display());
        job.home.write("conf/config.ini", config + &identity).unwrap();
    }
    job
}

#[test]
fn the_second_operation_sends_what_the_first_did_not() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let proxy = Proxy::to(sshd.port()).unwrap();
    let input = |number| with_option(op("pack/take", "target", number), "data", "filepath", "given/data.bin");
    let once = job(&sshd, &proxy, vec![input(1)]);
    let thrice = job(&sshd, &proxy, vec![input(1), input(2), input(3)]);
    let content = noise(400_000, 0);
    let mut sent = Vec::new();
    for job in [&once, &thrice] {
        job.home.write_job_file(job.id(), "given/data.bin", hex(&content)).unwrap();
        job.home.write_remote_plugin("pack", "take", "wc -c <file/data.bin\nexit 0\n").unwrap();
        proxy.sent();
        job.expect(0, &["--firstfire"]).unwrap();
        sent.push(proxy.sent());
        let log = job.node_log("T", KEY);
        assert_eq!(log.matches(" 800000\n").count(), if sent.len() == 1 { 1 } else { 3 }, "{log}");
    }
    assert!(sent[0] > 300_000 && sent[1] < sent[0] + 20_000, "{sent:?}");
}

/// Text of two characters for each byte.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[test]
fn a_broken_connection_does_not_begin_a_large_file_anew() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let proxy = Proxy::to(sshd.port()).unwrap();
    let operation = with_option(op("pack/take", "target", 1), "data", "filepath", "given/data.bin");
    let job = job(&sshd, &proxy, vec![with_output(operation, "copy", "filepath")]);
    let content = hex(&noise(5_000_000, 0));
    job.home.write_job_file(job.id(), "given/data.bin", &content).unwrap();
    let script = "cp file/data.bin back.bin\nprintf '{\"copy\": \"back.bin\"}' > output.json\n";
    job.home.write_remote_plugin("pack", "take", script).unwrap();
    proxy.cut_sending_once(3_000_000);
    proxy.cut_receiving_once(3_000_000);
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", KEY);
    assert!(log.contains("connecting again to send the rest"), "{log}");
    assert!(log.contains("Connecting again to fetch the rest of "), "{log}");
    let (sent, received) = (proxy.sent(), proxy.received());
    assert!(sent < 8_000_000 && received < 8_000_000, "{sent} and {received} bytes, packed 5,600,000 each");
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{KEY}.json"))).unwrap();
    let brought = std::fs::read(job.dir().join(outputs["pack/take_1"]["copy"].as_str().unwrap())).unwrap();
    assert!(brought == content.as_bytes());
}
