//! Counters of the interfaces, as changes per second.

use std::collections::HashMap;
use std::time::Duration;

use autoexec_sdk::clock::{self, Instant};
use autoexec_sdk::{Failure, log};
use serde_json::Value;
use snmp_device::Device;

use crate::ports::Port;

/// Time between the two readings.
const PAUSE: Duration = Duration::from_secs(1);

/// Names, and the columns: 64 bits where the device has them, 32 bits else.
const COUNTERS: [(&str, Option<&str>, &str); 11] = [
    ("IN_OCTETS", Some("1.3.6.1.2.1.31.1.1.1.6"), "1.3.6.1.2.1.2.2.1.10"),
    ("IN_UCAST_PKTS", Some("1.3.6.1.2.1.31.1.1.1.7"), "1.3.6.1.2.1.2.2.1.11"),
    ("IN_NUCAST_PKTS", None, "1.3.6.1.2.1.2.2.1.12"),
    ("IN_DISCARDS", None, "1.3.6.1.2.1.2.2.1.13"),
    ("IN_ERRORS", None, "1.3.6.1.2.1.2.2.1.14"),
    ("IN_UNKNOWN_PROTOS", None, "1.3.6.1.2.1.2.2.1.15"),
    ("OUT_OCTETS", Some("1.3.6.1.2.1.31.1.1.1.10"), "1.3.6.1.2.1.2.2.1.16"),
    ("OUT_UCAST_PKTS", Some("1.3.6.1.2.1.31.1.1.1.11"), "1.3.6.1.2.1.2.2.1.17"),
    ("OUT_NUCAST_PKTS", None, "1.3.6.1.2.1.2.2.1.18"),
    ("OUT_DISCARDS", None, "1.3.6.1.2.1.2.2.1.19"),
    ("OUT_ERRORS", None, "1.3.6.1.2.1.2.2.1.20"),
];

/// One reading of one counter.
struct Reading {
    at: Instant,
    is_wide: bool,
    values: HashMap<String, u64>,
}

/// Reads all counters twice and puts what they gained in a second into the ports.
pub(crate) fn add(device: &Device, ports: &mut [Port]) -> Result<(), Failure> {
    let first = read_all(device)?;
    clock::sleep(PAUSE);
    let second = read_all(device)?;
    for ((name, ..), (before, after)) in COUNTERS.iter().zip(first.iter().zip(&second)) {
        let passed = before.at.elapsed().saturating_sub(after.at.elapsed());
        for port in ports.iter_mut() {
            let values = (before.values.get(&port.index), after.values.get(&port.index));
            let rate = match values {
                (Some(&before_value), Some(&value)) if before.is_wide == after.is_wide => {
                    rate(gained(before_value, value, after.is_wide), passed).into()
                }
                _ => Value::Null,
            };
            port.record.insert((*name).to_owned(), rate);
        }
    }
    log::info("Counters were read twice.");
    Ok(())
}

fn read_all(device: &Device) -> Result<Vec<Reading>, Failure> {
    COUNTERS.iter().map(|(_, wide, narrow)| read(device, *wide, narrow)).collect()
}

fn read(device: &Device, wide: Option<&str>, narrow: &str) -> Result<Reading, Failure> {
    let at = Instant::now();
    let mut cells = wide.map(|wide| device.column(wide)).transpose()?.unwrap_or_default();
    let is_wide = !cells.is_empty();
    if !is_wide {
        cells = device.column(narrow)?;
    }
    let value = |cell: snmp_device::Cell| {
        let number = cell.value.as_number().and_then(|number| u64::try_from(number).ok())?;
        Some((cell.index, number))
    };
    Ok(Reading { at, is_wide, values: cells.into_iter().filter_map(value).collect() })
}

/// What a counter gained; one of 32 bits begins anew at its end.
fn gained(before: u64, after: u64, is_wide: bool) -> u64 {
    if after >= before {
        return after - before;
    }
    if is_wide { 0 } else { (1_u64 << 32).saturating_sub(before).saturating_add(after) }
}

/// In whole units per second.
fn rate(gained: u64, passed: Duration) -> u64 {
    let millis = passed.as_millis().max(1);
    u64::try_from((u128::from(gained) * 1000 + millis / 2) / millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_and_rates() {
        assert_eq!(gained(5, 12, false), 7);
        assert_eq!(gained(u64::from(u32::MAX), 4, false), 5);
        assert_eq!(gained(u64::MAX, 4, true), 0, "a counter of 64 bits was set back");
        assert_eq!(rate(300, Duration::from_millis(1500)), 200);
        assert_eq!(rate(7, Duration::ZERO), 7000);
    }
}
