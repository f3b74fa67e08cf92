//! What earlier steps of the job have found out about the node.

use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::job::Node;
use autoexec_sdk::{Failure, HostError, documents, log};
use serde_json::{Map, Value, json};

/// Bundles whose output `DATA` counts, in the order in which it is taken.
const BUNDLES: [&str; 3] = ["inspect", "svcinspect", "cmdbcollect"];

/// Bytes of one step's outputs.
const LIMIT: u64 = 32 << 20;

/// Outputs of the steps on the node.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Collected {
    /// Keys of availability records, those of later steps instead of those of earlier ones.
    pub(crate) availability: Map<String, Value>,
    /// Objects that were found on the node.
    pub(crate) records: Vec<Map<String, Value>>,
}

/// Reads the outputs of the node's steps.
pub(crate) fn of_node() -> Result<Collected, Failure> {
    let directory = filesystem::node_outputs()?;
    let mut collected = Collected::default();
    for bundle in BUNDLES {
        let bundle_directory = format!("{directory}/{bundle}");
        let mut entries = match filesystem::list_directory(&bundle_directory) {
            Ok(entries) => entries,
            Err(HostError { reason: FileError::NotFound, .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        entries.retain(|entry| !entry.is_directory && entry.name.strip_suffix(".json").is_some());
        // As the steps ran.
        entries.sort_by_key(|entry| entry.modified);
        for entry in entries {
            let path = format!("{bundle_directory}/{}", entry.name);
            let content = filesystem::read(&path, LIMIT)?;
            let outputs: Value = match serde_json::from_slice(&content) {
                Ok(outputs) => outputs,
                Err(error) => {
                    log::warn(format_args!("The outputs of {bundle}/{} are left out: {error}", entry.name));
                    continue;
                }
            };
            collected.add(bundle, outputs.get("DATA"))?;
        }
    }
    Ok(collected)
}

impl Collected {
    fn add(&mut self, bundle: &str, data: Option<&Value>) -> Result<(), Failure> {
        match (bundle, data) {
            ("cmdbcollect", Some(Value::Array(list))) => self.records.extend(objects(list)),
            ("svcinspect", Some(Value::Array(list))) => {
                if let Some(first) = objects(list).next() {
                    self.availability.extend(first);
                }
                for record in objects(list) {
                    self.records.push(completed(record)?);
                }
            }
            ("inspect" | "svcinspect", Some(Value::Object(record))) => {
                if record.contains_key("_OBJ_CATEGORY") && text(record.get("_OBJ_CATEGORY")) != "EMPTY" {
                    self.records.push(record.clone());
                }
                self.availability.extend(record.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// The record that belongs to the node; an empty one of the type `EMPTY` when there is none.
    pub(crate) fn record_of(&self, node: &Node) -> Map<String, Value> {
        let has_os = self.records.iter().any(|record| text(record.get("_OBJ_CATEGORY")) == "OS");
        let of_node = |record: &&Map<String, Value>| {
            !(has_os && text(record.get("_OBJ_CATEGORY")) == "HOST") && belongs(record, node)
        };
        let Some(record) = self.records.iter().rev().find(of_node) else {
            log::info(format_args!("No data matched {}, the report has the availability alone.", node.host));
            let empty = json!({"_OBJ_CATEGORY": "EMPTY", "_OBJ_TYPE": "EMPTY"});
            return empty.as_object().cloned().unwrap_or_default();
        };
        log::info(format_args!(
            "Data matched {}/{}:{}/{}.",
            text(record.get("_OBJ_CATEGORY")),
            text(record.get("MGMT_IP")),
            text(record.get("PORT")),
            text(record.get("NAME").or_else(|| record.get("INSTANCE_NAME")))
        ));
        record.clone()
    }
}

fn objects(list: &[Value]) -> impl Iterator<Item = Map<String, Value>> + '_ {
    list.iter().filter_map(|value| value.as_object().cloned())
}

fn belongs(record: &Map<String, Value>, node: &Node) -> bool {
    let is = |key: &str, expected: &str| text(record.get(key)) == expected;
    let at_host = is("MGMT_IP", &node.host) || is("PRIMARY_IP", &node.host);
    let at_port = node.port.filter(|port| *port != 0).is_none_or(|port| is("PORT", &port.to_string()));
    let by_name = match text(record.get("_OBJ_CATEGORY")).as_str() {
        "DBINS" => is("INSTANCE_NAME", &node.name),
        "DB" => is("NAME", &node.name),
        _ => true,
    };
    at_host && at_port && by_name
}

/// What an earlier collection knows of the same object and the inspection does not say.
fn completed(mut record: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    let category = text(record.get("_OBJ_CATEGORY"));
    let keys = ["_OBJ_TYPE", "MGMT_IP", "PORT"];
    let filter: Map<String, Value> =
        keys.iter().filter_map(|&key| Some((key.to_owned(), record.get(key)?.clone()))).collect();
    if category.is_empty() || category == "EMPTY" || filter.len() < keys.len() {
        return Ok(record);
    }
    let found = match documents::find(&format!("COLLECT_{category}"), &filter, 1) {
        Ok(found) => found,
        Err(HostError { reason: documents::DocumentError::None, .. }) => return Ok(record),
        Err(error) => return Err(error.into()),
    };
    for (key, value) in
        found.into_iter().next().and_then(|found| found.as_object().cloned()).unwrap_or_default()
    {
        record.entry(key).or_insert(value);
    }
    Ok(record)
}

/// A text, or a number as text: collectors write ports both ways.
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}
