#![no_main]

#[path = "../tool_invariants.rs"]
#[expect(dead_code, reason = "each target uses one")]
mod tool_invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_invariants::component_header(bytes));
