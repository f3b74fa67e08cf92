//! The report.

use std::time::Duration;

use autoexec_sdk::job::{self, Node};
use autoexec_sdk::{clock, documents, log};
use console_calls::job_id;
use serde_json::{Map, Value, json};

use crate::collected::text;
use crate::definition::Definition;
use crate::rules::{Alert, Findings, Level, apply};

/// Numbers of the alerts that no rule of a definition raises.
const NOT_AVAILABLE: &str = "#01";
const WITH_MESSAGE: &str = "#02";

/// What is known of a node, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) host: String,
    pub(crate) resource_id: i64,
    pub(crate) ci_type: String,
    port: Option<u16>,
    name: String,
    label: String,
    fields: Map<String, Value>,
    pub(crate) alerts: Vec<Alert>,
    thresholds: Map<String, Value>,
    pub(crate) broken_rules: Vec<String>,
    /// Time since 1970.
    made_at: Duration,
}

impl Report {
    pub(crate) fn make(
        node: &Node,
        availability: &Map<String, Value>,
        record: &Map<String, Value>,
        definition: &Definition,
    ) -> Self {
        let selected = definition.fields.iter().filter(|field| field.is_selected());
        let mut fields: Map<String, Value> = selected
            .filter_map(|field| Some((field.name.clone(), record.get(&field.name)?.clone())))
            .collect();
        let (is_available, message, response_time) = of_availability(availability);
        fields.insert("AVAILABILITY".to_owned(), i32::from(is_available).into());
        fields.insert("ERROR_MESSAGE".to_owned(), message.clone().into());
        fields.insert("RESPONSE_TIME".to_owned(), response_time);

        let mut document = record.clone();
        document.extend(fields.clone());
        let Findings { mut alerts, mut thresholds, broken } = apply(&definition.thresholds, &document);
        let mut critical = |path: &str, sequence: &str, name: &str, value: Value| {
            thresholds.insert(sequence.to_owned(), format!("{path} {name}").into());
            alerts.push(Alert {
                path: path.to_owned(),
                level: Level::Critical,
                application: None,
                sequence: sequence.to_owned(),
                name: name.to_owned(),
                value,
            });
        };
        if !is_available {
            critical("$.AVAILABILITY", NOT_AVAILABLE, "is not available", 0.into());
            if !message.is_empty() {
                critical("$.ERROR_MESSAGE", WITH_MESSAGE, "is the reason", message.into());
            }
        }
        Self {
            host: node.host.clone(),
            resource_id: node.resource_id,
            ci_type: node.node_type.clone(),
            port: node.port,
            name: definition.name.clone(),
            label: definition.label.clone(),
            fields,
            alerts,
            thresholds,
            broken_rules: broken,
            made_at: clock::since_epoch(),
        }
    }

    /// The worst level of all alerts.
    pub(crate) fn status(&self) -> &'static str {
        self.alerts.iter().map(|alert| alert.level).max().unwrap_or(Level::Normal).as_str()
    }

    /// As it is put out.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({
            "RESOURCE_ID": self.resource_id,
            "MGMT_IP": self.host,
            "PORT": self.port,
            "_execuser": job::context().exec_user,
        });
        if let Some(members) = document.as_object_mut() {
            members.extend(self.fields.clone());
        }
        document["_inspect_result"] = json!({
            "status": self.status(),
            "name": self.name,
            "label": self.label,
            "alerts": self.alerts.iter().map(Alert::document).collect::<Vec<_>>(),
            "hasAlert": i32::from(!self.alerts.is_empty()),
            "thresholds": self.thresholds,
            "alertOutline": self.outline(),
            "alertFields": self.fields_with_alerts(),
            "totalCount": self.alerts.len(),
        });
        let seconds = i64::try_from(self.made_at.as_secs()).unwrap_or(i64::MAX);
        document["_report_time"] =
            jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default().into();
        document["_jobid"] = job_id();
        document
    }

    /// As the store keeps it: the time is a date there, by which old reports expire.
    pub(crate) fn stored(&self) -> Value {
        let mut document = self.document();
        document["_report_time"] = documents::date(self.made_at);
        document
    }

    /// How many alerts each level has.
    fn outline(&self) -> Map<String, Value> {
        let levels = [Level::Fatal, Level::Critical, Level::Warn, Level::Normal];
        let count = |level: Level| self.alerts.iter().filter(|alert| alert.level == level).count();
        let counts = levels.into_iter().map(|level| (level, count(level))).filter(|(_, count)| *count > 0);
        counts.map(|(level, count)| (level.as_str().to_owned(), count.into())).collect()
    }

    /// The alerts by field, in the order of their first alerts.
    fn fields_with_alerts(&self) -> Vec<Value> {
        let mut fields: Vec<(String, Vec<&Alert>)> = Vec::new();
        for alert in self.alerts.iter().filter(|alert| !alert.path.is_empty()) {
            let field = field_of(&alert.path);
            match fields.iter_mut().find(|(own, _)| *own == field) {
                Some((_, alerts)) => alerts.push(alert),
                None => fields.push((field, vec![alert])),
            }
        }
        let document = |(field, alerts): (String, Vec<&Alert>)| {
            let distinct = |of: fn(&Alert) -> &String| {
                let mut values: Vec<&String> = Vec::new();
                for value in alerts.iter().map(|alert| of(alert)) {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
                values.into_iter().cloned().collect::<Vec<_>>()
            };
            let level = alerts.iter().map(|alert| alert.level).max().unwrap_or(Level::Normal);
            json!({
                "alertField": field,
                "alertLevel": level.as_str(),
                "ruleSeqs": distinct(|alert| &alert.sequence),
                "ruleNames": distinct(|alert| &alert.name),
            })
        };
        fields.into_iter().map(document).collect()
    }
}

/// Whether the node is available, why not, and how long its answer took.
fn of_availability(availability: &Map<String, Value>) -> (bool, String, Value) {
    let response_time = availability.get("RESPONSE_TIME").cloned().unwrap_or_default();
    let Some(value) = availability.get("AVAILABILITY") else {
        let message = "No step has looked whether the node is available: run one of inspect/pingcheck, tcpcheck, urlcheck, \
                       sshcheck, tagentcheck or endpointcheck before";
        log::warn(message);
        return (false, message.to_owned(), response_time);
    };
    let is_available = *value == Value::Bool(true) || text(Some(value)) == "1";
    let message = if is_available { String::new() } else { text(availability.get("ERROR_MESSAGE")) };
    (is_available, message, response_time)
}

/// A path without the document's sign and the numbers of elements: `$.MOUNTS[2].USED` is of `MOUNTS.USED`.
fn field_of(path: &str) -> String {
    let mut field = String::new();
    let (mut in_number, mut in_quotes) = (false, false);
    for c in path.strip_prefix("$.").unwrap_or(path).chars() {
        match c {
            '"' => {
                in_quotes = !in_quotes;
                field.push(c);
            }
            '[' if !in_quotes => in_number = true,
            ']' if !in_quotes => in_number = false,
            c if !in_number => field.push(c),
            _ => {}
        }
    }
    field
}
