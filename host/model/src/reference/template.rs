//! A text cut into literal pieces and references.

use std::convert::Infallible;

use super::{Found, Resolved};

/// A part of a template. All parts together are the text it was cut from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays.
    Literal(String),
    /// A reference.
    Reference {
        /// As written: `${ name }` or `$name`.
        written: String,
        /// The name, trimmed.
        name: String,
    },
}

/// A text with references.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Cuts a text. Every text is a template: what is not a reference is a literal, `#{…}` included.
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal_start = 0;
        let mut position = 0;
        while let Some(offset) = text.get(position..).and_then(|rest| rest.find('$')) {
            let start = position + offset;
            let Some((length, name)) = text.get(start..).and_then(reference_at) else {
                position = start + 1;
                continue;
            };
            let end = start + length;
            push_literal(&mut pieces, text.get(literal_start..start));
            let written = text.get(start..end).unwrap_or_default().to_owned();
            pieces.push(Piece::Reference { written, name: name.to_owned() });
            literal_start = end;
            position = end;
        }
        push_literal(&mut pieces, text.get(literal_start..));
        Self { pieces }
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The names that are referred to, in order, repeated ones repeated.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Reference { name, .. } => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// Replaces references that `variable` knows and leaves all others as written. For places without
    /// operation outputs: job options and condition texts.
    pub fn resolve_variables<'a>(&self, variable: impl Fn(&str) -> Option<Found<'a>>) -> Resolved {
        match self.replace(|_, name| Ok::<_, Infallible>(variable(name))) {
            Ok(resolved) => resolved,
            Err(never) => match never {},
        }
    }

    /// The one pass: `value` gets the reference as written and its name; `None` leaves it as written.
    pub(super) fn replace<'a, E>(
        &self,
        mut value: impl FnMut(&str, &str) -> Result<Option<Found<'a>>, E>,
    ) -> Result<Resolved, E> {
        let mut resolved = Resolved::default();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => resolved.text.push_str(text),
                Piece::Reference { written, name } => match value(written, name)? {
                    None => resolved.text.push_str(written),
                    Some(found) => {
                        resolved.text.push_str(&found.text);
                        resolved.tainted |= found.secret;
                    }
                },
            }
        }
        Ok(resolved)
    }
}

fn push_literal(pieces: &mut Vec<Piece>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        pieces.push(Piece::Literal(text.to_owned()));
    }
}

/// Length and name of the reference at the start of `text`, which starts with `$`.
fn reference_at(text: &str) -> Option<(usize, &str)> {
    let after_dollar = text.get(1..)?;
    if let Some(braced) = after_dollar.strip_prefix('{') {
        // An inner `{` ends the attempt, so that `${a${b}}` still finds `${b}`.
        let end =
            braced.find(['{', '}']).filter(|end| braced.get(*end..).is_some_and(|s| s.starts_with('}')))?;
        let name = braced.get(..end)?.trim();
        return (!name.is_empty()).then_some((end + 3, name));
    }
    let end = after_dollar.find(|c| !is_word(c)).unwrap_or(after_dollar.len());
    let name = after_dollar.get(..end)?;
    (!name.is_empty()).then_some((end + 1, name))
}

/// Letters and digits of any script, and `_`: the reference's word class knows Unicode.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
