//! Random numbers fit for secrets.

use crate::bindings::wasi::random::random;

/// Random bytes.
pub fn bytes(count: usize) -> Vec<u8> {
    random::get_random_bytes(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A random number.
pub fn number() -> u64 {
    random::get_random_u64()
}
