use std::time::Duration;

use autoexec_sdk::job::Node;
use autoexec_sdk::options::Secret;
use autoexec_sdk::secret::{self, SecretError};
use autoexec_sdk::snmp::{Agent, Authentication, Credentials, Privacy, User};
use autoexec_sdk::{Choice, Failure, HostError, OptionGroup, log};

/// The usual port of SNMP.
const PORT: u16 = 161;
/// How often a question without an answer is asked again.
const RETRIES: u8 = 2;

/// How messages of version 3 are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum AuthProtocol {
    /// SHA-1
    Sha,
    /// MD5
    Md5,
    /// SHA-224
    Sha224,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// How messages of version 3 are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum PrivProtocol {
    /// AES-128
    Aes,
    /// DES
    Des,
    /// AES-192
    Aes192,
    /// AES-256
    Aes256,
}

/// What every collector is told first.
#[derive(Debug, Clone, OptionGroup)]
pub struct Asking {
    /// Community of SNMP version 2c, where the node has no password
    #[option(default = "public")]
    pub community: Secret,
    /// Seconds to wait for one answer
    #[option(default = 10, required = true)]
    pub timeout: Duration,
}

/// What every collector is told last: who asks by version 3.
#[derive(Debug, Clone, OptionGroup)]
pub struct Version3 {
    /// User of SNMP version 3; with it the community is not used
    pub user: Option<String>,
    /// How messages of version 3 are signed
    #[option(name = "authProtocol", label = "Signature", default = "sha")]
    pub auth_protocol: AuthProtocol,
    /// Passphrase for the signature
    #[option(name = "authPassword", label = "Signature passphrase")]
    pub auth_password: Option<Secret>,
    /// How messages of version 3 are encrypted
    #[option(name = "privProtocol", label = "Encryption", default = "aes")]
    pub priv_protocol: PrivProtocol,
    /// Passphrase for the encryption
    #[option(name = "privPassword", label = "Encryption passphrase")]
    pub priv_password: Option<Secret>,
}

/// Who asks, as the options of a collector say it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Community and time limit.
    pub asking: Asking,
    /// User of version 3, where there is one.
    pub version_3: Version3,
}

impl Access {
    /// The agent of the node. The community is the node's password where it has one.
    pub fn agent(&self, node: &Node) -> Result<Agent, Failure> {
        let credentials = match &self.version_3.user {
            Some(name) => Credentials::V3(self.user_named(name)?),
            None => Credentials::V2c(self.community()?),
        };
        Ok(self.agent_of(node, credentials))
    }

    /// The agent of the node as it speaks for one virtual network: a community of its own, `<community>@<network>`. Version 3
    /// has no such thing.
    pub fn network_agent(&self, node: &Node, network: &str) -> Result<Option<Agent>, Failure> {
        if self.version_3.user.is_some() {
            return Ok(None);
        }
        let community = format!("{}@{network}", self.community()?);
        Ok(Some(self.agent_of(node, Credentials::V2c(community))))
    }

    fn agent_of(&self, node: &Node, credentials: Credentials) -> Agent {
        let own = (node.protocol == "snmp").then_some(node.protocol_port).flatten();
        let port = own.filter(|port| *port != 0).unwrap_or(PORT);
        Agent::new(&node.host, credentials).port(port).timeout(self.asking.timeout).retries(RETRIES)
    }

    fn community(&self) -> Result<String, Failure> {
        match secret::reference("node") {
            Ok(reference) => Ok(reference),
            Err(HostError { reason: SecretError::NotFound, .. }) => {
                Ok(self.asking.community.reference().to_owned())
            }
            Err(HostError { reason: SecretError::Denied(why), .. }) => {
                log::warn(format_args!("The node's password may not be used as community: {why}"));
                Ok(self.asking.community.reference().to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn user_named(&self, name: &str) -> Result<User, Failure> {
        let options = &self.version_3;
        let authentication = options.auth_password.as_ref().map(|passphrase| {
            let protocol = match options.auth_protocol {
                AuthProtocol::Sha => Authentication::Sha1,
                AuthProtocol::Md5 => Authentication::Md5,
                AuthProtocol::Sha224 => Authentication::Sha224,
                AuthProtocol::Sha256 => Authentication::Sha256,
                AuthProtocol::Sha384 => Authentication::Sha384,
                AuthProtocol::Sha512 => Authentication::Sha512,
            };
            (protocol, passphrase.reference().to_owned())
        });
        let privacy = options.priv_password.as_ref().map(|passphrase| {
            let protocol = match options.priv_protocol {
                PrivProtocol::Aes => Privacy::Aes128,
                PrivProtocol::Des => Privacy::Des,
                PrivProtocol::Aes192 => Privacy::Aes192,
                PrivProtocol::Aes256 => Privacy::Aes256,
            };
            (protocol, passphrase.reference().to_owned())
        });
        if privacy.is_some() && authentication.is_none() {
            let message =
                "`privPassword` is given without `authPassword`: messages that are encrypted are signed too";
            return Err(Failure::invalid_option("authPassword", message));
        }
        Ok(User { name: name.to_owned(), authentication, privacy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::options::OptionValue as _;
    use autoexec_sdk::testing::Host;

    fn secret(text: &str) -> Secret {
        Secret::read(&text.into()).unwrap()
    }

    fn access() -> Access {
        let version_3 = Version3 {
            user: None,
            auth_protocol: AuthProtocol::Sha256,
            auth_password: None,
            priv_protocol: PrivProtocol::Aes,
            priv_password: None,
        };
        Access { asking: Asking { community: secret("public"), timeout: Duration::from_secs(10) }, version_3 }
    }

    #[test]
    fn the_nodes_password_is_the_community() {
        let host = Host::new();
        let mut node = autoexec_sdk::job::node();
        node.host = "sw".into();
        node.protocol = "snmp".into();
        node.protocol_port = Some(1161);
        host.secrets().value("node").answers(Ok("ref".into()));
        let expected =
            Agent::new("sw", Credentials::V2c("ref".into())).port(1161).timeout(Duration::from_secs(10));
        assert_eq!(access().agent(&node).unwrap(), expected);
        node.protocol = "ssh".into();
        host.secrets().value("node").answers(Err(SecretError::NotFound));
        let expected = Agent::new("sw", Credentials::V2c("public".into())).timeout(Duration::from_secs(10));
        assert_eq!(access().agent(&node).unwrap(), expected);
    }

    #[test]
    fn a_user_of_version_3() {
        let host = Host::new();
        let node = autoexec_sdk::job::node();
        let mut user = access();
        user.version_3.user = Some("monitor".into());
        user.version_3.auth_password = Some(secret("a"));
        user.version_3.priv_password = Some(secret("p"));
        let expected = User {
            name: "monitor".into(),
            authentication: Some((Authentication::Sha256, "a".into())),
            privacy: Some((Privacy::Aes128, "p".into())),
        };
        let agent = Agent::new(&node.host, Credentials::V3(expected)).timeout(Duration::from_secs(10));
        assert_eq!(user.agent(&node).unwrap(), agent);
        user.version_3.auth_password = None;
        assert!(user.agent(&node).is_err());
        drop(host);
    }
}
