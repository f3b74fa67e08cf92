//! From text to rule.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::Rule;
use crate::ast::{Calculation, Comparator, Comparison, Condition, FieldTest, Operand, Operator, Path, Step};
use crate::token::{Token, tokens};

/// How deep parentheses may be nested: a rule must not use up the stack.
const DEPTH: usize = 64;

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", Shown { at: *at, what })]
pub struct SyntaxError {
    /// Number of the character, from 1; 0 for the end of the text.
    at: usize,
    what: String,
}

struct Shown<'a> {
    at: usize,
    what: &'a str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            0 => write!(f, "at the end: {}", self.what),
            at => write!(f, "at character {at}: {}", self.what),
        }
    }
}

impl SyntaxError {
    pub(crate) fn at(begin: usize, what: impl Into<String>) -> Self {
        Self { at: begin + 1, what: what.into() }
    }
}

impl FromStr for Rule {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
        let condition = parser.condition(&Parser::comparison)?;
        match parser.peek() {
            None => Ok(Self(condition)),
            Some(_) => {
                Err(parser.wrong("nothing more is expected here: combine comparisons with `and` or `or`"))
            }
        }
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

/// Reads what conditions are made of.
type Leaf<'a, C> = &'a dyn Fn(&mut Parser) -> Result<C, SyntaxError>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_there = self.peek() == Some(token);
        self.at += usize::from(is_there);
        is_there
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Token::Word(own)) if own.eq_ignore_ascii_case(word));
        self.at += usize::from(is_there);
        is_there
    }

    /// An error at the present token.
    fn wrong(&self, what: impl Into<String>) -> SyntaxError {
        SyntaxError { at: self.tokens.get(self.at).map_or(0, |(at, _)| *at), what: what.into() }
    }

    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.depth >= DEPTH {
            return Err(self.wrong(format!("more than {DEPTH} levels of parentheses")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn condition<C>(&mut self, leaf: Leaf<'_, C>) -> Result<Condition<C>, SyntaxError> {
        let mut parts = vec![self.conjunction(leaf)?];
        while self.takes_word("or") {
            parts.push(self.conjunction(leaf)?);
        }
        Ok(single(parts).unwrap_or_else(Condition::Any))
    }

    fn conjunction<C>(&mut self, leaf: Leaf<'_, C>) -> Result<Condition<C>, SyntaxError> {
        let mut parts = vec![self.negation(leaf)?];
        while self.takes_word("and") {
            parts.push(self.negation(leaf)?);
        }
        Ok(single(parts).unwrap_or_else(Condition::All))
    }

    fn negation<C>(&mut self, leaf: Leaf<'_, C>) -> Result<Condition<C>, SyntaxError> {
        if self.takes_word("not") {
            return Ok(Condition::Not(Box::new(self.nested(|parser| parser.negation(leaf))?)));
        }
        if self.takes(&Token::Open('(')) {
            let inner = self.nested(|parser| parser.condition(leaf))?;
            self.closed(')')?;
            return Ok(inner);
        }
        leaf(self).map(Condition::Holds)
    }

    fn closed(&mut self, bracket: char) -> Result<(), SyntaxError> {
        if self.takes(&Token::Close(bracket)) {
            Ok(())
        } else {
            Err(self.wrong(format!("`{bracket}` is missing")))
        }
    }

    fn comparison(&mut self) -> Result<Comparison, SyntaxError> {
        let path = self.path()?;
        let calculation = if self.takes(&Token::Open('{')) {
            let calculation = self.nested(Self::calculation)?;
            self.closed('}')?;
            Some(calculation)
        } else {
            None
        };
        let (comparator, literal) = self.compared()?;
        Ok(Comparison { path, calculation, comparator, literal })
    }

    fn compared(&mut self) -> Result<(Comparator, Value), SyntaxError> {
        let Some(Token::Compare(comparator)) = self.peek().cloned() else {
            return Err(self.wrong("one of = == != >= <= > < contains startswith is missing"));
        };
        self.at += 1;
        let literal = match self.peek() {
            Some(Token::Text(text)) => Value::from(text.clone()),
            Some(Token::Number(number)) => Value::from(*number),
            _ => return Err(self.wrong("a number or a quoted text is missing")),
        };
        self.at += 1;
        Ok((comparator, literal))
    }

    fn path(&mut self) -> Result<Path, SyntaxError> {
        if !self.takes(&Token::Root) {
            return Err(self.wrong("a path is missing: it begins with `$`"));
        }
        let mut steps = Vec::new();
        while self.takes(&Token::Dot) {
            let name = self.name()?;
            let filter = if self.takes(&Token::Open('[')) {
                let is_empty = self.peek() == Some(&Token::Close(']'));
                let filter = if is_empty {
                    None
                } else {
                    Some(self.nested(|parser| parser.condition(&Self::field_test))?)
                };
                self.closed(']')?;
                filter
            } else {
                None
            };
            steps.push(Step { name, filter });
        }
        if steps.is_empty() {
            return Err(self.wrong("a name is missing behind `$`: write `$.NAME`"));
        }
        Ok(Path(steps))
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        match self.peek().cloned() {
            Some(Token::Word(name) | Token::Text(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.wrong("a name is missing: letters and digits, or quoted text")),
        }
    }

    fn field_test(&mut self) -> Result<FieldTest, SyntaxError> {
        let mut field = vec![self.name()?];
        while self.takes(&Token::Dot) {
            field.push(self.name()?);
        }
        let (comparator, literal) = self.compared()?;
        Ok(FieldTest { field, comparator, literal })
    }

    fn calculation(&mut self) -> Result<Calculation, SyntaxError> {
        let first = self.operand()?;
        let mut rest = Vec::new();
        while let Some(Token::Operate(operator)) = self.peek().cloned() {
            self.at += 1;
            rest.push((operator, self.operand()?));
        }
        Ok(Calculation { first, rest })
    }

    fn operand(&mut self) -> Result<Operand, SyntaxError> {
        match self.peek().cloned() {
            Some(Token::This) => {
                self.at += 1;
                Ok(Operand::This)
            }
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(Operand::Number(number))
            }
            Some(Token::Root) => self.path().map(Operand::Path),
            Some(Token::Open('(')) => {
                self.next();
                let inner = self.nested(Self::calculation)?;
                self.closed(')')?;
                Ok(Operand::Group(Box::new(inner)))
            }
            _ => Err(self.wrong("a number, `$this` or a path is missing")),
        }
    }
}

/// The only part, or all of them.
fn single<C>(mut parts: Vec<Condition<C>>) -> Result<Condition<C>, Vec<Condition<C>>> {
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        last => {
            parts.extend(last);
            Err(parts)
        }
    }
}

/// As rules write it.
impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_specification_are_rules() {
        for rule in [
            r#"$.MOUNT_POINTS[FS_TYPE != "nfs"].USED_PCT > 80"#,
            "$.CPU_USAGE >= 90 and $.MEM_USAGE > 95",
            "$.PORTS.IN_ERRORS{$this / $.PORTS_COUNT} > 10",
            r#"$.SSH_VERSION contains "OpenSSH_6""#,
            "not $.NTP_ENABLE == 1",
            r#"$."odd name".x[] = 'it\'s' OR ($.A <= -1.5 AND NOT $.B < .5)"#,
            r#"$.A[x.y = 1 and (b startswith "c" or not d = 2)].contains{($this - 1) * 100 % 7} != 3"#,
            "$.1st.2nd > 0",
            "$.A{$this-1} > 0",
        ] {
            rule.parse::<Rule>().unwrap_or_else(|error| panic!("{rule}: {error}"));
        }
    }

    #[test]
    fn what_is_no_rule_is_said_with_its_place() {
        for (rule, expected) in [
            ("", "at the end: a path is missing: it begins with `$`"),
            ("$.A", "at the end: one of = == != >= <= > < contains startswith is missing"),
            ("$.A >", "at the end: a number or a quoted text is missing"),
            ("$.A > x", "at character 7: a number or a quoted text is missing"),
            (
                "$.A > 1 $.B > 1",
                "at character 9: nothing more is expected here: combine comparisons with `and` or `or`",
            ),
            ("$.A[x = 1 > 2", "at character 11: `]` is missing"),
            ("$.A > \"x", "at character 7: the text has no closing quote"),
            ("$ > 1", "at character 3: a name is missing behind `$`: write `$.NAME`"),
            ("$.A{} > 1", "at character 5: a number, `$this` or a path is missing"),
            ("$.A > 1.2.3", "at character 7: `1.2.3` is no number"),
            ("$.A ! 1", "at character 5: `!` alone means nothing: write `!=` or `not`"),
            ("$.A > 1 ; drop", "at character 9: `;` has no meaning here"),
        ] {
            assert_eq!(rule.parse::<Rule>().unwrap_err().to_string(), expected, "{rule}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let deep = |levels: usize| format!("{}$.A > 1{}", "(".repeat(levels), ")".repeat(levels));
        assert!(deep(DEPTH).parse::<Rule>().is_ok());
        let error = deep(100_000).parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains("more than 64 levels"), "{error}");
        let error = format!("{}$.A > 1", "not ".repeat(100_000)).parse::<Rule>().unwrap_err();
        assert!(error.to_string().contains("more than 64 levels"), "{error}");
        let long = vec!["$.A > 1 or $.A[x = 1] > 2"; 50_000].join(" and ");
        assert_eq!(long.parse::<Rule>().unwrap().evaluate(&serde_json::json!({"A": 0})).matches, None);
    }
}
