//! From tree to truth. One evaluation owns all its state.

use std::cmp::Ordering;

use super::Environment;
use super::arithmetic::{NoResult, Number};
use super::expression::{Expression, Operator};
use crate::reference::{Found, Template};

/// Why a condition has no truth value. The texts quote the condition, never the values of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// An operator does not take operands of these kinds.
    #[error("in condition `{expression}`: `{operator}` needs {needs}, but got {left} and {right}")]
    Operands {
        /// The part of the condition.
        expression: String,
        /// The operator.
        operator: &'static str,
        /// What it takes.
        needs: &'static str,
        /// Kind of the left operand.
        left: &'static str,
        /// Kind of the right operand.
        right: &'static str,
    },
    /// A file test of something that is not a path.
    #[error(
        "in condition `{expression}`: `{test}` needs a path, but got {got}; put the file test in parentheses"
    )]
    Path {
        /// The part of the condition.
        expression: String,
        /// The file test.
        test: &'static str,
        /// Kind of the operand.
        got: &'static str,
    },
    /// A division by zero.
    #[error("in condition `{expression}`: division by zero")]
    DivisionByZero {
        /// The part of the condition.
        expression: String,
    },
    /// A result that is too large to compute with.
    #[error("in condition `{expression}`: the result of `{operator}` is out of range")]
    OutOfRange {
        /// The part of the condition.
        expression: String,
        /// The operator.
        operator: &'static str,
    },
}

/// A value while evaluating.
#[derive(Debug, Clone)]
enum Operand {
    Truth(bool),
    /// A number and, if it was read, the text it was read from.
    Number(Number, Option<String>),
    Text(String),
}

impl Operand {
    /// Digits, and digits with one dot, are numbers. A sign makes a text, which still compares as a number.
    fn read(text: String) -> Self {
        match Number::read(&text) {
            Some(number) if !text.starts_with('-') => Self::Number(number, Some(text)),
            _ => Self::Text(text),
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number, _) => Some(*number),
            Self::Text(text) => Number::read(text),
            Self::Truth(_) => None,
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Truth(truth) => *truth,
            Self::Number(number, _) => !number.is_zero(),
            Self::Text(text) => !text.is_empty(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Truth(_) => "true or false",
            Self::Number(..) => "a number",
            Self::Text(_) => "a text",
        }
    }
}

pub(super) fn truth(expression: &Expression, environment: &dyn Environment) -> Result<bool, EvaluationError> {
    evaluate(expression, environment).map(|operand| operand.is_true())
}

fn evaluate(expression: &Expression, environment: &dyn Environment) -> Result<Operand, EvaluationError> {
    match expression {
        Expression::Or(operands) => fold(operands, environment, true),
        Expression::And(operands) => fold(operands, environment, false),
        Expression::Not(operand) => truth(operand, environment).map(|truth| Operand::Truth(!truth)),
        Expression::File(test, operand) => match evaluate(operand, environment)? {
            Operand::Text(path) | Operand::Number(_, Some(path)) => {
                Ok(Operand::Truth(environment.file(*test, &path)))
            }
            Operand::Number(Number::Whole(number), None) => {
                Ok(Operand::Truth(environment.file(*test, &number.to_string())))
            }
            other => Err(EvaluationError::Path {
                expression: expression.to_string(),
                test: test.as_str(),
                got: other.kind(),
            }),
        },
        Expression::Chain(first, rest) => {
            rest.iter().try_fold(evaluate(first, environment)?, |left, step| {
                let right = evaluate(&step.1, environment)?;
                apply(step.0, left, right, expression)
            })
        }
        Expression::Number(text) => match Number::read(text) {
            Some(number) => Ok(Operand::Number(number, Some(text.clone()))),
            None => Ok(Operand::Text(text.clone())),
        },
        Expression::Text(text) => Ok(Operand::read(expand(text, environment))),
        Expression::Variable { name, .. } => Ok(environment
            .variable(name)
            .map_or_else(|| Operand::Text(expression.to_string()), Operand::read)),
    }
}

/// `and`, `or`: all operands are evaluated, so that an error in one never hides; the result is the operand
/// that decides, which is the first whose truth is `deciding`, else the last.
fn fold(
    operands: &[Expression],
    environment: &dyn Environment,
    deciding: bool,
) -> Result<Operand, EvaluationError> {
    let mut result: Option<Operand> = None;
    for operand in operands {
        let operand = evaluate(operand, environment)?;
        if result.as_ref().is_none_or(|result| result.is_true() != deciding) {
            result = Some(operand);
        }
    }
    Ok(result.unwrap_or(Operand::Truth(!deciding)))
}

fn expand(text: &str, environment: &dyn Environment) -> String {
    Template::parse(text).resolve_variables(|name| environment.variable(name).map(Found::plain)).text
}

fn apply(
    operator: Operator,
    left: Operand,
    right: Operand,
    expression: &Expression,
) -> Result<Operand, EvaluationError> {
    let refuse = |needs| EvaluationError::Operands {
        expression: expression.to_string(),
        operator: operator.as_str(),
        needs,
        left: left.kind(),
        right: right.kind(),
    };
    let numbers = left.number().zip(right.number());
    let truth = match operator {
        Operator::Equal => equal(&left, &right),
        Operator::NotEqual => !equal(&left, &right),
        Operator::Less => order(&left, &right, refuse)?.is_lt(),
        Operator::LessEqual => order(&left, &right, refuse)?.is_le(),
        Operator::Greater => order(&left, &right, refuse)?.is_gt(),
        Operator::GreaterEqual => order(&left, &right, refuse)?.is_ge(),
        Operator::Contains | Operator::StartsWith => match (&left, &right) {
            (Operand::Text(text), Operand::Text(part)) if operator == Operator::Contains => {
                text.contains(part.as_str())
            }
            (Operand::Text(text), Operand::Text(part)) => text.starts_with(part.as_str()),
            _ => return Err(refuse("two texts")),
        },
        Operator::Add => {
            return match (numbers, &left, &right) {
                (Some((left, right)), ..) => number(left.add(right), operator, expression),
                (None, Operand::Text(left), Operand::Text(right)) => {
                    Ok(Operand::Text(format!("{left}{right}")))
                }
                _ => Err(refuse("two numbers or two texts")),
            };
        }
        Operator::Subtract | Operator::Multiply | Operator::Divide => {
            let (left, right) = numbers.ok_or_else(|| refuse("two numbers"))?;
            let result = match operator {
                Operator::Subtract => left.subtract(right),
                Operator::Multiply => left.multiply(right),
                _ => left.divide(right),
            };
            return number(result, operator, expression);
        }
    };
    Ok(Operand::Truth(truth))
}

/// Values of different kinds are unequal; 5 equals 5.0.
fn equal(left: &Operand, right: &Operand) -> bool {
    match (left, right) {
        (Operand::Truth(left), Operand::Truth(right)) => left == right,
        (Operand::Text(left), Operand::Text(right)) if left == right => true,
        _ => left
            .number()
            .zip(right.number())
            .is_some_and(|(left, right)| left.compare(right) == Ordering::Equal),
    }
}

fn order(
    left: &Operand,
    right: &Operand,
    refuse: impl Fn(&'static str) -> EvaluationError,
) -> Result<Ordering, EvaluationError> {
    if let Some((left, right)) = left.number().zip(right.number()) {
        return Ok(left.compare(right));
    }
    match (left, right) {
        (Operand::Text(left), Operand::Text(right)) => Ok(left.cmp(right)),
        _ => Err(refuse("two numbers or two texts")),
    }
}

fn number(
    result: Result<Number, NoResult>,
    operator: Operator,
    expression: &Expression,
) -> Result<Operand, EvaluationError> {
    result.map(|number| Operand::Number(number, None)).map_err(|problem| {
        let expression = expression.to_string();
        match problem {
            NoResult::DivisionByZero => EvaluationError::DivisionByZero { expression },
            NoResult::OutOfRange => EvaluationError::OutOfRange { expression, operator: operator.as_str() },
        }
    })
}
