//! Patterns for names of things that are no hosts: secrets, server calls, collections, locks.

use std::fmt;

/// The longest name that is compared, in bytes: longer ones fit nothing.
const LONGEST_NAME: usize = 512;

/// A name in which each `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, NamePatternError> {
        if text.is_empty() {
            Err(NamePatternError::Empty)
        } else if text.len() > LONGEST_NAME {
            Err(NamePatternError::TooLong)
        } else if text.contains(char::is_control) {
            Err(NamePatternError::Control)
        } else {
            // Two stars are one; the fewer, the faster.
            let mut kept = String::with_capacity(text.len());
            for c in text.chars() {
                if c != '*' || !kept.ends_with('*') {
                    kept.push(c);
                }
            }
            Ok(Self(kept))
        }
    }

    /// Whether the name is meant.
    pub fn matches(&self, name: &str) -> bool {
        name.len() <= LONGEST_NAME && glob(&self.0, name, |_| true)
    }

    /// Whether it begins with a star.
    pub(crate) fn begins_open(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether it fits every name.
    pub(crate) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether every name that `other` means is meant by this one too. Says no where it is not sure.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self == other || self.is_any() || glob_covers(&self.0, &other.0, |_| true)
    }

    /// As written, two stars made one.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a name pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NamePatternError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Longer than any name.
    #[error("it is longer than {LONGEST_NAME} bytes")]
    TooLong,
    /// Line breaks and the like.
    #[error("it has control characters")]
    Control,
}

/// Whether the text fits the pattern, in which `*` stands for any number of characters that `wild` takes. Takes at most
/// length × length steps, whatever the pattern.
pub(crate) fn glob(pattern: &str, text: &str, wild: impl Fn(char) -> bool) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // What comes after the last star, and the text from which the star's part begins there.
    let mut last: Option<(&str, &str)> = None;
    loop {
        let mut characters = left.chars();
        let next = characters.next();
        if let Some(after) = rest.strip_prefix('*') {
            last = Some((after, left));
            rest = after;
        } else if rest.is_empty() && next.is_none() {
            return true;
        } else if next.is_some() && rest.chars().next() == next {
            rest = skip_one(rest);
            left = characters.as_str();
        } else {
            // Back to the last star, which takes one character more.
            let Some((after, from)) = last else { return false };
            match from.chars().next() {
                Some(taken) if wild(taken) => {
                    let from = skip_one(from);
                    last = Some((after, from));
                    (rest, left) = (after, from);
                }
                _ => return false,
            }
        }
    }
}

fn skip_one(text: &str) -> &str {
    let mut characters = text.chars();
    characters.next();
    characters.as_str()
}

/// Whether everything that fits `other` fits `own`, for the cases that can be seen at once.
pub(crate) fn glob_covers(own: &str, other: &str, wild: impl Fn(char) -> bool) -> bool {
    if !other.contains('*') {
        return glob(own, other, wild);
    }
    // `a*` covers `ab*c`, as long as the star could take what stands there.
    let fixed = |text: &str| text.chars().filter(|c| *c != '*').all(&wild);
    own.strip_suffix('*')
        .is_some_and(|prefix| !prefix.contains('*') && other.strip_prefix(prefix).is_some_and(fixed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        NamePattern::parse(text).unwrap()
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (text, name, expected) in [
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "ü/x", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "aba", true),
            ("*a", "ab", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**b", "axb", true),
            ("*ab*", "aab", true),
            ("*aab", "aaab", true),
            ("ü*", "üü", true),
        ] {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        }
        assert_eq!(pattern("a***b"), pattern("a*b"));
        assert!(!pattern("*").matches(&"x".repeat(LONGEST_NAME + 1)), "longer than any name");
        assert!(pattern("*").matches(&"x".repeat(LONGEST_NAME)));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(NamePattern::parse(""), Err(NamePatternError::Empty));
        assert_eq!(NamePattern::parse("a\nb"), Err(NamePatternError::Control));
        assert_eq!(NamePattern::parse(&"x".repeat(LONGEST_NAME + 1)), Err(NamePatternError::TooLong));
        assert!(NamePattern::parse(&"x".repeat(LONGEST_NAME)).is_ok());
    }

    /// A pattern made to be slow ends at once.
    #[test]
    fn many_stars_take_no_time() {
        let slow = "*a".repeat(200);
        assert!(!pattern(&slow).matches(&"a".repeat(199)));
        assert!(pattern(&slow).matches(&"a".repeat(200)));
        assert!(!pattern(&format!("{slow}b")).matches(&"a".repeat(LONGEST_NAME)));
    }

    #[test]
    fn covering_is_seen_where_it_is_plain() {
        for (own, other, expected) in [
            ("*", "a*b", true),
            ("a*", "ab", true),
            ("a*", "ab*", true),
            ("a*", "a*b", true),
            ("a*", "b*", false),
            ("a*c", "abc", true),
            ("a*c", "a*c", true),
            ("a*c", "ab*c", false),
            ("ab*", "a*", false),
            ("a", "a*", false),
            ("*a*", "ba*", false),
        ] {
            assert_eq!(pattern(own).covers(&pattern(other)), expected, "{own} {other}");
        }
    }
}
