//! From rule and document to matches.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Rule;
use crate::ast::{Calculation, Comparator, Comparison, Condition, FieldTest, Operand, Operator, Path, Step};

/// An element that fulfils a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// Where it is: `$.MOUNTS[2].USED`.
    pub path: String,
    /// Its value in the document.
    pub value: Value,
}

/// What a rule says of a document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// The elements that make it true, none when it is false. Empty when it is true because of something that is not so.
    pub matches: Option<Vec<Match>>,
    /// What could not be compared, each once.
    pub warnings: Vec<String>,
}

impl Rule {
    /// Applies the rule. Every comparison is made, also where the answer is known before: all matches belong to the answer.
    pub fn evaluate(&self, document: &Value) -> Verdict {
        let mut evaluation = Evaluation { document, warnings: BTreeSet::new() };
        let matches = evaluation.condition(&self.0);
        Verdict { matches, warnings: evaluation.warnings.into_iter().collect() }
    }
}

struct Evaluation<'d> {
    document: &'d Value,
    warnings: BTreeSet<String>,
}

/// A value and where it is.
type Found<'d> = (String, &'d Value);

impl<'d> Evaluation<'d> {
    fn condition(&mut self, condition: &Condition) -> Option<Vec<Match>> {
        match condition {
            Condition::Any(parts) => {
                let found: Vec<_> = parts.iter().filter_map(|part| self.condition(part)).collect();
                (!found.is_empty()).then(|| found.into_iter().flatten().collect())
            }
            Condition::All(parts) => {
                let found: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
                found
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .map(|found| found.into_iter().flatten().collect())
            }
            // What is not so has no place.
            Condition::Not(inner) => self.condition(inner).is_none().then(Vec::new),
            Condition::Holds(comparison) => {
                let matches = self.comparison(comparison);
                (!matches.is_empty()).then_some(matches)
            }
        }
    }

    fn comparison(&mut self, comparison: &Comparison) -> Vec<Match> {
        let found = self.values(&comparison.path);
        let mut matches = Vec::new();
        for (path, value) in found {
            let calculated = match &comparison.calculation {
                None => Some(value.clone()),
                Some(calculation) => match self.calculate(calculation, value) {
                    Ok(number) => Some(Value::from(number)),
                    Err(why) => {
                        self.warnings.insert(format!("{path}: {why}"));
                        None
                    }
                },
            };
            let holds = calculated
                .is_some_and(|value| self.holds(&path, &value, comparison.comparator, &comparison.literal));
            if holds {
                matches.push(Match { path, value: value.clone() });
            }
        }
        matches
    }

    /// The values at a path. Elements of lists one by one.
    fn values(&mut self, path: &Path) -> Vec<Found<'d>> {
        let mut here = vec![("$".to_owned(), self.document)];
        for step in &path.0 {
            let mut next = Vec::new();
            for (place, value) in here {
                let place = format!("{place}.{}", shown_name(&step.name));
                match value.get(&step.name) {
                    None => {
                        self.warnings.insert(format!("{place} is missing"));
                    }
                    Some(value) => self.elements(place, value, step, &mut next),
                }
            }
            here = next;
        }
        here
    }

    fn elements(&mut self, place: String, value: &'d Value, step: &Step, found: &mut Vec<Found<'d>>) {
        let Value::Array(elements) = value else {
            if self.is_wanted(&place, value, step) {
                found.push((place, value));
            }
            return;
        };
        for (number, element) in elements.iter().enumerate() {
            let place = format!("{place}[{number}]");
            if self.is_wanted(&place, element, step) {
                found.push((place, element));
            }
        }
    }

    fn is_wanted(&mut self, place: &str, element: &Value, step: &Step) -> bool {
        step.filter.as_ref().is_none_or(|filter| self.filter(place, element, filter))
    }

    fn filter(&mut self, place: &str, element: &Value, filter: &Condition<FieldTest>) -> bool {
        match filter {
            Condition::Any(parts) => parts.iter().any(|part| self.filter(place, element, part)),
            Condition::All(parts) => parts.iter().all(|part| self.filter(place, element, part)),
            Condition::Not(inner) => !self.filter(place, element, inner),
            Condition::Holds(FieldTest { field, comparator, literal }) => {
                let place = field
                    .iter()
                    .fold(place.to_owned(), |place, name| format!("{place}.{}", shown_name(name)));
                let value = field.iter().try_fold(element, |value, name| value.get(name));
                if let Some(value) = value {
                    self.holds(&place, value, *comparator, literal)
                } else {
                    self.warnings.insert(format!("{place} is missing"));
                    false
                }
            }
        }
    }

    /// Numbers with numbers, texts with texts; anything else is no, with a warning.
    fn holds(&mut self, place: &str, value: &Value, comparator: Comparator, literal: &Value) -> bool {
        let answer = match (value, literal) {
            (Value::Number(value), Value::Number(literal)) => match (value.as_f64(), literal.as_f64()) {
                (Some(value), Some(literal)) => {
                    value.partial_cmp(&literal).and_then(|order| ordered(order, comparator))
                }
                _ => None,
            },
            (Value::String(value), Value::String(literal)) => match comparator {
                Comparator::Contains => Some(value.contains(literal.as_str())),
                Comparator::StartsWith => Some(value.starts_with(literal.as_str())),
                _ => ordered(value.as_str().cmp(literal), comparator),
            },
            _ => None,
        };
        answer.unwrap_or_else(|| {
            self.warnings.insert(format!("{place} can not be compared in this way with {literal}"));
            false
        })
    }

    fn calculate(&mut self, calculation: &Calculation, this: &Value) -> Result<f64, String> {
        let mut result = self.operand(&calculation.first, this)?;
        for (operator, operand) in &calculation.rest {
            let operand = self.operand(operand, this)?;
            result = match operator {
                Operator::Add => result + operand,
                Operator::Subtract => result - operand,
                Operator::Multiply => result * operand,
                Operator::Divide => result / operand,
                Operator::Remainder => result % operand,
            };
            if !result.is_finite() {
                return Err(format!("the calculation `{operator} {operand}` has no number as its result"));
            }
        }
        Ok(result)
    }

    fn operand(&mut self, operand: &Operand, this: &Value) -> Result<f64, String> {
        match operand {
            Operand::Number(number) => Ok(*number),
            Operand::This => number(this).ok_or_else(|| format!("{this} is no number to calculate with")),
            Operand::Group(inner) => self.calculate(inner, this),
            Operand::Path(path) => {
                let first = self.values(path).into_iter().next();
                let (place, value) = first.ok_or("a value of the calculation is missing")?;
                number(value).ok_or_else(|| format!("{place} is no number to calculate with"))
            }
        }
    }
}

/// A number, or a text that is one: collectors write both.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

fn ordered(order: std::cmp::Ordering, comparator: Comparator) -> Option<bool> {
    match comparator {
        Comparator::Equal => Some(order.is_eq()),
        Comparator::NotEqual => Some(order.is_ne()),
        Comparator::AtLeast => Some(order.is_ge()),
        Comparator::AtMost => Some(order.is_le()),
        Comparator::Greater => Some(order.is_gt()),
        Comparator::Less => Some(order.is_lt()),
        Comparator::Contains | Comparator::StartsWith => None,
    }
}

/// A name as a path has it.
fn shown_name(name: &str) -> String {
    if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "CPU": 91, "MEM": 40.5, "SSH": "OpenSSH_6.6", "NTP": 0, "COUNT": "10", "ZERO": 0,
            "MOUNTS": [
                {"NAME": "/", "FS": "ext4", "USED": 81, "INODES": {"USED": 3}},
                {"NAME": "/data", "FS": "nfs", "USED": 99, "INODES": {"USED": 95}},
                {"NAME": "/var", "FS": "xfs", "USED": 95, "INODES": {"USED": 96}}
            ],
            "IPS": ["10.0.0.1", "192.168.1.1"], "DB": {"odd name": [{"X": 5}], "TYPE": "a"}
        })
    }

    /// The paths of the matches; `false` alone when the rule is false.
    fn paths(rule: &str) -> Vec<String> {
        let verdict = rule.parse::<Rule>().unwrap().evaluate(&document());
        let paths = |matches: Vec<Match>| matches.into_iter().map(|found| found.path).collect();
        verdict.matches.map_or_else(|| vec!["false".to_owned()], paths)
    }

    #[test]
    fn each_element_of_a_list_is_compared() {
        assert_eq!(paths("$.MOUNTS.USED > 90"), ["$.MOUNTS[1].USED", "$.MOUNTS[2].USED"]);
        assert_eq!(paths("$.MOUNTS[].USED > 100"), ["false"]);
        assert_eq!(paths(r#"$.MOUNTS[FS != "nfs"].USED > 80"#), ["$.MOUNTS[0].USED", "$.MOUNTS[2].USED"]);
        assert_eq!(
            paths(
                r#"$.MOUNTS[FS = "nfs" or INODES.USED >= 96 and not NAME startswith "/d"].INODES.USED > 0"#
            ),
            ["$.MOUNTS[1].INODES.USED", "$.MOUNTS[2].INODES.USED"]
        );
        assert_eq!(paths(r#"$.IPS startswith "192.""#), ["$.IPS[1]"]);
        assert_eq!(paths(r#"$.DB[TYPE = "a"]."odd name".X == 5"#), [r#"$.DB."odd name"[0].X"#]);
        assert_eq!(paths(r#"$.DB[TYPE = "b"]."odd name".X == 5"#), ["false"]);
    }

    #[test]
    fn a_combined_rule_has_the_matches_of_all_its_parts() {
        assert_eq!(paths("$.CPU >= 90 and $.MEM < 50"), ["$.CPU", "$.MEM"]);
        assert_eq!(paths("$.CPU >= 90 and $.MEM > 50"), ["false"]);
        assert_eq!(paths("$.CPU >= 90 or $.MEM > 50"), ["$.CPU"]);
        assert_eq!(paths("$.MEM > 50 or $.CPU >= 90 and ($.NTP = 1 or $.NTP = 0)"), ["$.CPU", "$.NTP"]);
    }

    #[test]
    fn what_is_not_so_has_no_path() {
        assert_eq!(paths("not $.NTP == 1"), Vec::<String>::new());
        assert_eq!(paths("not $.NTP == 0"), ["false"]);
        assert_eq!(paths("not $.NOWHERE == 1"), Vec::<String>::new());
    }

    #[test]
    fn calculations_go_from_left_to_right() {
        assert_eq!(paths("$.MOUNTS.USED{$this / $.COUNT} > 9.4"), ["$.MOUNTS[1].USED", "$.MOUNTS[2].USED"]);
        assert_eq!(paths("$.CPU{$this - 1 * 10} = 900"), ["$.CPU"]);
        assert_eq!(paths("$.CPU{$this - (1 * 10)} = 81"), ["$.CPU"]);
        assert_eq!(paths("$.CPU{$this % 10 + 0.5} = 1.5"), ["$.CPU"]);
        assert_eq!(paths("$.CPU{$this / $.ZERO} > 0"), ["false"]);
    }

    #[test]
    fn what_can_not_be_compared_is_no_and_said_once() {
        for (rule, warning) in [
            ("$.NOWHERE > 1", "$.NOWHERE is missing"),
            (r#"$.CPU = "91""#, "$.CPU can not be compared in this way with \"91\""),
            ("$.CPU contains 9", "$.CPU can not be compared in this way with 9.0"),
            ("$.SSH{$this + 1} > 1", "$.SSH: \"OpenSSH_6.6\" is no number to calculate with"),
            ("$.CPU{$this / $.ZERO} > 0", "$.CPU: the calculation `/ 0` has no number as its result"),
            ("$.MOUNTS[NONE = 1].USED > 1 or $.MOUNTS[NONE = 1].USED > 1", "$.MOUNTS[0].NONE is missing"),
        ] {
            let verdict = rule.parse::<Rule>().unwrap().evaluate(&document());
            assert_eq!(verdict.matches, None, "{rule}");
            assert_eq!(verdict.warnings[0], warning);
            assert!(verdict.warnings.len() <= 3, "{:?}", verdict.warnings);
        }
    }
}
