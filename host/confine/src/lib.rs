//! Confines a native program: Landlock for files and TCP, no new privileges, resource limits.
//!
//! Nothing of this happens between `fork` and `exec` of the executor, which has threads and may hold any lock there.
//! Instead the executor starts *itself* with a hidden first argument ([`HELPER_ARGUMENT`]) and what it wants as the second
//! ([`Confinement::wrap`]); that process has one thread, applies everything ([`helper`]) and becomes the program. The
//! process id, the process group, the environment and the open files stay.
//!
//! What Landlock does not do is in `docs/security.md`: UDP, Unix sockets with a path name and device access through
//! files that are open already are not confined.

mod apply;
mod plan;
mod support;

pub use apply::{ConfineError, EXIT_NOT_CONFINED, helper};
pub use plan::{Confinement, HELPER_ARGUMENT, Limits};
pub use support::{MIN_ABI, Support};
