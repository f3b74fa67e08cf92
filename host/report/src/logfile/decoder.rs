//! Output of plugins, in whatever pieces it arrives, to lines of text.

use std::borrow::Cow;

use super::charset::Charset;
use super::controls::visible;

/// The longest line in bytes of input; a longer one is cut into several. Bounds the memory of a decoder.
pub const MAX_LINE: usize = 64 * 1024;

/// A line, or a piece of a very long one, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The text: valid, without escape sequences, control characters made visible.
    pub text: Cow<'a, str>,
    /// Whether a line starts here; false for the later pieces of a long line.
    pub starts_line: bool,
    /// Whether the line is known to end here; false for pieces of a line that may go on.
    pub ends_line: bool,
}

/// Cuts bytes into lines at LF, CR LF and lone CR, and decodes each line.
///
/// The lines depend on the bytes only, not on how they are cut into chunks. A lone CR starts a new line (it would
/// make the runner lose text otherwise), but one with nothing before it does not make an empty line: programs
/// that draw progress bars send it before, after, or doubled.
#[derive(Debug, Default)]
pub struct LineDecoder {
    charset: Charset,
    /// The line so far; at most [`MAX_LINE`] bytes.
    pending: Vec<u8>,
    carriage: Carriage,
    /// Whether a piece of the current line was handed out already.
    continued: bool,
}

/// What a CR just before the current position means for an LF.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// There was none.
    #[default]
    None,
    /// It ended a line; an LF belongs to it.
    EndedLine,
    /// It stood at the start of a line; an LF makes this an empty line.
    AtStart,
}

impl LineDecoder {
    /// A decoder for output in `charset`.
    pub fn new(charset: Charset) -> Self {
        Self { charset, ..Self::default() }
    }

    /// Changes the encoding of what is decoded from now on.
    pub fn set_charset(&mut self, charset: Charset) {
        self.charset = charset;
    }

    /// Takes a chunk and hands out the lines it completes.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) {
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (content, rest) = bytes.split_at(at);
            let Some((end, rest)) = rest.split_first() else { break };
            self.end_line(content, *end, sink);
            bytes = rest;
        }
        self.hold(bytes, sink);
    }

    /// Hands out a line that was not ended. To be called at the end of the output.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Line<'_>)) {
        if !self.pending.is_empty() {
            self.emit_pending(self.pending.len(), true, sink);
        }
        self.continued = false;
        self.carriage = Carriage::None;
    }

    /// Hands out what is there of the current line, up to the last complete character, so that a prompt can be
    /// seen while the program waits. What follows on the line is a new piece.
    pub fn flush_partial(&mut self, sink: &mut dyn FnMut(Line<'_>)) {
        let complete = self.charset.complete_prefix(&self.pending);
        if complete > 0 {
            self.emit_pending(complete, false, sink);
            self.continued = true;
        }
    }

    fn end_line(&mut self, content: &[u8], end: u8, sink: &mut dyn FnMut(Line<'_>)) {
        if self.pending.is_empty() && !content.is_empty() && content.len() <= MAX_LINE {
            // The common case: a whole line in one chunk needs no copy.
            self.emit(content, true, sink);
        } else {
            self.hold(content, sink);
            if self.pending.is_empty() {
                return self.end_empty_line(end, sink);
            }
            self.emit_pending(self.pending.len(), true, sink);
        }
        self.continued = false;
        self.carriage = if end == b'\r' { Carriage::EndedLine } else { Carriage::None };
    }

    /// A line end with nothing before it.
    fn end_empty_line(&mut self, end: u8, sink: &mut dyn FnMut(Line<'_>)) {
        let shown_already = std::mem::take(&mut self.continued) || self.carriage == Carriage::EndedLine;
        self.carriage = match (end, shown_already) {
            (b'\r', true) => Carriage::EndedLine,
            (b'\r', false) => Carriage::AtStart,
            (_, shown_already) => {
                if !shown_already {
                    self.emit(b"", true, sink);
                }
                Carriage::None
            }
        };
    }

    /// Adds to the current line, handing out pieces of one that is too long. A cut depends on the first
    /// [`MAX_LINE`] bytes and on there being more, so it falls at the same place for all chunkings.
    fn hold(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) {
        if !bytes.is_empty() {
            self.carriage = Carriage::None;
        }
        while self.pending.len() + bytes.len() > MAX_LINE {
            let (fits, rest) = bytes.split_at(MAX_LINE - self.pending.len());
            self.pending.extend_from_slice(fits);
            bytes = rest;
            self.emit_pending(self.charset.complete_prefix(&self.pending).max(1), false, sink);
            self.continued = true;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// Hands out the first `length` bytes of the current line.
    fn emit_pending(&mut self, length: usize, ends_line: bool, sink: &mut dyn FnMut(Line<'_>)) {
        let mut piece = std::mem::take(&mut self.pending);
        let tail = piece.split_off(length.min(piece.len()));
        self.emit(&piece, ends_line, sink);
        // Keep the allocation: a line per chunk would otherwise allocate each time.
        piece.clear();
        piece.extend_from_slice(&tail);
        self.pending = piece;
    }

    fn emit(&self, bytes: &[u8], ends_line: bool, sink: &mut dyn FnMut(Line<'_>)) {
        let text = match self.charset.decode(bytes) {
            Cow::Borrowed(text) => visible(text),
            Cow::Owned(text) => Cow::Owned(visible(&text).into_owned()),
        };
        sink(Line { text, starts_line: !self.continued, ends_line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines_of<'a>(charset: Charset, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, bool)> {
        let mut decoder = LineDecoder::new(charset);
        let mut lines = Vec::new();
        let mut sink = |line: Line<'_>| lines.push((line.text.into_owned(), line.starts_line));
        for chunk in chunks {
            decoder.feed(chunk, &mut sink);
            assert!(decoder.pending.len() <= MAX_LINE);
            assert!(decoder.pending.capacity() <= 2 * MAX_LINE, "{}", decoder.pending.capacity());
        }
        decoder.finish(&mut sink);
        lines
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        lines_of(Charset::default(), [bytes]).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn every_line_end_ends_one_line() {
        for (bytes, expected) in [
            (&b"a\nb"[..], &["a", "b"][..]),
            (b"a\r\nb\r\n", &["a", "b"]),
            (b"a\rb\n", &["a", "b"]),
            (b"\n\n", &["", ""]),
            (b"\r\n\r\n", &["", ""]),
            (b"\r10%\r20%\r\n", &["10%", "20%"]),
            (b"a\r\r\nb", &["a", "b"]),
            (b"a\r\rb", &["a", "b"]),
            (b"\r\r\na", &["", "a"]),
            (b"a\r\n\nb", &["a", "", "b"]),
            (b"a\n\rb", &["a", "b"]),
            (b"", &[]),
            (b"\r", &[]),
        ] {
            assert_eq!(texts(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn lines_of_two_encodings_side_by_side() {
        assert_eq!(texts("中\n".as_bytes()), ["中"]);
        assert_eq!(texts(b"\xd6\xd0\n\xe4\xb8\xad\n\xff\n"), ["中", "中", "\u{fffd}"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let utf8 = "中".repeat(MAX_LINE);
        let (gbk, _, _) = encoding_rs::GB18030.encode(&utf8);
        for bytes in [utf8.as_bytes(), gbk.as_ref()] {
            let offset: Vec<u8> = b"x".iter().chain(bytes).copied().collect();
            for input in [bytes, &offset] {
                let lines = lines_of(Charset::default(), [input, b"\nend"]);
                let (last, pieces) = lines.split_last().unwrap();
                assert_eq!(last, &("end".to_owned(), true));
                assert_eq!(pieces.concat_text().trim_start_matches('x'), utf8);
                assert!(pieces.len() > 1 && pieces.iter().skip(1).all(|(_, starts)| !starts) && pieces[0].1);
            }
        }
        let exact = "y".repeat(MAX_LINE);
        assert_eq!(texts(format!("{exact}\n").as_bytes()), [exact.as_str()]);
        assert_eq!(texts(format!("{exact}z\n").as_bytes()), [exact.as_str(), "z"]);
    }

    trait ConcatText {
        fn concat_text(&self) -> String;
    }

    impl ConcatText for [(String, bool)] {
        fn concat_text(&self) -> String {
            self.iter().map(|(text, _)| text.as_str()).collect()
        }
    }

    #[test]
    fn a_prompt_can_be_seen_before_its_line_ends() {
        let mut decoder = LineDecoder::default();
        let mut lines = Vec::new();
        let mut sink = |line: Line<'_>| lines.push((line.text.into_owned(), line.starts_line));
        decoder.feed("密码: \u{4e2d}".as_bytes().split_last().unwrap().1, &mut sink);
        decoder.flush_partial(&mut sink);
        decoder.flush_partial(&mut sink);
        decoder.feed(b"\xad\n", &mut sink);
        decoder.feed(b"next: ", &mut sink);
        decoder.flush_partial(&mut sink);
        decoder.feed(b"\r\nlast\n", &mut sink);
        let expected = [("密码: ", true), ("中", false), ("next: ", true), ("last", true)];
        assert_eq!(lines, expected.map(|(text, starts)| (text.to_owned(), starts)));
    }

    fn interesting_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "[a-z中é ]{0,8}".prop_map(String::into_bytes),
            2 => Just(b"\r".to_vec()),
            2 => Just(b"\n".to_vec()),
            1 => Just(b"\xd6\xd0".to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..4),
            1 => (MAX_LINE - 3..MAX_LINE + 3).prop_map(|n| vec![b'x'; n]),
            1 => (MAX_LINE / 3 - 2..MAX_LINE / 3 + 2).prop_map(|n| "中".repeat(n).into_bytes()),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn chunks_do_not_matter(bytes in interesting_bytes(), mut cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12)) {
            let mut positions: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
            positions.sort_unstable();
            let mut chunks = Vec::new();
            let mut rest = &bytes[..];
            for position in positions {
                let (chunk, after) = rest.split_at(position - (bytes.len() - rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            let whole = lines_of(Charset::default(), [&bytes[..]]);
            prop_assert_eq!(&lines_of(Charset::default(), chunks), &whole);
            for (text, _) in &whole {
                prop_assert!(!text.chars().any(|c| c.is_control() && c != '\t'), "{:?}", text);
            }
        }

        #[test]
        fn byte_by_byte_is_the_same(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200)) {
            let whole = lines_of(Charset::default(), [&bytes[..]]);
            prop_assert_eq!(lines_of(Charset::default(), bytes.chunks(1)), whole);
        }
    }
}
