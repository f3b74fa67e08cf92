#![no_main]

#[path = "../invariants/socket.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::datagram(bytes));
