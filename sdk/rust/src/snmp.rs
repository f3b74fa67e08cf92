//! Asks SNMP agents. The host speaks the protocol, so that a tool never holds a community or a passphrase. Needs the
//! capability `snmp` in `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::snmp as host;
use crate::bindings::autoexec::tool::snmp as wit;
pub use crate::bindings::autoexec::tool::snmp::{
    Authentication, Binding, Credentials, Privacy, SnmpError, User, Value,
};
use crate::clock::millis;
use crate::failure::{HostError, reasons};
use crate::net_probe::peer;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::snmp as host;

/// What the host could not do, and why.
pub type Error = HostError<SnmpError>;

reasons!(SnmpError {
    SnmpError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    SnmpError::Unresolved(why) => crate::FailureKind::Unreachable, said("the name has no address", why);
    SnmpError::TimedOut => crate::FailureKind::TimedOut, "no answer in time: not there, or it does not know the community or user";
    SnmpError::NotAuthenticated(why) => crate::FailureKind::Denied, said("the agent does not accept the user", why);
    SnmpError::Refused(name) => crate::FailureKind::Other("refused".into()), format!("the agent answered {name}");
    SnmpError::Invalid(why) => crate::FailureKind::Other("invalid-data".into()), said("the answer can not be understood", why);
    SnmpError::TooMany(limit) => crate::FailureKind::Other("too-large".into()), format!("more than {limit} values");
    SnmpError::Other(why) => crate::FailureKind::Other("snmp".into()), why;
});

/// Objects that one [`Agent::get`] may ask for at the host.
const MOST_AT_ONCE: usize = 64;

/// An agent and who asks it.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent(wit::Agent);

impl Agent {
    /// The agent on the usual port (161), asked with a time limit of 5 seconds and two repetitions.
    pub fn new(host: impl Into<String>, credentials: Credentials) -> Self {
        Self(wit::Agent { host: host.into(), port: 161, credentials, timeout_ms: 5000, retries: 2 })
    }

    /// Another UDP port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.0.port = port;
        self
    }

    /// The longest wait for one answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = millis(timeout);
        self
    }

    /// How often a question without answer is asked again.
    #[must_use]
    pub fn retries(mut self, retries: u8) -> Self {
        self.0.retries = retries;
        self
    }

    /// Values of these objects, in their order.
    pub fn get(&self, names: &[&str]) -> Result<Vec<Binding>, Error> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(MOST_AT_ONCE) {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            found.append(
                &mut host::get(&self.0, &names).map_err(|reason| self.error(reason, names.join(", ")))?,
            );
        }
        Ok(found)
    }

    /// The value of one object; [`Value::None`] when there is none.
    pub fn get_one(&self, name: &str) -> Result<Value, Error> {
        Ok(self.get(&[name])?.into_iter().next().map_or(Value::None, |binding| binding.value))
    }

    /// All values below an object, in the agent's order. More than `limit` is an error.
    pub fn walk(&self, root: &str, limit: u32) -> Result<Vec<Binding>, Error> {
        host::walk(&self.0, root, limit).map_err(|reason| self.error(reason, root))
    }

    fn error(&self, reason: SnmpError, what: impl std::fmt::Display) -> Error {
        let peer = peer(&self.0.host, self.0.port);
        HostError::new(reason, format_args!("asking the SNMP agent {peer} for {what}"))
    }
}

impl Value {
    /// As text: octets as UTF-8 where they are, else as bytes in hexadecimal with colons; nothing for [`Value::None`].
    pub fn to_text(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::TimeTicks(ticks) => ticks.to_string(),
            Self::ObjectId(text) | Self::IpAddress(text) => text.clone(),
            Self::Octets(bytes) | Self::Opaque(bytes) => octets(bytes),
            Self::None => String::new(),
        }
    }

    /// As a number, where it is one.
    pub fn as_number(&self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some((*number).into()),
            Self::Unsigned(number) => Some((*number).into()),
            Self::TimeTicks(ticks) => Some((*ticks).into()),
            _ => None,
        }
    }
}

fn octets(bytes: &[u8]) -> String {
    let is_text = |text: &str| text.chars().all(|c| !c.is_control() || c.is_whitespace());
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text(text) => text.to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
    }
}

impl Binding {
    /// The part of the name below `root`, such as the index of a table's row.
    pub fn index_below(&self, root: &str) -> Option<&str> {
        self.name.strip_prefix(root)?.strip_prefix('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_text_where_they_can_be_shown() {
        assert_eq!(Value::Octets(b"eth0".to_vec()).to_text(), "eth0");
        assert_eq!(Value::Octets(vec![0, 0x1b, 0x21]).to_text(), "00:1b:21");
        assert_eq!(Value::Octets(vec![0xff, 1]).to_text(), "ff:01");
    }

    #[test]
    fn the_index_is_what_is_below_the_root() {
        let binding = Binding { name: "1.3.6.1.2.10".into(), value: Value::None };
        assert_eq!(binding.index_below("1.3.6.1.2"), Some("10"));
        assert_eq!(binding.index_below("1.3.6.1.2.1"), None);
    }
}
