//! Words and signs of a rule.

use crate::ast::{Comparator, Operator};
use crate::parse::SyntaxError;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// `$`, the document.
    Root,
    /// `$this`, the value in a calculation.
    This,
    Dot,
    /// An unquoted name, which may be a keyword.
    Word(String),
    Text(String),
    Number(f64),
    Compare(Comparator),
    Operate(Operator),
    Open(char),
    Close(char),
}

/// The tokens, each with the number of the character where it begins (from 1).
pub(crate) fn tokens(rule: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let chars: Vec<char> = rule.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let begin = at;
        let next = chars.get(at + 1).copied();
        at += 1;
        let token = match c {
            c if c.is_whitespace() => continue,
            '$' => {
                let word = word(&chars, at);
                if word == "this" {
                    at += word.chars().count();
                    Token::This
                } else {
                    Token::Root
                }
            }
            '.' if !next.is_some_and(|next| next.is_ascii_digit()) || follows_a_name(&tokens) => Token::Dot,
            '(' | '[' | '{' => Token::Open(c),
            ')' | ']' | '}' => Token::Close(c),
            '=' | '!' | '<' | '>' => {
                let is_wide = next == Some('=');
                at += usize::from(is_wide);
                Token::Compare(match (c, is_wide) {
                    ('=', _) => Comparator::Equal,
                    ('!', true) => Comparator::NotEqual,
                    ('<', true) => Comparator::AtMost,
                    ('<', false) => Comparator::Less,
                    ('>', true) => Comparator::AtLeast,
                    ('>', false) => Comparator::Greater,
                    _ => return Err(SyntaxError::at(begin, "`!` alone means nothing: write `!=` or `not`")),
                })
            }
            '"' | '\'' => {
                let (text, end) = quoted(&chars, at, c)
                    .ok_or_else(|| SyntaxError::at(begin, "the text has no closing quote"))?;
                at = end;
                Token::Text(text)
            }
            '+' => Token::Operate(Operator::Add),
            '*' => Token::Operate(Operator::Multiply),
            '/' => Token::Operate(Operator::Divide),
            '%' => Token::Operate(Operator::Remainder),
            '-' if !(next.is_some_and(|next| next.is_ascii_digit() || next == '.')
                && expects_a_value(&tokens)) =>
            {
                Token::Operate(Operator::Subtract)
            }
            c if c.is_ascii_digit() || c == '-' || c == '.' => {
                // A name may begin with a digit where a dot stands before it.
                if tokens.last().is_some_and(|(_, last)| *last == Token::Dot) {
                    let word = word(&chars, begin);
                    at = begin + word.chars().count();
                    Token::Word(word)
                } else {
                    let digits: String = chars[begin..]
                        .iter()
                        .enumerate()
                        .take_while(|(n, c)| c.is_ascii_digit() || **c == '.' || (*n == 0 && **c == '-'))
                        .map(|(_, c)| *c)
                        .collect();
                    at = begin + digits.chars().count();
                    let number = digits
                        .parse::<f64>()
                        .map_err(|_| SyntaxError::at(begin, format!("`{digits}` is no number")))?;
                    Token::Number(number)
                }
            }
            c if is_of_a_word(c) => {
                let word = word(&chars, begin);
                at = begin + word.chars().count();
                match word.to_lowercase().as_str() {
                    "contains" => Token::Compare(Comparator::Contains),
                    "startswith" => Token::Compare(Comparator::StartsWith),
                    _ => Token::Word(word),
                }
            }
            other => return Err(SyntaxError::at(begin, format!("`{other}` has no meaning here"))),
        };
        // A name that is spelt like a comparator.
        let token = match (token, tokens.last().map(|(_, last)| last)) {
            (Token::Compare(Comparator::Contains | Comparator::StartsWith), Some(Token::Dot)) => {
                Token::Word(chars[begin..at].iter().collect())
            }
            (token, _) => token,
        };
        tokens.push((begin + 1, token));
    }
    Ok(tokens)
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(chars: &[char], at: usize) -> String {
    chars.iter().skip(at).take_while(|c| is_of_a_word(**c)).collect()
}

/// The text up to the quote, and where it ends. A backslash takes the next character as it is.
fn quoted(chars: &[char], begin: usize, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut at = begin;
    loop {
        match *chars.get(at)? {
            c if c == quote => return Some((text, at + 1)),
            '\\' if chars.get(at + 1).is_some_and(|next| matches!(next, '"' | '\'' | '\\')) => {
                text.push(*chars.get(at + 1)?);
                at += 2;
            }
            c => {
                text.push(c);
                at += 1;
            }
        }
    }
}

fn follows_a_name(tokens: &[(usize, Token)]) -> bool {
    matches!(tokens.last(), Some((_, Token::Root | Token::Word(_) | Token::Text(_) | Token::Close(']'))))
}

fn expects_a_value(tokens: &[(usize, Token)]) -> bool {
    matches!(tokens.last(), None | Some((_, Token::Compare(_) | Token::Operate(_) | Token::Open(_))))
}
