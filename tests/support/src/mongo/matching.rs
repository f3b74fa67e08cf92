//! Filters, projections and `$set` on documents: the part of the query language that the executor uses.

use bson::{Bson, Document};

/// Whether a document matches a filter. An operator that is not known here is an error, not a mismatch.
pub(super) fn matches(document: &Document, filter: &Document) -> Result<bool, String> {
    for (path, condition) in filter {
        if path.starts_with('$') {
            return Err(format!("unknown top level operator: {path}"));
        }
        let found = at(document, path);
        let fits = match condition {
            Bson::Document(operators) if operators.keys().any(|key| key.starts_with('$')) => {
                let mut fits = true;
                for (operator, operand) in operators {
                    fits &= applies(found, operator, operand)?;
                }
                fits
            }
            expected => found.map_or(*expected == Bson::Null, |found| equal(found, expected)),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn applies(found: Option<&Bson>, operator: &str, operand: &Bson) -> Result<bool, String> {
    let missing = Bson::Null;
    let found = found.unwrap_or(&missing);
    match (operator, operand) {
        ("$in", Bson::Array(values)) => Ok(values.iter().any(|value| equal(found, value))),
        ("$ne", value) => Ok(!equal(found, value)),
        ("$gt", value) => Ok(number(found).zip(number(value)).is_some_and(|(found, value)| found > value)),
        _ => Err(format!("unknown operator: {operator}")),
    }
}

/// Numbers are equal by value, whatever their type.
fn equal(a: &Bson, b: &Bson) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    }
}

fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => at(document.get_document(first).ok()?, rest),
    }
}

/// The fields of a document that a projection leaves.
pub(super) fn project(document: &Document, projection: &Document) -> Document {
    let is_on = |value: &Bson| number(value).map_or(*value == Bson::Boolean(true), |number| number != 0.0);
    let with_id = projection.get("_id").is_none_or(is_on);
    let includes = projection.iter().any(|(key, value)| key != "_id" && is_on(value));
    let keeps = |key: &str| match projection.get(key) {
        _ if key == "_id" => with_id,
        Some(value) => is_on(value),
        None => !includes,
    };
    document.iter().filter(|(key, _)| keeps(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Applies an update: a whole document in the place of the old one, or operators, of which only `$set` is known.
pub(super) fn update(document: &mut Document, update: &Document) -> Result<(), String> {
    if update.keys().next().is_none_or(|first| !first.starts_with('$')) {
        let id = document.remove("_id");
        *document = id.into_iter().map(|id| ("_id".to_owned(), id)).chain(update.clone()).collect();
        return Ok(());
    }
    for (operator, fields) in update {
        let ("$set", Bson::Document(fields)) = (operator.as_str(), fields) else {
            return Err(format!("unknown modifier: {operator}"));
        };
        for (path, value) in fields {
            set(document, path, value.clone())?;
        }
    }
    Ok(())
}

fn set(document: &mut Document, path: &str, value: Bson) -> Result<(), String> {
    let Some((first, rest)) = path.split_once('.') else {
        document.insert(path, value);
        return Ok(());
    };
    let inner = document.entry(first.to_owned()).or_insert_with(|| Document::new().into());
    match inner {
        Bson::Document(inner) => set(inner, rest, value),
        _ => Err(format!("cannot create field '{rest}' in element {first}")),
    }
}

/// The first key that a server does not store: one with a dollar sign in front.
pub(super) fn forbidden_key(document: &Document) -> Option<&str> {
    document.iter().find_map(|(key, value)| {
        if key.starts_with('$') {
            return Some(key.as_str());
        }
        match value {
            Bson::Document(inner) => forbidden_key(inner),
            _ => None,
        }
    })
}
