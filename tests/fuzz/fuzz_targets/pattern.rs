#![no_main]

#[path = "../invariants/grants.rs"]
#[expect(dead_code, reason = "shared by both targets")]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::pattern(text));
