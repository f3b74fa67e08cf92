//! What the report of a type of objects has, and which rules apply.

use autoexec_sdk::documents::{self, DocumentError};
use autoexec_sdk::{Failure, HostError, log};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::collected::text;

/// Definitions of types.
const DEFINITIONS: &str = "_inspectdef";

/// Rules of application systems.
const OF_APPLICATIONS: &str = "_inspectdef_app";

/// The most definitions of one collection.
const MOST: u32 = 100;

/// Fields and rules of a type.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Definition {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
    #[serde(default)]
    pub(crate) thresholds: Vec<Threshold>,
}

/// A field that the report may have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// 1 or `true` where it has it.
    #[serde(default)]
    selected: Value,
}

impl Field {
    pub(crate) fn is_selected(&self) -> bool {
        matches!(&self.selected, Value::Bool(true)) || text(Some(&self.selected)) == "1"
    }
}

/// A rule and what it means when it is true.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Threshold {
    #[serde(default)]
    rule_uuid: Value,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) level: String,
    pub(crate) rule: String,
    /// The application system whose rule it is.
    #[serde(skip)]
    pub(crate) application: Option<Value>,
}

impl Definition {
    /// Reads a document.
    pub(crate) fn read(document: &Value) -> Result<Self, Failure> {
        Self::deserialize(document).map_err(|error| {
            Failure::other(
                "invalid-definition",
                format!("the definition of the report can not be used: {error}"),
            )
        })
    }

    /// Rules of an application system: those with the same id take the place of ours.
    fn overridden(&mut self, application: &Value, thresholds: Vec<Threshold>) {
        for mut threshold in thresholds {
            threshold.application = Some(application.clone());
            let is_same =
                |own: &&mut Threshold| !own.rule_uuid.is_null() && own.rule_uuid == threshold.rule_uuid;
            match self.thresholds.iter_mut().find(is_same) {
                Some(own) => *own = threshold,
                None => self.thresholds.push(threshold),
            }
        }
    }
}

/// The stored definition for the type of a record, with the rules of application systems (ids separated by commas).
pub(crate) fn stored(record: &Map<String, Value>, applications: &str) -> Result<Definition, Failure> {
    let (category, kind) = (text(record.get("_OBJ_CATEGORY")), text(record.get("_OBJ_TYPE")));
    if category == "EMPTY" {
        return Ok(Definition::default());
    }
    let filter = json!({"collection": format!("COLLECT_{category}")});
    let found = match documents::find(DEFINITIONS, &filter, MOST) {
        Ok(found) => found,
        Err(HostError { reason: DocumentError::None, .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let type_of = |document: &Value| text(document.get("filter").and_then(|filter| filter.get("_OBJ_TYPE")));
    let own = found.iter().find(|document| type_of(document) == kind);
    let general = found.iter().find(|document| type_of(document).is_empty());
    let Some(document) = own.or(general) else {
        log::warn(format_args!(
            "There is no definition for {category}/{kind}: the report has the availability alone. Define it in the console."
        ));
        return Ok(Definition { name: category, label: kind, ..Definition::default() });
    };
    let mut definition = Definition::read(document)?;
    for id in applications.split(',').map(str::trim).filter(|id| !id.is_empty()).map(console_calls::id) {
        let filter = json!({"appSystemId": id, "name": definition.name});
        for document in documents::find(OF_APPLICATIONS, &filter, MOST)? {
            definition.overridden(&id, Definition::read(&document)?.thresholds);
        }
    }
    Ok(definition)
}
