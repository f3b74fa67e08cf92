//! Words and signs of an expression.

use fancy_regex::{Regex, RegexBuilder};

use crate::expression::SyntaxError;

/// Steps a pattern may go back on one value.
const BACKTRACK_LIMIT: usize = 100_000;

#[derive(Debug, Clone)]
pub(crate) enum Token {
    Path(String),
    Text(String),
    Number(f64),
    Pattern(Regex),
    /// An operator: signs, or one of the words.
    Operator(&'static str),
}

const SIGNS: [&str; 19] =
    ["=~", "!~", "==", "!=", "<=", ">=", "&&", "||", "=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")"];
const WORDS: [&str; 9] = ["and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"];

/// The tokens, each with the number of the character where it begins (from 1).
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut tokens: Vec<(usize, Token)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let at = text[..text.len() - rest.len()].chars().count() + 1;
        let wrong = |what: String| SyntaxError::new(at, what);
        let wants_pattern = matches!(tokens.last(), Some((_, Token::Operator("=~" | "!~"))));
        let (token, length) = match first {
            '[' => {
                let end = rest.find(']').ok_or_else(|| wrong("`]` is missing".to_owned()))?;
                (Token::Path(rest[1..end].trim().to_owned()), end + 1)
            }
            '/' if wants_pattern => pattern(rest, at)?,
            'm' if wants_pattern && rest.starts_with("m/") => {
                let (token, length) = pattern(&rest[1..], at)?;
                (token, length + 1)
            }
            quote @ ('"' | '\'') => {
                let (inner, length) = delimited(rest, quote)
                    .ok_or_else(|| wrong("the text has no closing quote".to_owned()))?;
                if wants_pattern {
                    (compiled(&inner, false, at)?, length)
                } else {
                    (Token::Text(inner), length)
                }
            }
            c if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) => {
                let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                let number = rest[..length]
                    .parse()
                    .map_err(|_| wrong(format!("`{}` is no number", &rest[..length])))?;
                (Token::Number(number), length)
            }
            c if c.is_alphabetic() => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = &rest[..length];
                let known = WORDS.iter().find(|known| known.eq_ignore_ascii_case(word));
                let known = known.ok_or_else(|| {
                    wrong(format!(
                        "`{word}` has no meaning: put values into [brackets] and texts into quotes"
                    ))
                })?;
                (Token::Operator(known), length)
            }
            other => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| wrong(format!("`{other}` has no meaning here")))?;
                (Token::Operator(sign), sign.len())
            }
        };
        tokens.push((at, token));
        rest = &rest[length..];
    }
}

/// What stands between two equal signs, and how many bytes it takes with them. A backslash keeps such a sign, or itself, from
/// its meaning.
fn delimited(text: &str, sign: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == sign => return Some((inner, at + c.len_utf8())),
            '\\' => {
                let (_, next) = chars.next()?;
                if next != sign && !(next == '\\' && sign != '/') {
                    inner.push('\\');
                }
                inner.push(next);
            }
            c => inner.push(c),
        }
    }
    None
}

fn pattern(text: &str, at: usize) -> Result<(Token, usize), SyntaxError> {
    let (inner, length) =
        delimited(text, '/').ok_or_else(|| SyntaxError::new(at, "the pattern has no closing slash"))?;
    let flags: String = text[length..].chars().take_while(char::is_ascii_alphabetic).collect();
    if !matches!(flags.as_str(), "" | "i") {
        return Err(SyntaxError::new(at, format!("`{flags}` behind a pattern has no meaning: only `i` has")));
    }
    Ok((compiled(&inner, flags == "i", at)?, length + flags.len()))
}

fn compiled(pattern: &str, ignores_case: bool, at: usize) -> Result<Token, SyntaxError> {
    let built =
        RegexBuilder::new(pattern).case_insensitive(ignores_case).backtrack_limit(BACKTRACK_LIMIT).build();
    built
        .map(Token::Pattern)
        .map_err(|error| SyntaxError::new(at, format!("`{pattern}` is no pattern: {error}")))
}
