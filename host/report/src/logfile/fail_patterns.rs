//! Fail patterns: regular expressions that turn a line of output into a failure (`native/failkeys`,
//! `spec/execution.md` §6.12).

use fancy_regex::RegexBuilder;

/// Steps an expression with look-around or back references may take on one line. The others take time in
/// proportion to the line and need no limit.
const BACKTRACK_LIMIT: usize = 100_000;

/// How much of a line such an expression sees, in bytes. A step may look at the whole rest of the line, so the
/// steps alone do not bound the time.
const BACKTRACK_WINDOW: usize = 4096;

/// How several patterns combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailOperator {
    /// All must match the same line.
    #[default]
    And,
    /// One is enough.
    Or,
}

impl FailOperator {
    /// Reads the option `operator`; anything but `or` is `and`, the default.
    pub fn from_word(word: &str) -> Self {
        if word.trim().eq_ignore_ascii_case("or") { Self::Or } else { Self::And }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::And => " and ",
            Self::Or => " or ",
        }
    }
}

/// A pattern that was left out.
#[derive(Debug, thiserror::Error)]
#[error("fail pattern `{pattern}` is not a usable regular expression and is left out: {reason}")]
pub struct PatternError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A pattern took too many steps on a line.
#[derive(Debug)]
pub(super) struct TooComplex;

/// One compiled expression.
#[derive(Debug, Clone)]
enum Pattern {
    /// Without look-around and back references, as most are.
    Linear(regex::Regex),
    /// With them.
    Backtracking(fancy_regex::Regex),
}

/// Compiled fail patterns.
#[derive(Debug, Clone)]
pub struct FailPatterns {
    patterns: Vec<Pattern>,
    operator: FailOperator,
    exclude: Option<Pattern>,
    tolerated: bool,
}

impl FailPatterns {
    /// Compiles `patterns`. Empty ones are ignored, invalid ones left out and returned as errors, to be shown as
    /// warnings. A line that matches `exclude` is never a hit. `tolerated` (`failIgnore` of the operation that
    /// arms the log): a hit is shown, but the operation does not fail.
    pub fn new<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
        operator: FailOperator,
        exclude: Option<&str>,
        tolerated: bool,
    ) -> (Self, Vec<PatternError>) {
        let mut errors = Vec::new();
        let mut compiled = |pattern: &str| match Pattern::compile(pattern) {
            Ok(regex) => Some(regex),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let patterns = patterns.into_iter().filter(|p| !p.is_empty()).filter_map(&mut compiled).collect();
        let exclude = exclude.filter(|p| !p.is_empty()).and_then(compiled);
        (Self { patterns, operator, exclude, tolerated }, errors)
    }

    /// Whether a hit leaves the operation's result alone.
    pub fn is_tolerated(&self) -> bool {
        self.tolerated
    }

    /// What matched `line`, for the message; none if it is no hit.
    pub(super) fn check(&self, line: &str) -> Result<Option<String>, TooComplex> {
        let mut matched = Vec::new();
        for pattern in &self.patterns {
            if pattern.matches(line)? {
                matched.push(pattern.as_str());
            } else if self.operator == FailOperator::And {
                return Ok(None);
            }
        }
        let hit = !matched.is_empty() && !self.excludes(line)?;
        Ok(hit.then(|| matched.join(self.operator.as_str())))
    }

    fn excludes(&self, line: &str) -> Result<bool, TooComplex> {
        self.exclude.as_ref().map_or(Ok(false), |exclude| exclude.matches(line))
    }
}

impl Pattern {
    fn compile(pattern: &str) -> Result<Self, PatternError> {
        if let Ok(regex) = regex::Regex::new(pattern) {
            return Ok(Self::Linear(regex));
        }
        RegexBuilder::new(pattern)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
            .map(Self::Backtracking)
            .map_err(|error| PatternError { pattern: pattern.to_owned(), reason: error.to_string() })
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Linear(regex) => regex.as_str(),
            Self::Backtracking(regex) => regex.as_str(),
        }
    }

    fn matches(&self, line: &str) -> Result<bool, TooComplex> {
        match self {
            Self::Linear(regex) => Ok(regex.is_match(line)),
            Self::Backtracking(regex) => {
                let (window, _) = line.split_at(line.floor_char_boundary(BACKTRACK_WINDOW));
                regex.is_match(window).map_err(|_| TooComplex)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str], operator: FailOperator, exclude: Option<&str>) -> FailPatterns {
        let (patterns, errors) = FailPatterns::new(list.iter().copied(), operator, exclude, false);
        assert!(errors.is_empty(), "{errors:?}");
        patterns
    }

    #[test]
    fn and_needs_all_on_one_line_and_or_needs_one() {
        let list = ["ORA-\\d+", "(?i)table"];
        let and = patterns(&list, FailOperator::And, None);
        assert_eq!(and.check("ORA-00942: Table or view").unwrap().unwrap(), "ORA-\\d+ and (?i)table");
        assert!(and.check("ORA-00942").unwrap().is_none());
        let or = patterns(&list, FailOperator::Or, None);
        assert_eq!(or.check("x ORA-1 y").unwrap().unwrap(), "ORA-\\d+");
        assert!(or.check("fine").unwrap().is_none());
    }

    #[test]
    fn an_excluded_line_is_no_hit() {
        let some = patterns(&["error"], FailOperator::Or, Some("0 errors?"));
        assert!(some.check("0 errors").unwrap().is_none());
        assert!(some.check("3 errors").unwrap().is_some());
        // Look-around, as in the expressions of the replaced program.
        let look = patterns(&["error(?!s: 0)"], FailOperator::And, Some(""));
        assert!(look.check("errors: 0").unwrap().is_none());
        assert!(look.check("errors: 1").unwrap().is_some());
    }

    #[test]
    fn empty_and_invalid_patterns_never_hit() {
        let (none, errors) = FailPatterns::new(["", "(", "[z-a]"], FailOperator::And, Some("*"), true);
        let bad: Vec<_> = errors.iter().map(|error| error.pattern.as_str()).collect();
        assert_eq!(bad, ["(", "[z-a]", "*"]);
        assert!(none.is_tolerated());
        assert!(none.check("").unwrap().is_none());
    }

    #[test]
    fn a_pattern_that_explodes_gives_up() {
        let slow = patterns(&["(?:(?=a)a+)+b"], FailOperator::And, None);
        assert!(slow.check(&"a".repeat(5000)).is_err());
    }

    #[test]
    fn a_long_line_is_seen_whole_unless_the_pattern_backtracks() {
        let line = format!("{}end", "中".repeat(20_000));
        assert!(patterns(&["end$"], FailOperator::And, None).check(&line).unwrap().is_some());
        assert!(patterns(&["(?<=中)end$"], FailOperator::And, None).check(&line).unwrap().is_none());
        assert!(patterns(&["^(?=中)"], FailOperator::And, None).check(&line).unwrap().is_some());
    }

    #[test]
    fn the_operator_word_defaults_to_and() {
        for (word, operator) in
            [("or", FailOperator::Or), (" OR ", FailOperator::Or), ("", FailOperator::And)]
        {
            assert_eq!(FailOperator::from_word(word), operator);
        }
    }
}
