//! How a native program is started: with all rights of the account, confined to what its manifest asks for, or not at
//! all. Manifest, policy, lock and kernel decide (docs/security.md).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use autoexec_confine::{Confinement, Limits, Support};
use autoexec_engine::ports::{OperationCall, OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_grants::{Mode, NativeRule, NativeRun, NativeUse};
use autoexec_manifest::{FileAccess, NativeManifest};
use autoexec_supply::{Digest, Pinned};
use autoexec_transport::process::ProcessSpec;
use serde::Serialize;
use tempfile::TempDir;

use crate::settings::Shared;
use crate::supply::refused;

/// Variables that every program needs, whoever set them.
const BASIC: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "PYTHONPATH", "PERL5LIB"];

/// Starts of names that the contract knows (`spec/plugin-contract.md` §8.3); they stay even if the runner set them.
const CONTRACT: [&str; 14] = [
    "AUTOEXEC_",
    "OUTPUT_",
    "NODE_",
    "INS_",
    "JOB_",
    "DEPLOY_",
    "LC_",
    "TERM",
    "HISTSIZE",
    "GROUP_NO",
    "OPERATION_ID",
    "LIVEDATA_PATH",
    "RUNNER_ID",
    "PASSTHROUGH_ENV",
];

/// A program ready to be started.
pub(crate) struct Prepared {
    pub(crate) spec: ProcessSpec,
    /// Its directory for temporary files, removed at its end; none if it is not confined.
    pub(crate) temporary: Option<TempDir>,
}

/// How a native tool was started, for the audit log.
#[derive(Debug, Serialize)]
struct Started<'a> {
    tool: &'a str,
    digest: Option<String>,
    capability: &'static str,
    argument: Option<&'static str>,
    decision: &'static str,
    rule: Option<&'a autoexec_grants::RuleRef>,
    reason: String,
}

/// Decides how a program may run and brings it into that form.
///
/// # Errors
/// Why it may not run.
pub(crate) fn prepare(
    shared: &Shared,
    unit: &UnitInfo,
    call: &OperationCall<'_>,
    program: &Path,
    spec: ProcessSpec,
    sink: &dyn OperationSink,
) -> Result<Prepared, String> {
    let tool = call.operation.name.as_str();
    // The text of a custom script is the job's; nobody can put a manifest beside it.
    let manifest = if call.call.script.is_some() { None } else { read_manifest(program, tool)? };
    check_lock(shared, tool, program, manifest.as_ref())?;
    let rule = shared.settings.policy.native(tool);
    let decided = decide(tool, manifest.is_some(), &rule, shared.settings.policy.mode(), support());
    if manifest.is_some() || rule.at.is_some() {
        let started = Started {
            tool,
            digest: None,
            capability: "native",
            argument: decided.as_ref().ok().map(|way| if way.confined { "confined" } else { "not confined" }),
            decision: match &decided {
                Err(_) => "denied",
                Ok(way) if way.warning.is_some() => "would-deny",
                Ok(_) => "allowed",
            },
            rule: rule.at,
            reason: match &decided {
                Err(text) => text.clone(),
                Ok(way) => way.warning.clone().unwrap_or_default(),
            },
        };
        if let Err(problem) = shared.settings.policy.record_native(&shared.settings.job, unit, call, &started)
        {
            sink.info(Level::Warn, &problem);
        }
    }
    let way = decided?;
    if let Some(warning) = &way.warning {
        sink.info(Level::Warn, warning);
    }
    if !way.confined {
        return Ok(Prepared { spec, temporary: None });
    }
    let temporary = tempfile::Builder::new()
        .prefix(".tmp.")
        .tempdir_in(shared.settings.job_dir.root())
        .map_err(|error| format!("Can not make a directory for temporary files: {error}"))?;
    let paths = Paths::of(shared, unit, program);
    let (mut confinement, warnings) = confinement(manifest.as_ref(), &rule, way.bounded, &paths);
    for warning in warnings {
        sink.info(Level::Warn, &warning);
    }
    confinement.write.push(temporary.path().to_owned());
    let mut env = environment(spec.env, manifest.as_ref(), own_variable);
    env.insert("TMPDIR".into(), temporary.path().into());
    let (program, args) = confinement
        .wrap(&spec.program, spec.args)
        .map_err(|error| format!("The confinement of {tool} can not be handed over: {error}"))?;
    Ok(Prepared { spec: ProcessSpec { program, args, env, cwd: spec.cwd }, temporary: Some(temporary) })
}

fn own_variable(name: &OsStr) -> Option<OsString> {
    std::env::var_os(name)
}

/// What this kernel can do, looked at once.
pub(crate) fn support() -> Support {
    static SUPPORT: OnceLock<Support> = OnceLock::new();
    *SUPPORT.get_or_init(Support::of_this_kernel)
}

fn read_manifest(program: &Path, tool: &str) -> Result<Option<NativeManifest>, String> {
    let path = NativeManifest::path_of(program);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        // No manifest has a name longer than a name can be.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => {
            return Ok(None);
        }
        Err(error) => return Err(format!("The manifest {} can not be read: {error}", path.display())),
    };
    // Running it without would give it more than it asks for.
    NativeManifest::parse(&text, tool)
        .map(Some)
        .map_err(|error| format!("The manifest {} can not be used: {error}", path.display()))
}

fn check_lock(
    shared: &Shared,
    tool: &str,
    program: &Path,
    manifest: Option<&NativeManifest>,
) -> Result<(), String> {
    let rules = shared.settings.supply.rules();
    if rules.lock.as_ref().is_none_or(|lock| lock.get(tool).is_none()) {
        return Ok(());
    }
    let Some(manifest) = manifest else {
        return Err(format!(
            "tool {tool} is in plugins.lock, but its manifest {} is missing: put it back, or approve what is there \
             with `autoexec tool lock --prune`",
            NativeManifest::path_of(program).display()
        ));
    };
    let bytes =
        std::fs::read(program).map_err(|error| format!("{} can not be read: {error}", program.display()))?;
    rules
        .admit_native(tool, &Pinned::native(manifest, Digest::of(&bytes)))
        .map_err(|refusal| refused(&refusal, program))
}

/// How a program is to run.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    confined: bool,
    /// Whether the policy bounds what the manifest asks for.
    bounded: bool,
    /// What the node's log is to say.
    warning: Option<String>,
}

fn decide(
    tool: &str,
    has_manifest: bool,
    rule: &NativeRule<'_>,
    mode: Mode,
    support: Support,
) -> Result<Way, String> {
    let by = rule.at.map(|at| format!(" ({at})")).unwrap_or_default();
    let enforced = mode == Mode::Enforce;
    let confined = has_manifest && support.is_full();
    let unenforced = |warning: String| Ok(Way { confined, bounded: false, warning: Some(warning) });
    match rule.run {
        NativeRun::Deny if enforced => Err(format!(
            "Policy denies to run the native tool {tool}{by}; install it as a component, or allow it there."
        )),
        NativeRun::Deny => {
            unenforced(format!("Policy (not enforced) would deny to run the native tool {tool}{by}."))
        }
        NativeRun::Confined if enforced && !support.is_full() => Err(format!(
            "Policy lets the native tool {tool} run only confined{by}, and this machine can not do that: {support}."
        )),
        NativeRun::Confined if !enforced && !confined => {
            unenforced(format!("Policy (not enforced) would run the native tool {tool} only confined{by}."))
        }
        NativeRun::Confined => Ok(Way { confined: true, bounded: enforced, warning: None }),
        NativeRun::Allow if has_manifest && !confined => Ok(Way {
            confined,
            bounded: enforced,
            warning: Some(format!(
                "The native tool {tool} has a manifest, but runs with all rights of its account: {support}."
            )),
        }),
        NativeRun::Allow => Ok(Way { confined, bounded: enforced, warning: None }),
    }
}

/// Places that a confinement is made of.
struct Paths {
    job: PathBuf,
    output: PathBuf,
    live_data: PathBuf,
    home: PathBuf,
    local_plugins: PathBuf,
    program: PathBuf,
}

impl Paths {
    fn of(shared: &Shared, unit: &UnitInfo, program: &Path) -> Self {
        let (settings, key) = (&shared.settings, unit.node.key());
        Self {
            job: settings.job_dir.root().to_owned(),
            output: settings.job_dir.op_outputs(&key),
            live_data: settings.job_dir.live_data_dir(&unit.phase.phase.name, &key),
            home: settings.home.root().to_owned(),
            local_plugins: settings.home.local_plugins(),
            program: program.to_owned(),
        }
    }

    /// A path of a manifest with its variable replaced.
    fn resolve(&self, path: &str) -> PathBuf {
        let variables = [("${job.dir}", &self.job), ("${output.dir}", &self.output), ("${home}", &self.home)];
        for (variable, directory) in variables {
            if let Some(rest) = path.strip_prefix(variable) {
                return directory.join(rest.trim_start_matches('/'));
            }
        }
        path.into()
    }

    /// What the contract promises to every plugin: its own directory and libraries, the job's directory to read, places
    /// for its outputs.
    fn contract(&self) -> Confinement {
        let mut confinement = Confinement::of_system();
        let libraries = ["lib", "plib"].map(|name| self.home.join(name));
        let plugins = ["lib", "pllib"].map(|name| self.local_plugins.join(name));
        confinement.execute.extend(libraries.into_iter().chain(plugins));
        confinement.execute.extend(self.program.parent().map(Path::to_owned));
        // A plugin may be a link to where it really is.
        confinement.execute.extend(std::fs::canonicalize(&self.program));
        confinement.read.push(self.job.clone());
        confinement.write.extend([self.output.clone(), self.live_data.clone()]);
        confinement
    }
}

/// The contract, and what the manifest asks for as far as the policy's bounds go; with what they left out.
fn confinement(
    manifest: Option<&NativeManifest>,
    rule: &NativeRule<'_>,
    bounded: bool,
    paths: &Paths,
) -> (Confinement, Vec<String>) {
    let mut confinement = paths.contract();
    let mut warnings = Vec::new();
    let Some(manifest) = manifest else { return (confinement, warnings) };
    let mut given = |what: &str, asked: NativeUse<'_>| {
        let refused = rule.refuses(asked);
        if let Some(at) = refused {
            let verb = if bounded { "does not give" } else { "(not enforced) would not give" };
            warnings.push(format!("Policy {verb} {} `{what}`: {at}.", manifest.name));
        }
        refused.is_none() || !bounded
    };
    for request in &manifest.filesystem {
        let path = request.path.as_str();
        let (asked, list) = match request.access {
            FileAccess::Read => (NativeUse::Read(path), &mut confinement.read),
            FileAccess::Execute => (NativeUse::Execute(path), &mut confinement.execute),
            FileAccess::Write => (NativeUse::Write(path), &mut confinement.write),
        };
        if given(&format!("{} {path}", request.access), asked) {
            list.push(paths.resolve(path));
        }
    }
    for request in &manifest.tcp {
        let connect = request.connect.iter().copied();
        let given_ports =
            connect.filter(|port| given(&format!("connect tcp {port}"), NativeUse::Connect(*port)));
        confinement.connect.extend(given_ports);
        let bind = request.bind.iter().copied();
        let given_ports = bind.filter(|port| given(&format!("bind tcp {port}"), NativeUse::Bind(*port)));
        confinement.bind.extend(given_ports);
    }
    let limits = manifest.limits;
    let mib = |mib: Option<u32>| mib.map(|mib| u64::from(mib) << 20);
    confinement.limits = Limits {
        cpu_seconds: limits.cpu_seconds.map(u64::from),
        memory: mib(limits.memory_mib),
        open_files: limits.open_files.map(u64::from),
        processes: limits.processes.map(u64::from),
        file_size: mib(limits.file_mib),
    };
    (confinement, warnings)
}

/// The environment without what the executor itself was started with and neither the contract nor the manifest names.
/// What the job sets stays: a variable that this process does not have with the same value was set by the job.
fn environment(
    env: BTreeMap<OsString, OsString>,
    manifest: Option<&NativeManifest>,
    own: impl Fn(&OsStr) -> Option<OsString>,
) -> BTreeMap<OsString, OsString> {
    let is_known = |name: &str| {
        BASIC.contains(&name)
            || name == "_SQL_FILES"
            || CONTRACT.iter().any(|start| name.starts_with(start))
            || manifest.is_some_and(|manifest| manifest.wants_variable(name))
    };
    let stays = |name: &OsString, value: &OsString| {
        name.to_str().is_some_and(is_known) || own(name).as_ref() != Some(value)
    };
    env.into_iter().filter(|(name, value)| stays(name, value)).collect()
}

#[cfg(test)]
mod tests {
    use autoexec_grants::Policy;

    use super::*;

    const FULL: Support = Support::Full { abi: 7 };
    const NONE: Support = Support::Missing;

    fn policy(run: &str) -> Policy {
        let text = format!(
            "[[native]]\ntools = [\"db/*\"]\nrun = \"{run}\"\nwrite = [\"/var\"]\nconnect = [5432]\n"
        );
        Policy::parse(&[("site.toml", text)]).unwrap()
    }

    fn manifest() -> NativeManifest {
        NativeManifest::parse(include_str!("../../manifest/tests/native.toml"), "db/backup").unwrap()
    }

    #[test]
    fn policy_manifest_and_kernel_decide_together() {
        let unconfined = |warning: bool| Some((false, warning));
        let confined = Some((true, false));
        for (run, has_manifest, support, expected) in [
            ("allow", false, FULL, unconfined(false)),
            ("allow", true, FULL, confined),
            ("allow", true, NONE, unconfined(true)),
            ("confined", false, FULL, confined),
            ("confined", true, FULL, confined),
            ("confined", true, NONE, None),
            ("confined", false, Support::TooOld { abi: 3 }, None),
            ("deny", true, FULL, None),
        ] {
            let policy = policy(run);
            let way = decide("db/backup", has_manifest, &policy.native("db/backup"), Mode::Enforce, support);
            let found = way.as_ref().ok().map(|way| (way.confined, way.warning.is_some()));
            assert_eq!(found, expected, "{run} {has_manifest} {support}: {way:?}");
            if let Err(text) = way {
                assert!(text.contains("site.toml line 2") && text.contains("db/backup"), "{text}");
            }
        }
        let policy = policy("deny");
        let way = decide("basic/x", false, &policy.native("basic/x"), Mode::Enforce, NONE);
        assert_eq!(way, Ok(Way { confined: false, bounded: true, warning: None }), "no table names it");
    }

    #[test]
    fn a_policy_that_is_not_enforced_warns_and_lets_run() {
        for (run, has_manifest, confined) in
            [("deny", true, true), ("deny", false, false), ("confined", false, false)]
        {
            let policy = policy(run);
            let way = decide("db/x", has_manifest, &policy.native("db/x"), Mode::Monitor, FULL).unwrap();
            assert_eq!(way.confined, confined);
            assert!(!way.bounded && way.warning.unwrap().contains("not enforced"));
        }
    }

    fn paths() -> Paths {
        Paths {
            job: "/h/data/job/1".into(),
            output: "/h/data/job/1/output-op/k".into(),
            live_data: "/h/data/job/1/livedata/p/k".into(),
            home: "/h".into(),
            local_plugins: "/h/plugins/local".into(),
            program: "/h/plugins/local/db/backup".into(),
        }
    }

    #[test]
    fn a_manifest_gets_what_it_asks_for_within_the_bounds() {
        let policy = policy("allow");
        let (confinement, warnings) =
            confinement(Some(&manifest()), &policy.native("db/backup"), true, &paths());
        let has = |list: &[PathBuf], path: &str| list.contains(&PathBuf::from(path));
        assert!(has(&confinement.write, "/var/backups/db"));
        assert!(!has(&confinement.write, "/h/data/job/1/dump"), "the policy gives only what is below /var");
        assert!(warnings.len() == 1 && warnings[0].contains("`write ${job.dir}/dump`"), "{warnings:?}");
        assert!(has(&confinement.read, "/etc/postgresql-common") && has(&confinement.read, "/h/data/job/1"));
        assert!(has(&confinement.execute, "/h/plugins/local/db"));
        assert!(
            !has(&confinement.write, "/h/data/job/1"),
            "status and logs of the job are not for tools to write"
        );
        assert_eq!(
            (confinement.connect.as_slice(), confinement.bind.as_slice()),
            ([5432].as_slice(), [].as_slice())
        );
        assert_eq!(confinement.limits.memory, Some(512 << 20));
    }

    #[test]
    fn bounds_that_are_not_enforced_only_warn() {
        let policy = policy("allow");
        let (confinement, warnings) =
            confinement(Some(&manifest()), &policy.native("db/backup"), false, &paths());
        assert!(confinement.write.contains(&"/h/data/job/1/dump".into()));
        assert!(warnings[0].contains("would not give"), "{warnings:?}");
    }

    #[test]
    fn nothing_of_the_executors_own_environment_leaks() {
        let own = |name: &OsStr| match name.to_str()? {
            "CLOUD_TOKEN" => Some("s3cret".into()),
            "PGHOST" => Some("db1".into()),
            "region" => Some("south".into()),
            "PATH" => Some("/bin".into()),
            "AUTOEXEC_TENANT" => Some("demo".into()),
            _ => None,
        };
        let env = [
            ("CLOUD_TOKEN", "s3cret"),
            ("PGHOST", "db1"),
            ("region", "north"),
            ("PATH", "/bin"),
            ("AUTOEXEC_TENANT", "demo"),
            ("OUTPUT_PATH", "/x"),
        ];
        let env = env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let names = |manifest: Option<&NativeManifest>, env: &BTreeMap<OsString, OsString>| {
            let left = environment(env.clone(), manifest, own);
            left.into_keys().map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(None, &env), ["AUTOEXEC_TENANT", "OUTPUT_PATH", "PATH", "region"]);
        assert_eq!(
            names(Some(&manifest()), &env),
            ["AUTOEXEC_TENANT", "OUTPUT_PATH", "PATH", "PGHOST", "region"]
        );
    }
}
