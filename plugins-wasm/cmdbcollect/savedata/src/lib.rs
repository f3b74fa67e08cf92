//! Tool `cmdbcollect/savedata`: saves the records that collectors have put out on this node in the collect store
//! (spec/tools-behaviour/09-cmdb-collection.md).

use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::serde_json::{Map, Value, json};
use autoexec_sdk::{
    Call, Change, Checkable, Failure, HostError, Options, Outcome, Tool, ToolResult, clock, documents, job,
    log,
};

mod keys;
mod relations;
mod steps;

use keys::{Key, key_of};

/// Exit status when there is nothing to save.
const NOTHING: u8 = 255;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Show the records
    #[option(choices = "0=No, 1=Yes", default = "0")]
    verbose: bool,
}

/// A record with the place where it belongs.
struct Placed {
    collection: String,
    key: Map<String, Value>,
    record: Map<String, Value>,
}

struct SaveData;

impl SaveData {
    /// All records of the steps of this node that may be saved, each with its place.
    fn records(call: &Call<Options>) -> Result<Vec<Placed>, Failure> {
        let named: Vec<String> = call.text_arguments().collect();
        let found = steps::data(&named)?;
        if found.is_empty() {
            let message = "Can not find any cmdb collect data.";
            return Err(Failure::not_found(message).with_exit_code(NOTHING));
        }
        Ok(found.into_iter().filter_map(place).collect())
    }
}

/// The place of a record; nothing, and a warning, for one that has none.
fn place(record: Map<String, Value>) -> Option<Placed> {
    let shown = |name: &str| match record.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) if !value.is_null() => value.to_string(),
        _ => String::new(),
    };
    let category = shown("_OBJ_CATEGORY");
    log::info(format_args!(
        "Try to validate data PID:{} OBJ_TYPE:{} IP:{} PORT:{}",
        shown("PID"),
        shown("_OBJ_TYPE"),
        shown("MGMT_IP"),
        shown("PORT")
    ));
    let left_out = |why: &str| {
        log::warn(format_args!("{why}, left out: {}", Value::from(record.clone())));
        None
    };
    if category.is_empty() || !category.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return left_out("The record has no usable category (_OBJ_CATEGORY)");
    }
    let key = match key_of(&category, &record) {
        Key::Complete(key) => key,
        Key::Undefined => return left_out(&format!("The category {category} has no key")),
        Key::Lacks(attribute) => return left_out(&format!("The record lacks its key attribute {attribute}")),
    };
    let empty = key.iter().find(|(_, value)| matches!(value, Value::Null) || value.as_str() == Some(""));
    if let Some((attribute, _)) = empty {
        log::warn(format_args!("The key attribute {attribute} is empty."));
    }
    Some(Placed { collection: format!("COLLECT_{category}"), key, record })
}

impl Tool for SaveData {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let (user, now) = (job::context().exec_user, documents::date(clock::since_epoch()));
        let (mut saved, mut failed) = (0_u32, 0_u32);
        for placed in Self::records(&call)? {
            if call.options.verbose {
                log::plain(Value::from(placed.record.clone()));
            }
            match save(placed, &user, &now) {
                Ok(()) => {
                    saved += 1;
                    log::info("Save data success.");
                }
                Err(error) if is_final(&error.reason) => return Err(error.into()),
                Err(error) => {
                    failed += 1;
                    log::error(error);
                }
            }
        }
        if failed > 0 {
            let message = format!("{failed} of {} record(s) could not be saved", failed + saved);
            return Err(Failure::other("incomplete", message));
        }
        Ok(Outcome::with_message(format!("{saved} record(s) saved.")))
    }
}

impl Checkable for SaveData {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let mut changes = Vec::new();
        for placed in Self::records(&call)? {
            let subject = format!("{} {}", placed.collection, Value::from(placed.key.clone()));
            let stored = documents::find(&placed.collection, &placed.key, 1)?;
            let after = "the collected attributes";
            changes.push(if stored.is_empty() {
                Change::created(subject, after)
            } else {
                Change::changed(subject, "an older state", after)
            });
        }
        Ok(changes)
    }
}

/// Whether no other record can be saved either.
fn is_final(reason: &documents::DocumentError) -> bool {
    matches!(reason, documents::DocumentError::None | documents::DocumentError::Unavailable(_))
}

/// Saves a record and its relations: what is stored already keeps the attributes that the record does not have.
fn save(placed: Placed, user: &str, now: &Value) -> Result<(), documents::Error> {
    let Placed { collection, key, mut record } = placed;
    for (name, value) in [
        ("_updatetime", now.clone()),
        ("_renewtime", now.clone()),
        ("STATE", json!("InUse")),
        ("_execuser", json!(user)),
    ] {
        record.insert(name.into(), value);
    }
    for relation in relations::of(&mut record, now) {
        documents::save(relation.collection, &relation.key, &relation.document)?;
    }
    let mut document = match documents::find(&collection, &key, 1)?.into_iter().next() {
        Some(Value::Object(stored)) => stored,
        _ => Map::new(),
    };
    document.remove("_id");
    document.extend(record);
    documents::save(&collection, &key, &document)
}

/// Reads a JSON file; nothing where there is none.
fn read_json(path: &str) -> Result<Option<Value>, Failure> {
    match filesystem::read(path, steps::MOST_BYTES) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(HostError { reason: FileError::NotFound, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

autoexec_sdk::export_tool!(SaveData: check);

#[cfg(test)]
mod tests;
