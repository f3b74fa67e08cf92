//! The helper: one thread, confines itself, becomes the program.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
};

use crate::descriptors::keep_open_files;
use crate::plan::{Confinement, Limits};

/// Exit code when the program was not started: the shell's for "found but can not be run".
pub const EXIT_NOT_CONFINED: u8 = 126;

/// A freshly written script can be "busy" for a moment: see `transport::process`.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Why the program was not started. It never runs with less confinement than asked for.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Started by hand, or by another version of this program.
    #[error("this start is internal to autoexec and has other arguments ({0})")]
    Arguments(String),
    /// The kernel refuses.
    #[error("the kernel does not confine it: {0}; see `autoexec doctor`")]
    Landlock(#[from] RulesetError),
    /// The kernel took the rules and does not enforce them.
    #[error("the kernel does not enforce the confinement; see `autoexec doctor`")]
    NotEnforced,
    /// Files would stay open for it.
    #[error("files that are open already can not be kept from it: {0}")]
    OpenFiles(io::Error),
    /// A privilege can not be given up.
    #[error("its privileges can not be taken away: {0}")]
    Privilege(io::Error),
    /// A resource limit can not be set.
    #[error("its limit on {what} can not be set to {value}: {problem}")]
    Limit {
        /// Which.
        what: &'static str,
        /// The value.
        value: u64,
        /// What the system says.
        problem: nix::errno::Errno,
    },
    /// The confined program can not be started.
    #[error("{}: can not be started in its confinement: {problem}{}", program.display(), advice(problem))]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
}

fn advice(problem: &io::Error) -> &'static str {
    match problem.kind() {
        io::ErrorKind::PermissionDenied => {
            "; it must be executable, and it and its interpreter must stand in a directory that its manifest asks to \
             execute"
        }
        io::ErrorKind::NotFound => "; it or the interpreter of its #! line is not there",
        _ => "",
    }
}

/// Confines this process and turns it into the program. `arguments` are those after [`crate::HELPER_ARGUMENT`]: the
/// confinement as JSON, the program, its arguments. Returns only if that fails.
pub fn helper(arguments: impl IntoIterator<Item = OsString>) -> ConfineError {
    let mut arguments = arguments.into_iter();
    let wrong = |what: &str| ConfineError::Arguments(what.to_owned());
    let Some(plan) = arguments.next() else { return wrong("no confinement") };
    let Some(program) = arguments.next() else { return wrong("no program") };
    let plan = plan.to_str().ok_or("it is not UTF-8".to_owned());
    let confinement: Confinement =
        match plan.and_then(|plan| serde_json::from_str(plan).map_err(|error| error.to_string())) {
            Ok(confinement) => confinement,
            Err(problem) => return ConfineError::Arguments(problem),
        };
    let confined = keep_open_files()
        .map_err(ConfineError::OpenFiles)
        .and_then(|()| give_up_privileges())
        .and_then(|()| restrict(&confinement))
        .and_then(|()| limit(&confinement.limits));
    match confined {
        Ok(()) => start(program.into(), arguments.collect()),
        Err(error) => error,
    }
}

/// Privileges with which root, and who got them from it, could look into other processes, raise its limits again or go
/// around the file system.
const PRIVILEGES: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::SYSLOG)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::MAC_ADMIN)
    .union(CapabilitySet::MAC_OVERRIDE)
    .union(CapabilitySet::AUDIT_CONTROL)
    .union(CapabilitySet::CHECKPOINT_RESTORE);

/// Takes [`PRIVILEGES`] out of what the program gets when it is started.
fn give_up_privileges() -> Result<(), ConfineError> {
    for privilege in PRIVILEGES.iter() {
        let ambient = configure_capability_in_ambient_set(privilege, false);
        match ambient.and_then(|()| remove_capability_from_bounding_set(privilege)) {
            // A process that may not change the set has none of them to pass on, since nothing is gained by `exec` under
            // no-new-privileges. An old kernel does not know the newest ones.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(problem) => return Err(ConfineError::Privilege(problem.into())),
        }
    }
    Ok(())
}

/// Nothing that is not granted; also no signal and no abstract socket to a process outside, where the kernel knows
/// that.
fn restrict(confinement: &Confinement) -> Result<(), ConfineError> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    // Device nodes are made by nobody.
    let devices: BitFlags<AccessFs> = AccessFs::MakeChar | AccessFs::MakeBlock;
    let write = AccessFs::from_write(ABI::V3) & !devices;
    let ruleset = Ruleset::default()
        // What `Support::is_full` promises must be there; the rest is taken where it is.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))?;
    let ruleset =
        if confinement.any_tcp { ruleset } else { ruleset.handle_access(AccessNet::from_all(ABI::V4))? };
    let ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    let ruleset = ruleset
        .add_rules(path_beneath_rules(&confinement.read, read))?
        .add_rules(path_beneath_rules(&confinement.execute, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(&confinement.write, read | write))?;
    let ruleset = if confinement.any_tcp {
        ruleset
    } else {
        let ruleset = ports(ruleset, &confinement.connect, AccessNet::ConnectTcp)?;
        ports(ruleset, &confinement.bind, AccessNet::BindTcp)?
    };
    // Sets no-new-privileges, too.
    let status = ruleset.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(ConfineError::NotEnforced);
    }
    Ok(())
}

fn ports(ruleset: RulesetCreated, ports: &[u16], access: AccessNet) -> Result<RulesetCreated, RulesetError> {
    ruleset.add_rules(ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, access))))
}

/// Lowers limits; one that is lower already stays.
fn limit(limits: &Limits) -> Result<(), ConfineError> {
    let all = [
        ("core dumps", Resource::RLIMIT_CORE, Some(0)),
        ("CPU time", Resource::RLIMIT_CPU, limits.cpu_seconds),
        ("open files", Resource::RLIMIT_NOFILE, limits.open_files),
        ("processes", Resource::RLIMIT_NPROC, limits.processes),
        ("file size", Resource::RLIMIT_FSIZE, limits.file_size),
        // Last: it may leave little for anything else.
        ("memory", Resource::RLIMIT_AS, limits.memory),
    ];
    for (what, resource, value) in all {
        let Some(value) = value else { continue };
        let set = getrlimit(resource).and_then(|(_, hard)| {
            let value = value.min(hard);
            setrlimit(resource, value, value)
        });
        set.map_err(|problem| ConfineError::Limit { what, value, problem })?;
    }
    Ok(())
}

fn start(program: PathBuf, arguments: Vec<OsString>) -> ConfineError {
    let mut command = Command::new(&program);
    command.args(arguments);
    for _ in 1..BUSY_TRIES {
        let problem = command.exec();
        if problem.kind() != io::ErrorKind::ExecutableFileBusy {
            return ConfineError::Start { program, problem };
        }
        std::thread::sleep(BUSY_PAUSE);
    }
    let problem = command.exec();
    ConfineError::Start { program, problem }
}
