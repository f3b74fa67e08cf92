//! Which addresses were seen at which port.

use std::collections::{BTreeSet, HashMap};

use autoexec_sdk::job::Node;
use autoexec_sdk::{Failure, log};
use serde_json::{Value, json};
use snmp_device::{Access, Device, mac_of_index};

use crate::ports::{Port, bridge_ports};

/// Port of each address, by address.
const BRIDGE: &str = "1.3.6.1.2.1.17.4.3.1.2";
/// Port of each address, by table and address (Q-BRIDGE-MIB).
const VIRTUAL_BRIDGE: &str = "1.3.6.1.2.1.17.7.1.2.2.1.2";
/// State of each virtual network of Cisco's.
const CISCO_NETWORKS: &str = "1.3.6.1.4.1.9.9.46.1.3.1.1.2";
/// A virtual network that is in use.
const OPERATIONAL: i128 = 1;

/// One entry for each port at which addresses were seen, in the order of the ports. `per_network` is who asks a device that
/// keeps a table for each virtual network.
pub(crate) fn read(
    device: &Device,
    ports: &[Port],
    per_network: Option<(&Access, &Node)>,
) -> Result<Vec<Value>, Failure> {
    let mut seen: HashMap<String, BTreeSet<String>> = HashMap::new();
    collect(device, &mut seen)?;
    if let Some((access, node)) = per_network {
        for cell in device.column(CISCO_NETWORKS)? {
            let network = cell.index.rsplit('.').next().unwrap_or_default();
            if cell.value.as_number() != Some(OPERATIONAL) || network.is_empty() {
                continue;
            }
            let Some(agent) = access.network_agent(node, network)? else { break };
            if let Err(failure) = collect(&Device::new(agent), &mut seen) {
                log::warn(format_args!("The network {network} is left out: {failure}"));
            }
        }
    }
    let entry = |port: &Port| {
        let macs = seen.get(&port.index)?;
        Some(json!({"PORT": port.name(), "MAC_COUNT": macs.len(), "MACS": macs}))
    };
    Ok(ports.iter().filter_map(entry).collect())
}

/// Adds the addresses by the number of the interface at which they were seen.
fn collect(device: &Device, seen: &mut HashMap<String, BTreeSet<String>>) -> Result<(), Failure> {
    let mut cells = device.column(BRIDGE)?;
    if cells.is_empty() {
        cells = device.column(VIRTUAL_BRIDGE)?;
    }
    if cells.is_empty() {
        return Ok(());
    }
    let interfaces: HashMap<u64, String> = bridge_ports(device)?.into_iter().collect();
    for cell in cells {
        let port = cell.value.as_number().and_then(|number| u64::try_from(number).ok());
        // Port 0 means that the device has forgotten where.
        let interface = port.filter(|port| *port != 0).and_then(|port| interfaces.get(&port));
        if let (Some(interface), Some(mac)) = (interface, mac_of_index(&cell.index)) {
            seen.entry(interface.clone()).or_default().insert(mac);
        }
    }
    Ok(())
}
