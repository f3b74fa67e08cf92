//! Tool `cmdbcollect/switchcollector`: inventories an Ethernet switch or router by SNMP
//! (spec/tools-behaviour/10-snmp-devices.md).

use autoexec_sdk::{
    Call, Choice, Options, Outcome, Outputs, Tool, ToolResult, job, log, output::Outputs as _,
};
use serde_json::{Value, json};
use snmp_device::{Access, Asking, Device, Version3, addresses, identify};

mod counters;
mod forwarding;
mod neighbours;
mod ports;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    #[option(flatten)]
    asking: Asking,
    /// Type of the record
    #[option(name = "objtype", label = "Type", default = "Switch", required = true)]
    object_type: ObjectType,
    /// Read the counters of the ports too
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    inspect: bool,
    /// Show the record
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    #[option(flatten)]
    version_3: Version3,
}

/// Type of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
enum ObjectType {
    #[choice(value = "Switch")]
    Switch,
    #[choice(value = "Router")]
    Router,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Collected {
    /// The record of the device
    #[output(name = "DATA", label = "Records")]
    data: Vec<Value>,
}

struct SwitchCollector;

impl Tool for SwitchCollector {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let node = job::node();
        let access = Access { asking: options.asking, version_3: options.version_3 };
        let device = Device::new(access.agent(&node)?);
        let (brand, identity) = identify(&device, None)?;
        let brand_name = brand.as_ref().map(|brand| brand.brand.clone());
        let is_cisco = brand_name.as_deref() == Some("Cisco");
        let mut ports = ports::read(&device)?;
        if options.inspect {
            counters::add(&device, &mut ports)?;
        }
        // Cisco keeps a table for each network, behind a community of its own.
        let per_network = is_cisco.then_some((&access, &node));
        let table = forwarding::read(&device, &ports, per_network)?;
        neighbours::add(&device, &mut ports, is_cisco)?;
        let mut record = json!({
            "_OBJ_CATEGORY": "SWITCH",
            "_OBJ_TYPE": match options.object_type {
                ObjectType::Switch => "Switch",
                ObjectType::Router => "Router",
            },
            "_APP_TYPE": brand_name,
            "PK": ["MGMT_IP", "SN"],
            "RESOURCE_ID": node.resource_id,
            "MGMT_IP": node.host,
        });
        let ports: Vec<Value> = ports.into_iter().map(|port| port.record.into()).collect();
        log::info(format_args!("{} port(s), {} with known addresses.", ports.len(), table.len()));
        if let Some(record) = record.as_object_mut() {
            record.extend(identity);
            record.insert("IP_ADDRS".into(), addresses(&device)?.into());
            record.insert("PORTS".into(), ports.into());
            record.insert("MAC_TABLE".into(), table.into());
        }
        if options.verbose {
            log::plain(serde_json::to_string_pretty(&record)?);
        }
        Collected { data: vec![record] }.put();
        Ok(Outcome::default())
    }
}

autoexec_sdk::export_tool!(SwitchCollector);

#[cfg(test)]
mod tests;
