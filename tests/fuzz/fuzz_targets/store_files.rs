#![no_main]

#[path = "../invariants/store_files.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    invariants::files(bytes, directory.path());
});
