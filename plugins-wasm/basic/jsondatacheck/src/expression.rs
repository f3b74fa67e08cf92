//! From text to expression.

use std::fmt;
use std::str::FromStr;

use fancy_regex::Regex;

use crate::token::{Token, tokens};

/// How deep parentheses and signs may be nested: an expression must not use up the stack.
const DEPTH: usize = 64;

/// The most tokens, for the same reason.
const LENGTH: usize = 2_000;

/// A text that is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct SyntaxError {
    /// Number of the character, from 1; 0 for the end.
    at: usize,
    what: String,
}

impl SyntaxError {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            0 => write!(f, "at the end: {}", self.what),
            at => write!(f, "at character {at}: {}", self.what),
        }
    }
}

/// An expression that was read.
#[derive(Debug, Clone)]
pub(crate) struct Expression(pub(crate) Node);

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Path(String),
    Text(String),
    Number(f64),
    Matches { value: Box<Node>, pattern: Regex, wanted: bool },
    Not(Box<Node>),
    Minus(Box<Node>),
    Binary { operator: &'static str, left: Box<Node>, right: Box<Node> },
}

impl FromStr for Expression {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let tokens = tokens(text)?;
        if tokens.len() > LENGTH {
            return Err(SyntaxError::new(
                0,
                format!("the expression has more than {LENGTH} words and signs"),
            ));
        }
        let mut parser = Parser { tokens, at: 0, depth: 0 };
        let node = parser.binary(0)?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(_) => Err(parser.wrong("nothing more is expected here")),
        }
    }
}

impl Expression {
    /// The paths that it looks at.
    pub(crate) fn paths(&self) -> Vec<&str> {
        let mut paths = Vec::new();
        let mut left = vec![&self.0];
        while let Some(node) = left.pop() {
            match node {
                Node::Path(path) => paths.push(path.as_str()),
                Node::Text(_) | Node::Number(_) => {}
                Node::Matches { value: inner, .. } | Node::Not(inner) | Node::Minus(inner) => {
                    left.push(inner);
                }
                Node::Binary { left: one, right: other, .. } => left.extend([one.as_ref(), other]),
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// Binary operators from weak to strong. `not` stands between `and` and `||`.
const LEVELS: [&[&str]; 8] = [
    &["or"],
    &["and"],
    &["||"],
    &["&&"],
    &["==", "=", "!=", "eq", "ne"],
    &["<", "<=", ">", ">=", "lt", "le", "gt", "ge"],
    &["+", "-"],
    &["*", "/", "%"],
];

/// The level below which `not` binds.
const NOT: usize = 2;

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn operator(&self) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Operator(operator)) => Some(operator),
            _ => None,
        }
    }

    fn takes(&mut self, operators: &[&str]) -> Option<&'static str> {
        let found = self.operator().filter(|own| operators.contains(own));
        self.at += usize::from(found.is_some());
        found
    }

    fn wrong(&self, what: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.tokens.get(self.at).map_or(0, |(at, _)| *at), what)
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Node, SyntaxError>,
    ) -> Result<Node, SyntaxError> {
        if self.depth >= DEPTH {
            return Err(self.wrong(format!("more than {DEPTH} levels of parentheses")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn binary(&mut self, level: usize) -> Result<Node, SyntaxError> {
        if level == NOT && self.takes(&["not"]).is_some() {
            return Ok(Node::Not(Box::new(self.nested(|parser| parser.binary(NOT))?)));
        }
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.takes(operators) {
            let right = Box::new(self.binary(level + 1)?);
            left = Node::Binary { operator, left: Box::new(left), right };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, SyntaxError> {
        match self.takes(&["!", "-"]) {
            Some("!") => Ok(Node::Not(Box::new(self.nested(Self::unary)?))),
            Some(_) => Ok(Node::Minus(Box::new(self.nested(Self::unary)?))),
            None => self.matched(),
        }
    }

    fn matched(&mut self) -> Result<Node, SyntaxError> {
        let mut value = self.value()?;
        while let Some(operator) = self.takes(&["=~", "!~"]) {
            let Some(Token::Pattern(pattern)) = self.peek().cloned() else {
                return Err(self.wrong("a pattern is missing: write /pattern/ or a quoted text"));
            };
            self.at += 1;
            value = Node::Matches { value: Box::new(value), pattern, wanted: operator == "=~" };
        }
        Ok(value)
    }

    fn value(&mut self) -> Result<Node, SyntaxError> {
        if self.takes(&["("]).is_some() {
            let inner = self.nested(|parser| parser.binary(0))?;
            return match self.takes(&[")"]) {
                Some(_) => Ok(inner),
                None => Err(self.wrong("`)` is missing")),
            };
        }
        let value = match self.peek() {
            Some(Token::Path(path)) => Node::Path(path.clone()),
            Some(Token::Text(text)) => Node::Text(text.clone()),
            Some(Token::Number(number)) => Node::Number(*number),
            _ => return Err(self.wrong("a value is missing: [path], a number or a quoted text")),
        };
        self.at += 1;
        Ok(value)
    }
}
