//! Charsets of agents: texts of requests, converted files, output (spec §5).

use std::borrow::Cow;

use encoding_rs::{EncoderResult, Encoding, UTF_8};

/// Longest character of a charset, in bytes.
const MAX_CHARACTER: usize = 4;
/// Most bytes of an unfinished output line that are kept to be read as one text.
const MAX_LINE: usize = 64 * 1024;

/// The charset an agent announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset {
    encoding: &'static Encoding,
    code_page: Option<u16>,
}

impl Charset {
    /// The charset of a name such as `UTF-8` or `cp936`; none for one that is unknown or is no extension of ASCII.
    pub fn for_label(label: &str) -> Option<Self> {
        let lower = label.trim().to_ascii_lowercase();
        let code_page = lower.strip_prefix("cp").and_then(|digits| digits.parse::<u16>().ok());
        let found = match code_page {
            Some(65001) => Some(UTF_8),
            Some(936) => Some(encoding_rs::GBK),
            Some(54936) => Some(encoding_rs::GB18030),
            Some(950) => Some(encoding_rs::BIG5),
            Some(932) => Some(encoding_rs::SHIFT_JIS),
            Some(949) => Some(encoding_rs::EUC_KR),
            Some(874) => Some(encoding_rs::WINDOWS_874),
            Some(866) => Some(encoding_rs::IBM866),
            Some(20866) => Some(encoding_rs::KOI8_R),
            // The rest of the ANSI code pages have names of that form.
            Some(number) => Encoding::for_label(format!("windows-{number}").as_bytes()),
            None => Encoding::for_label(lower.as_bytes()),
        };
        let encoding = found.filter(|encoding| encoding.is_ascii_compatible())?;
        Some(Self { encoding, code_page })
    }

    /// UTF-8.
    pub fn utf8() -> Self {
        Self { encoding: UTF_8, code_page: None }
    }

    /// Whether texts need no conversion.
    pub fn is_utf8(self) -> bool {
        self.encoding == UTF_8
    }

    /// The name as agents write it.
    pub fn label(self) -> String {
        self.code_page.map_or_else(|| self.encoding.name().to_owned(), |number| format!("cp{number}"))
    }

    /// The text in this charset, and the number of characters that it does not have, which became `?`.
    pub fn encode(self, text: &str) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        let replaced = self.encode_to(text, &mut bytes);
        (bytes, replaced)
    }

    /// Appends the text; returns the number of characters that became `?`.
    fn encode_to(self, text: &str, bytes: &mut Vec<u8>) -> u64 {
        if self.is_utf8() {
            bytes.extend_from_slice(text.as_bytes());
            return 0;
        }
        let mut encoder = self.encoding.new_encoder();
        let (mut rest, mut replaced) = (text, 0);
        loop {
            // Every charset here needs at most as many bytes per character as this asks for.
            let room = encoder.max_buffer_length_from_utf8_without_replacement(rest.len());
            bytes.reserve(room.unwrap_or(rest.len().saturating_mul(MAX_CHARACTER)).max(MAX_CHARACTER));
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, bytes, true);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                EncoderResult::InputEmpty => return replaced,
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(_) => {
                    bytes.push(b'?');
                    replaced += 1;
                }
            }
        }
    }

    /// The text of these bytes: UTF-8 if they are, else this charset, with replacement characters.
    pub fn decode_lossy(self, bytes: &[u8]) -> Cow<'_, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => self.encoding.decode_without_bom_handling(bytes).0,
        }
    }

    /// The bytes in UTF-8, if they are a text at all. UTF-8 stays as it is.
    pub fn to_utf8(self, bytes: Vec<u8>) -> Vec<u8> {
        if std::str::from_utf8(&bytes).is_ok() {
            return bytes;
        }
        match self.decode_exactly(&bytes) {
            Some(text) => text.into_owned().into_bytes(),
            None => bytes,
        }
    }

    fn decode_exactly(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        self.encoding.decode_without_bom_handling_and_without_replacement(bytes)
    }
}

/// How lines of a converted text end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnds {
    /// As they are.
    #[default]
    Keep,
    /// CR LF, which the Windows command processor needs to find its labels.
    Windows,
}

/// A text in UTF-8 on its way to an agent with another charset, in any pieces.
#[derive(Debug)]
pub struct TextConverter {
    charset: Charset,
    line_ends: LineEnds,
    /// The start of a character whose rest is still to come.
    cut: Vec<u8>,
    after_cr: bool,
    replaced: u64,
}

impl TextConverter {
    /// A converter at the start of a text.
    pub fn new(charset: Charset, line_ends: LineEnds) -> Self {
        Self { charset, line_ends, cut: Vec::new(), after_cr: false, replaced: 0 }
    }

    /// Takes the next bytes and appends what they become. Bytes that are no UTF-8 go through as they are: a text that is
    /// in the target's charset already must not be spoilt.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(bytes);
        let mut rest = joined.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.text(text, out),
                Err(error) => {
                    let (valid, tail) = rest.split_at(error.valid_up_to());
                    if let Ok(text) = std::str::from_utf8(valid) {
                        self.text(text, out);
                    }
                    let Some(bad) = error.error_len() else {
                        self.cut = tail.to_vec();
                        return;
                    };
                    out.extend_from_slice(tail.get(..bad).unwrap_or_default());
                    self.after_cr = false;
                    rest = tail.get(bad..).unwrap_or_default();
                }
            }
        }
    }

    /// The end of the text; the number of characters that the charset does not have.
    pub fn finish(self, out: &mut Vec<u8>) -> u64 {
        out.extend_from_slice(&self.cut);
        self.replaced
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.line_ends == LineEnds::Keep {
            self.replaced += self.charset.encode_to(text, out);
            return;
        }
        for line in text.split_inclusive('\n') {
            let Some(body) = line.strip_suffix('\n') else {
                self.replaced += self.charset.encode_to(line, out);
                self.after_cr = line.ends_with('\r');
                continue;
            };
            let has_cr = if body.is_empty() { self.after_cr } else { body.ends_with('\r') };
            self.replaced += self.charset.encode_to(body, out);
            out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
            self.after_cr = false;
        }
    }
}

/// A whole text for an agent, and the number of characters that its charset does not have.
pub fn convert_text(text: &[u8], charset: Charset, line_ends: LineEnds) -> (Vec<u8>, u64) {
    let mut converter = TextConverter::new(charset, line_ends);
    let mut out = Vec::with_capacity(text.len());
    converter.push(text, &mut out);
    let replaced = converter.finish(&mut out);
    (out, replaced)
}

/// Output of an agent on its way to UTF-8. An agent sends lines, cut only where they are very long.
#[derive(Debug)]
pub struct OutputDecoder {
    charset: Charset,
    cut: Vec<u8>,
}

impl OutputDecoder {
    /// A decoder at the start of an output.
    pub fn new(charset: Charset) -> Self {
        Self { charset, cut: Vec::new() }
    }

    /// Takes the next piece; nothing of it is held back but the start of a character that is cut off.
    pub fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8])) {
        if self.charset.is_utf8() {
            return out(bytes);
        }
        if self.cut.is_empty() && std::str::from_utf8(bytes).is_ok() {
            return out(bytes);
        }
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(bytes);
        // Only a long line is cut, and then it has no line feed at its end.
        let longest = if joined.ends_with(b"\n") || joined.len() > MAX_LINE { 0 } else { MAX_CHARACTER - 1 };
        for cut in 0..=longest.min(joined.len().saturating_sub(1)) {
            let (head, tail) = joined.split_at(joined.len() - cut);
            if let Some(text) = self.charset.decode_exactly(head) {
                out(text.as_bytes());
                self.cut = tail.to_vec();
                return;
            }
        }
        out(&joined);
    }

    /// The end of the output.
    pub fn finish(&mut self, out: &mut dyn FnMut(&[u8])) {
        let cut = std::mem::take(&mut self.cut);
        if !cut.is_empty() {
            out(&cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(label: &str) -> Charset {
        Charset::for_label(label).unwrap()
    }

    #[test]
    fn labels() {
        for (label, name, utf8) in [
            ("UTF-8", "UTF-8", true),
            ("utf8", "UTF-8", true),
            ("cp65001", "cp65001", true),
            ("cp936", "cp936", false),
            ("GBK", "GBK", false),
            ("CP1252", "cp1252", false),
        ] {
            assert_eq!((charset(label).label().as_str(), charset(label).is_utf8()), (name, utf8), "{label}");
        }
        for label in ["", "cp", "cp0", "cp99999", "utf-16le", "iso-2022-jp", "none", "cp437"] {
            assert_eq!(Charset::for_label(label), None, "{label}");
        }
        for page in [874, 932, 936, 949, 950, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258, 54936] {
            assert!(Charset::for_label(&format!("cp{page}")).is_some(), "{page}");
        }
    }

    #[test]
    fn a_text_converts_the_same_however_it_is_cut() {
        let text = "echo 中文\r\necho 😀\n\nend".as_bytes();
        let (whole, replaced) = convert_text(text, charset("cp936"), LineEnds::Windows);
        assert_eq!(whole, b"echo \xd6\xd0\xce\xc4\r\necho ?\r\n\r\nend");
        assert_eq!(replaced, 1);
        for cut in 0..=text.len() {
            let mut converter = TextConverter::new(charset("cp936"), LineEnds::Windows);
            let mut out = Vec::new();
            converter.push(&text[..cut], &mut out);
            converter.push(&text[cut..], &mut out);
            assert_eq!(converter.finish(&mut out), 1);
            assert_eq!(out, whole, "{cut}");
        }
        assert_eq!(convert_text(text, charset("UTF-8"), LineEnds::Keep), (text.to_vec(), 0));
    }

    #[test]
    fn bytes_that_are_no_utf8_go_through() {
        let gbk = b"echo \xd6\xd0\xce\xc4\n\xe4".to_vec();
        assert_eq!(convert_text(&gbk, charset("cp936"), LineEnds::Keep), (gbk, 0));
    }

    #[test]
    fn output_becomes_utf8_however_lines_are_cut() {
        let output = b"ok \xd6\xd0\xce\xc4\n";
        for cut in 0..=output.len() {
            let (mut decoder, mut text) = (OutputDecoder::new(charset("cp936")), Vec::new());
            for part in [&output[..cut], &output[cut..]] {
                if !part.is_empty() {
                    decoder.push(part, &mut |bytes| text.extend_from_slice(bytes));
                }
            }
            decoder.finish(&mut |bytes| text.extend_from_slice(bytes));
            assert_eq!(String::from_utf8_lossy(&text), "ok 中文\n", "{cut}");
        }
        let mut decoder = OutputDecoder::new(charset("cp936"));
        let mut text = Vec::new();
        for piece in ["already 中文\n".as_bytes(), b"\xff\xff\xff\n", b"\xd6"] {
            decoder.push(piece, &mut |bytes| text.extend_from_slice(bytes));
        }
        decoder.finish(&mut |bytes| text.extend_from_slice(bytes));
        assert_eq!(text, ["already 中文\n".as_bytes(), b"\xff\xff\xff\n\xd6"].concat());
    }
}
