//! A process of ours that confines itself and goes on with what it has open.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::apply::ConfineError;
use crate::support::Support;

/// With it root reaches the Unix sockets of another account, such as the SSH agent of who called `sudo`. It opens no file that
/// Landlock closes.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE;

/// Leaves this process what it has open, and what it is handed later: from here on it opens, makes, changes and starts no file,
/// listens on no TCP port, and sends no signal to a process outside of it; it does not look into one either. It may connect to
/// TCP ports and, by their path, to Unix sockets. It has no privileges and gains none.
///
/// To be called while the process has one thread: those that it starts later have these bounds, others would not.
/// Files are closed from Linux 5.13 on, TCP ports from 6.7 and signals from 6.12; an older kernel closes what it can. Returns
/// what the kernel has.
///
/// # Errors
/// When the kernel has it and refuses.
pub fn confine_to_open_files() -> Result<Support, ConfineError> {
    let privilege = |problem: rustix::io::Errno| ConfineError::Privilege(problem.into());
    rustix::thread::set_no_new_privs(true).map_err(privilege)?;
    let permitted = capabilities(None).map_err(privilege)?.permitted & KEPT;
    let left = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, left).map_err(privilege)?;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    let support = Support::of_this_kernel();
    match (status.ruleset, support) {
        (RulesetStatus::NotEnforced, Support::Full { .. } | Support::TooOld { .. }) => {
            Err(ConfineError::NotEnforced)
        }
        _ => Ok(support),
    }
}
