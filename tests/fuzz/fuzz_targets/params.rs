#![no_main]

#[path = "../invariants/model.rs"]
#[expect(dead_code, reason = "shared by all targets")]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::params(bytes));
