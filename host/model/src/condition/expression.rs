//! The tree of a condition and how it is written.
//!
//! Operators of one level are one flat list, so that the depth of the tree is the depth of parentheses and
//! prefixes in the text, which the parser bounds. A long `1+1+1+…` cannot overflow the stack.

use std::fmt::{self, Write as _};

use super::FileTest;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// Two or more.
    Or(Vec<Expression>),
    /// Two or more.
    And(Vec<Expression>),
    Not(Box<Expression>),
    File(FileTest, Box<Expression>),
    /// Operators of one level, applied from left to right; at least one.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
    /// As written, sign included.
    Number(String),
    /// Without its quotes.
    Text(String),
    Variable {
        name: String,
        braced: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    GreaterEqual,
    LessEqual,
    Less,
    Greater,
    Contains,
    StartsWith,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::Contains => "contains",
            Self::StartsWith => "startswith",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    fn level(self) -> Level {
        match self {
            Self::Multiply | Self::Divide => Level::Product,
            Self::Add | Self::Subtract => Level::Sum,
            _ => Level::Comparison,
        }
    }
}

/// How tightly an expression binds, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    File,
    Comparison,
    Sum,
    Product,
    Atom,
}

impl Level {
    /// The level operands of a left-to-right operator need: the next tighter one.
    fn tighter(self) -> Self {
        match self {
            Self::Or => Self::And,
            Self::And => Self::Not,
            Self::Not => Self::File,
            Self::File => Self::Comparison,
            Self::Comparison => Self::Sum,
            Self::Sum => Self::Product,
            Self::Product | Self::Atom => Self::Atom,
        }
    }
}

impl Expression {
    fn level(&self) -> Level {
        match self {
            Self::Or(_) => Level::Or,
            Self::And(_) => Level::And,
            Self::Not(_) => Level::Not,
            Self::File(..) => Level::File,
            Self::Chain(_, rest) => rest.first().map_or(Level::Comparison, |(operator, _)| operator.level()),
            Self::Number(_) | Self::Text(_) | Self::Variable { .. } => Level::Atom,
        }
    }

    pub(super) fn is_atom(&self) -> bool {
        self.level() == Level::Atom
    }

    /// Writes the expression where one of `level` or tighter is needed.
    fn write_at(&self, f: &mut fmt::Formatter<'_>, level: Level) -> fmt::Result {
        if self.level() >= level { write!(f, "{self}") } else { write!(f, "({self})") }
    }

    fn write_list(f: &mut fmt::Formatter<'_>, operands: &[Self], word: &str, level: Level) -> fmt::Result {
        for (position, operand) in operands.iter().enumerate() {
            if position > 0 {
                write!(f, " {word} ")?;
            }
            operand.write_at(f, level)?;
        }
        Ok(())
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(operands) => Self::write_list(f, operands, "or", Level::Or.tighter()),
            Self::And(operands) => Self::write_list(f, operands, "and", Level::And.tighter()),
            Self::Not(operand) => {
                f.write_str("not ")?;
                operand.write_at(f, Level::Not)
            }
            Self::File(test, operand) => {
                write!(f, "{} ", test.as_str())?;
                operand.write_at(f, Level::File)
            }
            Self::Chain(first, rest) => {
                let level = self.level().tighter();
                first.write_at(f, level)?;
                rest.iter().try_for_each(|(operator, operand)| {
                    write!(f, " {} ", operator.as_str())?;
                    operand.write_at(f, level)
                })
            }
            Self::Number(text) => f.write_str(text),
            Self::Text(text) => {
                let quote = if text.contains('"') { '\'' } else { '"' };
                f.write_char(quote)?;
                f.write_str(text)?;
                f.write_char(quote)
            }
            Self::Variable { name, braced: false } => write!(f, "${name}"),
            Self::Variable { name, braced: true } => write!(f, "${{{name}}}"),
        }
    }
}
