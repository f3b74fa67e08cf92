//! The availability record that `inspect/*check` tools put out as `DATA` (spec/tools-behaviour/03-checks.md).
//!
//! A check whose answer is no succeeds as a step: `inspect/genreport` turns the record into an alert.

mod login;

use std::time::Duration;

use autoexec_sdk::job::{self, Node};
use autoexec_sdk::{Outcome, ToolResult, output};
use serde_json::{Value, json};

pub use login::echo;

/// How a response time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Whole seconds.
    Seconds,
    /// Seconds with four decimals.
    Fine,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The port that was checked, as the record shows it.
    pub port: Option<u16>,
    /// How long the answer took.
    pub response_time: Duration,
    /// How that is written.
    pub precision: Precision,
    /// Why it is not available; none when it is.
    pub error: Option<String>,
}

impl Record {
    /// Puts the record out for the node of this call. The step succeeds whatever the record says.
    pub fn put_out(&self) -> ToolResult {
        output::set("DATA", &self.document(&job::node()));
        Ok(Outcome::default())
    }

    fn document(&self, node: &Node) -> Value {
        json!({
            "MGMT_IP": node.host,
            "PORT": self.port,
            "RESOURCE_ID": node.resource_id,
            "AVAILABILITY": i32::from(self.error.is_none()),
            "RESPONSE_TIME": self.precision.seconds(self.response_time),
            "ERROR_MESSAGE": self.error.as_deref().unwrap_or_default(),
        })
    }
}

impl Precision {
    /// A response time as records have it.
    pub fn seconds(self, time: Duration) -> Value {
        match self {
            Self::Seconds => json!(time.as_secs()),
            // Rounded by way of text, so that no digits of the binary form follow.
            Self::Fine => {
                format!("{:.4}", time.as_secs_f64()).parse::<f64>().map_or(Value::Null, Value::from)
            }
        }
    }
}

/// The port that checks of a service use: the node's own, and where that means nothing (none, 0, 65535) the port of the
/// protocol by which the executor reaches it.
pub fn service_port(node: &Node) -> Option<u16> {
    node.port.filter(|port| !matches!(port, 0 | 65535)).or(node.protocol_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    #[test]
    fn the_record_has_the_keys_of_old() {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "10.0.0.7".into();
            node.resource_id = 7;
        });
        let record = Record {
            port: Some(22),
            response_time: Duration::from_micros(1_234_567),
            precision: Precision::Fine,
            error: None,
        };
        record.put_out().unwrap();
        let expected = json!({"MGMT_IP": "10.0.0.7", "PORT": 22, "RESOURCE_ID": 7, "AVAILABILITY": 1,
            "RESPONSE_TIME": 1.2346, "ERROR_MESSAGE": ""});
        assert_eq!(host.output("DATA"), Some(expected));
        Record { precision: Precision::Seconds, error: Some("refused".into()), ..record }.put_out().unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!((&data["AVAILABILITY"], &data["RESPONSE_TIME"]), (&json!(0), &json!(1)));
        assert_eq!(data["ERROR_MESSAGE"], "refused");
    }

    #[test]
    fn ports_that_mean_nothing_give_way_to_the_protocols() {
        let host = Host::new();
        for (port, expected) in
            [(Some(80), Some(80)), (None, Some(22)), (Some(0), Some(22)), (Some(65535), Some(22))]
        {
            host.set_node(|node| {
                node.port = port;
                node.protocol_port = Some(22);
            });
            assert_eq!(service_port(&job::node()), expected);
        }
    }
}
