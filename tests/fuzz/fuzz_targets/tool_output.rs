#![no_main]

#[path = "../invariants/output.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|input: (u8, u8, &[u8])| {
    let (piece, show_every, bytes) = input;
    invariants::output(bytes, usize::from(piece), usize::from(show_every));
});
