//! Limits of the process, inherited by the tools it starts.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// A node that is being run has its log, its lock and its process's pipes open, and a phase may run thousands at once.
/// More is not asked for, because old programs close every possible descriptor when they start.
const OPEN_FILES: rlim_t = 65_536;

/// No core dumps, which would hold the secrets of a job (defect 66), and room for many open files.
pub(super) fn set() {
    let soft = |resource, wanted: fn(rlim_t, rlim_t) -> rlim_t| {
        getrlimit(resource).and_then(|(soft, hard)| setrlimit(resource, wanted(soft, hard), hard))
    };
    let core = soft(Resource::RLIMIT_CORE, |_, _| 0);
    let files = soft(Resource::RLIMIT_NOFILE, |soft, hard| soft.max(hard.min(OPEN_FILES)));
    for (what, set) in [("switch core dumps off", core), ("raise the limit of open files", files)] {
        if let Err(error) = set {
            // Most jobs run without it.
            tracing::error!("can not {what}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_core_dumps_and_files_enough() {
        set();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap().0, 0);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(soft >= hard.min(OPEN_FILES), "{soft} of {hard}");
    }
}
