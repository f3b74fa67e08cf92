//! The policy at work: what a component is linked with, what each call may do, and the record of it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use autoexec_engine::ports::{OperationCall, OperationSink, ToolProblem, UnitInfo};
use autoexec_events::Level;
use autoexec_grants::{
    Access, Capability, CapabilityGrant, DataDirection, Decision, Facts, Mode, NativeRule, Policy, Request,
    Terms, ToolLimits,
};
use autoexec_model::JobId;
use autoexec_sandbox::{Grants, Limits, LoadError, MissingReason, Tool};
use autoexec_store::RotatedLog;
use jiff::Timestamp;
use serde::Serialize;

use crate::settings::Shared;

/// Different decisions of one call that are recorded: a guest that asks for ever must not push other tools' decisions
/// out of the log.
const RECORDED_PER_CALL: usize = 1000;

/// Refusals of one call that are told in the node's log, and in the run's events.
const TOLD_PER_CALL: usize = 20;

/// Size at which a new audit file is begun, in bytes.
const AUDIT_FILE_SIZE: u64 = 10 << 20;

/// Old audit files that are kept.
const AUDIT_FILES_KEPT: u32 = 5;

/// A site's policy and the record of its decisions.
#[derive(Debug)]
pub struct SitePolicy {
    policy: Policy,
    audit: RotatedLog,
}

/// Where in a job a decision was made.
#[derive(Debug, Clone, Default, Serialize)]
struct Place {
    job: String,
    phase: Option<String>,
    operation: Option<String>,
    node: Option<String>,
}

/// A line of the audit log.
#[derive(Serialize)]
struct AuditLine<'a, T> {
    time: String,
    #[serde(flatten)]
    place: &'a Place,
    #[serde(flatten)]
    what: &'a T,
}

/// Stands in the log where a call's further decisions are left out.
#[derive(Serialize)]
struct LeftOut<'a> {
    tool: &'a str,
    note: &'static str,
}

impl SitePolicy {
    /// A policy whose decisions are recorded in the file `audit`.
    pub fn new(policy: Policy, audit: &Path) -> Self {
        Self { policy, audit: RotatedLog::new(audit, AUDIT_FILE_SIZE, AUDIT_FILES_KEPT) }
    }

    /// What a component may be linked with; it is linked with what it also asks for.
    pub(crate) fn linkable(&self, tool: &str) -> Grants {
        let names = Capability::ALL.map(Capability::interface);
        let effective = self.policy.effective(tool, None, names);
        effective.linked().collect()
    }

    /// The error of loading, with how to allow the interfaces that the policy did not give.
    pub(crate) fn explain(&self, job: &str, tool: &str, error: &LoadError) -> ToolProblem {
        let mut text = error.to_string();
        let mut refusals = Vec::new();
        let LoadError::Imports { missing, .. } = error else { return text.into() };
        let refused = missing.iter().filter_map(|import| match import.reason {
            MissingReason::NotGranted(capability) => Some(capability.interface()),
            _ => None,
        });
        let place = Place { job: job.to_owned(), ..Place::default() };
        for grant in self.policy.effective(tool, None, refused).capabilities {
            let CapabilityGrant::Known(decision) = grant else { continue };
            if let Err(problem) = self.record(&place, &decision) {
                text = format!("{text}\n{problem}");
            }
            text = format!("{text}\n{}", with_advice(&decision));
            refusals.extend(decision.refusal());
        }
        ToolProblem { text, refusals }
    }

    /// The bounds of a call: the manifest's within the policy's.
    pub(crate) fn limits(&self, name: &str, tool: &Tool) -> Limits {
        Limits::for_tool(tool.manifest(), &limits_of(self.policy.limits(name)))
    }

    /// What holds for a native tool.
    pub(crate) fn native(&self, tool: &str) -> NativeRule<'_> {
        self.policy.native(tool)
    }

    /// The policy's mode.
    pub(crate) fn mode(&self) -> Mode {
        self.policy.mode()
    }

    /// Records how a native tool was started.
    pub(crate) fn record_native<T: Serialize>(
        &self,
        job: &JobId,
        unit: &UnitInfo,
        call: &OperationCall<'_>,
        what: &T,
    ) -> Result<(), String> {
        let place = Place {
            job: job.to_string(),
            phase: Some(unit.phase.phase.name.to_string()),
            operation: Some(call.operation.id.to_string()),
            node: Some(unit.node.host.clone()),
        };
        self.record(&place, what)
    }

    fn record<T: Serialize>(&self, place: &Place, what: &T) -> Result<(), String> {
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        self.audit
            .append(&AuditLine { time, place, what })
            .map_err(|error| format!("Policy decisions can not be recorded: {error}"))
    }
}

/// The policy's bounds as those of a call.
fn limits_of(site: ToolLimits) -> Limits {
    Limits {
        memory: site.memory,
        time: site.time,
        cpu: site.cpu,
        log: site.log,
        output: site.output,
        host_call: site.host_call,
        response: site.response,
        files: site.files,
        sockets: site.sockets,
        handles: site.handles,
        concurrent: site.concurrent_calls,
    }
}

fn with_advice(decision: &Decision) -> String {
    match &decision.advice {
        Some(advice) => format!("{decision}\n{advice}"),
        None => decision.to_string(),
    }
}

/// What one call of a component may do.
pub(crate) struct Permits {
    site: Arc<SitePolicy>,
    tool: String,
    digest: String,
    node_host: String,
    job_dir: String,
    home: String,
    place: Place,
    sink: Arc<dyn OperationSink>,
    so_far: Mutex<SoFar>,
}

/// What was recorded and told already.
#[derive(Default)]
struct SoFar {
    recorded: HashSet<(Capability, Option<String>)>,
    told: usize,
    log_failed: bool,
}

impl Permits {
    /// Permits of a call. What the tool was linked with is recorded as its first decisions.
    pub(crate) fn new(
        shared: &Shared,
        unit: &UnitInfo,
        call: &OperationCall<'_>,
        tool: &Tool,
        sink: Arc<dyn OperationSink>,
    ) -> Self {
        let settings = &shared.settings;
        let permits = Self {
            site: Arc::clone(&settings.policy),
            tool: call.operation.name.to_string(),
            digest: tool.digest(),
            node_host: unit.node.host.clone(),
            job_dir: settings.job_dir.root().display().to_string(),
            home: settings.home.root().display().to_string(),
            place: Place {
                job: settings.job.to_string(),
                phase: Some(unit.phase.phase.name.to_string()),
                operation: Some(call.operation.id.to_string()),
                node: Some(unit.node.host.clone()),
            },
            sink,
            so_far: Mutex::default(),
        };
        let asked = tool.manifest().capabilities.iter().map(|request| request.interface.as_str());
        let effective = permits.site.policy.effective(&permits.tool, Some(&permits.digest), asked);
        for grant in effective.capabilities {
            if let CapabilityGrant::Known(decision) = grant {
                permits.note(&decision);
            }
        }
        permits
    }

    /// Decides, records, and tells people of a refusal. Returns what is needed to carry it out.
    ///
    /// # Errors
    /// Why not, for the tool.
    pub(crate) fn ask(&self, access: Access<'_>) -> Result<Terms, String> {
        let request = Request { tool: &self.tool, digest: Some(&self.digest), access };
        let decision = self.site.policy.decide(&request, &self.facts());
        self.note(&decision);
        if decision.allowed() { Ok(decision.terms) } else { Err(decision.to_string()) }
    }

    fn facts(&self) -> Facts<'_> {
        Facts { node_host: Some(&self.node_host), job_dir: Some(&self.job_dir), home: Some(&self.home) }
    }

    /// The granted directory that holds a file. Decided and recorded like any use.
    ///
    /// # Errors
    /// Why not, for the tool.
    pub(crate) fn directory(&self, path: &Path, direction: DataDirection) -> Result<PathBuf, String> {
        let text = path.to_str().ok_or_else(|| format!("{} is no text in UTF-8", path.display()))?;
        match self.ask(Access::Filesystem { path: text, direction })? {
            Terms::Directory { root } => Ok(root.into()),
            terms => Err(format!("the policy names no directory, but {terms:?}")),
        }
    }

    /// All directories that the tool gets for reading or for writing.
    pub(crate) fn directories(&self, direction: DataDirection) -> Vec<PathBuf> {
        let directories = self.site.policy.directories(&self.tool, &self.facts(), direction);
        directories.into_iter().map(PathBuf::from).collect()
    }

    /// Whether the certificate of a host is checked.
    pub(crate) fn verifies_certificate(&self, host: &str, port: u16) -> bool {
        self.site.policy.verifies_certificate(&self.tool, &self.facts(), host, port)
    }

    fn note(&self, decision: &Decision) {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        if so_far.recorded.len() >= RECORDED_PER_CALL
            || !so_far.recorded.insert((decision.capability, decision.argument.clone()))
        {
            return;
        }
        let mut recorded = self.site.record(&self.place, decision);
        if so_far.recorded.len() == RECORDED_PER_CALL {
            let note = "further decisions of this call are not recorded";
            recorded = recorded.and(self.site.record(&self.place, &LeftOut { tool: &self.tool, note }));
        }
        if let Err(problem) = recorded
            && !std::mem::replace(&mut so_far.log_failed, true)
        {
            self.sink.info(Level::Warn, &problem);
        }
        if let Some(refusal) = decision.refusal()
            && so_far.told < TOLD_PER_CALL
        {
            so_far.told += 1;
            self.sink.info(Level::Warn, &with_advice(decision));
            self.sink.refused(refusal);
            if so_far.told == TOLD_PER_CALL {
                self.sink
                    .info(Level::Warn, "Further refusals of this call are only in the policy's audit log.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use autoexec_grants::{Advice, Refusal};

    use super::*;

    #[test]
    fn without_a_policy_the_limits_are_the_sandboxs_own() {
        assert_eq!(limits_of(ToolLimits::default()), Limits::default());
    }

    #[test]
    fn the_built_in_policy_links_what_can_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let site = SitePolicy::new(Policy::built_in("site.toml").unwrap(), &dir.path().join("audit"));
        assert_eq!(
            site.linkable("a/b"),
            [Capability::NetProbe, Capability::StepOutputs].into_iter().collect()
        );
        let nothing = Policy::parse(&[("a.toml", "mode = \"enforce\"\n")]).unwrap();
        let site = SitePolicy::new(nothing, &dir.path().join("audit"));
        assert_eq!(site.linkable("a/b"), Grants::none());
    }

    #[derive(Default)]
    struct Sink(Mutex<Vec<String>>, Mutex<Vec<Refusal>>);

    impl OperationSink for Sink {
        fn output(&self, _: &[u8]) {}

        fn info(&self, _: Level, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }

        fn started(&self, _: Option<u32>) {}

        fn executing(&self, _: &str) {}

        fn refused(&self, refusal: Refusal) {
            self.1.lock().unwrap().push(refusal);
        }
    }

    /// A call of the tool `a/b` under the built-in policy.
    fn call(audit: &Path) -> (Permits, Arc<Sink>) {
        let sink = Arc::new(Sink::default());
        let permits = Permits {
            site: Arc::new(SitePolicy::new(Policy::built_in("site.toml").unwrap(), audit)),
            tool: "a/b".to_owned(),
            digest: "d".to_owned(),
            node_host: "10.0.0.7".to_owned(),
            job_dir: String::new(),
            home: String::new(),
            place: Place { job: "1".to_owned(), ..Place::default() },
            sink: Arc::clone(&sink) as Arc<dyn OperationSink>,
            so_far: Mutex::default(),
        };
        (permits, sink)
    }

    fn probe(host: &str, port: u16) -> Access<'_> {
        Access::NetProbe { host, port, address: None }
    }

    #[test]
    fn a_guest_that_asks_for_ever_fills_neither_log() {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit");
        let (permits, sink) = call(&audit);
        for port in 1..=3000 {
            assert!(permits.ask(probe("10.0.0.8", port)).is_err());
        }
        let text = std::fs::read_to_string(&audit).unwrap();
        assert_eq!(text.lines().count(), RECORDED_PER_CALL + 1);
        assert!(text.lines().last().unwrap().contains("further decisions"), "{text}");
        assert_eq!(sink.0.lock().unwrap().len(), TOLD_PER_CALL + 1);
        assert_eq!(sink.1.lock().unwrap().len(), TOLD_PER_CALL);
        // What was decided before is still decided the same way.
        assert!(permits.ask(probe("10.0.0.7", 4000)).is_ok());
        assert!(permits.ask(probe("10.0.0.8", 1)).is_err());
    }

    #[test]
    fn the_same_question_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit");
        let (permits, sink) = call(&audit);
        for _ in 0..3 {
            assert!(permits.ask(probe("10.0.0.8", 22)).is_err());
            assert!(permits.ask(probe("10.0.0.7", 22)).is_ok());
        }
        assert_eq!(std::fs::read_to_string(&audit).unwrap().lines().count(), 2);
        assert_eq!(sink.0.lock().unwrap().len(), 1);
        // The same as data, for programs.
        let told = sink.1.lock().unwrap();
        let uses: Vec<_> =
            told.iter().map(|refusal| (refusal.capability, refusal.argument.as_deref())).collect();
        assert_eq!(uses, [(Capability::NetProbe, Some("10.0.0.8:22"))]);
        assert!(
            matches!(&told[0].advice, Some(Advice::AddGrant { file, .. }) if file == "site.toml"),
            "{told:?}"
        );
    }

    #[test]
    fn directories_of_the_policy_are_told_and_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit");
        let (mut permits, _) = call(&audit);
        let policy =
            "[[grant]]\ntools = [\"a/b\"]\nfilesystem = { read = [\"/data\", \"${job.dir}/file\"] }\n";
        permits.site = Arc::new(SitePolicy::new(Policy::parse(&[("p", policy)]).unwrap(), &audit));
        permits.job_dir = "/opt/ax/data/job/1".to_owned();
        permits.home = "/opt/ax".to_owned();
        let read = |path: &str| permits.directory(Path::new(path), DataDirection::Read);
        assert_eq!(read("/data/x"), Ok(PathBuf::from("/data")));
        assert_eq!(read("/opt/ax/data/job/1/file/x"), Ok(PathBuf::from("/opt/ax/data/job/1/file")));
        assert!(read("/opt/ax/data/job/1/params.json").is_err() && read("/etc/x").is_err());
        let all = ["/data", "/opt/ax/data/job/1/file"].map(PathBuf::from);
        assert_eq!(permits.directories(DataDirection::Read), all);
        assert!(permits.directories(DataDirection::Write).is_empty());
        assert!(permits.verifies_certificate("x.example", 443));
        assert_eq!(std::fs::read_to_string(&audit).unwrap().lines().count(), 4);
    }

    #[test]
    fn an_audit_log_that_can_not_be_written_is_told_once_and_decides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let (permits, sink) = call(&dir.path().join("file/audit"));
        assert!(permits.ask(probe("10.0.0.7", 22)).is_ok());
        assert!(permits.ask(probe("10.0.0.7", 23)).is_ok());
        let told = sink.0.lock().unwrap();
        assert!(
            told.len() == 1 && told[0].contains("can not be recorded") && told[0].contains("file"),
            "{told:?}"
        );
    }
}
