//! What is saved beside a record, for the computation of relations.

use autoexec_sdk::serde_json::{Map, Value, json};

/// A document beside a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Relation {
    pub(crate) collection: &'static str,
    pub(crate) key: Map<String, Value>,
    pub(crate) document: Map<String, Value>,
}

/// Connections of application processes.
const CONNECTIONS: &str = "RELATION_INS_NETCONN";
/// Address tables of switches.
const ADDRESSES: &str = "RELATION_NET_MACTABLE";

/// The documents beside a record. The address table of a switch is taken out of it.
pub(crate) fn of(record: &mut Map<String, Value>, now: &Value) -> Vec<Relation> {
    let category = record.get("_OBJ_CATEGORY").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut relations = Vec::new();
    if matches!(category.as_str(), "INS" | "DBINS") && record.get("OS_ID").is_some_and(|id| !id.is_null()) {
        let connections = record.get("CONN_INFO");
        let of =
            |name: &str| connections.and_then(|info| info.get(name)).cloned().unwrap_or_else(|| json!([]));
        let further = Map::from_iter([("BIND".to_owned(), of("BIND")), ("PEER".to_owned(), of("PEER"))]);
        let kept = ["OS_ID", "_OBJ_CATEGORY", "_OBJ_TYPE", "MGMT_IP", "PORT", "RESOURCE_ID"];
        relations.push(relation(CONNECTIONS, record, &["MGMT_IP", "PORT"], &kept, further, now));
    }
    if category == "SWITCH"
        && let Some(table) = record.shift_remove("MAC_TABLE")
    {
        let further = Map::from_iter([("MAC_TABLE".to_owned(), table)]);
        let kept = ["_OBJ_CATEGORY", "_OBJ_TYPE", "MGMT_IP", "SN", "DEV_NAME", "RESOURCE_ID"];
        relations.push(relation(ADDRESSES, record, &["MGMT_IP", "SN"], &kept, further, now));
    }
    relations
}

fn relation(
    collection: &'static str,
    record: &Map<String, Value>,
    key: &[&str],
    kept: &[&str],
    further: Map<String, Value>,
    now: &Value,
) -> Relation {
    let of = |names: &[&str]| -> Map<String, Value> {
        names
            .iter()
            .map(|&name| (name.to_owned(), record.get(name).cloned().unwrap_or(Value::Null)))
            .collect()
    };
    let mut document = of(kept);
    document.extend(further);
    document.insert("_renewtime".into(), now.clone());
    Relation { collection, key: of(key), document }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_table_is_kept_apart() {
        let mut record =
            json!({"_OBJ_CATEGORY": "SWITCH", "MGMT_IP": "1", "SN": "s", "MAC_TABLE": [{"PORT": "p"}]});
        let record = record.as_object_mut().unwrap();
        let relations = of(record, &json!("now"));
        assert_eq!(relations[0].collection, ADDRESSES);
        assert_eq!(Value::from(relations[0].key.clone()), json!({"MGMT_IP": "1", "SN": "s"}));
        assert_eq!(relations[0].document["MAC_TABLE"], json!([{"PORT": "p"}]));
        assert_eq!(record.get("MAC_TABLE"), None);
    }

    #[test]
    fn connections_are_kept_of_processes_on_a_known_system() {
        let mut record = json!({"_OBJ_CATEGORY": "INS", "MGMT_IP": "1", "PORT": 80, "OS_ID": 7,
            "CONN_INFO": {"BIND": ["1:80"]}});
        let relations = of(record.as_object_mut().unwrap(), &json!("now"));
        assert_eq!(
            (&relations[0].document["BIND"], &relations[0].document["PEER"]),
            (&json!(["1:80"]), &json!([]))
        );
        let mut unknown = json!({"_OBJ_CATEGORY": "INS", "OS_ID": null});
        assert_eq!(of(unknown.as_object_mut().unwrap(), &json!("now")), []);
    }
}
