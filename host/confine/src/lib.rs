//! Confines a native program, or a process of ours itself ([`confine_to_open_files`]): Landlock for files and TCP, no new
//! privileges, resource limits.
//!
//! Nothing of this happens between `fork` and `exec` of the executor, which has threads and may hold any lock there.
//! Instead the executor starts *itself* with a hidden first argument ([`HELPER_ARGUMENT`]) and what it wants as the second
//! ([`Confinement::wrap`]); that process has one thread, applies everything ([`helper`]) and becomes the program. The
//! process id, the process group and the environment stay; of the open files only standard input, output and error.
//!
//! What Landlock does not do is in `docs/security.md`: UDP and Unix sockets with a path name are not confined.

mod apply;
mod descriptors;
mod itself;
mod plan;
mod support;

pub use apply::{ConfineError, EXIT_NOT_CONFINED, helper};
pub use descriptors::keep_open_files;
pub use itself::confine_to_open_files;
pub use plan::{Confinement, HELPER_ARGUMENT, Limits};
pub use support::{MIN_ABI, Support};
