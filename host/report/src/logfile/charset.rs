//! From bytes of unknown encoding to text, line by line (`spec/execution.md` §6.13).

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030};

/// Longest character of the encodings we take, in bytes.
const MAX_CHARACTER: usize = 4;

/// How bytes that are not valid UTF-8 are read.
///
/// UTF-8 always comes first: a text of another encoding that is valid UTF-8 by chance is too rare to matter,
/// while programs that ignore the machine's encoding and write UTF-8 are common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset {
    fallback: &'static Encoding,
}

impl Default for Charset {
    /// GB18030, the encoding of Chinese Windows and older Unix systems, of which GBK is a part.
    fn default() -> Self {
        Self { fallback: GB18030 }
    }
}

impl Charset {
    /// The encoding a target agent names. None for one that is unknown, and for one in which a line end is not
    /// the ASCII byte (UTF-16, ISO-2022): then the default is the better guess.
    pub fn for_label(label: &str) -> Option<Self> {
        let label = label.trim().to_ascii_lowercase();
        let label = match label.strip_prefix("cp").unwrap_or(&label) {
            "936" | "54936" => "gb18030",
            "950" => "big5",
            "932" => "shift_jis",
            "949" => "euc-kr",
            "65001" => "utf-8",
            _ => &label,
        };
        let encoding = Encoding::for_label(label.as_bytes()).filter(|e| e.is_ascii_compatible())?;
        // A line of a UTF-8 system that is no UTF-8 was written by a program with ideas of its own.
        Some(if encoding == encoding_rs::UTF_8 { Self::default() } else { Self { fallback: encoding } })
    }

    /// The text of a line: UTF-8 as it is, else the other encoding, else UTF-8 with replacement characters.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => self.decode_fallback(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes)),
        }
    }

    fn decode_fallback(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        self.fallback.decode_without_bom_handling_and_without_replacement(bytes)
    }

    /// Length of the part of `bytes` that ends between two characters: where a long line may be cut.
    pub(super) fn complete_prefix(self, bytes: &[u8]) -> usize {
        match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.fallback_prefix(bytes).unwrap_or_else(|| bytes.len() - cut_utf8_tail(bytes)),
        }
    }

    fn fallback_prefix(self, bytes: &[u8]) -> Option<usize> {
        (0..MAX_CHARACTER)
            .filter_map(|cut| bytes.len().checked_sub(cut))
            .find(|length| bytes.get(..*length).is_some_and(|part| self.decode_fallback(part).is_some()))
    }
}

/// Number of bytes at the end that start a UTF-8 character and do not complete it.
fn cut_utf8_tail(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(MAX_CHARACTER - 1);
    (start..bytes.len())
        .filter_map(|at| bytes.get(at..))
        .find(|tail| {
            std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
        })
        .map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_read_by_itself() {
        let charset = Charset::default();
        for (bytes, text) in [
            ("中文".as_bytes(), "中文"),
            (b"\xd6\xd0\xce\xc4 abc", "中文 abc"),
            (b"\x81\x30\x81\x30", "\u{80}"),
            (b"ok \xff\xfe", "ok \u{fffd}\u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(charset.decode(bytes), text, "{bytes:x?}");
        }
        let big5 = Charset::for_label("CP950").unwrap();
        assert_eq!(big5.decode(b"\xa4\xa4\xa4\xe5"), "中文");
        assert_eq!(big5.decode("中文".as_bytes()), "中文");
    }

    #[test]
    fn labels_without_ascii_line_ends_are_refused() {
        assert_eq!(Charset::for_label("cp936"), Some(Charset::default()));
        assert_eq!(Charset::for_label(" GBK "), Some(Charset { fallback: encoding_rs::GBK }));
        assert_eq!(Charset::for_label("UTF-8"), Some(Charset::default()));
        for label in ["utf-16", "UTF-16LE", "iso-2022-jp", "none", ""] {
            assert_eq!(Charset::for_label(label), None, "{label}");
        }
    }

    #[test]
    fn a_cut_falls_between_characters() {
        let charset = Charset::default();
        let utf8 = "a中".as_bytes();
        let gbk = b"a\xd6\xd0\xce\xc4";
        assert_eq!((1..=4).map(|n| charset.complete_prefix(&utf8[..n])).collect::<Vec<_>>(), [1, 1, 1, 4]);
        // A lone lead byte could begin either encoding, so it waits in both.
        assert_eq!((1..=5).map(|n| charset.complete_prefix(&gbk[..n])).collect::<Vec<_>>(), [1, 1, 3, 3, 5]);
        // Neither encoding: only a started UTF-8 character is held back.
        assert_eq!(charset.complete_prefix(b"\xff\xff a\xe4\xb8"), 4);
        assert_eq!(charset.complete_prefix(b"\xff\xff a\xff"), 5);
    }
}
