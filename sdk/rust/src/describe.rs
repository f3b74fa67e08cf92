//! Puts descriptions together at compile time, for the derive macros.

/// Bytes of all pieces.
pub const fn length(pieces: &[&str]) -> usize {
    let mut total = 0;
    let mut at = 0;
    while at < pieces.len() {
        total += pieces[at].len();
        at += 1;
    }
    total
}

/// All pieces, one after another.
pub const fn join<const N: usize>(pieces: &[&str]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut at, mut piece) = (0, 0);
    while piece < pieces.len() {
        let bytes = pieces[piece].as_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            joined[at] = bytes[byte];
            at += 1;
            byte += 1;
        }
        piece += 1;
    }
    joined
}

/// Joined pieces as the text that they are.
pub const fn text(joined: &'static [u8]) -> &'static str {
    match std::str::from_utf8(joined) {
        Ok(text) => text,
        // Pieces of text make no bytes that are none.
        Err(_) => "",
    }
}
