//! The interfaces of the device.

use autoexec_sdk::Failure;
use serde_json::{Map, Value};
use snmp_device::{Cell, Device, Form, megabits, port_name};

/// Bridge port to the number of its interface.
pub(crate) const BRIDGE_PORTS: &str = "1.3.6.1.2.1.17.1.4.1.2";
const NAMES: &str = "1.3.6.1.2.1.31.1.1.1.1";
const DESCRIPTIONS: &str = "1.3.6.1.2.1.2.2.1.2";
const SPEEDS: &str = "1.3.6.1.2.1.2.2.1.5";
/// Speeds in Mb/s, for those that do not fit the other column.
const HIGH_SPEEDS: &str = "1.3.6.1.2.1.31.1.1.1.15";
/// What the other column holds then.
const TOO_FAST: i128 = u32::MAX as i128;

/// An interface.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    /// Its number in the interface table.
    pub(crate) index: String,
    /// Its name as the device has it.
    pub(crate) raw_name: String,
    /// Number as a port of the bridge; none for other interfaces.
    pub(crate) bridge: Option<u64>,
    /// What is put out.
    pub(crate) record: Map<String, Value>,
}

impl Port {
    /// Its name as it is put out.
    pub(crate) fn name(&self) -> String {
        port_name(&self.raw_name)
    }
}

/// All interfaces: first the ports of the bridge by their number, then the others in the device's order.
pub(crate) fn read(device: &Device) -> Result<Vec<Port>, Failure> {
    let rows = device.table(&[
        ("TYPE", "1.3.6.1.2.1.2.2.1.3", Form::InterfaceType),
        ("MAC", "1.3.6.1.2.1.2.2.1.6", Form::Mac),
        ("ADMIN_STATUS", "1.3.6.1.2.1.2.2.1.7", Form::Status),
        ("OPER_STATUS", "1.3.6.1.2.1.2.2.1.8", Form::Status),
        ("MTU", "1.3.6.1.2.1.2.2.1.4", Form::Plain),
        ("OUT_QLEN", "1.3.6.1.2.1.2.2.1.21", Form::Plain),
    ])?;
    let (names, descriptions) = (device.column(NAMES)?, device.column(DESCRIPTIONS)?);
    let (speeds, high_speeds) = (device.column(SPEEDS)?, device.column(HIGH_SPEEDS)?);
    let bridge = bridge_ports(device)?;
    let mut ports = Vec::with_capacity(rows.len());
    for row in rows {
        let index = row.get("INDEX").and_then(Value::as_str).unwrap_or_default().to_owned();
        let raw_name = text_at(&names, &index).or_else(|| text_at(&descriptions, &index)).unwrap_or_default();
        let bridge = bridge.iter().find(|(_, interface)| *interface == index).map(|(number, _)| *number);
        let mut record = Map::new();
        record.insert("INDEX".into(), index.clone().into());
        record.insert("NO".into(), bridge.map_or(Value::Null, Value::from));
        record.insert("NAME".into(), port_name(&raw_name).into());
        record.insert("SPEED".into(), speed(number_at(&speeds, &index), number_at(&high_speeds, &index)));
        record.extend(row.into_iter().filter(|(name, _)| name != "INDEX"));
        ports.push(Port { index, raw_name, bridge, record });
    }
    ports.sort_by_key(|port| (port.bridge.is_none(), port.bridge));
    Ok(ports)
}

/// Ports of the bridge with the numbers of their interfaces.
pub(crate) fn bridge_ports(device: &Device) -> Result<Vec<(u64, String)>, Failure> {
    let cells = device.column(BRIDGE_PORTS)?;
    Ok(cells.into_iter().filter_map(|cell| Some((cell.index.parse().ok()?, cell.value.to_text()))).collect())
}

fn text_at(cells: &[Cell], index: &str) -> Option<String> {
    let cell = cells.iter().find(|cell| cell.index == index)?;
    Some(cell.value.to_text().trim().to_owned()).filter(|text| !text.is_empty())
}

fn number_at(cells: &[Cell], index: &str) -> Option<i128> {
    cells.iter().find(|cell| cell.index == index)?.value.as_number()
}

/// Speed in Mb/s, of a column in bits and one in Mb/s.
fn speed(bits: Option<i128>, high: Option<i128>) -> Value {
    let high = high.and_then(|high| u64::try_from(high).ok()).filter(|high| *high > 0);
    match (bits, high) {
        (None | Some(TOO_FAST.. | 0), Some(high)) => high.into(),
        (Some(bits), _) => u64::try_from(bits).map_or(Value::Null, megabits),
        (None, None) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn speeds_are_rounded_and_fast_ones_come_from_the_other_column() {
        assert_eq!(speed(Some(1_000_000_000), None), json!(1000));
        assert_eq!(speed(Some(1_544_000), None), json!(1.54));
        assert_eq!(speed(Some(TOO_FAST), Some(100_000)), json!(100_000));
        assert_eq!(speed(Some(100_000_000), Some(100)), json!(100));
        assert_eq!(speed(Some(0), Some(0)), json!(0));
        assert_eq!(speed(None, None), Value::Null);
        assert_eq!(speed(Some(-1), None), Value::Null);
    }
}
