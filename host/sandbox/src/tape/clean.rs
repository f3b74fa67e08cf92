//! What may stand in a recording: references as the names of their secrets, values of secrets not at all, and bytes as text
//! where they are text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::secrets::Secrets;

/// What stands where a secret's value was.
const HIDDEN: &[u8] = b"********";

/// Members that stand for bytes. No name of the interfaces begins with `$`.
const TEXT: &str = "$text";
const BASE64: &str = "$base64";

/// Takes secrets out of what goes to a recording, or is compared with one.
pub(crate) struct Cleaner {
    /// What is looked for and what takes its place; longer ones first, so that a secret within another hides nothing of it.
    replaced: Vec<(Zeroizing<Vec<u8>>, Vec<u8>)>,
}

impl Cleaner {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut replaced: Vec<(Zeroizing<Vec<u8>>, Vec<u8>)> = Vec::new();
        for (reference, name) in secrets.names() {
            replaced.push((Zeroizing::new(reference.into_bytes()), name.into_bytes()));
        }
        for value in secrets.values() {
            for form in forms(value.expose()) {
                replaced.push((form, HIDDEN.to_vec()));
            }
        }
        replaced.sort_by_key(|(wanted, _)| std::cmp::Reverse(wanted.len()));
        Self { replaced }
    }

    /// The value as it may stand in a recording.
    pub(crate) fn clean(&self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                Value::String(String::from_utf8_lossy(&self.clean_bytes(text.as_bytes())).into_owned())
            }
            Value::Array(items) => match bytes_of(&items) {
                Some(bytes) => shown(&self.clean_bytes(&bytes)),
                None => Value::Array(items.into_iter().map(|item| self.clean(item)).collect()),
            },
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(name, value)| (name, self.clean(value))).collect())
            }
            other => other,
        }
    }

    fn clean_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            let found = self.replaced.iter().find(|(wanted, _)| rest.starts_with(wanted));
            if let Some((wanted, instead)) = found {
                clean.extend_from_slice(instead);
                rest = rest.get(wanted.len()..).unwrap_or_default();
            } else {
                clean.push(*first);
                rest = behind;
            }
        }
        clean
    }
}

/// The forms in which a value turns up: as it is, in JSON, in a URL, and as Base64 of its own. White space around it is no
/// part of what is hidden, since a tool may wait for the line break behind it; in Base64 it can not be told apart.
fn forms(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = Vec::new();
    let mut add = |form: Vec<u8>| {
        let form = Zeroizing::new(form);
        if !form.is_empty() && !forms.contains(&form) {
            forms.push(form);
        }
    };
    let bare = match value.trim_ascii() {
        [] => value,
        bare => bare,
    };
    add(bare.to_vec());
    if let Ok(text) = std::str::from_utf8(bare) {
        let json = Zeroizing::new(Value::from(text).to_string());
        let inner = json.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        add(inner.unwrap_or_default().as_bytes().to_vec());
    }
    add(in_url(bare));
    add(STANDARD.encode(bare).into_bytes());
    add(STANDARD.encode(value).into_bytes());
    forms
}

fn in_url(value: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            form.push(*byte);
        } else {
            form.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    form
}

/// A list of bytes; none when it may be anything else.
fn bytes_of(items: &[Value]) -> Option<Vec<u8>> {
    if items.is_empty() {
        return None;
    }
    items.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect()
}

fn shown(bytes: &[u8]) -> Value {
    let (name, text) = match std::str::from_utf8(bytes) {
        Ok(text) => (TEXT, text.to_owned()),
        Err(_) => (BASE64, STANDARD.encode(bytes)),
    };
    Value::Object(Map::from_iter([(name.to_owned(), Value::from(text))]))
}

/// A value of a recording with lists of bytes where texts stand for them.
pub(super) fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::Object(members) => {
            if let Some(bytes) = hidden_bytes(&members) {
                return Value::Array(bytes.into_iter().map(Value::from).collect());
            }
            Value::Object(members.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
        other => other,
    }
}

fn hidden_bytes(members: &Map<String, Value>) -> Option<Vec<u8>> {
    if members.len() != 1 {
        return None;
    }
    if let Some(text) = members.get(TEXT) {
        return Some(text.as_str()?.as_bytes().to_vec());
    }
    STANDARD.decode(members.get(BASE64)?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::SecretValue;
    use crate::secrets::Form;

    fn cleaner(value: &str) -> (Secrets, String) {
        let secrets = Secrets::default();
        secrets.saw(&SecretValue::new(value.as_bytes()));
        let reference = secrets.reference("node", Form::Value).unwrap();
        (secrets, reference)
    }

    #[test]
    fn secrets_are_taken_out_in_every_form() {
        let (secrets, reference) = cleaner("p\"4 s/");
        let cleaner = Cleaner::new(&secrets);
        let json = json!({"password": "p\"4 s/"}).to_string();
        let text = format!("p\"4 s/ {json} p%224%20s%2F {} {reference}", STANDARD.encode("p\"4 s/"));
        let clean = cleaner.clean(json!([text, text.as_bytes()])).to_string();
        assert!(!clean.contains("4 s") && !clean.contains("%224") && !clean.contains(&reference), "{clean}");
        assert_eq!(clean.matches("********").count(), 8, "{clean}");
        assert_eq!(clean.matches("${secret:node}").count(), 2, "{clean}");
    }

    #[test]
    fn bytes_are_readable_and_come_back() {
        let clean = |value: Value| Cleaner::new(&Secrets::default()).clean(value);
        assert_eq!(clean(json!([104, 105])), json!({"$text": "hi"}));
        for value in
            [json!([104, 105]), json!([255, 0]), json!([]), json!({"a": [[1], [300]]}), json!([1, -1])]
        {
            assert_eq!(plain(clean(value.clone())), value);
        }
    }
}
