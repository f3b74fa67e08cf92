//! What holds for every policy over every capability: taking away never gives.

use autoexec_grants::{
    Access, Capability, DataDirection, Direction, Facts, Policy, Request, SecretDestination, TargetUse, diff,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const TOOLS: [&str; 3] = ["*", "a/*", "a/b"];

/// Lines of a grant that only allow.
const ALLOW: [&str; 59] = [
    "http = { hosts = [\"*\"] }",
    "http = { hosts = [\"*\"], methods = [\"GET\"] }",
    "http = { hosts = [\"*.example:443\"], schemes = [\"http\", \"https\"] }",
    "http = { hosts = [\"a.example\"], methods = [\"GET\", \"POST\"], schemes = [\"http\"] }",
    "http = { hosts = [\"10.0.0.0/8\"], methods = [\"POST\"] }",
    "http = { hosts = [\"10.1.0.0/16\"] }",
    "http = { unverified-tls = [\"a.example\"] }",
    "sockets = { hosts = [\"a.example:443\"] }",
    "sockets = { hosts = [\"a.example\"] }",
    "sockets = { hosts = [\"*:443\"] }",
    "snmp = { hosts = [\"${node.host}:161\"] }",
    "snmp = { hosts = [\"10.0.0.0/8\"] }",
    "net-probe = { hosts = [\"${node.host}\"] }",
    "net-probe = { hosts = [\"a.example:443\"] }",
    "step-outputs = true",
    "job-nodes = true",
    "interact = true",
    "secret = { \"option:*\" = { https = [\"a.example\"] } }",
    "secret = { \"option:x\" = { https = [\"*\"], http = [\"a.example\"] } }",
    "secret = { \"*\" = { target = true, programs = [\"k*\"] } }",
    "secret = { node = { connections = [\"${node.host}\"], snmp = [\"*\"] } }",
    "secret = { node = { programs = [\"kubectl\"] } }",
    "target = { commands = true }",
    "target = { commands = [\"uptime\"] }",
    "target = { commands = [\"systemctl status *\"] }",
    "target = { commands = [\"systemctl **\"] }",
    "target = { commands = [\"systemctl ** sshd\"] }",
    "target = { session = true }",
    "target = { read = true }",
    "target = { read = [\"/etc\"], write = [\"/etc/hosts\"] }",
    "target = { read = [\"/etc/hosts\"] }",
    "target = { write = [\"/\"] }",
    "target = { write = [\"C:/x\"] }",
    "filesystem = { read = [\"/data\"] }",
    "filesystem = { read = [\"/data/in\"], write = [\"/data/in/x\"] }",
    "filesystem = { read = [\"${job.dir}/file\"], write = [\"${job.dir}/file/x\"] }",
    "filesystem = { write = [\"/opt\"] }",
    "server = { calls = [\"*\"] }",
    "server = { calls = [\"cmdb/*\"] }",
    "server = { calls = [\"cmdb/save\"] }",
    "documents = { read = [\"*\"] }",
    "documents = { read = [\"_*\"] }",
    "documents = { read = [\"_x\"], write = [\"c*\"] }",
    "documents = { write = [\"*c\"] }",
    "documents = { write = [\"cc\"] }",
    "lock = { names = [\"*\"] }",
    "lock = { names = [\"l*\"] }",
    "lock = { names = [\"l1\"] }",
    "program = { kubectl = \"/k\" }",
    "program = { kubectl = { path = \"/k\", arguments = [\"get **\"] } }",
    "program = { kubectl = { path = \"/k\", arguments = [\"get *\"] } }",
    "program = { kubectl = { path = \"/k\", arguments = [\"get pods\"] } }",
    "program = { kubectl = { path = \"/k\", arguments = [\"* *\"] } }",
    "program = { kubectl = { path = \"/k\", environment = [\"KUBE*\"] } }",
    "program = { kubectl = { path = \"/k\", environment = [\"KUBECONFIG\", \"LC_ALL\"] } }",
    "program = { kubectl = { path = \"/k\", arguments = [\"get **\"], environment = [\"*\"] } }",
    "program = { kubectl = { path = \"/k\", arguments = [\"get *\"], environment = [\"LC_*\"] } }",
    "program = { date = \"/d\" }",
    "program = { date = { path = \"/d\", arguments = [\"**\"] } }",
];

/// Lines of a grant that only deny.
const DENY: [&str; 24] = [
    "http = { deny = [\"a.example\"] }",
    "http = { deny = [\"10.0.0.0/8\"] }",
    "http = false",
    "sockets = { deny = [\"*:443\"] }",
    "snmp = { deny = [\"*\"] }",
    "net-probe = { deny = [\"${node.host}\"] }",
    "step-outputs = false",
    "job-nodes = false",
    "secret = { \"option:x\" = false }",
    "secret = { \"*\" = { target = false } }",
    "secret = false",
    "target = { commands = false }",
    "target = { session = false }",
    "target = { read = false }",
    "target = { deny = [\"/etc/hosts\"] }",
    "target = { deny = [\"/\"] }",
    "filesystem = { deny = [\"/data/in\"] }",
    "filesystem = { deny = [\"${job.dir}/file/x\"] }",
    "server = { deny = [\"cmdb/*\"] }",
    "documents = { deny = [\"c*\"] }",
    "documents = { deny = [\"*\"] }",
    "lock = { deny = [\"l1\"] }",
    "program = { kubectl = false }",
    "program = false",
];

/// Lines that only a ceiling can have.
const UNBOUNDED: [&str; 6] = [
    "http = true",
    "secret = true",
    "target = true",
    "filesystem = true",
    "documents = true",
    "program = true",
];

#[derive(Debug, Clone)]
struct Spec {
    ceiling: Option<Vec<&'static str>>,
    grants: Vec<(&'static str, &'static str)>,
}

impl Spec {
    fn texts(&self) -> Vec<String> {
        let grants =
            self.grants.iter().map(|(tools, line)| format!("[[grant]]\ntools = [{tools:?}]\n{line}\n"));
        let ceiling = self.ceiling.iter().map(|lines| format!("[ceiling]\n{}\n", lines.join("\n")));
        grants.chain(ceiling).collect()
    }

    fn policy(&self) -> Policy {
        Policy::parse(&[("one.toml", self.texts().concat())]).unwrap()
    }
}

/// One line for each capability at most.
fn ceiling() -> impl Strategy<Value = Vec<&'static str>> {
    let line = prop_oneof![select(&ALLOW[..]), select(&DENY[..]), select(&UNBOUNDED[..])];
    vec(line, 0..12).prop_map(|lines| {
        let mut kept: Vec<&'static str> = Vec::new();
        for line in lines {
            let key = |line: &'static str| line.split(' ').next();
            if kept.iter().all(|other| key(other) != key(line)) {
                kept.push(line);
            }
        }
        kept
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let line = prop_oneof![5 => select(&ALLOW[..]), 1 => select(&DENY[..])];
    let grants = vec((select(&TOOLS[..]), line), 1..8);
    (option::weighted(0.3, ceiling()), grants).prop_map(|(ceiling, grants)| Spec { ceiling, grants })
}

/// Uses of every capability, near the borders of the lines above.
fn uses<'a>(arguments: &'a [Vec<String>], variables: &'a [Vec<String>]) -> Vec<Access<'a>> {
    let mut uses: Vec<Access<'a>> = Capability::ALL.map(Access::Interface).to_vec();
    let address = |text: &str| Some(text.parse().unwrap());
    for host in ["a.example", "b.example", "10.1.0.1", "10.2.0.1", "node.test", "other"] {
        for address in [None, address("10.1.0.1"), address("93.184.216.34"), address("169.254.169.254")] {
            for port in [0, 161, 443] {
                uses.push(Access::NetProbe { host, port, address });
                uses.push(Access::Socket { host, port, address });
                uses.push(Access::Snmp { host, port, address });
            }
            for (method, scheme) in [("GET", "https"), ("POST", "https"), ("GET", "http"), ("PUT", "http")] {
                uses.push(Access::Http { method, scheme, host, port: 443, address });
            }
            uses.push(Access::IcmpEcho { host, address });
        }
        for name in ["option:x", "option:y", "node"] {
            for scheme in ["http", "https"] {
                let destination = Some(SecretDestination::Http { scheme, host, port: 443 });
                uses.push(Access::Secret { name, destination });
            }
            for destination in [
                SecretDestination::Connection { host, port: 1 },
                SecretDestination::Snmp { host, port: 161 },
                SecretDestination::Target,
                SecretDestination::Program("kubectl"),
                SecretDestination::Program("date"),
            ] {
                uses.push(Access::Secret { name, destination: Some(destination) });
            }
            uses.push(Access::Secret { name, destination: None });
        }
    }
    for line in ["uptime", "systemctl status sshd", "systemctl restart a sshd", "systemctl status x;id", "id"]
    {
        uses.push(Access::Target(TargetUse::Command { line }));
    }
    uses.push(Access::Target(TargetUse::Session));
    for direction in [DataDirection::Read, DataDirection::Write] {
        for path in ["/", "/etc/hosts", "/etc/x", "x", "c:\\X\\y", "/etc/../x"] {
            uses.push(Access::Target(TargetUse::File { path, direction }));
        }
        for path in [
            "/data",
            "/data/in/x",
            "/data/out",
            "/opt/j/file/x",
            "/opt/j/file/y",
            "/opt/j/input/x",
            "/opt",
            "/opt/z",
        ] {
            uses.push(Access::Filesystem { path, direction });
        }
        for collection in ["c", "cc", "_x", "_y", "x"] {
            uses.push(Access::Documents { collection, direction });
        }
    }
    uses.extend(["cmdb/save", "cmdb/x", "other", "cmdb/../x"].map(|call| Access::Server { call }));
    uses.extend(["l", "l1", "m"].map(|name| Access::Lock { name }));
    for arguments in arguments {
        for environment in variables {
            uses.extend(["kubectl", "date", "sh"].map(|name| Access::Program {
                name,
                arguments,
                environment,
            }));
        }
    }
    uses.push(Access::StepOutputs { phase: "p", operation: "o", output: "x" });
    uses.push(Access::JobNodes { phase: "p" });
    uses.push(Access::Interact { title: "t" });
    uses
}

/// Every how many-th use is tried: all of them in each case would take minutes.
const STEP: usize = 9;

/// A use that the new policy allows and the old one does not, or for which it lifts a check. Tries some of all uses,
/// from `first` on.
fn widened(old: &Policy, new: &Policy, first: usize) -> Option<String> {
    use autoexec_grants::Terms::Connection;
    let facts = Facts { node_host: Some("node.test"), job_dir: Some("/opt/j"), home: Some("/srv/ax") };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let arguments = ["", "get pods", "get pods -A", "get -A", "delete pods"].map(words);
    let variables =
        ["", "KUBECONFIG", "LC_ALL KUBECONFIG", "KUBE_X", "GIT_SSH_COMMAND", "LD_PRELOAD"].map(words);
    for tool in ["a/b", "d/e"] {
        for access in uses(&arguments, &variables).into_iter().skip(first).step_by(STEP) {
            let request = Request { tool, digest: None, access };
            let (before, after) = (old.decide(&request, &facts), new.decide(&request, &facts));
            let lifted = after.terms == Connection { verify_certificate: false }
                && before.terms == Connection { verify_certificate: true };
            if after.allowed() && (!before.allowed() || lifted) {
                return Some(format!("{request:?}"));
            }
        }
    }
    None
}

fn is_marked(old: &Policy, new: &Policy) -> bool {
    diff(old, new).iter().any(|change| change.direction == Direction::Widen)
}

proptest! {
    #![proptest_config(super::config(96))]

    #[test]
    fn adding_a_deny_never_widens(old in spec(), first in 0..STEP, tools in select(&TOOLS[..]), deny in select(&DENY[..])) {
        let mut new = old.clone();
        new.grants.push((tools, deny));
        prop_assert_eq!(widened(&old.policy(), &new.policy(), first), None);
        prop_assert!(!is_marked(&old.policy(), &new.policy()), "a deny is marked as widening");
    }

    #[test]
    fn removing_an_allow_never_widens(old in spec(), first in 0..STEP, which in any::<Index>()) {
        let mut new = old.clone();
        let (_, line) = new.grants.remove(which.index(old.grants.len()));
        prop_assume!(ALLOW.contains(&line));
        prop_assert_eq!(widened(&old.policy(), &new.policy(), first), None);
    }

    #[test]
    fn a_ceiling_never_widens(old in spec(), first in 0..STEP, ceiling in ceiling()) {
        let old = Spec { ceiling: None, ..old };
        let new = Spec { ceiling: Some(ceiling), ..old.clone() };
        prop_assert_eq!(widened(&old.policy(), &new.policy(), first), None);
    }

    #[test]
    fn the_order_of_files_does_not_matter(spec in spec(), first in 0..STEP) {
        let texts = spec.texts();
        let named = |reverse: bool| -> Policy {
            let number = |index: usize| if reverse { 99 - index } else { index };
            let files: Vec<(String, &String)> =
                texts.iter().enumerate().map(|(index, text)| (format!("{:02}.toml", number(index)), text)).collect();
            Policy::parse(&files).unwrap()
        };
        let (forward, backward) = (named(false), named(true));
        prop_assert_eq!(widened(&forward, &backward, first), None);
        prop_assert_eq!(widened(&backward, &forward, first), None);
    }

    #[test]
    fn a_change_that_widens_is_marked(old in spec(), new in spec(), first in 0..STEP) {
        let (old, new) = (old.policy(), new.policy());
        if let Some(request) = widened(&old, &new, first) {
            prop_assert!(is_marked(&old, &new), "{} {:?}", request, diff(&old, &new));
        }
    }

    /// Close policies: a line is exchanged for another, where a wrong "covers" would go unmarked.
    #[test]
    fn an_exchange_that_widens_is_marked(
        old in spec(),
        first in 0..STEP,
        which in any::<Index>(),
        line in prop_oneof![3 => select(&ALLOW[..]), 1 => select(&DENY[..])],
        in_ceiling in any::<bool>(),
    ) {
        let mut new = old.clone();
        match &mut new.ceiling {
            Some(ceiling) if in_ceiling && !ceiling.is_empty() => {
                let index = which.index(ceiling.len());
                let same = |other: &str| other.split(' ').next() == line.split(' ').next();
                ceiling.remove(index);
                prop_assume!(!ceiling.iter().any(|other| same(other)));
                ceiling.push(line);
            }
            _ => {
                let index = which.index(new.grants.len());
                new.grants[index].1 = line;
            }
        }
        let (old, new) = (old.policy(), new.policy());
        if let Some(request) = widened(&old, &new, first) {
            prop_assert!(is_marked(&old, &new), "{} {:?}", request, diff(&old, &new));
        }
    }
}
