//! What a rule is made of.

use serde_json::Value;

/// Something that is true or not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition<C = Comparison> {
    /// Parts with `or` between them. A list, so that many of them take no more of the stack than two.
    Any(Vec<Condition<C>>),
    /// Parts with `and` between them.
    All(Vec<Condition<C>>),
    Not(Box<Condition<C>>),
    Holds(C),
}

/// Values of the document, beside one of the rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) path: Path,
    pub(crate) calculation: Option<Calculation>,
    pub(crate) comparator: Comparator,
    pub(crate) literal: Value,
}

/// A field of an element, beside a value of the rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldTest {
    pub(crate) field: Vec<String>,
    pub(crate) comparator: Comparator,
    pub(crate) literal: Value,
}

/// Where values are.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Path(pub(crate) Vec<Step>);

/// One name on the way, and which elements of it count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) filter: Option<Condition<FieldTest>>,
}

/// Calculated from left to right: one precedence, as rules always were.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calculation {
    pub(crate) first: Operand,
    pub(crate) rest: Vec<(Operator, Operand)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    This,
    Number(f64),
    Path(Path),
    Group(Box<Calculation>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Greater,
    Less,
    Contains,
    StartsWith,
}
