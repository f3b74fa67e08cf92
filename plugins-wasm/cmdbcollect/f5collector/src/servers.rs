//! Names of an F5's objects, and what becomes of them.

use autoexec_sdk::Failure;
use load_balancer::{Member, Pool, VirtualServer};
use serde_json::{Map, Value};
use snmp_device::{Device, Form, Scalar};

const IDENTITY: [Scalar<'static>; 8] = [
    Scalar { name: "DEV_NAME", places: &["1.3.6.1.2.1.1.5.0"], form: Form::Plain },
    Scalar { name: "UPTIME", places: &["1.3.6.1.2.1.1.3.0"], form: Form::Uptime },
    Scalar { name: "SN", places: &["1.3.6.1.4.1.3375.2.1.3.3.3.0"], form: Form::Plain },
    Scalar { name: "MODEL", places: &["1.3.6.1.4.1.3375.2.1.3.5.2.0"], form: Form::Plain },
    Scalar { name: "PRODUCT_NAME", places: &["1.3.6.1.4.1.3375.2.1.4.1.0"], form: Form::Plain },
    Scalar { name: "VERSION", places: &["1.3.6.1.4.1.3375.2.1.4.2.0"], form: Form::Plain },
    Scalar { name: "BUILD", places: &["1.3.6.1.4.1.3375.2.1.4.3.0"], form: Form::Plain },
    Scalar { name: "EDITION", places: &["1.3.6.1.4.1.3375.2.1.4.4.0"], form: Form::Plain },
];
const SERVERS: [(&str, &str, Form); 4] = [
    ("NAME", "1.3.6.1.4.1.3375.2.2.10.1.2.1.1", Form::Plain),
    ("IP", "1.3.6.1.4.1.3375.2.2.10.1.2.1.3", Form::Address),
    ("PORT", "1.3.6.1.4.1.3375.2.2.10.1.2.1.6", Form::Plain),
    ("POOL", "1.3.6.1.4.1.3375.2.2.10.1.2.1.19", Form::Plain),
];
const POOLS: [(&str, &str, Form); 3] = [
    ("NAME", "1.3.6.1.4.1.3375.2.2.5.1.2.1.1", Form::Plain),
    ("MODE", "1.3.6.1.4.1.3375.2.2.5.1.2.1.2", Form::Plain),
    ("MONITOR", "1.3.6.1.4.1.3375.2.2.5.1.2.1.17", Form::Plain),
];
const MEMBERS: [(&str, &str, Form); 4] = [
    ("POOL", "1.3.6.1.4.1.3375.2.2.5.3.2.1.1", Form::Plain),
    ("IP", "1.3.6.1.4.1.3375.2.2.5.3.2.1.3", Form::Address),
    ("PORT", "1.3.6.1.4.1.3375.2.2.5.3.2.1.4", Form::Plain),
    ("NAME", "1.3.6.1.4.1.3375.2.2.5.3.2.1.19", Form::Plain),
];
/// Addresses from which the device speaks to members.
const SNAT_ADDRESSES: &str = "1.3.6.1.4.1.3375.2.2.9.5.2.1.2";

/// What the device says of itself.
pub(crate) fn identity(device: &Device) -> Result<Map<String, Value>, Failure> {
    let mut identity = device.scalars(&IDENTITY)?;
    identity.insert("VENDOR".into(), "F5".into());
    let addresses = device.column(SNAT_ADDRESSES)?.into_iter();
    let addresses: Vec<Value> =
        addresses.map(|cell| serde_json::json!({"IP": Form::Address.of(&cell.value)})).collect();
    identity.insert("SNAT_IPS".into(), addresses.into());
    Ok(identity)
}

/// Its virtual servers, with their pools.
pub(crate) fn read(device: &Device) -> Result<Vec<VirtualServer>, Failure> {
    let members = device.table(&MEMBERS)?;
    let members_of = |pool: &str| {
        let own = members.iter().filter(|row| text(row, "POOL") == pool);
        own.map(|row| Member { name: text(row, "NAME"), ip: text(row, "IP"), port: number(row, "PORT") })
            .collect()
    };
    let pools = device.table(&POOLS)?.into_iter();
    let pools: Vec<Pool> = pools
        .map(|row| {
            let name = text(&row, "NAME");
            Pool {
                members: members_of(&name),
                mode: text(&row, "MODE"),
                monitor: text(&row, "MONITOR"),
                name,
            }
        })
        .collect();
    let server = |row: &Map<String, Value>| {
        let pool = text(row, "POOL");
        VirtualServer {
            name: text(row, "NAME"),
            ip: text(row, "IP"),
            port: number(row, "PORT"),
            pool: pools.iter().find(|own| own.name == pool).cloned(),
        }
    };
    Ok(device.table(&SERVERS)?.iter().map(server).collect())
}

fn text(row: &Map<String, Value>, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn number(row: &Map<String, Value>, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or_default()
}
