//! What the kernel of this machine can do.

use std::fmt;
use std::io;

/// The first Landlock version that confines files, truncation included, and TCP: Linux 6.7. An older one would leave
/// half of what a manifest says unenforced, so it counts as none.
pub const MIN_ABI: u32 = 4;

/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const VERSION_FLAG: libc::c_uint = 1;

/// Landlock in the running kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It confines what we ask for.
    Full {
        /// Version of its interface.
        abi: u32,
    },
    /// It is there, but too old.
    TooOld {
        /// Version of its interface.
        abi: u32,
    },
    /// The kernel has it, but it was switched off at boot.
    Disabled,
    /// The kernel was built without it.
    Missing,
}

impl Support {
    /// Asks the kernel.
    pub fn of_this_kernel() -> Self {
        // SAFETY: with this flag the call reads neither pointer nor size; it only returns a number.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<libc::c_void>(),
                0_usize,
                VERSION_FLAG,
            )
        };
        match u32::try_from(answer) {
            Ok(abi) if abi >= MIN_ABI => Self::Full { abi },
            Ok(abi) => Self::TooOld { abi },
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::EOPNOTSUPP) => Self::Disabled,
            Err(_) => Self::Missing,
        }
    }

    /// Whether a program can be confined here.
    pub fn is_full(self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { abi } => write!(f, "Landlock version {abi}"),
            Self::TooOld { abi } => {
                write!(f, "Landlock version {abi}; version {MIN_ABI} (Linux 6.7) is needed to confine TCP")
            }
            Self::Disabled => {
                f.write_str("Landlock is switched off (`lsm=` of the kernel command line lacks it)")
            }
            Self::Missing => f.write_str("this kernel has no Landlock"),
        }
    }
}
