//! `secret`: references for values that a guest never sees.

use autoexec_grants::Access;
use wasmtime::Result;

use super::bindings::autoexec::tool::secret;
use crate::border::Border;
use crate::secrets::{Form, SecretError};
use crate::state::CallState;
use crate::tape::Asked;

impl secret::Host for CallState {
    async fn value(&mut self, name: String) -> Result<Result<String, secret::SecretError>> {
        let border = self.enter()?;
        let asked = border.asked("secret.value", &(&name,))?;
        answer(&border, asked, &name, Form::Value).await
    }

    async fn basic_authorization(
        &mut self,
        username: String,
        name: String,
    ) -> Result<Result<String, secret::SecretError>> {
        let border = self.enter()?;
        let asked = border.asked("secret.basic-authorization", &(&username, &name))?;
        answer(&border, asked, &name, Form::Basic(username)).await
    }
}

/// A recording has a name in place of the reference; a replay makes one of its own.
async fn answer(
    border: &Border,
    asked: Asked<'_>,
    name: &str,
    form: Form,
) -> Result<Result<String, secret::SecretError>> {
    let own = form.clone();
    let act = async { reference(border, name, form).await.map_err(wit_error) };
    let answer = asked.answers(act).await?;
    if border.tape.replays() && answer.is_ok() {
        return Ok(border.secrets.reference(name, own).map_err(wit_error));
    }
    Ok(answer)
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
