//! From expression and row to a value.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::expression::{Expression, Node};
use crate::rows::{Row, cell};

/// What a part of an expression is for a row.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Missing,
    Text(Cow<'a, str>),
    Number(f64),
    Truth(bool),
}

impl Expression {
    /// Whether it is true for the row.
    pub(crate) fn holds(&self, row: &Row) -> bool {
        value(&self.0, row).is_true()
    }
}

impl Value<'_> {
    fn is_true(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Text(text) => !text.is_empty() && text != "0",
            Self::Number(number) => *number != 0.0,
            Self::Truth(truth) => *truth,
        }
    }

    fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Missing => return None,
            Self::Text(text) => text.trim().parse().ok()?,
            Self::Number(number) => *number,
            Self::Truth(truth) => f64::from(u8::from(*truth)),
        };
        number.is_finite().then_some(number)
    }

    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Missing => "".into(),
            Self::Text(text) => text.as_ref().into(),
            Self::Number(number) => number.to_string().into(),
            Self::Truth(truth) => if *truth { "1" } else { "" }.into(),
        }
    }
}

fn value<'a>(node: &'a Node, row: &'a Row) -> Value<'a> {
    match node {
        Node::Path(path) => match row.get(path) {
            None | Some(Json::Null) => Value::Missing,
            Some(Json::Bool(truth)) => Value::Truth(*truth),
            Some(Json::Number(number)) => number.as_f64().map_or(Value::Missing, Value::Number),
            Some(Json::String(text)) => Value::Text(text.into()),
            other => Value::Text(cell(other).into()),
        },
        Node::Text(text) => Value::Text(text.into()),
        Node::Number(number) => Value::Number(*number),
        // A pattern that takes too long on a value is not found in it.
        Node::Matches { value: inner, pattern, wanted } => {
            Value::Truth(pattern.is_match(value(inner, row).text().as_ref()).unwrap_or(false) == *wanted)
        }
        Node::Not(inner) => Value::Truth(!value(inner, row).is_true()),
        Node::Minus(inner) => {
            value(inner, row).number().map_or(Value::Missing, |number| Value::Number(-number))
        }
        Node::Binary { operator, left, right } => {
            let left = value(left, row);
            match *operator {
                "or" | "||" => Value::Truth(left.is_true() || value(right, row).is_true()),
                "and" | "&&" => Value::Truth(left.is_true() && value(right, row).is_true()),
                operator => binary(operator, &left, &value(right, row)),
            }
        }
    }
}

fn binary<'a>(operator: &str, left: &Value<'_>, right: &Value<'_>) -> Value<'a> {
    let calculate = |with: fn(f64, f64) -> f64| {
        let result = left.number().zip(right.number()).map(|(left, right)| with(left, right));
        result.filter(|result| result.is_finite()).map_or(Value::Missing, Value::Number)
    };
    let compare = |holds: fn(Ordering) -> bool| {
        let is_missing = *left == Value::Missing || *right == Value::Missing;
        Value::Truth(!is_missing && natural(left, right).is_some_and(holds))
    };
    let as_text = |holds: fn(Ordering) -> bool| Value::Truth(holds(left.text().cmp(&right.text())));
    match operator {
        "+" => calculate(|left, right| left + right),
        "-" => calculate(|left, right| left - right),
        "*" => calculate(|left, right| left * right),
        "/" => calculate(|left, right| left / right),
        "%" => calculate(|left, right| left % right),
        "==" | "=" => Value::Truth(natural(left, right) == Some(Ordering::Equal)),
        "!=" => Value::Truth(natural(left, right) != Some(Ordering::Equal)),
        "<" => compare(Ordering::is_lt),
        "<=" => compare(Ordering::is_le),
        ">" => compare(Ordering::is_gt),
        ">=" => compare(Ordering::is_ge),
        "eq" => as_text(Ordering::is_eq),
        "ne" => as_text(Ordering::is_ne),
        "lt" => as_text(Ordering::is_lt),
        "le" => as_text(Ordering::is_le),
        "gt" => as_text(Ordering::is_gt),
        "ge" => as_text(Ordering::is_ge),
        _ => Value::Missing,
    }
}

/// Numbers, and texts that are numbers, as numbers; everything else as text.
fn natural(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left.number(), right.number()) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ => Some(left.text().cmp(&right.text())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Row {
        let row =
            json!({"n": 20, "t": "7", "name": "db-1", "none": null, "on": true, "a.b": 0.5, "list": [1, 2]});
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn expressions_are_true_or_not() {
        for (text, expected) in [
            ("[n] == 20 and [t] < 10", true),
            ("[n] < [t]", false),
            ("[n] lt [t]", true),
            ("[name] eq 'db-1'", true),
            ("[name] = \"db-2\" or [name] =~ /^DB-\\d$/i", true),
            ("[name] !~ m/db/ || [a.b] * 2 == 1", true),
            ("[name] =~ \"^db\"", true),
            ("not [n] > 5 and [n] > 5", false),
            ("not ([n] > 5 and [n] > 50)", true),
            ("![on] || -[n] + 21 == 1", true),
            ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 10 - 2 - 3 == 5", true),
            ("[none] == ''", true),
            ("[none] == 0", false),
            ("[none] < 1 or [none] >= 0", false),
            ("[n] / 0 == 0", false),
            ("[name] + 1 == 1", false),
            ("[list] eq '[1,2]'", true),
            ("[on]", true),
            ("[nowhere]", false),
        ] {
            let expression: Expression = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.holds(&row()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_said_with_its_place() {
        for (text, expected) in [
            ("", "at the end: a value is missing: [path], a number or a quoted text"),
            ("[n] >", "at the end: a value is missing: [path], a number or a quoted text"),
            ("[n > 1", "at character 1: `]` is missing"),
            ("[n] > 1 2", "at character 9: nothing more is expected here"),
            ("([n] > 1", "at the end: `)` is missing"),
            (
                "[n] > x",
                "at character 7: `x` has no meaning: put values into [brackets] and texts into quotes",
            ),
            ("[n] =~ 'a", "at character 8: the text has no closing quote"),
            ("[n] =~ 1", "at character 8: a pattern is missing: write /pattern/ or a quoted text"),
            ("[n] =~ /a/gi", "at character 8: `gi` behind a pattern has no meaning: only `i` has"),
            ("[n] > 1.2.3", "at character 7: `1.2.3` is no number"),
            ("[n] ; 1", "at character 5: `;` has no meaning here"),
        ] {
            assert_eq!(text.parse::<Expression>().unwrap_err().to_string(), expected, "{text}");
        }
        assert!("[n] =~ /(/".parse::<Expression>().unwrap_err().to_string().contains("`(` is no pattern"));
    }

    #[test]
    fn size_and_nesting_are_limited() {
        for text in [
            format!("{}1{}", "(".repeat(900), ")".repeat(900)),
            format!("{}1", "not ".repeat(900)),
            format!("{}1", "- ".repeat(900)),
            vec!["1"; 90_000].join(" + "),
        ] {
            assert!(text.parse::<Expression>().is_err());
        }
        assert!(vec!["[n] > 1"; 400].join(" and ").parse::<Expression>().unwrap().holds(&row()));
    }

    #[test]
    fn a_pattern_that_takes_too_long_ends() {
        let expression: Expression = "[x] =~ /^(?:a(?!c)|aa(?!c))*$/".parse().unwrap();
        let row: Row = [("x".to_owned(), json!(format!("{}!", "a".repeat(60))))].into_iter().collect();
        assert!(!expression.holds(&row));
    }
}
