//! `secret`: references for values that a guest never sees.

use autoexec_grants::Access;
use wasmtime::Result;

use super::bindings::autoexec::tool::secret;
use crate::border::Border;
use crate::secrets::{Form, SecretError};
use crate::state::CallState;

impl secret::Host for CallState {
    async fn value(&mut self, name: String) -> Result<Result<String, secret::SecretError>> {
        let border = self.enter()?;
        let answer = reference(&border, &name, Form::Value).await;
        border.check_alive()?;
        Ok(answer.map_err(wit_error))
    }

    async fn basic_authorization(
        &mut self,
        username: String,
        name: String,
    ) -> Result<Result<String, secret::SecretError>> {
        let border = self.enter()?;
        let answer = reference(&border, &name, Form::Basic(username)).await;
        border.check_alive()?;
        Ok(answer.map_err(wit_error))
    }
}

/// A reference, if there is such a secret and the tool may have it at all.
async fn reference(border: &Border, name: &str, form: Form) -> Result<String, SecretError> {
    border
        .permit(&Access::Secret { name, destination: None })
        .map_err(|denied| SecretError::Denied(denied.0))?;
    border.secret(name).await?;
    border.secrets.reference(name, form)
}

fn wit_error(error: SecretError) -> secret::SecretError {
    match error {
        SecretError::Denied(why) => secret::SecretError::Denied(why),
        SecretError::NotFound(_) => secret::SecretError::NotFound,
        SecretError::Unavailable(why) => secret::SecretError::Unavailable(why),
    }
}
