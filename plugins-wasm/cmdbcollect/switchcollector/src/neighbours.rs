//! Which devices the ports lead to.

use autoexec_sdk::Failure;
use serde_json::{Value, json};
use snmp_device::{Device, port_name};

use crate::ports::Port;

const LLDP_LOCAL_PORT: &str = "1.0.8802.1.1.2.1.3.7.1.3";
const LLDP_PORT: &str = "1.0.8802.1.1.2.1.4.1.1.7";
const LLDP_NAME: &str = "1.0.8802.1.1.2.1.4.1.1.9";
const CDP_NAME: &str = "1.3.6.1.4.1.9.9.23.1.2.1.1.6";
const CDP_PORT: &str = "1.3.6.1.4.1.9.9.23.1.2.1.1.7";

/// A neighbour at a port.
struct Neighbour {
    /// Place of the port.
    port: usize,
    name: String,
    remote_port: String,
}

/// Puts the neighbours into the ports.
pub(crate) fn add(device: &Device, ports: &mut [Port], is_cisco: bool) -> Result<(), Failure> {
    let found = if is_cisco { cdp(device, ports)? } else { lldp(device, ports)? };
    let found = if found.is_empty() && is_cisco { lldp(device, ports)? } else { found };
    for port in ports.iter_mut() {
        port.record.insert("NEIGHBORS".into(), Value::Array(Vec::new()));
    }
    for Neighbour { port, name, remote_port } in found {
        let entry = json!({"DEV_NAME": name, "DEV_NAME_1": bare(&name), "PORT": port_name(&remote_port)});
        let neighbours = ports.get_mut(port).and_then(|port| port.record.get_mut("NEIGHBORS"));
        if let Some(neighbours) = neighbours.and_then(Value::as_array_mut) {
            neighbours.push(entry);
        }
    }
    Ok(())
}

/// The index ends with the number of the port and that of the neighbour.
fn lldp(device: &Device, ports: &[Port]) -> Result<Vec<Neighbour>, Failure> {
    let names = device.column(LLDP_NAME)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (remote, local) = (device.column(LLDP_PORT)?, device.column(LLDP_LOCAL_PORT)?);
    let neighbour = |cell: snmp_device::Cell| {
        let number = cell.index.rsplit('.').nth(1)?;
        let called = local.iter().find(|own| own.index == number).map(|own| own.value.to_text());
        let is_named = |port: &Port| {
            called.as_ref().is_some_and(|name| *name == port.raw_name || port_name(name) == port.name())
        };
        let position = ports.iter().position(is_named);
        let position = position.or_else(|| ports.iter().position(|port| port.index == number));
        let bridge: Option<u64> = number.parse().ok();
        let port = position
            .or_else(|| ports.iter().position(|port| port.bridge.is_some() && port.bridge == bridge))?;
        let remote_port = remote.iter().find(|own| own.index == cell.index);
        let remote_port = remote_port.map(|own| own.value.to_text()).unwrap_or_default();
        Some(Neighbour { port, name: cell.value.to_text(), remote_port })
    };
    Ok(names.into_iter().filter_map(neighbour).collect())
}

/// The index is the number of the interface and that of the neighbour.
fn cdp(device: &Device, ports: &[Port]) -> Result<Vec<Neighbour>, Failure> {
    let (names, remote) = (device.column(CDP_NAME)?, device.column(CDP_PORT)?);
    let neighbour = |cell: snmp_device::Cell| {
        let interface = cell.index.split('.').next()?;
        let port = ports.iter().position(|port| port.index == interface)?;
        let remote_port = remote.iter().find(|own| own.index == cell.index);
        let remote_port = remote_port.map(|own| own.value.to_text()).unwrap_or_default();
        Some(Neighbour { port, name: cell.value.to_text(), remote_port })
    };
    Ok(names.into_iter().filter_map(neighbour).collect())
}

/// A name without what stands in brackets at its end.
fn bare(name: &str) -> &str {
    match name.trim_end().strip_suffix(')').and_then(|rest| rest.rfind('(')) {
        Some(at) => name[..at].trim_end(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_what_stands_in_brackets() {
        assert_eq!((bare("acc-2(FOC1234)"), bare("acc-2"), bare("a(b)c")), ("acc-2", "acc-2", "a(b)c"));
    }
}
