//! Pattern selectors: the first match, ignoring case, with `^` and `$` at every line.

use fancy_regex::RegexBuilder;

/// Steps a pattern may go back before it counts as runaway.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// A pattern that can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is not a regular expression.
    #[error("selector \"{pattern}\" is not a regular expression: {reason}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// It takes too long on this text.
    #[error(
        "selector \"{pattern}\" takes too many steps on this text; nested repetitions such as `(a+)+` do that"
    )]
    Runaway {
        /// The pattern.
        pattern: String,
    },
}

/// The whole first match, if there is one. Look-around and back references are allowed, as in the patterns of existing
/// jobs.
pub fn first_match<'t>(text: &'t str, pattern: &str) -> Result<Option<&'t str>, PatternError> {
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(true)
        .multi_line(true)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
        .map_err(|error| PatternError::Syntax { pattern: pattern.to_owned(), reason: error.to_string() })?;
    match regex.find(text) {
        Ok(found) => Ok(found.map(|found| found.as_str())),
        Err(_) => Err(PatternError::Runaway { pattern: pattern.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_first_match_is_taken() {
        let text = "Version: 1.2\nversion: 3.4\n";
        assert_eq!(first_match(text, r"^version: (\S+)$"), Ok(Some("Version: 1.2")));
        assert_eq!(first_match(text, r"(?<=version: )\d\.\d$"), Ok(Some("1.2")));
        assert_eq!(first_match(text, "nothing"), Ok(None));
    }

    #[test]
    fn what_can_not_be_used_is_refused() {
        assert!(matches!(first_match("a", "("), Err(PatternError::Syntax { .. })));
        // Every way to split the letters into ones and twos is tried before the line is given up.
        let text = format!("{}!", "a".repeat(60));
        let runaway = first_match(&text, "^(?:a(?!c)|aa(?!c))*$");
        assert!(matches!(runaway, Err(PatternError::Runaway { .. })), "{runaway:?}");
    }
}
