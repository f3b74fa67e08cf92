//! What the steps of this node have put out.

use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::serde_json::{Map, Value};
use autoexec_sdk::{Failure, HostError, job, log};

use crate::read_json;

/// The largest output file.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Bundles whose tools collect.
const BUNDLES: [&str; 2] = ["cmdbcollect", "svcinspect"];

/// The output that holds records.
const DATA: &str = "DATA";

/// All records of the steps of collecting tools and of the steps that are named, in the order of the steps' ids.
pub(crate) fn data(named: &[String]) -> Result<Vec<Map<String, Value>>, Failure> {
    let (directory, own) = (filesystem::node_outputs()?, job::context().operation_id);
    let mut steps: Vec<String> = named.iter().map(|step| step.trim().to_owned()).collect();
    steps.retain(|step| !step.is_empty());
    if let Some(bad) = steps.iter().find(|step| step.split('/').any(|part| part.is_empty() || part == "..")) {
        return Err(Failure::invalid_option("arguments", format!("\"{bad}\" is no id of a step")));
    }
    for bundle in BUNDLES {
        for entry in entries(&format!("{directory}/{bundle}"))? {
            if let Some(name) = entry.strip_suffix(".json") {
                steps.push(format!("{bundle}/{name}"));
            }
        }
    }
    steps.sort();
    steps.dedup();
    let mut records = Vec::new();
    for step in steps.iter().filter(|step| **step != own) {
        let Some(outputs) = read_json(&format!("{directory}/{step}.json"))? else {
            if named.contains(step) {
                log::warn(format_args!("The step {step} has put out nothing on this node."));
            }
            continue;
        };
        match outputs.get(DATA) {
            Some(Value::Array(list)) => {
                records.extend(list.iter().filter_map(|record| record.as_object().cloned()));
            }
            Some(Value::Object(record)) => records.push(record.clone()),
            _ => {}
        }
    }
    Ok(records)
}

/// The names in a directory; none where there is no directory.
fn entries(directory: &str) -> Result<Vec<String>, Failure> {
    match filesystem::list_directory(directory) {
        Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
        Err(HostError { reason: FileError::NotFound, .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
