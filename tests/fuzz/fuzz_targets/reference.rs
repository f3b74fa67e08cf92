#![no_main]

#[path = "../invariants/model.rs"]
#[expect(dead_code, reason = "shared by all targets")]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::reference(text));
