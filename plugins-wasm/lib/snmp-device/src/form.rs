use autoexec_sdk::snmp;
use serde_json::Value;

/// The form in which a value is put out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text; numbers as numbers.
    Plain,
    /// A physical address, `aa:bb:cc:dd:ee:ff`.
    Mac,
    /// Operational or administrative status.
    Status,
    /// Type of an interface, `ethernet-csmacd(6)`.
    InterfaceType,
    /// Time since the start, `41 days, 17:12:05.00`.
    Uptime,
    /// Four bytes as an address.
    Address,
    /// Bits per second as Mb/s.
    Megabits,
}

/// Names of the states of an interface, from 1.
const STATUS: [&str; 7] = ["up", "down", "testing", "faulty", "reboot", "fastboot", "switchReboot"];

/// Names of types of interfaces, from 1.
const TYPES: [&str; 32] = [
    "other",
    "regular1822",
    "hdh1822",
    "ddn-x25",
    "rfc877-x25",
    "ethernet-csmacd",
    "iso88023-csmacd",
    "iso88024-tokenBus",
    "iso88025-tokenRing",
    "iso88026-man",
    "starLan",
    "proteon-10Mbit",
    "proteon-80Mbit",
    "hyperchannel",
    "fddi",
    "lapb",
    "sdlc",
    "ds1",
    "e1",
    "basicISDN",
    "primaryISDN",
    "propPointToPointSerial",
    "ppp",
    "softwareLoopback",
    "eon",
    "ethernet-3Mbit",
    "nsip",
    "slip",
    "ultra",
    "ds3",
    "sip",
    "frame-relay",
];

impl Form {
    /// The value in this form; null where there is none or where it does not fit.
    pub fn of(self, value: &snmp::Value) -> Value {
        match (self, value) {
            (_, snmp::Value::None) => Value::Null,
            (Self::Mac, snmp::Value::Octets(bytes)) if bytes.is_empty() => Value::Null,
            (Self::Mac, snmp::Value::Octets(bytes)) => mac(bytes).into(),
            (Self::Address, snmp::Value::Octets(bytes)) if bytes.len() == 4 => {
                bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(".").into()
            }
            (Self::Status, value) => named(&STATUS, value).map_or(Value::Null, Value::from),
            (Self::InterfaceType, value) => {
                let name = named(&TYPES, value);
                name.map_or(Value::Null, |name| format!("{name}({})", value.to_text()).into())
            }
            (Self::Uptime, snmp::Value::TimeTicks(ticks)) => uptime(*ticks).into(),
            (Self::Megabits, value) => {
                let bits = value.as_number().and_then(|bits| u64::try_from(bits).ok());
                bits.map_or(Value::Null, megabits)
            }
            (_, snmp::Value::Integer(number)) => (*number).into(),
            (_, snmp::Value::Unsigned(number)) => (*number).into(),
            (_, value) => value.to_text().trim().into(),
        }
    }
}

fn named(names: &[&'static str], value: &snmp::Value) -> Option<&'static str> {
    let number = usize::try_from(value.as_number()?).ok()?;
    names.get(number.checked_sub(1)?).copied()
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The address in the last six parts of an index, as tables of addresses have it.
pub fn mac_of_index(index: &str) -> Option<String> {
    let parts: Vec<u8> = index.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let start = parts.len().checked_sub(6)?;
    Some(mac(&parts[start..]))
}

/// Hundredths of a second as people read them.
pub fn uptime(ticks: u32) -> String {
    let (seconds, hundredths) = (ticks / 100, ticks % 100);
    let (days, hours, minutes, seconds) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let time = format!("{hours:02}:{minutes:02}:{seconds:02}.{hundredths:02}");
    match days {
        0 => time,
        1 => format!("1 day, {time}"),
        days => format!("{days} days, {time}"),
    }
}

/// Bits per second as Mb/s, with at most two decimals.
pub fn megabits(bits: u64) -> Value {
    let hundredths = bits.saturating_add(5000) / 10_000;
    if hundredths.is_multiple_of(100) {
        return (hundredths / 100).into();
    }
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms() {
        let octets = snmp::Value::Octets(vec![0, 0x0f, 0xe2, 0x55, 0xd9, 0x30]);
        assert_eq!(Form::Mac.of(&octets), json!("00:0f:e2:55:d9:30"));
        assert_eq!(Form::Mac.of(&snmp::Value::Octets(b"abcdef".to_vec())), json!("61:62:63:64:65:66"));
        assert_eq!(Form::Status.of(&snmp::Value::Integer(2)), json!("down"));
        assert_eq!(Form::Status.of(&snmp::Value::Integer(0)), Value::Null);
        assert_eq!(Form::InterfaceType.of(&snmp::Value::Integer(6)), json!("ethernet-csmacd(6)"));
        assert_eq!(Form::InterfaceType.of(&snmp::Value::Integer(161)), Value::Null);
        assert_eq!(Form::Address.of(&snmp::Value::Octets(vec![10, 0, 0, 1])), json!("10.0.0.1"));
        assert_eq!(Form::Plain.of(&snmp::Value::Octets(b" x \n".to_vec())), json!("x"));
        assert_eq!(Form::Uptime.of(&snmp::Value::TimeTicks(360_432_500)), json!("41 days, 17:12:05.00"));
        assert_eq!((uptime(0), uptime(8_640_001)), ("00:00:00.00".into(), "1 day, 00:00:00.01".into()));
    }

    #[test]
    fn addresses_in_indexes() {
        assert_eq!(mac_of_index("100.81.6.60.74.12").as_deref(), Some("64:51:06:3c:4a:0c"));
        assert_eq!(mac_of_index("7.100.81.6.60.74.12").as_deref(), Some("64:51:06:3c:4a:0c"));
        assert_eq!((mac_of_index("1.2.3"), mac_of_index("1.2.3.4.5.256")), (None, None));
    }

    #[test]
    fn numbers_have_no_needless_fraction() {
        assert_eq!((megabits(1_000_000_000), megabits(1_500_000)), (json!(1000), json!(1.5)));
        assert_eq!(Form::Megabits.of(&snmp::Value::Unsigned(1_544_000)), json!(1.54));
        assert_eq!(Form::Megabits.of(&snmp::Value::Integer(-1)), Value::Null);
    }
}
