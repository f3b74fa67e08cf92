//! Reading JSON with a path at hand, so that every complaint names the member it is about.

use std::fmt;

use serde_json::{Map, Value};

use crate::node::kind_of;

/// A JSON value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    value: &'a Value,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

/// What is wrong with a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) path: String,
    pub(crate) problem: String,
}

impl<'a> At<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, step: Step::Root }
    }

    /// A member; missing and `null` are the same.
    pub(crate) fn get(&'a self, member: &'a str) -> Option<At<'a>> {
        let value = self.value.get(member).filter(|value| !value.is_null())?;
        Some(At { value, step: Step::Member(self, member) })
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn complain(&self, problem: impl fmt::Display) -> Complaint {
        Complaint { path: self.path(), problem: problem.to_string() }
    }

    pub(crate) fn missing(&self, member: &str) -> Complaint {
        let path = self.path();
        let path = if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") };
        Complaint { path, problem: "missing".to_owned() }
    }

    fn expected(&self, what: &str) -> Complaint {
        self.complain(format_args!("expected {what}, found {}", kind_of(self.value)))
    }

    pub(crate) fn object(&self) -> Result<&'a Map<String, Value>, Complaint> {
        self.value.as_object().ok_or_else(|| self.expected("an object"))
    }

    /// The elements of an array, each converted by `read`.
    pub(crate) fn each<T>(
        &self,
        mut read: impl FnMut(&At<'_>) -> Result<T, Complaint>,
    ) -> Result<Vec<T>, Complaint> {
        let elements = self.value.as_array().ok_or_else(|| self.expected("an array"))?;
        elements
            .iter()
            .enumerate()
            .map(|(index, value)| read(&At { value, step: Step::Index(self, index) }))
            .collect()
    }

    /// Text, or a number written out.
    pub(crate) fn text(&self) -> Result<String, Complaint> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.expected("text")),
        }
    }

    /// An integer, or text that is one.
    pub(crate) fn integer(&self) -> Result<i64, Complaint> {
        match self.value {
            Value::Number(number) => number.as_i64().ok_or_else(|| self.expected("a whole number")),
            Value::String(text) => {
                text.trim().parse().map_err(|_| self.complain("expected a whole number, found other text"))
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    /// `true`, `false`, or a number or text that is 0 or 1.
    pub(crate) fn flag(&self) -> Result<bool, Complaint> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if matches!(text.as_str(), "" | "false") => Ok(false),
            Value::String(text) if text == "true" => Ok(true),
            _ => Ok(self.integer()? != 0),
        }
    }

    fn path(&self) -> String {
        match self.step {
            Step::Root => String::new(),
            Step::Member(parent, member) => {
                let parent = parent.path();
                if parent.is_empty() { member.to_owned() } else { format!("{parent}.{member}") }
            }
            Step::Index(parent, index) => format!("{}[{index}]", parent.path()),
        }
    }
}

// As free functions these are general over the lifetime inside `At`, which the methods are not when passed
// as readers.

/// [`At::text`] as a reader.
pub(crate) fn text(at: &At<'_>) -> Result<String, Complaint> {
    at.text()
}

/// [`At::integer`] as a reader.
pub(crate) fn integer(at: &At<'_>) -> Result<i64, Complaint> {
    at.integer()
}

/// [`At::flag`] as a reader.
pub(crate) fn flag(at: &At<'_>) -> Result<bool, Complaint> {
    at.flag()
}
