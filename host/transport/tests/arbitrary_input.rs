//! Whatever a target agent sends: no panic, bounded memory, and what was read is what was meant. The same functions are
//! a fuzz target of `tests/fuzz`.

#[path = "../../../tests/fuzz/tagent_invariants.rs"]
#[expect(clippy::panic, reason = "a broken invariant is a failed test")]
mod invariants;

use proptest::prelude::*;

/// Bytes made of the pieces that the readers look for.
fn conversations() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"\0\0",
        b"\0\x05hello",
        b"\0\x0cauth succeed",
        b"\0\x0aStatus:200",
        b"\0\x18Status:200,FileType:file",
        b"Status:200,FileType:multiple,/a|/b",
        b"Linux|UTF-8|736898b0eb566b7810ba4df665482bc1f3bd20bb|Tagent1.1",
        b"\0\x3eLinux|UTF-8|736898b0eb566b7810ba4df665482bc1f3bd20bb|Tagent1.1s",
        b"|",
        b"windows|cp936|",
        b"3",
        b"\xd6\xd0",
        b"\xe4\xb8\xad",
        b"\r\n",
        b"\n",
        b"\xff\xff",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_of_an_agent(bytes in conversations()) {
        invariants::conversation(&bytes);
    }

    #[test]
    fn any_text_in_a_request(text in ".{0,40}") {
        invariants::requests(&text);
    }
}

#[test]
fn long_final_texts_and_long_requests() {
    invariants::conversation(&[&b"\0\0"[..], &vec![b'x'; 70_000]].concat());
    invariants::requests(&"x".repeat(40_000));
}
