#![no_main]

#[path = "../tagent_invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    invariants::conversation(bytes);
    invariants::requests(&String::from_utf8_lossy(bytes));
});
