//! From text to tree.

use winnow::ascii::Caseless;
use winnow::combinator::{alt, cut_err, eof, opt, preceded, terminated};
use winnow::error::{ContextError, ErrMode, ModalResult, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::token::{one_of, take_till, take_while};

use super::FileTest;
use super::arithmetic::Number;
use super::expression::{Expression, Operator};
use crate::reference::is_word;

/// Longest condition in bytes.
const MAX_LENGTH: usize = 64 * 1024;
/// Deepest nesting of parentheses, `not` and file tests.
const MAX_DEPTH: usize = 64;

const OPERAND: &str = "a number, a quoted text, a variable with its `$` or `(`";
const START: &str = "`not`, a file test, a number, a quoted text, a variable with its `$` or `(`";
const REST: &str = "an operator, `and`, `or` or the end";
const CLOSING: &str = "an operator, `and`, `or` or `)`";
const QUOTE: &str = "the closing quote on the same line";
const NAME: &str = "the name of a variable";
const BRACE: &str = "`}`";

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Something else was expected.
    #[error("condition, column {column}: expected {expected}, found {found}")]
    Expected {
        /// Column in characters, from 1.
        column: usize,
        /// What could have stood here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// A value alone is not a condition.
    #[error("the condition is a lone value: compare it with something, for example `{0} == \"text\"`")]
    LoneValue(String),
    /// A number with more digits than can be computed with.
    #[error(
        "condition, column {column}: the number has too many digits; put it in quotes to compare it as text"
    )]
    NumberTooLarge {
        /// Column in characters, from 1.
        column: usize,
    },
    /// More nesting than is computed.
    #[error("the condition is nested deeper than {MAX_DEPTH} levels of parentheses, `not` and file tests")]
    TooDeep,
    /// A longer text than is read.
    #[error("the condition is longer than {MAX_LENGTH} bytes")]
    TooLong,
}

pub(super) fn parse(text: &str) -> Result<Expression, ConditionError> {
    if text.len() > MAX_LENGTH {
        return Err(ConditionError::TooLong);
    }
    let whole = preceded(blanks, |input: &mut &str| or_level(input, 0));
    let expression = terminated(whole, expecting(eof, REST))
        .parse(text)
        .map_err(|error| describe(text, error.offset(), error.inner()))?;
    if expression.is_atom() { Err(ConditionError::LoneValue(expression.to_string())) } else { Ok(expression) }
}

fn describe(text: &str, offset: usize, error: &ContextError) -> ConditionError {
    let column = text.get(..offset).unwrap_or(text).chars().count() + 1;
    let mut expected = None;
    for context in error.context() {
        match context {
            StrContext::Label(TOO_DEEP) => return ConditionError::TooDeep,
            StrContext::Label(TOO_LARGE) => return ConditionError::NumberTooLarge { column },
            StrContext::Expected(StrContextValue::Description(what)) => expected = expected.or(Some(*what)),
            _ => {}
        }
    }
    let rest = text.get(offset..).unwrap_or_default();
    let found = match rest.chars().next() {
        None => "the end".to_owned(),
        Some(first) => format!("`{}`", excerpt(first, rest)),
    };
    ConditionError::Expected { column, expected: expected.unwrap_or(START), found }
}

/// The word at the start of `rest`, shortened, or its first character.
fn excerpt(first: char, rest: &str) -> String {
    if is_word(first) {
        rest.chars().take_while(|c| is_word(*c)).take(20).collect()
    } else {
        first.to_string()
    }
}

const TOO_DEEP: &str = "too deep";
const TOO_LARGE: &str = "too large";

/// Names what was expected when `parser` does not match.
fn expecting<'s, O>(
    parser: impl Parser<&'s str, O, ErrMode<ContextError>>,
    what: &'static str,
) -> impl Parser<&'s str, O, ErrMode<ContextError>> {
    parser.context(StrContext::Expected(StrContextValue::Description(what)))
}

fn blanks(input: &mut &str) -> ModalResult<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

/// A literal token and the blanks after it.
fn token<'s>(text: &'static str) -> impl Parser<&'s str, (), ErrMode<ContextError>> {
    terminated(text, blanks).void()
}

fn keyword<'s>(word: &'static str) -> impl Parser<&'s str, (), ErrMode<ContextError>> {
    terminated(Caseless(word), blanks).void()
}

fn fail<O>(label: &'static str) -> ModalResult<O> {
    let mut error = ContextError::new();
    error.push(StrContext::Label(label));
    Err(ErrMode::Cut(error))
}

/// One level further down, or an error.
fn deeper(depth: usize) -> ModalResult<usize> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { fail(TOO_DEEP) }
}

fn or_level(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    list(input, depth, "or", and_level, Expression::Or)
}

fn and_level(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    list(input, depth, "and", not_level, Expression::And)
}

fn list(
    input: &mut &str,
    depth: usize,
    word: &'static str,
    operand: fn(&mut &str, usize) -> ModalResult<Expression>,
    build: fn(Vec<Expression>) -> Expression,
) -> ModalResult<Expression> {
    let first = operand(input, depth)?;
    let mut operands = vec![first];
    while matched(input, keyword(word))? {
        operands.push(must(input, START, |input| operand(input, depth))?);
    }
    Ok(match operands.pop() {
        Some(only) if operands.is_empty() => only,
        Some(last) => {
            operands.push(last);
            build(operands)
        }
        None => return fail(START),
    })
}

fn not_level(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    if matched(input, keyword("not"))? {
        let depth = deeper(depth)?;
        let operand = must(input, START, |input| not_level(input, depth))?;
        return Ok(Expression::Not(Box::new(operand)));
    }
    file_level(input, depth)
}

fn file_level(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    let tests = alt((
        token("-f").value(FileTest::Regular),
        token("-d").value(FileTest::Directory),
        token("-e").value(FileTest::Exists),
        token("-l").value(FileTest::Link),
    ));
    if let Some(test) = optional(input, tests)? {
        let depth = deeper(depth)?;
        let operand = must(input, OPERAND, |input| file_level(input, depth))?;
        return Ok(Expression::File(test, Box::new(operand)));
    }
    comparison(input, depth)
}

fn comparison(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    let operator = |input: &mut &str| {
        alt((
            token("==").value(Operator::Equal),
            token("=").value(Operator::Equal),
            token("!=").value(Operator::NotEqual),
            token(">=").value(Operator::GreaterEqual),
            token("<=").value(Operator::LessEqual),
            token("<").value(Operator::Less),
            token(">").value(Operator::Greater),
            token("contains").value(Operator::Contains),
            token("startswith").value(Operator::StartsWith),
        ))
        .parse_next(input)
    };
    chain(input, depth, operator, sum)
}

fn sum(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    let operator = |input: &mut &str| {
        alt((token("+").value(Operator::Add), token("-").value(Operator::Subtract))).parse_next(input)
    };
    chain(input, depth, operator, product)
}

fn product(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    let operator = |input: &mut &str| {
        alt((token("*").value(Operator::Multiply), token("/").value(Operator::Divide))).parse_next(input)
    };
    chain(input, depth, operator, atom)
}

fn chain(
    input: &mut &str,
    depth: usize,
    operator: fn(&mut &str) -> ModalResult<Operator>,
    operand: fn(&mut &str, usize) -> ModalResult<Expression>,
) -> ModalResult<Expression> {
    let first = operand(input, depth)?;
    let mut rest = Vec::new();
    while let Some(operator) = optional(input, operator)? {
        rest.push((operator, must(input, OPERAND, |input| operand(input, depth))?));
    }
    Ok(if rest.is_empty() { first } else { Expression::Chain(Box::new(first), rest) })
}

fn atom(input: &mut &str, depth: usize) -> ModalResult<Expression> {
    if matched(input, token("("))? {
        let depth = deeper(depth)?;
        let inner = must(input, START, |input| or_level(input, depth))?;
        must(input, CLOSING, |input| token(")").parse_next(input))?;
        return Ok(inner);
    }
    terminated(alt((number, text, variable)), blanks).parse_next(input)
}

fn number(input: &mut &str) -> ModalResult<Expression> {
    let start = input.checkpoint();
    let digits = |input: &mut &str| take_while(0.., |c: char| c.is_ascii_digit()).void().parse_next(input);
    let written = (opt('-'), digits, opt(('.', digits))).take();
    let text: &str =
        written.verify(|text: &str| text.contains(|c: char| c.is_ascii_digit())).parse_next(input)?;
    if Number::read(text).is_none() {
        input.reset(&start);
        return fail(TOO_LARGE);
    }
    Ok(Expression::Number(text.to_owned()))
}

fn text(input: &mut &str) -> ModalResult<Expression> {
    let quote = one_of(['"', '\'']).parse_next(input)?;
    let text: &str = take_till(0.., |c| c == quote || c == '\n' || c == '\r').parse_next(input)?;
    must(input, QUOTE, |input| quote.void().parse_next(input))?;
    Ok(Expression::Text(text.to_owned()))
}

fn variable(input: &mut &str) -> ModalResult<Expression> {
    '$'.parse_next(input)?;
    let braced = matched(input, token("{"))?;
    let name: &str = must(input, NAME, |input| take_while(1.., is_word).parse_next(input))?;
    if braced {
        blanks(input)?;
        must(input, BRACE, |input| '}'.void().parse_next(input))?;
    }
    Ok(Expression::Variable { name: name.to_owned(), braced })
}

/// Runs `parser` where nothing else can stand: a mismatch is final and says what was expected.
fn must<'s, O>(
    input: &mut &'s str,
    what: &'static str,
    parser: impl FnMut(&mut &'s str) -> ModalResult<O>,
) -> ModalResult<O> {
    cut_err(expecting(parser, what)).parse_next(input)
}

fn optional<'s, O>(
    input: &mut &'s str,
    parser: impl Parser<&'s str, O, ErrMode<ContextError>>,
) -> ModalResult<Option<O>> {
    opt(parser).parse_next(input)
}

fn matched<'s>(
    input: &mut &'s str,
    parser: impl Parser<&'s str, (), ErrMode<ContextError>>,
) -> ModalResult<bool> {
    Ok(optional(input, parser)?.is_some())
}
