//! Control characters in log text.
//!
//! People read these logs in browsers and terminals, so nothing in them may act. Escape sequences (colours,
//! cursor movements, window titles) carry no text and are left out. Every other control character but the tab is
//! shown as its picture (`U+0000` as `␀`), the C1 controls, which have none, as `U+FFFD`.

use std::borrow::Cow;
use std::str::Chars;

const ESCAPE: char = '\u{1b}';
const BELL: char = '\u{7}';

/// `text` without escape sequences and with visible control characters; unchanged and uncopied if there are none.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().any(is_suspect) { Cow::Owned(rewrite(text)) } else { Cow::Borrowed(text) }
}

/// Controls, or the lead byte of the C1 controls (and of some harmless characters).
fn is_suspect(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f || byte == 0xc2
}

fn rewrite(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\t' => out.push('\t'),
            ESCAPE => match after_sequence(&rest) {
                Some(after) => rest = after,
                None => out.push('␛'),
            },
            '\u{7f}' => out.push('␡'),
            '\u{0}'..='\u{1f}' => out.push(picture(character)),
            '\u{80}'..='\u{9f}' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
    out
}

fn picture(control: char) -> char {
    char::from_u32(0x2400 + u32::from(control)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What follows a complete escape sequence (ECMA-48) of which `rest` is the part after the escape; none if it is
/// not one.
fn after_sequence<'a>(rest: &Chars<'a>) -> Option<Chars<'a>> {
    let mut rest = rest.clone();
    match rest.next()? {
        '[' => after_control_sequence(rest),
        ']' | 'P' | '^' | '_' | 'X' => after_string(rest),
        ' '..='/' => after_final(rest, '0', '~'),
        '0'..='~' => Some(rest),
        _ => None,
    }
}

fn after_control_sequence(rest: Chars<'_>) -> Option<Chars<'_>> {
    let mut rest = rest;
    while rest.clone().next().is_some_and(|c| matches!(c, '0'..='?')) {
        rest.next();
    }
    after_final(rest, '@', '~')
}

/// Skips intermediate characters and the final one, which is in `first..=last`.
fn after_final(mut rest: Chars<'_>, first: char, last: char) -> Option<Chars<'_>> {
    loop {
        match rest.next()? {
            ' '..='/' => {}
            c if (first..=last).contains(&c) => return Some(rest),
            _ => return None,
        }
    }
}

/// A string (window title, …) ends with BEL or ESC `\`; one that does not end in the line is not taken for one,
/// so that it cannot hide the rest.
fn after_string(mut rest: Chars<'_>) -> Option<Chars<'_>> {
    loop {
        match rest.next()? {
            BELL => return Some(rest),
            ESCAPE => {
                if let Some(after) = rest.as_str().strip_prefix('\\') {
                    return Some(after.chars());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        for text in ["", "plain\ttext", "中文 ✓"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(visible("20 °C · ½"), "20 °C · ½");
    }

    #[test]
    fn sequences_go_and_their_text_stays() {
        for (raw, shown) in [
            ("\u{1b}[31mERROR:\u{1b}[0m bad", "ERROR: bad"),
            ("a\u{1b}[2K\u{1b}[1;5Hb", "ab"),
            ("\u{1b}]0;title\u{7}prompt", "prompt"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bx\u{1b}=y", "xy"),
        ] {
            assert_eq!(visible(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn what_is_no_sequence_becomes_visible() {
        for (raw, shown) in [
            ("a\u{0}b\u{7}c\u{b}\u{7f}", "a␀b␇c␋␡"),
            ("end\u{1b}", "end␛"),
            ("\u{1b}[31", "␛[31"),
            ("\u{1b}]0;never ended", "␛]0;never ended"),
            ("\u{1b}[3中", "␛[3中"),
            ("\u{9b}31m\u{85}", "\u{fffd}31m\u{fffd}"),
            ("\u{1b}\u{1b}[0mx", "␛x"),
        ] {
            assert_eq!(visible(raw), shown, "{raw:?}");
        }
    }
}
