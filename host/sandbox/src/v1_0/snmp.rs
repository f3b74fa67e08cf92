//! `snmp`.

use autoexec_grants::SecretDestination;
use wasmtime::Result;
use zeroize::Zeroizing;

use super::bindings::autoexec::tool::snmp as wit;
use crate::border::Border;
use crate::net::{NetError, Purpose, deadline};
use crate::snmp::{Agent, Authentication, Binding, Credentials, Privacy, SnmpError, Value};
use crate::state::CallState;

/// Objects of one `get`.
const MOST_NAMES: usize = 64;

impl wit::Host for CallState {
    async fn get(
        &mut self,
        agent: wit::Agent,
        names: Vec<String>,
    ) -> Result<Result<Vec<wit::Binding>, wit::SnmpError>> {
        let border = self.enter()?;
        let asked = border.asked("snmp.get", &(&agent, &names))?;
        let act = async { get(&border, agent, &names).await.map(bindings).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn walk(
        &mut self,
        agent: wit::Agent,
        root: String,
        limit: u32,
    ) -> Result<Result<Vec<wit::Binding>, wit::SnmpError>> {
        let border = self.enter()?;
        let asked = border.asked("snmp.walk", &(&agent, &root, limit))?;
        let act = async { walk(&border, agent, &root, limit).await.map(bindings).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }
}

async fn get(border: &Border, agent: wit::Agent, names: &[String]) -> Result<Vec<Binding>, SnmpError> {
    if names.is_empty() || names.len() > MOST_NAMES {
        return Err(SnmpError::Invalid(format!(
            "one question has 1 to {MOST_NAMES} names, this has {}",
            names.len()
        )));
    }
    let _socket = border.socket().map_err(|reached| SnmpError::Other(reached.to_string()))?;
    reach(border, agent).await?.get(names).await
}

async fn walk(border: &Border, agent: wit::Agent, root: &str, limit: u32) -> Result<Vec<Binding>, SnmpError> {
    let _socket = border.socket().map_err(|reached| SnmpError::Other(reached.to_string()))?;
    reach(border, agent).await?.walk(root, limit, border.limits.response).await
}

/// The agent at the first of its addresses, all of which are permitted, with the secrets in their places.
async fn reach(border: &Border, agent: wit::Agent) -> Result<Agent, SnmpError> {
    let until = deadline(border.clock.left());
    let addresses = border.resolve(Purpose::Snmp, &agent.host, agent.port, until).await?;
    let address = *addresses.first().ok_or_else(|| SnmpError::Unresolved(agent.host.clone()))?;
    let destination = SecretDestination::Snmp { host: &agent.host, port: agent.port };
    let secret = async |text: String| {
        let text = Zeroizing::new(text);
        let revealed = border.reveal(text.as_bytes(), destination).await;
        revealed.map_err(|error| SnmpError::Denied(error.to_string()))
    };
    let credentials = match agent.credentials {
        wit::Credentials::V1(community) => Credentials::V1(secret(community).await?),
        wit::Credentials::V2c(community) => Credentials::V2c(secret(community).await?),
        wit::Credentials::V3(user) => Credentials::V3 {
            name: user.name,
            authentication: match user.authentication {
                Some((kind, passphrase)) => Some((authentication(kind), secret(passphrase).await?)),
                None => None,
            },
            privacy: match user.privacy {
                Some((kind, passphrase)) => Some((privacy(kind), secret(passphrase).await?)),
                None => None,
            },
        },
    };
    let timeout = std::time::Duration::from_millis(agent.timeout_ms.into());
    Ok(Agent { address, credentials, timeout, retries: agent.retries })
}

fn authentication(kind: wit::Authentication) -> Authentication {
    match kind {
        wit::Authentication::Md5 => Authentication::Md5,
        wit::Authentication::Sha1 => Authentication::Sha1,
        wit::Authentication::Sha224 => Authentication::Sha224,
        wit::Authentication::Sha256 => Authentication::Sha256,
        wit::Authentication::Sha384 => Authentication::Sha384,
        wit::Authentication::Sha512 => Authentication::Sha512,
    }
}

fn privacy(kind: wit::Privacy) -> Privacy {
    match kind {
        wit::Privacy::Des => Privacy::Des,
        wit::Privacy::Aes128 => Privacy::Aes128,
        wit::Privacy::Aes192 => Privacy::Aes192,
        wit::Privacy::Aes256 => Privacy::Aes256,
    }
}

fn bindings(found: Vec<Binding>) -> Vec<wit::Binding> {
    found.into_iter().map(binding).collect()
}

fn binding(found: Binding) -> wit::Binding {
    let value = match found.value {
        Value::Integer(number) => wit::Value::Integer(number),
        Value::Octets(bytes) => wit::Value::Octets(bytes),
        Value::ObjectId(name) => wit::Value::ObjectId(name),
        Value::IpAddress(address) => wit::Value::IpAddress(address.to_string()),
        Value::Unsigned(number) => wit::Value::Unsigned(number),
        Value::TimeTicks(ticks) => wit::Value::TimeTicks(ticks),
        Value::Opaque(bytes) => wit::Value::Opaque(bytes),
        Value::None => wit::Value::None,
    };
    wit::Binding { name: found.name, value }
}

impl From<NetError> for SnmpError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Denied(why) => Self::Denied(why),
            NetError::Unresolved(why) => Self::Unresolved(why),
            NetError::TimedOut => Self::TimedOut,
            NetError::Refused | NetError::Unreachable(_) | NetError::Other(_) => {
                Self::Other(error.to_string())
            }
        }
    }
}

fn wit_error(error: SnmpError) -> wit::SnmpError {
    match error {
        SnmpError::Denied(why) => wit::SnmpError::Denied(why),
        SnmpError::Unresolved(why) => wit::SnmpError::Unresolved(why),
        SnmpError::TimedOut => wit::SnmpError::TimedOut,
        SnmpError::NotAuthenticated(why) => wit::SnmpError::NotAuthenticated(why),
        SnmpError::Refused(name) => wit::SnmpError::Refused(name),
        SnmpError::Invalid(why) => wit::SnmpError::Invalid(why),
        SnmpError::TooMany(limit) => wit::SnmpError::TooMany(limit),
        SnmpError::Other(why) => wit::SnmpError::Other(why),
    }
}
