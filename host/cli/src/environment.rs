//! The environment that plugins inherit and references see (`spec/cli.md` §1.7).

use autoexec_model::value::{DeployScope, JobOptions, is_refused_environment_name};
use autoexec_model::{JobId, JobParams};
use autoexec_store::{Home, JobDir};
use indexmap::IndexMap;

/// Facts about this process that become variables.
pub(crate) struct ProcessFacts<'a> {
    pub(crate) home: &'a Home,
    pub(crate) job: &'a JobId,
    pub(crate) job_dir: &'a JobDir,
    pub(crate) exec_user: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) pass_through: Option<String>,
    pub(crate) runner_id: i64,
    pub(crate) socket: &'a std::path::Path,
    pub(crate) dev_mode: bool,
    pub(crate) deploy_encodings: &'a str,
    pub(crate) sql_files: Option<&'a str>,
}

/// The variables, and warnings about those that were not set.
pub(crate) fn assemble(
    inherited: impl Iterator<Item = (String, String)>,
    facts: &ProcessFacts<'_>,
    params: &JobParams,
    options: &JobOptions,
) -> (IndexMap<String, String>, Vec<String>) {
    let mut table: IndexMap<String, String> = inherited.collect();
    let mut warnings: Vec<String> = options.refused().iter().map(ToString::to_string).collect();
    for (name, option) in options.environment() {
        table.insert(name.clone(), option.text.clone());
    }
    for (name, value) in &params.environment {
        if is_refused_environment_name(name) {
            warnings.push(format!("The job may not set the variable {name}; it is left as it is."));
        } else {
            table.insert(name.clone(), value.clone());
        }
    }
    // Last, so that no option can pretend to be another job or home.
    set_facts(&mut table, facts);
    (table, warnings)
}

fn set_facts(table: &mut IndexMap<String, String>, facts: &ProcessFacts<'_>) {
    let text = |path: &std::path::Path| path.display().to_string();
    let home = facts.home.root();
    let mut set = |name: &str, value: String| table.insert(name.to_owned(), value);
    set("TERM", "dumb".to_owned());
    set("HISTSIZE", "0".to_owned());
    set("AUTOEXEC_PID", std::process::id().to_string());
    set("AUTOEXEC_USER", facts.exec_user.to_owned());
    set("AUTOEXEC_HOME", text(home));
    set("AUTOEXEC_JOBID", facts.job.to_string());
    set("AUTOEXEC_WORK_PATH", text(facts.job_dir.root()));
    set("AUTOEXEC_TENANT", facts.tenant.to_owned());
    set("AUTOEXEC_JOB_SOCK", text(facts.socket));
    set("RUNNER_ID", facts.runner_id.to_string());
    set("DEPLOY_POSSIBLE_ENCS", facts.deploy_encodings.to_owned());
    set("JOB_PATH", text(facts.job_dir.root()));
    set("JOB_PARAMS_PATH", text(&facts.job_dir.params()));
    set("_SQL_FILES", facts.sql_files.unwrap_or_default().to_owned());
    if let Some(pass_through) = &facts.pass_through {
        set("PASSTHROUGH_ENV", pass_through.clone());
    }
    if facts.dev_mode {
        set("AUTOEXEC_DEV_MODE", "1".to_owned());
    }
    let plugins = facts.home.local_plugins();
    prepend(
        table,
        "PERL5LIB",
        &[text(&plugins.join("lib")), text(&home.join("lib")), text(&plugins.join("pllib/lib/perl5"))],
    );
    prepend(table, "PYTHONPATH", &[text(&home.join("lib")), text(&home.join("plib"))]);
}

fn prepend(table: &mut IndexMap<String, String>, name: &str, paths: &[String]) {
    let mut value = paths.join(":");
    if let Some(old) = table.get(name).filter(|old| !old.is_empty()) {
        value.push(':');
        value.push_str(old);
    }
    table.insert(name.to_owned(), value);
}

/// What the job deploys, as far as the environment says.
pub(crate) fn deploy_scope(table: &IndexMap<String, String>) -> Option<DeployScope> {
    DeployScope::from_environment(|name| table.get(name).cloned())
}
