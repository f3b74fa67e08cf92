//! Native tools with a manifest: confined by the built program, under policy and lock. What needs Landlock is not run where
//! the kernel has none, and says so.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "what the tests share fails as the tests do")]

use autoexec_confine::Support;
use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase, with_output};

/// Says what it can reach, and puts out a value as the contract wants.
const PROBE: &str = r#"#!/bin/sh
try() { if "$@" >/dev/null 2>&1; then echo "yes: $*"; else echo "no: $*"; fi; }
try cat "$AUTOEXEC_HOME/conf/config.ini"
try cat "$JOB_PARAMS_PATH"
try cat /etc/hostname
try touch "$AUTOEXEC_WORK_PATH/status/forged"
try touch "${TMPDIR:-/nonexistent}/scratch"
try test -n "$LEAKED"
try test -n "$AUTOEXEC_NODE"
echo "files: $(ulimit -n)"
echo '{"answer": "42"}' > "$OUTPUT_PATH" && echo "output written"
"#;

const MANIFEST: &str = r#"
name = "basic/probe"
version = "1.0.0"
description = "Says what it can reach."

[limits]
open-files = 100

[[filesystem]]
path = "/etc/hostname"
access = "read"
reason = "to say where it runs"
"#;

fn can_confine() -> bool {
    let support = Support::of_this_kernel();
    if !support.is_full() {
        eprintln!("not run, because nothing can be confined here: {support}");
    }
    support.is_full()
}

struct Site(TestJob);

impl Site {
    fn new() -> Self {
        let operation = with_output(op("basic/probe", "runner_target", 1), "answer", "text");
        let job = TestJob::new(params([one_shot([phase("A", "runner_target", [operation])])]), &[node(71)])
            .unwrap();
        job.home.write_local_plugin("basic", "probe", PROBE).unwrap();
        Self(job)
    }

    fn manifest(self, text: &str) -> Self {
        self.0.home.write("plugins/local/basic/probe.tool.toml", text).unwrap();
        self
    }

    fn policy(self, text: &str) -> Self {
        self.0.home.write("conf/policy/site.toml", text).unwrap();
        self
    }

    fn run(&self, code: i32) -> String {
        let mut command = self.0.command(&["--firstfire", "--force"]).unwrap();
        command.env("LEAKED", "a secret of the executor");
        let finished = self.0.start_command(command).unwrap().wait().unwrap();
        let log = self.0.node_log("A", &key(71));
        assert_eq!(finished.code, Some(code), "{log}\n{}", self.0.console());
        log
    }
}

/// A tool that says which files are open in it.
const OPEN_FILES: &str = r#"#!/bin/sh
exec perl -e 'print "open:"; for (0 .. 1023) { print " $_" if open my $file, "<&", $_ } print "\n"'
"#;

#[test]
fn a_tool_has_no_files_that_were_left_open_for_the_executor() {
    let operation = op("basic/open", "runner_target", 1);
    let job =
        TestJob::new(params([one_shot([phase("A", "runner_target", [operation])])]), &[node(71)]).unwrap();
    job.home.write_local_plugin("basic", "open", OPEN_FILES).unwrap();
    // A copy without the mark that keeps it from other programs.
    let left_open = nix::unistd::dup(std::fs::File::open("/dev/null").unwrap()).unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    drop(left_open);
    let log = job.node_log("A", &key(71));
    assert!(log.contains("open: 0 1 2\n"), "{log}");
}

fn says(log: &str, lines: &[&str]) {
    for line in lines {
        assert!(log.contains(line), "no `{line}` in:\n{log}");
    }
}

#[test]
fn without_a_manifest_a_tool_runs_as_it_always_did() {
    let site = Site::new();
    let log = site.run(0);
    says(&log, &["yes: cat", "conf/config.ini", "yes: test -n a secret of the executor", "output written"]);
    assert!(!log.contains("no: cat /etc"), "{log}");
}

#[test]
fn with_a_manifest_it_gets_what_it_asks_for_and_what_the_contract_promises() {
    if !can_confine() {
        return;
    }
    let site = Site::new().manifest(MANIFEST);
    let log = site.run(0);
    says(
        &log,
        &[
            "yes: cat /etc/hostname",
            "no: touch ",
            "no: test -n",
            "yes: test -n {",
            "files: 100",
            "output written",
        ],
    );
    let config = format!("no: cat {}/conf/config.ini", site.0.home.path().display());
    says(&log, &[&config, "yes: cat ", "params.json", "/scratch"]);
    assert!(!site.0.dir().join("status/forged").exists());
    // Its directory for temporary files is gone with it.
    let left = std::fs::read_dir(site.0.dir()).unwrap();
    let left = left
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with(".tmp."));
    assert_eq!(left.count(), 0);
    let output = site.0.file(&format!("output/{}.json", key(71)));
    assert!(output.contains("42"), "{output}");
    let audit = std::fs::read_to_string(site.0.home.path().join("logs/policy-audit.jsonl")).unwrap();
    says(&audit, &["\"capability\":\"native\"", "\"argument\":\"confined\"", "\"decision\":\"allowed\""]);
}

#[test]
fn a_manifest_that_can_not_be_used_keeps_the_tool_from_running() {
    let site = Site::new().manifest(&MANIFEST.replace("access = \"read\"", "acess = \"read\""));
    let log = site.run(1);
    says(&log, &["probe.tool.toml can not be used: line ", "acess"]);
    assert!(!log.contains("output written"), "{log}");
}

#[test]
fn the_policy_decides_whether_native_tools_run() {
    let deny = "[[native]]\ntools = [\"basic/*\"]\nrun = \"deny\"\n";
    let log = Site::new().policy(deny).run(1);
    says(&log, &["Policy denies to run the native tool basic/probe", "site.toml line 2"]);
    assert!(!log.contains("output written"), "{log}");
    let log = Site::new().policy(&format!("mode = \"monitor\"\n{deny}")).run(0);
    says(&log, &["would deny to run the native tool basic/probe", "output written"]);
}

#[test]
fn the_policy_confines_tools_without_a_manifest_and_bounds_those_with_one() {
    if !can_confine() {
        return;
    }
    let confined = "[[native]]\ntools = [\"*\"]\nrun = \"confined\"\n";
    let log = Site::new().policy(confined).run(0);
    says(&log, &["no: cat /etc/hostname", "output written"]);
    let bounded = format!("{confined}read = [\"/srv\"]\n");
    let log = Site::new().manifest(MANIFEST).policy(&bounded).run(0);
    says(&log, &["Policy does not give basic/probe `read /etc/hostname`", "no: cat /etc/hostname"]);
}

#[test]
fn a_native_tool_in_the_lock_is_held_to_it() {
    let site = Site::new().manifest(MANIFEST);
    let lock = |arguments: &[&str]| {
        let mut command = site.0.home.autoexec(["tool", "lock"].iter().chain(arguments)).unwrap();
        command.stdin(std::process::Stdio::null()).output().unwrap()
    };
    assert!(lock(&["--yes"]).status.success());
    site.run(0);
    let more = format!("{MANIFEST}\n[[tcp]]\nconnect = [22]\nreason = \"curiosity\"\n");
    site.0.home.write("plugins/local/basic/probe.tool.toml", &more).unwrap();
    says(&site.run(1), &["is not what plugins.lock approves", "it also asks for `connect tcp 22`"]);
    assert_eq!(lock(&[]).status.code(), Some(77));
    assert!(lock(&["--yes"]).status.success());
    site.run(0);
    site.0.home.write_local_plugin("basic", "probe", &PROBE.replace("42", "43")).unwrap();
    says(&site.run(1), &["other content under the same version 1.0.0"]);
    std::fs::remove_file(site.0.home.path().join("plugins/local/basic/probe.tool.toml")).unwrap();
    says(&site.run(1), &["its manifest", "is missing"]);
}
