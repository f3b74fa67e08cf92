//! What a program is confined to, and how that is handed to the helper.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// First argument of the program when it is to confine itself and become another.
pub const HELPER_ARGUMENT: &str = "__confine";

/// This program, whichever file it was started from, also after that file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Directories of the system whose programs and libraries may be read and started.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt"];

/// What programs need of `/etc` and `/dev` and that holds no secrets: the loader, names, time, certificates,
/// configurations of interpreters.
const READABLE: [&str; 33] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/redhat-release",
    "/etc/alternatives",
    "/etc/inputrc",
    "/etc/terminfo",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
    "/etc/perl",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// Devices that swallow what is written.
const WRITABLE: [&str; 2] = ["/dev/null", "/dev/full"];

/// What a program may do. What is not named is refused by the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Files and directories that may be read, and whose programs may be started.
    pub execute: Vec<PathBuf>,
    /// Files and directories that may be read and changed.
    pub write: Vec<PathBuf>,
    /// All TCP ports may be connected to and listened on, whatever the two lists say.
    #[serde(default)]
    pub any_tcp: bool,
    /// TCP ports that may be connected to, of any host.
    pub connect: Vec<u16>,
    /// TCP ports that may be listened on.
    pub bind: Vec<u16>,
    /// Bounds on resources.
    pub limits: Limits,
}

/// Bounds on resources; none leaves what the executor has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// CPU time of each process, in seconds.
    pub cpu_seconds: Option<u64>,
    /// Address space of each process, in bytes.
    pub memory: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Processes of the account, those of others included. Root is not bound by it.
    pub processes: Option<u64>,
    /// Size of each file written, in bytes.
    pub file_size: Option<u64>,
}

impl Confinement {
    /// Nothing but the system's programs and libraries, without `/proc`, `/tmp`, most of `/etc` and all of `/home`.
    pub fn of_system() -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Self { read: paths(&READABLE), execute: paths(&SYSTEM), write: paths(&WRITABLE), ..Self::default() }
    }

    /// Program and arguments that confine themselves to this and then become `program` with `arguments`.
    ///
    /// # Errors
    /// A path that is not UTF-8; none of ours or of a manifest is.
    pub fn wrap(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(PathBuf, Vec<OsString>), serde_json::Error> {
        let mut all = vec![HELPER_ARGUMENT.into(), serde_json::to_string(self)?.into(), program.into()];
        all.extend(arguments);
        Ok((OWN_PROGRAM.into(), all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confinement_survives_the_way_to_the_helper() {
        let confinement = Confinement {
            connect: vec![443],
            limits: Limits { memory: Some(1 << 40), ..Limits::default() },
            ..Confinement::of_system()
        };
        let (program, arguments) = confinement.wrap(Path::new("/bin/tool"), ["--x".into()]).unwrap();
        assert_eq!(program, Path::new("/proc/self/exe"));
        assert_eq!(arguments[0], "__confine");
        let text = arguments[1].to_str().unwrap();
        assert_eq!(serde_json::from_str::<Confinement>(text).unwrap(), confinement);
        assert_eq!(arguments[2..], ["/bin/tool", "--x"]);
    }

    #[test]
    fn the_system_holds_no_secrets() {
        let system = Confinement::of_system();
        for secret in
            ["/etc/shadow", "/etc/ssl/private", "/etc/ssh", "/proc", "/home", "/root", "/tmp", "/var"]
        {
            let covered = |paths: &[PathBuf]| paths.iter().any(|path| Path::new(secret).starts_with(path));
            let all = [&system.read, &system.execute, &system.write];
            assert!(!all.iter().any(|paths| covered(paths)), "{secret}");
        }
    }
}
