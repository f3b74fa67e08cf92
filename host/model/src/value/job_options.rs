//! Job options: resolved once, then a lookup table and environment variables (`spec/job-params.md` §2.6).

use std::fmt;

use indexmap::IndexMap;
use serde_json::Value;

use crate::SecretKey;
use crate::json_text::plain_text;
use crate::reference::{Found, Resolved, Template};

/// Environment variables that no job option sets (defect 68): they decide which programs and libraries the
/// executor and its plugins load, or what those believe about the executor. An option of such a name can
/// still be referred to as `${NAME}`. Names that start with one of `LD_`, `DYLD_`, `BASH_FUNC_` are refused
/// as well.
pub const REFUSED_ENVIRONMENT: [&str; 33] = [
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "CDPATH",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "PERLLIB",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
    "NODE_PATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "AUTOEXEC_HOME",
    "AUTOEXEC_JOBID",
    "AUTOEXEC_WORK_PATH",
    "AUTOEXEC_JOB_SOCK",
];

const REFUSED_PREFIXES: [&str; 3] = ["LD_", "DYLD_", "BASH_FUNC_"];

/// Whether a job must not set the environment variable `name`: one of [`REFUSED_ENVIRONMENT`], or not a
/// possible name at all (empty, `=` or NUL in it).
pub fn is_refused_environment_name(name: &str) -> bool {
    name.is_empty()
        || name.contains(['=', '\0'])
        || REFUSED_ENVIRONMENT.contains(&name)
        || REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A job option that is not exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "job option `{0}` is not put into the environment, because the executor and its plugins depend on that variable; \
     `${{{0}}}` still works"
)]
pub struct RefusedName(pub String);

/// A resolved option.
#[derive(Clone, PartialEq, Eq)]
pub struct JobOption {
    /// The value; a secret is plain here.
    pub text: String,
    /// Whether the value is a secret or holds one.
    pub secret: bool,
}

impl fmt::Debug for JobOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secret { "JobOption(******)" } else { "JobOption(..)" })
    }
}

/// The resolved options of a job.
#[derive(Debug, Clone, Default)]
pub struct JobOptions {
    table: IndexMap<String, JobOption>,
    global: IndexMap<String, JobOption>,
    environment: IndexMap<String, JobOption>,
    refused: Vec<RefusedName>,
}

impl JobOptions {
    /// Resolves `options` in order, each against those as far as they are resolved, then `global`. An
    /// encrypted option (`{RC4}` that survives a round trip) is plain in the table and stays encrypted in
    /// the environment.
    pub fn resolve(
        options: &IndexMap<String, Value>,
        global: &IndexMap<String, Value>,
        key: &SecretKey,
    ) -> Self {
        let mut resolved = Self { table: raw(options), global: raw(global), ..Self::default() };
        for (name, value) in options {
            let exported = resolved.resolve_one(name, value, key);
            if is_refused_environment_name(name) {
                resolved.refused.push(RefusedName(name.clone()));
            } else {
                resolved.environment.insert(name.clone(), exported);
            }
        }
        resolved
    }

    /// Puts the resolved option into the table; returns what goes into the environment.
    fn resolve_one(&mut self, name: &str, value: &Value, key: &SecretKey) -> JobOption {
        if value.is_null() {
            return JobOption { text: "null".to_owned(), secret: false };
        }
        let Resolved { text, tainted } =
            Template::parse(&plain_text(value)).resolve_variables(|name| self.get(name));
        let exported = JobOption { text, secret: tainted };
        let option = match key.reveal_job_option(&exported.text) {
            Some(plain) => JobOption { text: plain.expose().to_owned(), secret: true },
            None => exported.clone(),
        };
        self.table.insert(name.to_owned(), option);
        exported
    }

    /// An option, else a global option.
    pub fn get(&self, name: &str) -> Option<Found<'_>> {
        let option = self.table.get(name).or_else(|| self.global.get(name))?;
        Some(Found { text: option.text.as_str().into(), secret: option.secret })
    }

    /// The environment variables, in the order of the options.
    pub fn environment(&self) -> &IndexMap<String, JobOption> {
        &self.environment
    }

    /// The options that are not exported; each is worth a warning.
    pub fn refused(&self) -> &[RefusedName] {
        &self.refused
    }
}

/// The values before resolution, as text; `null` is left out, because it counts as "not there".
fn raw(values: &IndexMap<String, Value>) -> IndexMap<String, JobOption> {
    values
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), JobOption { text: plain_text(value), secret: false }))
        .collect()
}
