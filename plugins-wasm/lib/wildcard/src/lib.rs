//! Names with wildcards, as a shell has them in one part of a path: a character is one of text, not a byte, and a name that
//! begins with a dot is only meant by a pattern that does.

use glob::{MatchOptions, Pattern};

/// The most names that the braces of one pattern may make.
const MOST: usize = 1_000;

/// Which characters of a pattern stand for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `*` (any characters) and `?` (one). Brackets and braces are characters of names.
    Plain,
    /// Those, and `[a-z]`, `[!a-z]` and `{one,two}`.
    Shell,
}

impl Dialect {
    /// Whether a part of a path stands for several names.
    pub fn has_wildcard(self, part: &str) -> bool {
        match self {
            Self::Plain => part.contains(['*', '?']),
            Self::Shell => part.contains(['*', '?', '[', '{']),
        }
    }
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WildcardError {
    /// A bracket without its end, or an empty one.
    #[error("has a bracket that does not end")]
    Bracket,
    /// A brace without its end.
    #[error("has a brace that does not end")]
    Brace,
    /// Braces that stand for too much.
    #[error("has braces that make more than {MOST} names")]
    TooMany,
}

/// A pattern for names.
#[derive(Debug, Clone)]
pub struct Wildcard(Vec<Pattern>);

impl Wildcard {
    /// Reads a pattern.
    pub fn new(pattern: &str, dialect: Dialect) -> Result<Self, WildcardError> {
        let patterns = match dialect {
            Dialect::Plain => vec![pattern.replace('[', "[[]")],
            Dialect::Shell => braces(&pattern.replace("[^", "[!"))?,
        };
        let read =
            |pattern: &String| Pattern::new(&single_stars(pattern)).map_err(|_| WildcardError::Bracket);
        Ok(Self(patterns.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        self.0.iter().any(|pattern| pattern.matches_with(name, options))
    }
}

/// Two stars are one: within a name there is nothing more to go through.
fn single_stars(pattern: &str) -> String {
    let mut single = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c != '*' || !single.ends_with('*') {
            single.push(c);
        }
    }
    single
}

/// The patterns without braces that one with them stands for.
fn braces(pattern: &str) -> Result<Vec<String>, WildcardError> {
    let mut done = Vec::new();
    let mut left = vec![pattern.to_owned()];
    while let Some(pattern) = left.pop() {
        if done.len() + left.len() >= MOST {
            return Err(WildcardError::TooMany);
        }
        let Some(begin) = pattern.find('{') else {
            done.push(pattern);
            continue;
        };
        let (choices, rest) = choices(&pattern[begin + 1..]).ok_or(WildcardError::Brace)?;
        left.extend(choices.iter().map(|choice| format!("{}{choice}{rest}", &pattern[..begin])));
    }
    Ok(done)
}

/// What stands between the commas up to the end of a brace, and what follows it.
fn choices(inside: &str) -> Option<(Vec<&str>, &str)> {
    let (mut depth, mut begin, mut choices) = (0_usize, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                choices.push(&inside[begin..at]);
                begin = at + 1;
            }
            '}' => {
                choices.push(&inside[begin..at]);
                return Some((choices, &inside[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(dialect: Dialect, pattern: &str, name: &str) -> bool {
        Wildcard::new(pattern, dialect).unwrap().matches(name)
    }

    #[test]
    fn stars_and_question_marks_of_both() {
        for dialect in [Dialect::Plain, Dialect::Shell] {
            for (pattern, name) in [
                ("*.log", "a.log"),
                ("a*b*c", "aXbYbZc"),
                ("?", "x"),
                ("?", "\u{4e2d}"),
                ("\u{fc}?.conf", "\u{fc}\u{e9}.conf"),
                ("*", "x"),
                ("**", "ab"),
                ("**", ""),
                ("a**b", "axb"),
                (".*", ".x"),
                ("\\n*", "\\nx"),
            ] {
                assert!(fits(dialect, pattern, name), "{pattern} {name}");
            }
            for (pattern, name) in [
                ("*.log", "a.logs"),
                ("?", ""),
                ("??", "\u{4e2d}"),
                ("a*b", "a"),
                ("*", ".hidden"),
                ("?hidden", ".hidden"),
                ("", "x"),
            ] {
                assert!(!fits(dialect, pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn brackets_and_braces_are_characters_or_patterns() {
        for (pattern, name, plain, shell) in [
            ("a[1]*", "a[1].log", true, false),
            ("a[1]*", "a1.log", false, true),
            ("{a,b}?", "{a,b}c", true, false),
            ("{a,b}?", "bc", false, true),
            ("[\u{e0}-\u{ff}]x", "\u{fc}x", false, true),
            ("[!a]x", "bx", false, true),
            ("[^a]x", "ax", false, false),
            ("x{1,{2,3}4}.conf", "x34.conf", false, true),
            ("{.a,b}", ".a", false, true),
            ("{a}b", "ab", false, true),
        ] {
            assert_eq!(fits(Dialect::Plain, pattern, name), plain, "{pattern} {name}");
            assert_eq!(fits(Dialect::Shell, pattern, name), shell, "{pattern} {name}");
        }
        assert!(Dialect::Shell.has_wildcard("[") && !Dialect::Plain.has_wildcard("[{"));
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        let read = |pattern: &str| Wildcard::new(pattern, Dialect::Shell).unwrap_err();
        assert_eq!((read("[a"), read("{a,b")), (WildcardError::Bracket, WildcardError::Brace));
        assert_eq!(read(&"{a,b,c,d,e,f}".repeat(9)), WildcardError::TooMany);
    }
}
