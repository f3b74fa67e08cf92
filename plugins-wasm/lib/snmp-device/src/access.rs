use std::time::Duration;

use autoexec_sdk::job::Node;
use autoexec_sdk::options::Secret;
use autoexec_sdk::secret::{self, SecretError};
use autoexec_sdk::snmp::{Agent, Authentication, Credentials, Privacy, User};
use autoexec_sdk::{Choice, Failure, HostError, log};

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

/// Who asks, as options of a tool say it.
#[derive(Debug, Clone)]
pub struct Access {
    /// Community of version 2c, where the node has no password.
    pub community: Secret,
    /// User of version 3; with it the community is not used.
    pub user: Option<String>,
    /// How messages are signed.
    pub auth_protocol: AuthProtocol,
    /// Passphrase for it.
    pub auth_password: Option<Secret>,
    /// How messages are encrypted.
    pub priv_protocol: PrivProtocol,
    /// Passphrase for it.
    pub priv_password: Option<Secret>,
    /// The longest wait for one answer.
    pub timeout: Duration,
}

impl Access {
    /// The agent of the node. The community is the node's password where it has one.
    pub fn agent(&self, node: &Node) -> Result<Agent, Failure> {
        let credentials = match &self.user {
            Some(name) => Credentials::V3(self.user_named(name)?),
            None => Credentials::V2c(self.community()?),
        };
        Ok(self.agent_of(node, credentials))
    }

    /// The agent of the node as it speaks for one virtual network: a community of its own, `<community>@<network>`. Version 3
    /// has no such thing.
    pub fn network_agent(&self, node: &Node, network: &str) -> Result<Option<Agent>, Failure> {
        if self.user.is_some() {
            return Ok(None);
        }
        let community = format!("{}@{network}", self.community()?);
        Ok(Some(self.agent_of(node, Credentials::V2c(community))))
    }

    fn agent_of(&self, node: &Node, credentials: Credentials) -> Agent {
        let own = (node.protocol == "snmp").then_some(node.protocol_port).flatten();
        let port = own.filter(|port| *port != 0).unwrap_or(PORT);
        Agent::new(&node.host, credentials).port(port).timeout(self.timeout).retries(RETRIES)
    }

    fn community(&self) -> Result<String, Failure> {
        match secret::reference("node") {
            Ok(reference) => Ok(reference),
            Err(HostError { reason: SecretError::NotFound, .. }) => Ok(self.community.reference().to_owned()),
            Err(HostError { reason: SecretError::Denied(why), .. }) => {
                log::warn(format_args!("The node's password may not be used as community: {why}"));
                Ok(self.community.reference().to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn user_named(&self, name: &str) -> Result<User, Failure> {
        let authentication = self.auth_password.as_ref().map(|passphrase| {
            let protocol = match self.auth_protocol {
                AuthProtocol::Sha => Authentication::Sha1,
                AuthProtocol::Md5 => Authentication::Md5,
                AuthProtocol::Sha224 => Authentication::Sha224,
                AuthProtocol::Sha256 => Authentication::Sha256,
                AuthProtocol::Sha384 => Authentication::Sha384,
                AuthProtocol::Sha512 => Authentication::Sha512,
            };
            (protocol, passphrase.reference().to_owned())
        });
        let privacy = self.priv_password.as_ref().map(|passphrase| {
            let protocol = match self.priv_protocol {
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
        Access {
            community: secret("public"),
            user: None,
            auth_protocol: AuthProtocol::Sha256,
            auth_password: None,
            priv_protocol: PrivProtocol::Aes,
            priv_password: None,
            timeout: Duration::from_secs(10),
        }
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
        let user = Access {
            user: Some("monitor".into()),
            auth_password: Some(secret("a")),
            priv_password: Some(secret("p")),
            ..access()
        };
        let expected = User {
            name: "monitor".into(),
            authentication: Some((Authentication::Sha256, "a".into())),
            privacy: Some((Privacy::Aes128, "p".into())),
        };
        let agent = Agent::new(&node.host, Credentials::V3(expected)).timeout(Duration::from_secs(10));
        assert_eq!(user.clone().agent(&node).unwrap(), agent);
        assert!(Access { auth_password: None, ..user }.agent(&node).is_err());
        drop(host);
    }
}
