//! Built-in tools in the sandbox against real services: nginx, vsftpd, sshd, snmpd, and a device that is a script behind
//! sshd or telnetd; against doubles on the wire where there is no server to be had: MongoDB and a Kubernetes cluster. And what is true of
//! all tools.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod catalogue;
mod cluster;
mod copies;
mod devices;
mod documents;
mod ftp;
mod http;
mod inspection;
mod scp;
mod service;
mod snmp;
mod telnet;
mod values;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{one_shot, op, params, phase, with_option, with_output};
use autoexec_e2e::guests::guest;
use serde_json::{Value, json};

/// One operation of a tool, with options of the type text but for those whose name holds `pass`.
fn operation(name: &str, number: u32, options: &[(&str, &str)]) -> Value {
    let kind = |option: &str| if option.to_ascii_lowercase().contains("pass") { "password" } else { "text" };
    options.iter().fold(op(name, "runner_target", number), |op, (option, value)| {
        with_option(op, option, kind(option), value)
    })
}

/// A job with these operations on one node, under a policy that grants what `capabilities` say to all tools.
struct Bench {
    job: TestJob,
}

/// The node's key in file names.
const KEY: &str = "127.0.0.1--71";

impl Bench {
    fn new(node: &Value, operations: Vec<Value>, capabilities: &str) -> Self {
        let names: Vec<String> =
            operations.iter().map(|operation| operation["opName"].as_str().unwrap().to_owned()).collect();
        let operations = operations.into_iter().map(|operation| with_output(operation, "any", "text"));
        let mut own = json!({"resourceId": 71, "nodeName": "n71", "nodeType": "Linux", "host": "127.0.0.1", "runnerId": 1});
        own.as_object_mut().unwrap().extend(node.as_object().unwrap().clone());
        let job =
            TestJob::new(params([one_shot([phase("A", "runner_target", operations)])]), &[own]).unwrap();
        for name in names {
            job.install_component(&name, &guest(&name).unwrap()).unwrap();
        }
        let policy = format!("[[grant]]\ntools = [\"*\"]\n{capabilities}\n");
        job.home.write("conf/policy/10-site.toml", policy).unwrap();
        Self { job }
    }

    /// Runs it; the node's log.
    fn run(&self, code: i32) -> String {
        let finished = self.job.expect(code, &["--firstfire"]);
        let log = self.job.node_log("A", KEY);
        if let Err(error) = finished {
            panic!("{error:#}\nlog of the node:\n{log}");
        }
        log
    }

    /// What the operations have put out.
    fn outputs(&self) -> Value {
        let text = self.job.file(&format!("output/{KEY}.json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
