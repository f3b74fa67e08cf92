//! Conditions of `native/IF-Block` (`spec/native-ops.md` §7.3).
//!
//! Precedence, loosest first: `or`, `and`, `not`, file tests, comparison, `+ -`, `* /`. The replaced
//! executor had one level for all operators and used the first one for a whole chain; results differ only
//! where those were wrong (defect 79). Parsing and evaluation share nothing between calls (defect 80).

mod arithmetic;
mod evaluate;
mod expression;
mod parse;

pub use evaluate::EvaluationError;
pub use parse::ConditionError;

use std::fmt;
use std::str::FromStr;

use expression::Expression;

/// What a condition can ask about.
pub trait Environment {
    /// The value of a variable: node variables first, then the process environment.
    fn variable(&self, name: &str) -> Option<String>;

    /// Whether the file test holds for `path`, on the runner, relative to the job directory.
    fn file(&self, test: FileTest, path: &str) -> bool;
}

/// A question about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTest {
    /// `-f`: a regular file.
    Regular,
    /// `-d`: a directory.
    Directory,
    /// `-e`: anything.
    Exists,
    /// `-l`: a symbolic link.
    Link,
}

impl FileTest {
    /// The test as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "-f",
            Self::Directory => "-d",
            Self::Exists => "-e",
            Self::Link => "-l",
        }
    }
}

/// A parsed condition. `Display` writes it with the fewest parentheses; what it writes parses to the same
/// condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Expression);

impl Condition {
    /// Parses a whole text; anything left over is an error.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        parse::parse(text).map(Self)
    }

    /// Whether the condition holds.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<bool, EvaluationError> {
        evaluate::truth(&self.0, environment)
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::parse(text)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
