//! By which attributes a record is found again.

use autoexec_sdk::serde_json::{Map, Value};

/// The key of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    /// Its attributes with their values.
    Complete(Map<String, Value>),
    /// The record lacks this one.
    Lacks(String),
    /// Nobody knows what its key is.
    Undefined,
}

/// Attributes of the key by category. What is not here uses the record's own `PK`.
const KEYS: [(&[&str], &[&str]); 7] = [
    (&["INS"], &["MGMT_IP", "PORT"]),
    (&["DB", "CLUSTER"], &["PRIMARY_IP", "PORT", "NAME"]),
    (&["DBINS"], &["MGMT_IP", "PORT", "INSTANCE_NAME"]),
    (&["OS", "VIRTUALIZED", "K8S", "UNKNOWN", "SERVERDEV"], &["MGMT_IP"]),
    (&["HOST"], &["MGMT_IP", "BOARD_SERIAL"]),
    (
        &["NETDEV", "SECDEV", "SWITCH", "FIREWALL", "LOADBALANCER", "STORAGE", "FCSWITCH", "FCDEV"],
        &["MGMT_IP", "SN"],
    ),
    (&["CONTAINER"], &["MGMT_IP", "CONTAINER_ID"]),
];

/// The key of a record of a category.
pub(crate) fn key_of(category: &str, record: &Map<String, Value>) -> Key {
    let table = KEYS.iter().find(|(categories, _)| categories.contains(&category));
    let attributes: Vec<String> = if let Some((_, attributes)) = table {
        attributes.iter().map(|&attribute| attribute.to_owned()).collect()
    } else {
        let own = record.get("PK").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        own.iter().filter_map(|attribute| attribute.as_str().map(str::to_owned)).collect()
    };
    if attributes.is_empty() {
        return Key::Undefined;
    }
    let mut key = Map::new();
    for attribute in attributes {
        match record.get(&attribute) {
            Some(value) => key.insert(attribute, value.clone()),
            None => return Key::Lacks(attribute),
        };
    }
    Key::Complete(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::serde_json::json;

    fn key(category: &str, record: Value) -> Key {
        key_of(category, record.as_object().unwrap())
    }

    #[test]
    fn keys_come_from_the_table_or_the_record() {
        let switch = json!({"MGMT_IP": "1", "SN": null, "PK": ["OTHER"]});
        assert_eq!(
            key("SWITCH", switch),
            Key::Complete(json!({"MGMT_IP": "1", "SN": null}).as_object().unwrap().clone())
        );
        let own = json!({"PK": ["UUID"], "UUID": "u"});
        assert_eq!(key("VM", own), Key::Complete(json!({"UUID": "u"}).as_object().unwrap().clone()));
        assert_eq!(key("VM", json!({})), Key::Undefined);
        assert_eq!(key("INS", json!({"MGMT_IP": "1"})), Key::Lacks("PORT".into()));
    }
}
