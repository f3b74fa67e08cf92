//! Passwords of accounts.

use std::fmt;

use autoexec_model::{JobId, ResourceId, Secret};
use serde::Serialize;

use crate::{Call, ConsoleClient, ConsoleError};

/// Whose password is asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountQuery {
    /// The job.
    #[serde(rename = "jobId")]
    pub job: JobId,
    /// The node.
    #[serde(rename = "resourceId")]
    pub resource: ResourceId,
    /// The node's host.
    pub host: String,
    /// The node's port; null for a node without one.
    pub port: Option<u16>,
    /// User name.
    pub username: String,
    /// Account, as in the job parameters.
    pub account_id: String,
    /// Protocol, as in the job parameters.
    pub protocol: String,
}

/// A password as the server gave it: perhaps encrypted, with one of the prefixes of `spec/cli.md` §1.9.
#[derive(Clone)]
pub struct Account(Secret);

impl Account {
    /// The text, to be given to [`SecretKey::reveal`](autoexec_model::SecretKey::reveal).
    pub fn password(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(..)")
    }
}

impl ConsoleClient {
    /// Asks for the password of an account; none in devmode.
    pub async fn account(&self, query: &AccountQuery) -> Result<Option<Account>, ConsoleError> {
        if self.is_silent(Call::Account) {
            return Ok(None);
        }
        let reply = self.post(Call::Account, self.body_of(Call::Account, query)?).await?;
        Ok(Some(Account(Secret::new(reply.decode::<String>()?))))
    }
}
