//! Questions to SNMP agents, over a library that speaks the protocol.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_snmp::v3::{AuthProtocol, PrivProtocol, UsmConfig};
use async_snmp::{Auth, Client, Error, ErrorKind, Oid, Retry, VarBind, WalkOptions};

use crate::host::SecretValue;

/// What a value costs beside its bytes, in bytes.
const VALUE_SIZE: u64 = 64;

/// An agent, with the secrets in their places.
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    pub(crate) timeout: Duration,
    pub(crate) retries: u8,
}

/// Who asks.
pub(crate) enum Credentials {
    V1(SecretValue),
    V2c(SecretValue),
    V3 {
        name: String,
        authentication: Option<(Authentication, SecretValue)>,
        privacy: Option<(Privacy, SecretValue)>,
    },
}

/// How messages are signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Authentication {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How messages are encrypted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Privacy {
    Des,
    Aes128,
    Aes192,
    Aes256,
}

/// A value with its name.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// A value.
#[derive(Debug)]
pub(crate) enum Value {
    Integer(i64),
    Octets(Vec<u8>),
    ObjectId(String),
    IpAddress(Ipv4Addr),
    Unsigned(u64),
    TimeTicks(u32),
    Opaque(Vec<u8>),
    None,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnmpError {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Unresolved(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    NotAuthenticated(String),
    #[error("the agent answered {0}")]
    Refused(String),
    #[error("{0}")]
    Invalid(String),
    #[error("more than {0} values")]
    TooMany(u32),
    #[error("{0}")]
    Other(String),
}

impl Agent {
    /// Values of these objects, in their order.
    pub(crate) async fn get(self, names: &[String]) -> Result<Vec<Binding>, SnmpError> {
        let names = names.iter().map(|name| oid(name)).collect::<Result<Vec<Oid>, _>>()?;
        let client = self.client(None).await?;
        let answer = client.get_many(&names).await.map_err(|error| snmp_error(&error))?;
        Ok(answer.varbinds.into_iter().map(binding).collect())
    }

    /// All values below an object: at most `limit`, of at most so many bytes.
    pub(crate) async fn walk(self, root: &str, limit: u32, bytes: u64) -> Result<Vec<Binding>, SnmpError> {
        let root = oid(root)?;
        // One more than is wanted, to see that there is more.
        let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let client = self.client(Some(most)).await?;
        let mut walk = client.walk(root).map_err(|error| snmp_error(&error))?;
        let mut found = Vec::new();
        let mut size = 0;
        while let Some(next) = walk.next().await {
            let next = binding(next.map_err(|error| snmp_error(&error))?);
            size += VALUE_SIZE + next.size();
            if size > bytes {
                return Err(SnmpError::Other(format!(
                    "the values are longer than {bytes} bytes; raise `response-kib` under [[limits]] in the policy"
                )));
            }
            found.push(next);
            if found.len() >= most {
                return Err(SnmpError::TooMany(limit));
            }
        }
        Ok(found)
    }

    async fn client(self, most: Option<usize>) -> Result<Client, SnmpError> {
        let retry = Retry::fixed(u32::from(self.retries), Duration::ZERO)
            .map_err(|error| SnmpError::Invalid(error.to_string()))?;
        let options = WalkOptions { result_limit: most, ..WalkOptions::default() };
        Client::builder(self.address.to_string(), auth(self.credentials)?)
            .request_timeout(self.timeout)
            .retry(retry)
            .walk_options(options)
            .connect()
            .await
            .map_err(|error| snmp_error(&error))
    }
}

fn auth(credentials: Credentials) -> Result<Auth, SnmpError> {
    let unusable = |error: &dyn std::fmt::Display| {
        SnmpError::NotAuthenticated(format!("the passphrase can not be used: {error}"))
    };
    Ok(match credentials {
        Credentials::V1(community) => Auth::v1(community.expose()),
        Credentials::V2c(community) => Auth::v2c(community.expose()),
        Credentials::V3 { name, authentication: None, privacy: None } => Auth::usm(name),
        Credentials::V3 { authentication: None, privacy: Some(_), .. } => {
            return Err(SnmpError::Invalid("messages are encrypted only when they are signed, too".into()));
        }
        Credentials::V3 { name, authentication: Some((kind, passphrase)), privacy } => {
            let user = UsmConfig::new(name.into_bytes());
            let configured = match privacy {
                None => user.auth(auth_protocol(kind), passphrase.expose()),
                Some((privacy, private)) => user.auth_priv(
                    auth_protocol(kind),
                    passphrase.expose(),
                    priv_protocol(privacy),
                    private.expose(),
                ),
            };
            configured.map_err(|error| unusable(&error))?.into()
        }
    })
}

fn auth_protocol(kind: Authentication) -> AuthProtocol {
    match kind {
        Authentication::Md5 => AuthProtocol::Md5,
        Authentication::Sha1 => AuthProtocol::Sha1,
        Authentication::Sha224 => AuthProtocol::Sha224,
        Authentication::Sha256 => AuthProtocol::Sha256,
        Authentication::Sha384 => AuthProtocol::Sha384,
        Authentication::Sha512 => AuthProtocol::Sha512,
    }
}

/// Of the two ways to lengthen keys for AES with 192 and 256 bits, that of Reeder, which most vendors have.
fn priv_protocol(kind: Privacy) -> PrivProtocol {
    match kind {
        Privacy::Des => PrivProtocol::Des,
        Privacy::Aes128 => PrivProtocol::Aes128,
        Privacy::Aes192 => PrivProtocol::Aes192Reeder,
        Privacy::Aes256 => PrivProtocol::Aes256Reeder,
    }
}

fn oid(text: &str) -> Result<Oid, SnmpError> {
    let shown: String = text.chars().take(100).collect();
    Oid::parse(text)
        .map_err(|_| SnmpError::Invalid(format!("`{shown}` is no object identifier in dotted form")))
}

fn binding(found: VarBind) -> Binding {
    use async_snmp::Value as Found;
    let value = match found.value {
        Found::Integer(number) => Value::Integer(number.into()),
        Found::OctetString(bytes) | Found::Nsap(bytes) => Value::Octets(bytes.to_vec()),
        Found::ObjectIdentifier(name) => Value::ObjectId(name.to_string()),
        Found::IpAddress(address) => Value::IpAddress(address.into()),
        Found::Counter32(number) | Found::Gauge32(number) | Found::UInteger32(number) => {
            Value::Unsigned(number.into())
        }
        Found::Counter64(number) => Value::Unsigned(number),
        Found::TimeTicks(ticks) => Value::TimeTicks(ticks),
        Found::Opaque(bytes) => Value::Opaque(bytes.to_vec()),
        _ => Value::None,
    };
    Binding { name: found.oid.to_string(), value }
}

impl Binding {
    fn size(&self) -> u64 {
        let value = match &self.value {
            Value::Octets(bytes) | Value::Opaque(bytes) => bytes.len(),
            Value::ObjectId(name) => name.len(),
            _ => 0,
        };
        (self.name.len() + value) as u64
    }
}

fn snmp_error(error: &Error) -> SnmpError {
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::ConstructionTimeout => SnmpError::TimedOut,
        ErrorKind::Auth | ErrorKind::Report => SnmpError::NotAuthenticated(error.to_string()),
        ErrorKind::Snmp => match error.exchange_source() {
            Error::Snmp { status, .. } => SnmpError::Refused(status.to_string()),
            other => SnmpError::Refused(other.to_string()),
        },
        ErrorKind::Decode
        | ErrorKind::MalformedResponse
        | ErrorKind::ResponseShape
        | ErrorKind::WalkAborted
        | ErrorKind::InvalidOid => SnmpError::Invalid(error.to_string()),
        _ => SnmpError::Other(error.to_string()),
    }
}
