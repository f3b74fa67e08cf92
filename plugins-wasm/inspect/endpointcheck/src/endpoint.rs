//! What is looked at, and how.

use std::fmt;

use autoexec_sdk::job::Node;
use autoexec_sdk::server::{self, ServerError};
use autoexec_sdk::{Failure, HostError};
use console_calls::job_id;
use serde_json::{Value, json};

/// The server call for attributes of a resource.
const ATTRIBUTES: &str = "rest/cmdb/cientity/attrentity/get";

/// How an access point is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessType {
    Http,
    Tcp,
    Ping,
    UrlSequence,
}

impl fmt::Display for AccessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tcp => "TCP",
            Self::Ping => "PING",
            Self::UrlSequence => "URL-SEQUENCE",
        })
    }
}

/// An access point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) access: AccessType,
    pub(crate) address: String,
}

impl Endpoint {
    /// The access point of the node's resource; what the inventory does not say is derived.
    pub(crate) fn of_node(node: &Node) -> Result<Self, Failure> {
        let attributes = attributes(node)?;
        let address = attribute(&attributes, "access_endpoint").unwrap_or_else(|| {
            match node.port.filter(|port| *port != 0) {
                Some(port) if node.host.contains(':') => format!("[{}]:{port}", node.host),
                Some(port) => format!("{}:{port}", node.host),
                None => node.host.clone(),
            }
        });
        let access = match attribute(&attributes, "access_type").map(|name| name.to_uppercase()).as_deref() {
            None => derived(&address),
            Some("HTTP" | "HTTPS" | "URL") => AccessType::Http,
            Some("TCP") => AccessType::Tcp,
            Some("PING") => AccessType::Ping,
            Some("URL-SEQUENCE") => AccessType::UrlSequence,
            Some("BATCH") => {
                let message = "the access point is of the type BATCH, which runs a stored script on the node: this is not supported; \
                               use the script as a step of the job";
                return Err(Failure::other("unsupported", message));
            }
            Some(other) => {
                let message = format!(
                    "the access point is of the type {other}, which is not known: correct `access_type` in the inventory"
                );
                return Err(Failure::other("unsupported", message));
            }
        };
        Ok(Self { access, address })
    }

    /// The parts of `host:port`.
    pub(crate) fn host_and_port(&self) -> Result<(String, u16), Failure> {
        let parts = self.address.trim().rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port != 0)?)));
        parts
            .filter(|(host, _)| !host.is_empty())
            .map(|(host, port)| (bare(host).to_owned(), port))
            .ok_or_else(|| {
                let message = format!(
                    "the access point \"{}\" is no host:port: correct `access_endpoint` in the inventory",
                    self.address
                );
                Failure::other("invalid-endpoint", message)
            })
    }

    /// The host, whatever follows it.
    pub(crate) fn host(&self) -> &str {
        let address = self.address.trim();
        match address.rsplit_once(':') {
            Some((host, port))
                if port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')) =>
            {
                bare(host)
            }
            _ => bare(address),
        }
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn derived(address: &str) -> AccessType {
    let lower = address.trim().to_lowercase();
    let has_port = lower.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    });
    if lower.starts_with("https://") || lower.starts_with("http://") {
        AccessType::Http
    } else if has_port {
        AccessType::Tcp
    } else {
        AccessType::Ping
    }
}

fn attributes(node: &Node) -> Result<Value, Failure> {
    let parameters = json!({"jobId": job_id(), "ciEntityId": node.resource_id, "attrList": ["access_type", "access_endpoint"]});
    match server::call_value(ATTRIBUTES, &parameters) {
        Ok(answer) => Ok(answer.get("attrEntityData").cloned().unwrap_or_default()),
        Err(HostError { reason: ServerError::None, .. }) => Ok(Value::Null),
        Err(error) => Err(error.into()),
    }
}

/// The first value of an attribute, found by its key or its name.
fn attribute(attributes: &Value, name: &str) -> Option<String> {
    let attributes = attributes.as_object()?;
    let is_named = |(key, value): &(&String, &Value)| {
        *key == name || value.get("name").and_then(Value::as_str) == Some(name)
    };
    let (_, found) = attributes.iter().find(is_named)?;
    let text = match found.get("actualValueList")?.as_array()?.first()? {
        Value::String(text) => text.clone(),
        Value::Object(value) => {
            ["name", "value", "text"].iter().find_map(|key| value.get(*key)?.as_str())?.to_owned()
        }
        _ => return None,
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
