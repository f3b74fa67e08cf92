//! Rows, and how they are run: all tricks of a group are the steps of one job, and a step that behaves comes last.

use std::path::{Path, PathBuf};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{fail_ignored, key, node, node_file, one_shot, op, params, phase, with_option};
use autoexec_e2e::guests::{guest, with_manifest};
use autoexec_manifest::Manifest;
use autoexec_test_support::server::Scope;
use serde_json::Value;

/// What has to become of a trick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The tool is not even loaded.
    NotLoaded,
    /// The host does not do it.
    Refused,
    /// The call is ended at one of its limits.
    Ended,
    /// The guest breaks its own call.
    Crashes,
    /// It is done, and does no harm.
    Harmless,
}

impl Fate {
    /// In the words of the table.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NotLoaded => "not loaded",
            Self::Refused => "refused",
            Self::Ended => "ended at a limit",
            Self::Crashes => "ends its own call only",
            Self::Harmless => "does no harm",
        }
    }
}

/// One trick, in a place that its group has prepared.
pub(crate) struct Row<P> {
    /// In a line of plain words.
    pub(crate) trick: &'static str,
    pub(crate) fate: Fate,
    /// What the node's log says of it.
    pub(crate) says: &'static str,
    /// The step that tries it.
    pub(crate) step: fn(&P) -> Value,
}

/// The hostile guest, asking for limits that are reached soon.
pub(crate) fn hostile() -> Vec<u8> {
    changed("fixture/hostile", |manifest| {
        manifest.limits.time_seconds = Some(1);
        manifest.limits.memory_mib = Some(16);
        manifest.limits.log_kib = Some(8);
    })
}

/// A built guest with another manifest.
pub(crate) fn changed(name: &str, change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    with_manifest(&guest(name).unwrap(), change).unwrap()
}

/// A step that calls a tool with these options.
pub(crate) fn step(tool: &str, options: &[(&str, &str)]) -> Value {
    options
        .iter()
        .fold(op(tool, "runner_target", 0), |step, (name, value)| with_option(step, name, "text", value))
}

/// A step with which the guest that knows every capability uses one.
pub(crate) fn using(what: &str, subject: &str) -> Value {
    step("fixture/everything", &[("what", what), ("subject", subject)])
}

/// The same with a second text.
pub(crate) fn using_with(what: &str, subject: &str, text: &str) -> Value {
    with_option(using(what, subject), "text", "text", text)
}

/// A job of one node whose steps are the tricks.
pub(crate) struct Stage {
    pub(crate) job: TestJob,
}

/// What became of the steps.
pub(crate) struct Ran {
    /// The node's log, whole.
    pub(crate) log: String,
    /// Of each step: whether it succeeded, and its lines.
    steps: Vec<(String, bool, String)>,
}

impl Stage {
    /// A home with these tools and this policy.
    pub(crate) fn new(tools: &[(&str, Vec<u8>)], policy: &str) -> Self {
        let job = TestJob::empty("620011223344").unwrap();
        job.home.write("conf/policy/site.toml", policy).unwrap();
        let stage = Self { job };
        for (name, component) in tools {
            stage.install(name, component);
        }
        stage.install("fixture/hostile", &hostile());
        stage
    }

    pub(crate) fn install(&self, name: &str, component: &[u8]) -> PathBuf {
        self.job.install_component(name, component).unwrap()
    }

    pub(crate) fn home(&self) -> &Path {
        self.job.home.path()
    }

    /// Runs these steps, none of which keeps the next from running.
    pub(crate) fn run(&self, steps: Vec<Value>) -> Ran {
        self.run_as(steps, |command| command)
    }

    /// The same, the program being started in a way of its own.
    pub(crate) fn run_as(
        &self,
        steps: Vec<Value>,
        start: impl FnOnce(std::process::Command) -> std::process::Command,
    ) -> Ran {
        let numbered = |(number, mut step): (usize, Value)| {
            step["opId"] = format!("{}_{number}", step["opName"].as_str().unwrap()).into();
            fail_ignored(step)
        };
        let steps: Vec<Value> = (1..).zip(steps).map(numbered).collect();
        let ids: Vec<String> = steps.iter().map(|step| step["opId"].as_str().unwrap().to_owned()).collect();
        self.job.server.set_params(params([one_shot([phase("A", "runner_target", steps)])]));
        self.job.set_nodes(Scope::Job, &node_file(&[node(71)]));
        let command = start(self.job.command(&["--firstfire", "--force"]).unwrap());
        let finished = self.job.start_command(command).unwrap().wait().unwrap();
        let log = self.job.node_log("A", &key(71));
        assert_eq!(finished.code, Some(0), "{}\n{}\n{log}", finished.stderr, self.job.console());
        let status = self.job.status("A", &key(71));
        let result = |id: String| {
            let succeeded = status[&id] == "succeed";
            let lines = lines_of(&log, &id);
            (id, succeeded, lines)
        };
        Ran { steps: ids.into_iter().map(result).collect(), log }
    }

    /// Runs a group's rows, and a guest that behaves after them.
    pub(crate) fn run_rows<P>(&self, rows: &[Row<P>], place: &P) -> Ran {
        self.run_rows_as(rows, place, |command| command)
    }

    pub(crate) fn run_rows_as<P>(
        &self,
        rows: &[Row<P>],
        place: &P,
        start: impl FnOnce(std::process::Command) -> std::process::Command,
    ) -> Ran {
        let silent = rows.iter().filter(|row| row.fate != Fate::Harmless && row.says.is_empty());
        let silent: Vec<&str> = silent.map(|row| row.trick).collect();
        assert!(silent.is_empty(), "what is refused for any reason at all proves nothing: {silent:?}");
        let behaves = step("fixture/hostile", &[("deed", "behave")]);
        let steps = rows.iter().map(|row| (row.step)(place)).chain([behaves]).collect();
        let ran = self.run_as(steps, start);
        let mut wrong = Vec::new();
        for (row, (id, succeeded, lines)) in rows.iter().zip(&ran.steps) {
            if *succeeded != (row.fate == Fate::Harmless) || !lines.contains(row.says) {
                wrong.push(format!("{id}: {}: succeeded: {succeeded}\n{lines}", row.trick));
            }
        }
        let (_, behaved, _) = ran.steps.last().unwrap();
        assert!(*behaved, "the last step, which behaves, failed:\n{}", ran.log);
        assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        ran
    }
}

/// The lines of a step, without the one that shows its options.
fn lines_of(log: &str, id: &str) -> String {
    let begin = format!("------START--[{id}]");
    let end = format!("------END--[{id}]");
    let lines = log.lines().skip_while(|line| !line.contains(&begin)).skip(1);
    let lines = lines.take_while(|line| !line.contains(&end)).filter(|line| !line.contains("Execute -> "));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// A grant of every capability for something harmless: the guests that know them are linked, and what a row is about is decided
/// by its argument.
pub(crate) const ALL_INTERFACES: &str = "\
[[grant]]
tools = [\"fixture/*\"]
net-probe = { hosts = [\"allowed.invalid\"] }
step-outputs = true
job-nodes = true
secret = { \"option:other\" = { https = [\"allowed.invalid\"] } }
target = { commands = [\"true\"] }
filesystem = { read = [\"/usr/share\"] }
server = { calls = [\"allowed/call\"] }
documents = { read = [\"ALLOWED\"] }
lock = { names = [\"allowed\"] }
interact = true
program = { allowed = \"/bin/true\" }
http = { hosts = [\"allowed.invalid\"] }
sockets = { hosts = [\"allowed.invalid\"] }
snmp = { hosts = [\"allowed.invalid\"] }
";
