//! Random numbers fit for secrets.

#[cfg(target_arch = "wasm32")]
use crate::bindings::wasi::random::random;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::random;

/// Random bytes.
pub fn bytes(count: usize) -> Vec<u8> {
    random::get_random_bytes(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A random number.
pub fn number() -> u64 {
    random::get_random_u64()
}
