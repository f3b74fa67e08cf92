//! What must hold for any output of a tool on its way to a log that the runner and people read. Used by the fuzz target and
//! by the property test of `autoexec-report`.

use autoexec_report::logfile::{Charset, Line, LineDecoder, MAX_LINE};

/// The lines depend on the bytes only: not on the pieces they come in, nor on whether half lines were shown meanwhile.
/// No line holds what would act in a terminal or split it for the runner's reader, and nothing is held back at the end.
pub(crate) fn output(bytes: &[u8], piece: usize, show_every: usize) {
    let whole = lines(bytes, bytes.len().max(1), 0);
    assert_eq!(lines(bytes, piece.max(1), 0), whole);
    // A half line that is shown makes two pieces of one line, so only the texts stay the same; not even they where a
    // character or an escape sequence is cut.
    let shown: Vec<String> = lines(bytes, piece.max(1), show_every.max(1));
    if bytes.is_ascii() && !bytes.contains(&0x1b) {
        assert_eq!(shown.concat(), whole.concat());
    }
    for line in whole.iter().chain(&shown) {
        assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
        assert!(line.len() <= 3 * MAX_LINE, "a line of {} bytes", line.len());
    }
}

fn lines(bytes: &[u8], piece: usize, show_every: usize) -> Vec<String> {
    let mut decoder = LineDecoder::new(Charset::default());
    let mut lines = Vec::new();
    let mut sink = |line: Line<'_>| lines.push(line.text.into_owned());
    for (number, chunk) in bytes.chunks(piece).enumerate() {
        decoder.feed(chunk, &mut sink);
        if show_every > 0 && number % show_every == 0 {
            decoder.flush_partial(&mut sink);
        }
    }
    decoder.finish(&mut sink);
    lines
}
