//! References: texts without meaning that a guest holds instead of secrets, and their exchange for the value where the
//! policy lets the secret go.

use std::collections::HashMap;

use autoexec_grants::{Access, SecretDestination};
use autoexec_manifest::{Manifest, OptionType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::border::Border;
use crate::call::ToolCall;
use crate::host::SecretValue;

/// How every reference begins.
pub(crate) const PREFIX: &str = "autoexec-secret-";

/// Random bytes of a reference.
const RANDOM: usize = 16;

/// Bytes of a reference.
const LENGTH: usize = PREFIX.len() + 2 * RANDOM;

/// References of one call; a guest that asks for ever gets no more.
const MOST: usize = 1_000;

/// The references of one call.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    references: Mutex<HashMap<String, Meaning>>,
    /// Values of this call's options and arguments.
    options: HashMap<String, SecretValue>,
    /// Other values that were used in this call, where it is recorded.
    seen: Mutex<Vec<SecretValue>>,
}

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Meaning {
    name: String,
    form: Form,
}

/// In which form the value goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Value,
    /// As HTTP Basic authorisation of this user.
    Basic(String),
}

/// Why a value did not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{0}")]
    Denied(String),
    #[error("there is no secret `{0}` here")]
    NotFound(String),
    #[error("{0}")]
    Unavailable(String),
}

impl Secrets {
    /// Takes the values of secret options out of a call and leaves references in their place. Of an account, the user's name
    /// stays readable: `user/` and a reference.
    pub(crate) fn take(call: &mut ToolCall, manifest: &Manifest) -> Self {
        let mut secrets = Self::default();
        let types = manifest.descriptor.option.iter();
        let types: HashMap<&str, OptionType> =
            types.map(|option| (option.opt.as_str(), option.option_type)).collect();
        for (option, value) in &mut call.options {
            match types.get(option.as_str()) {
                Some(OptionType::Password) => secrets.hide(format!("option:{option}"), value, 0),
                Some(OptionType::Account) => {
                    let behind_user = value.as_str().and_then(|text| text.find('/')).map_or(0, |at| at + 1);
                    secrets.hide(format!("option:{option}"), value, behind_user);
                }
                _ => {}
            }
        }
        let argument = manifest.descriptor.argument.as_ref().map(|argument| argument.argument_type);
        if matches!(argument, Some(OptionType::Password | OptionType::Account)) {
            for (number, value) in call.arguments.iter_mut().enumerate() {
                secrets.hide(format!("argument:{number}"), value, 0);
            }
        }
        secrets
    }

    /// Keeps what stands behind the first `shown` bytes of a value, and leaves a reference there. Without one (there is no
    /// randomness) nothing is left: the guest must never get the value.
    fn hide(&mut self, name: String, value: &mut Value, shown: usize) {
        let text = match std::mem::take(value) {
            Value::String(text) => Zeroizing::new(text),
            other => Zeroizing::new(other.to_string()),
        };
        let (user, secret) = text.split_at_checked(shown).unwrap_or(("", text.as_str()));
        let reference = self.reference(&name, Form::Value).unwrap_or_default();
        *value = Value::String(format!("{user}{reference}"));
        self.options.insert(name, SecretValue::new(secret));
    }

    /// The reference to a secret in a form; the same one each time.
    pub(crate) fn reference(&self, name: &str, form: Form) -> Result<String, SecretError> {
        let mut references = self.references.lock();
        let meaning = Meaning { name: name.to_owned(), form };
        if let Some((reference, _)) = references.iter().find(|(_, known)| **known == meaning) {
            return Ok(reference.clone());
        }
        if references.len() >= MOST {
            return Err(SecretError::Unavailable(format!("a call has at most {MOST} references")));
        }
        let mut random = [0; RANDOM];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| SecretError::Unavailable(error.to_string()))?;
        let reference = format!("{PREFIX}{}", hex::encode(random));
        references.insert(reference.clone(), meaning);
        Ok(reference)
    }

    /// Remembers a value that may not stand in a recording.
    pub(crate) fn saw(&self, value: &SecretValue) {
        let mut seen = self.seen.lock();
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }

    /// All values that were used in this call.
    pub(crate) fn values(&self) -> Vec<SecretValue> {
        self.options.values().chain(self.seen.lock().iter()).cloned().collect()
    }

    /// The references with names that mean the same in every call.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let name = |meaning: &Meaning| match &meaning.form {
            Form::Value => format!("${{secret:{}}}", meaning.name),
            Form::Basic(user) => format!("${{secret-basic:{user}:{}}}", meaning.name),
        };
        let references = self.references.lock();
        references.iter().map(|(reference, meaning)| (reference.clone(), name(meaning))).collect()
    }

    fn meaning(&self, reference: &str) -> Option<Meaning> {
        self.references.lock().get(reference).cloned()
    }

    /// Where the first reference in the bytes stands, and what it stands for.
    fn find(&self, bytes: &[u8]) -> Option<(usize, Meaning)> {
        let mut from = 0;
        while let Some(found) = position(bytes.get(from..)?, PREFIX.as_bytes()) {
            let at = from + found;
            let reference = bytes.get(at..at + LENGTH).and_then(|text| std::str::from_utf8(text).ok());
            if let Some(meaning) = reference.and_then(|reference| self.meaning(reference)) {
                return Some((at, meaning));
            }
            from = at + 1;
        }
        None
    }
}

impl Border {
    /// The bytes with each reference replaced by its value, if all of them may go there.
    pub(crate) async fn reveal(
        &self,
        bytes: &[u8],
        destination: SecretDestination<'_>,
    ) -> Result<SecretValue, SecretError> {
        let mut rest = bytes;
        let mut revealed = Zeroizing::new(Vec::with_capacity(bytes.len()));
        while let Some((at, meaning)) = self.secrets.find(rest) {
            let access = Access::Secret { name: &meaning.name, destination: Some(destination) };
            self.permit(&access).map_err(|denied| SecretError::Denied(denied.0))?;
            let value = self.secret(&meaning.name).await?;
            let (before, behind) = rest.split_at(at);
            push(&mut revealed, before);
            match &meaning.form {
                Form::Value => push(&mut revealed, value.expose()),
                Form::Basic(user) => {
                    let pair = Zeroizing::new([user.as_bytes(), b":", value.expose()].concat());
                    let pair = Zeroizing::new(STANDARD.encode(&*pair));
                    if self.tape.is_on() {
                        self.secrets.saw(&SecretValue::new(pair.as_bytes()));
                    }
                    push(&mut revealed, b"Basic ");
                    push(&mut revealed, pair.as_bytes());
                }
            }
            rest = behind.get(LENGTH..).unwrap_or_default();
        }
        push(&mut revealed, rest);
        Ok(SecretValue::new(std::mem::take(&mut *revealed)))
    }

    /// The value of a secret, whether it may be used or not.
    pub(crate) async fn secret(&self, name: &str) -> Result<SecretValue, SecretError> {
        if let Some(value) = self.secrets.options.get(name) {
            return Ok(value.clone());
        }
        let host = self.host().map_err(|over| SecretError::Unavailable(over.to_string()))?;
        let found = host.secret(name).await.map_err(|error| SecretError::Unavailable(error.0))?;
        let value = found.ok_or_else(|| SecretError::NotFound(name.to_owned()))?;
        if self.tape.is_on() {
            self.secrets.saw(&value);
        }
        Ok(value)
    }
}

/// Appends without leaving copies behind: a buffer that must grow is wiped.
fn push(to: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    if to.capacity() - to.len() < bytes.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((to.len() + bytes.len()) * 2));
        larger.extend_from_slice(to);
        *to = larger;
    }
    to.extend_from_slice(bytes);
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let option = |opt: &str, kind: &str| {
            format!(
                "[[descriptor.option]]\nopt = \"{opt}\"\nname = \"n\"\nhelp = \"h\"\ntype = \"{kind}\"\nrequired = false\n"
            )
        };
        let text = format!(
            "name = \"t/t\"\nversion = \"1.0.0\"\nwit = \"1.0.0\"\ndescription = \"d\"\nrerun = \"safe\"\n\
             [descriptor]\nopType = \"runner\"\ntypeName = \"BASIC\"\nriskName = \"LOW\"\ninterpreter = \"python\"\n{}{}{}",
            option("password", "password"),
            option("login", "account"),
            option("plain", "text"),
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn secret_options_become_references_and_others_stay() {
        let options = [("password", "p4ss/word"), ("login", "scott/tiger/2"), ("plain", "x/y")];
        let mut call = ToolCall {
            options: options.iter().map(|(name, value)| ((*name).into(), json!(value))).collect(),
            arguments: vec![],
        };
        let secrets = Secrets::take(&mut call, &manifest());
        let text = |at: usize| call.options[at].1.as_str().unwrap().to_owned();
        assert!(text(0).starts_with(PREFIX) && text(0).len() == LENGTH, "{}", text(0));
        assert!(text(1).starts_with("scott/autoexec-secret-"), "{}", text(1));
        assert_eq!(text(2), "x/y");
        assert_eq!(secrets.options["option:password"].expose(), b"p4ss/word");
        assert_eq!(secrets.options["option:login"].expose(), b"tiger/2");
        assert_eq!(secrets.reference("option:password", Form::Value).unwrap(), text(0));
    }

    #[test]
    fn a_reference_is_found_behind_what_only_looks_like_one() {
        let secrets = Secrets::default();
        let reference = secrets.reference("node", Form::Value).unwrap();
        let text = format!("{PREFIX}no {PREFIX}{reference} tail");
        let (at, meaning) = secrets.find(text.as_bytes()).unwrap();
        assert_eq!((&text[at..at + LENGTH], meaning.name.as_str()), (reference.as_str(), "node"));
        assert!(secrets.find(&reference.as_bytes()[..LENGTH - 1]).is_none());
        assert!(secrets.find(b"").is_none());
    }

    #[test]
    fn references_are_bounded() {
        let secrets = Secrets::default();
        let all = (0..MOST).map(|user| secrets.reference("node", Form::Basic(user.to_string())));
        assert!(all.into_iter().all(|reference| reference.is_ok()));
        assert!(secrets.reference("node", Form::Value).is_err());
    }
}
