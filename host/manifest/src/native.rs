//! The manifest beside a native tool: `<name>.tool.toml`.
//!
//! A native program is not in the sandbox. Its manifest says what it needs of the machine, so that it can be confined to
//! that where the kernel is able to (docs/security.md).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::manifest::ToolName;

/// What is added to the name of a native program for that of its manifest.
pub const NATIVE_MANIFEST_SUFFIX: &str = ".tool.toml";

/// Names of variables in paths, and what they stand for.
pub const PATH_VARIABLES: [(&str, &str); 3] = [
    ("${job.dir}", "directory of the job"),
    ("${output.dir}", "directory for the files that the operation puts out"),
    ("${home}", "the installation"),
];

/// Who a native tool is and what it asks of the machine. Unknown keys are errors: a misspelt request must not be dropped
/// in silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NativeManifest {
    /// `bundle/name`; must be where it is installed.
    pub name: ToolName,
    /// The tool's own version.
    pub version: semver::Version,
    /// What it does, in a sentence.
    pub description: String,
    /// Bounds on resources.
    #[serde(default)]
    pub limits: NativeLimits,
    /// Files and directories beyond those that every confined program gets.
    #[serde(default)]
    pub filesystem: Vec<FilesystemRequest>,
    /// TCP ports.
    #[serde(default)]
    pub tcp: Vec<TcpRequest>,
    /// Variables of the executor's own environment beyond those of the contract.
    #[serde(default)]
    pub environment: Vec<EnvironmentRequest>,
}

/// A file or directory and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesystemRequest {
    /// Absolute, or one of [`PATH_VARIABLES`] in front. Everything below it is meant.
    pub path: String,
    /// What it does there.
    pub access: FileAccess,
    /// Why, in a sentence.
    pub reason: String,
}

/// What a program does with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileAccess {
    /// Reads.
    Read,
    /// Reads, and starts programs.
    Execute,
    /// Reads, changes, makes and removes.
    Write,
}

impl fmt::Display for FileAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Execute => "execute",
            Self::Write => "write",
        })
    }
}

/// TCP ports and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpRequest {
    /// Ports it connects to, of any host: the kernel knows no names here.
    #[serde(default)]
    pub connect: Vec<u16>,
    /// Ports it listens on.
    #[serde(default)]
    pub bind: Vec<u16>,
    /// Why, in a sentence.
    pub reason: String,
}

/// Variables and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRequest {
    /// Names; a `*` at the end means all that begin so.
    pub names: Vec<String>,
    /// Why, in a sentence.
    pub reason: String,
}

/// Bounds on resources; what is left out stays as the executor has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NativeLimits {
    /// CPU time of each process, in seconds.
    pub cpu_seconds: Option<u32>,
    /// Address space of each process, in MiB.
    pub memory_mib: Option<u32>,
    /// Open files of each process.
    pub open_files: Option<u32>,
    /// Processes of the account, those of others included; root is not bound by it.
    pub processes: Option<u32>,
    /// Size of each file written, in MiB.
    pub file_mib: Option<u32>,
}

/// A native manifest that can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeManifestError {
    /// No TOML, a key that does not exist, a value of the wrong kind.
    #[error("line {line}: {problem}")]
    Format {
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// An empty description.
    #[error("`description` is empty: say in a sentence what the tool does")]
    NoDescription,
    /// A request without a reason.
    #[error("the request for {0} has no reason: say why the tool needs it, for the person who approves it")]
    NoReason(String),
    /// A table that asks for nothing.
    #[error("a `[[{0}]]` asks for nothing; say what, or remove it")]
    Nothing(&'static str),
    /// A path that is not usable.
    #[error(
        "the path \"{0}\" must be absolute or begin with ${{job.dir}}, ${{output.dir}} or ${{home}}, \
         without `.`, `..` and empty parts, and may not be the root of all files"
    )]
    Path(String),
    /// Not a name of a variable.
    #[error("\"{0}\" is no name of an environment variable; a `*` may stand at its end")]
    Variable(String),
    /// Port 0.
    #[error("port 0 is none; name the ports")]
    PortZero,
    /// A limit of 0.
    #[error("limit `{0}` is 0, so the tool could never run; leave it out")]
    ZeroLimit(&'static str),
    /// It names another tool.
    #[error("`name` is {said}, but the tool is installed as {installed}")]
    OtherTool {
        /// In the manifest.
        said: String,
        /// Where it is.
        installed: String,
    },
}

impl NativeManifest {
    /// Where the manifest of a native program is.
    pub fn path_of(program: &Path) -> PathBuf {
        let mut path = program.as_os_str().to_owned();
        path.push(NATIVE_MANIFEST_SUFFIX);
        path.into()
    }

    /// Reads and checks the manifest of the tool that is installed under a name.
    pub fn parse(text: &str, installed: &str) -> Result<Self, NativeManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let problem = error.message().trim().replace('\n', ", ");
            NativeManifestError::Format { line: before.matches('\n').count() + 1, problem }
        })?;
        manifest.check(installed)?;
        Ok(manifest)
    }

    fn check(&self, installed: &str) -> Result<(), NativeManifestError> {
        if self.name.as_str() != installed {
            let (said, installed) = (self.name.to_string(), installed.to_owned());
            return Err(NativeManifestError::OtherTool { said, installed });
        }
        if self.description.trim().is_empty() {
            return Err(NativeManifestError::NoDescription);
        }
        for request in &self.filesystem {
            check_path(&request.path)?;
            check_reason(&request.reason, || format!("`{}`", request.path))?;
        }
        for request in &self.tcp {
            let mut ports = request.connect.iter().chain(&request.bind);
            if ports.clone().next().is_none() {
                return Err(NativeManifestError::Nothing("tcp"));
            }
            if ports.any(|port| *port == 0) {
                return Err(NativeManifestError::PortZero);
            }
            check_reason(&request.reason, || "TCP ports".to_owned())?;
        }
        for request in &self.environment {
            if request.names.is_empty() {
                return Err(NativeManifestError::Nothing("environment"));
            }
            request.names.iter().try_for_each(|name| check_variable(name))?;
            check_reason(&request.reason, || format!("the variables {}", request.names.join(", ")))?;
        }
        let zero = self.limits.named().into_iter().find(|(_, value)| *value == Some(0));
        zero.map_or(Ok(()), |(name, _)| Err(NativeManifestError::ZeroLimit(name)))
    }

    /// Everything it asks for, in words that can be compared, with the reasons.
    pub fn requests(&self) -> BTreeMap<String, String> {
        let mut requests = BTreeMap::new();
        for FilesystemRequest { path, access, reason } in &self.filesystem {
            requests.insert(format!("{access} {path}"), reason.clone());
        }
        for TcpRequest { connect, bind, reason } in &self.tcp {
            for (verb, ports) in [("connect", connect), ("bind", bind)] {
                requests.extend(ports.iter().map(|port| (format!("{verb} tcp {port}"), reason.clone())));
            }
        }
        for EnvironmentRequest { names, reason } in &self.environment {
            requests.extend(names.iter().map(|name| (format!("environment {name}"), reason.clone())));
        }
        requests
    }

    /// Whether it asks for a variable of the executor's environment.
    pub fn wants_variable(&self, variable: &str) -> bool {
        let fits = |name: &String| match name.strip_suffix('*') {
            Some(start) => variable.starts_with(start),
            None => name == variable,
        };
        self.environment.iter().flat_map(|request| &request.names).any(fits)
    }
}

impl NativeLimits {
    /// All, by the names they have in the manifest.
    pub fn named(&self) -> [(&'static str, Option<u32>); 5] {
        [
            ("cpu-seconds", self.cpu_seconds),
            ("memory-mib", self.memory_mib),
            ("open-files", self.open_files),
            ("processes", self.processes),
            ("file-mib", self.file_mib),
        ]
    }
}

fn check_reason(reason: &str, what: impl Fn() -> String) -> Result<(), NativeManifestError> {
    if reason.trim().is_empty() { Err(NativeManifestError::NoReason(what())) } else { Ok(()) }
}

fn check_path(path: &str) -> Result<(), NativeManifestError> {
    let rest = PATH_VARIABLES.iter().find_map(|(variable, _)| path.strip_prefix(variable));
    let parts = match rest {
        Some("") => return Ok(()),
        Some(rest) => rest.strip_prefix('/'),
        None => path.strip_prefix('/'),
    };
    let is_plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '$']);
    match parts {
        Some(parts) if parts.split('/').all(is_plain) => Ok(()),
        _ => Err(NativeManifestError::Path(path.to_owned())),
    }
}

fn check_variable(name: &str) -> Result<(), NativeManifestError> {
    let plain = name.strip_suffix('*').unwrap_or(name);
    let is_name = plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_name { Ok(()) } else { Err(NativeManifestError::Variable(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../tests/native.toml");

    fn error(from: &str, to: &str) -> String {
        assert!(EXAMPLE.contains(from), "{from}");
        NativeManifest::parse(&EXAMPLE.replacen(from, to, 1), "db/backup").unwrap_err().to_string()
    }

    #[test]
    fn the_example_asks_for_what_it_says() {
        let manifest = NativeManifest::parse(EXAMPLE, "db/backup").unwrap();
        let requests: Vec<String> = manifest.requests().into_keys().collect();
        assert_eq!(
            requests,
            [
                "connect tcp 5432",
                "environment PG*",
                "read /etc/postgresql-common",
                "write ${job.dir}/dump",
                "write /var/backups/db"
            ]
        );
        assert!(manifest.wants_variable("PGHOST") && !manifest.wants_variable("HOME"));
        assert_eq!(manifest.limits.memory_mib, Some(512));
        assert_eq!(NativeManifest::path_of(Path::new("/p/db/backup")), Path::new("/p/db/backup.tool.toml"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, expected) in [
            ("name = \"db/backup\"", "name = \"db/other\"", "installed as db/backup"),
            ("access = \"write\"", "access = \"append\"", "line "),
            ("[[tcp]]", "[[udp]]", "unknown field `udp`"),
            ("connect = [5432]", "connect = []", "asks for nothing"),
            ("connect = [5432]", "connect = [0]", "port 0"),
            ("PG*", "P*G", "P*G"),
            ("PG*", "*", "no name"),
            ("memory-mib = 512", "memory-mib = 0", "memory-mib"),
            ("/var/backups/db", "/", "absolute"),
            ("/var/backups/db", "/var/../etc", "absolute"),
            ("/var/backups/db", "/var//x", "absolute"),
            ("/var/backups/db", "var", "absolute"),
            ("${job.dir}/dump", "${node.host}/x", "absolute"),
            ("${job.dir}/dump", "${job.dir}x", "absolute"),
            ("reason = \"the dumps", "reason = \"\" #", "no reason"),
        ] {
            let error = error(from, to);
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
