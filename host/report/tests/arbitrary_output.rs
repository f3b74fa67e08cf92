//! Whatever a tool prints: the same lines however it arrives. The same function is a fuzz target of `tests/fuzz`.

#[path = "../../../tests/fuzz/invariants/output.rs"]
mod invariants;

use proptest::prelude::*;

/// Ends of lines, and what a terminal would act on.
const CONTROLS: &[&[u8]] = &[b"\r", b"\n", b"\r\n", b"\r\r\n", b"\x1b[31m", b"\x1b]0;t\x07", b"\x1b", b"\0"];

/// Whole and cut characters of GB18030 and UTF-8.
const FOREIGN: &[&[u8]] = &[b"\xd6\xd0", b"\xd6", b"\x95\x32\x82\x36", b"\xe4\xb8", b"\xff"];

/// Bytes made of what the reader looks for.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-z中é ]{0,8}".prop_map(String::into_bytes),
        2 => proptest::sample::select(CONTROLS)
            .prop_map(<[u8]>::to_vec),
        1 => proptest::sample::select(FOREIGN)
            .prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_of_it_is_lost_or_acts(bytes in output(), piece in 1..9_usize, show_every in 1..5_usize) {
        invariants::output(&bytes, piece, show_every);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..40_usize) {
        invariants::output(&bytes, piece, 3);
    }
}
