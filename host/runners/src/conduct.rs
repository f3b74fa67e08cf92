//! As whom operations run on their targets over SSH, and whether they depend on their connection: rules of a site
//! (`conf/ssh.toml`), by operation and host.

use std::time::Duration;

use autoexec_model::Node;
use autoexec_transport::Secret;
use autoexec_transport::ssh::{Account, HostPatterns, Method};

use crate::settings::Shared;

/// How long a broken connection of a detached operation is made anew, where the site says nothing.
const RECONNECT: Duration = Duration::from_mins(10);

/// The rules of a site. For each setting the first rule that matches and has it wins.
#[derive(Debug, Clone)]
pub struct SshConduct {
    /// The rules, in the order in which they are asked.
    pub rules: Vec<ConductRule>,
    /// How long the connection of a detached operation is made anew after it broke.
    pub reconnect: Duration,
}

impl Default for SshConduct {
    fn default() -> Self {
        Self { rules: Vec::new(), reconnect: RECONNECT }
    }
}

/// A rule.
#[derive(Debug, Clone)]
pub struct ConductRule {
    /// Names of operations (`bundle/tool`), in the form of host patterns.
    pub operations: HostPatterns,
    /// Hosts of the nodes.
    pub hosts: HostPatterns,
    /// Whom the operation runs as.
    pub user: Option<RunAs>,
    /// Whether the operation goes on when its connection breaks.
    pub detached: Option<bool>,
}

/// The user of an operation.
#[derive(Debug, Clone)]
pub enum RunAs {
    /// The one that logs in.
    Login,
    /// Another one.
    Other {
        /// Its name on the target.
        user: String,
        /// How it is become.
        method: Method,
        /// What `sudo` or `su` asks for.
        password: BecomePassword,
    },
}

/// What the password of `sudo` or `su` is.
#[derive(Debug, Clone)]
pub enum BecomePassword {
    /// None is asked for.
    None,
    /// That of the node, with which we log in.
    OfNode,
    /// This one.
    Given(Secret),
}

impl SshConduct {
    fn first<'a, T>(
        &'a self,
        operation: &str,
        host: &str,
        setting: impl Fn(&'a ConductRule) -> Option<T>,
    ) -> Option<T> {
        let matching =
            self.rules.iter().filter(|rule| rule.operations.matches(operation) && rule.hosts.matches(host));
        matching.into_iter().find_map(setting)
    }

    /// Whether an operation goes on without its connection.
    pub(crate) fn is_detached(&self, operation: &str, host: &str) -> bool {
        self.first(operation, host, |rule| rule.detached).unwrap_or(false)
    }
}

/// The other user that an operation runs as on a node, if any.
///
/// # Errors
/// A text for the node's log: the node has no password to give to `sudo`.
pub(crate) fn account_of(shared: &Shared, operation: &str, node: &Node) -> Result<Option<Account>, String> {
    let conduct = &shared.settings.conduct;
    let Some(RunAs::Other { user, method, password }) =
        conduct.first(operation, &node.host, |rule| rule.user.as_ref())
    else {
        return Ok(None);
    };
    let password = match password {
        BecomePassword::None => None,
        BecomePassword::Given(secret) => Some(secret.clone()),
        BecomePassword::OfNode => {
            let Some(password) = node.password(&shared.settings.key) else {
                return Err(format!(
                    "The operation {operation} is to run as {user} with the password of the node, but node {} has none \
                     that can be read: see `become` in conf/ssh.toml.",
                    node.key()
                ));
            };
            Some(Secret::new(password.expose().to_owned()))
        }
    };
    Ok(Some(Account { user: user.clone(), method: *method, password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(operations: &str, hosts: &[&str]) -> ConductRule {
        ConductRule {
            operations: HostPatterns::new([operations]),
            hosts: HostPatterns::new(hosts.iter().copied()),
            user: None,
            detached: None,
        }
    }

    #[test]
    fn the_first_rule_that_has_a_setting_wins_for_it() {
        let conduct = SshConduct {
            rules: vec![
                ConductRule { user: Some(RunAs::Login), ..rule("backup/*", &["*"]) },
                ConductRule { detached: Some(false), ..rule("backup/quick", &["*"]) },
                ConductRule { detached: Some(true), ..rule("*", &["db*", "!db9"]) },
            ],
            ..SshConduct::default()
        };
        assert!(conduct.is_detached("backup/full", "db1") && !conduct.is_detached("backup/quick", "db1"));
        assert!(!conduct.is_detached("backup/full", "db9") && !conduct.is_detached("a/b", "web1"));
    }
}
