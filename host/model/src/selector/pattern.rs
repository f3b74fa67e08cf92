//! Pattern selectors: the whole first match of a regular expression.

use fancy_regex::{Regex, RegexBuilder};

/// Steps after which a search gives up. A pattern comes from a job; it must not hold a worker for ever.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// Why a pattern cannot be used. The texts name the pattern, never the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternSelectorError {
    /// Not a regular expression.
    #[error("selector `{pattern}` is not a regular expression: {problem}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The search took too many steps.
    #[error("selector `{pattern}`: the search takes too long; make the pattern simpler")]
    TooSlow {
        /// The pattern.
        pattern: String,
    },
}

/// A regular expression that ignores case and lets `^` and `$` match at lines.
#[derive(Debug, Clone)]
pub struct PatternSelector(Regex);

impl PatternSelector {
    /// Compiles a pattern: Python's common syntax, look-around included.
    pub fn parse(pattern: &str) -> Result<Self, PatternSelectorError> {
        RegexBuilder::new(pattern)
            .case_insensitive(true)
            .multi_line(true)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
            .map(Self)
            .map_err(|error| PatternSelectorError::Syntax {
                pattern: pattern.to_owned(),
                problem: error.to_string(),
            })
    }

    /// The first match; `None` when there is none.
    pub fn select<'t>(&self, text: &'t str) -> Result<Option<&'t str>, PatternSelectorError> {
        match self.0.find(text) {
            Ok(found) => Ok(found.map(|found| found.as_str())),
            Err(_) => Err(PatternSelectorError::TooSlow { pattern: self.0.as_str().to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_its_whole_first_match_in_any_case_and_line() {
        let text = "first\nVersion: 1.4.0-b7\nversion: 2";
        for (pattern, found) in [
            (r"^version: [\d.]+", Some("Version: 1.4.0")),
            (r"(?<=version: )[^\s-]+", Some("1.4.0")),
            (r"FIRST$", Some("first")),
            ("absent", None),
        ] {
            assert_eq!(PatternSelector::parse(pattern).unwrap().select(text).unwrap(), found, "{pattern}");
        }
    }

    #[test]
    fn a_bad_or_endless_pattern_is_an_error() {
        let error = PatternSelector::parse("(a").unwrap_err().to_string();
        assert!(error.starts_with("selector `(a` is not a regular expression: "), "{error}");
        let slow = PatternSelector::parse(r"(?:(?=x)x+x+)+[^x]\b").unwrap();
        assert!(matches!(slow.select(&"x".repeat(200)), Err(PatternSelectorError::TooSlow { .. })));
    }
}
