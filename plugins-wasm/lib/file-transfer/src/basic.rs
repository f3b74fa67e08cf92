use autoexec_sdk::options::Secret;
use autoexec_sdk::{Failure, OptionGroup, secret};

/// Who asks, as the options of the tools for HTTP say it.
#[derive(Debug, OptionGroup)]
pub struct BasicAccount {
    /// User name for HTTP Basic
    user: Option<String>,
    /// Password for HTTP Basic
    #[option(label = "Password")]
    pass: Option<Secret>,
}

impl BasicAccount {
    /// The value of the header `authorization`; none where nobody is named.
    pub fn authorization(&self) -> Result<Option<String>, Failure> {
        match (&self.user, &self.pass) {
            (Some(user), Some(_)) => Ok(Some(secret::basic_authorization(user, "option:pass")?)),
            (Some(_), None) => {
                let message = "`user` is given without a password: set `pass` too";
                Err(Failure::invalid_option("pass", message))
            }
            (None, _) => Ok(None),
        }
    }
}
