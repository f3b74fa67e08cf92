//! What `plugin run --replay` takes from a recording: the options of the call, and a policy under which everything is linked, since
//! nothing is done.

use std::fmt::Write as _;
use std::path::Path;

use autoexec_manifest::Manifest;
use serde_json::{Map, Value, json};

use crate::CliError;

/// What stands for the value of a secret: the tool gets a reference either way.
const SECRET: &str = "replayed";

/// Options and arguments of the call that was recorded.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) options: Map<String, Value>,
    pub(super) arguments: Value,
}

impl Replayed {
    /// Reads the first line; the rest is the sandbox's.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CliError::files(format!("can not read the recording {}: {error}", path.display()))
                .hint("make one: autoexec plugin run --record FILE")
        })?;
        let heading: Value =
            serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
        let Some(options) = heading["options"].as_object() else {
            let text = format!("{}, line 1: this is no recording of host calls", path.display());
            return Err(CliError::bad_input(text).hint("make one: autoexec plugin run --record FILE"));
        };
        let options = options.iter().map(|(name, value)| (name.clone(), without_names(value.clone())));
        Ok(Self { options: options.collect(), arguments: heading["arguments"].clone() })
    }
}

/// Puts something in the place of the names of secrets, which are no values.
fn without_names(value: Value) -> Value {
    match value {
        Value::String(text) => match text.split_once("${secret:") {
            Some((user, _)) => Value::String(format!("{user}{SECRET}")),
            None => Value::String(text),
        },
        other => other,
    }
}

/// Grants every capability that the tool asks for.
pub(super) fn policy(manifest: &Manifest) -> String {
    let mut policy =
        format!("mode = \"enforce\"\n\n[[grant]]\ntools = [{}]\n", json!(manifest.name.as_str()));
    for request in &manifest.capabilities {
        let grant = match request.interface.as_str() {
            "step-outputs" | "job-nodes" | "interact" => "true",
            "secret" => r#"{ "*" = { target = true } }"#,
            "target" => "{ commands = true }",
            "filesystem" => r#"{ read = ["/tmp"] }"#,
            "server" => r#"{ calls = ["*"] }"#,
            "documents" => r#"{ read = ["*"] }"#,
            "lock" => r#"{ names = ["*"] }"#,
            "program" => r#"{ any = "/bin/true" }"#,
            _ => r#"{ hosts = ["*"] }"#,
        };
        // Writing to a text can not fail.
        let _ = writeln!(policy, "{} = {grant}", request.interface);
    }
    policy
}

#[cfg(test)]
mod tests {
    use autoexec_grants::{Capability, Policy};
    use autoexec_manifest::CapabilityRequest;

    use super::*;

    #[test]
    fn every_capability_is_granted_by_a_policy_that_holds() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), include_str!("../../../manifest/tests/minimal.toml")).unwrap();
        let mut manifest = autoexec_packaging::read_tool_file(file.path()).unwrap();
        let asks = |capability: Capability| CapabilityRequest {
            interface: capability.interface().into(),
            reason: "a test".into(),
        };
        manifest.capabilities = Capability::ALL.into_iter().map(asks).collect();
        let text = policy(&manifest);
        let policy =
            Policy::parse(&[("replay.toml", &text)]).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let effective =
            policy.effective(manifest.name.as_str(), None, Capability::ALL.map(Capability::interface));
        let linked: Vec<Capability> = effective.linked().collect();
        let missing: Vec<_> =
            Capability::ALL.into_iter().filter(|capability| !linked.contains(capability)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn secrets_of_a_recording_are_no_values() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let heading =
            json!({"options": {"a": "x", "login": "scott/${secret:option:login}"}, "arguments": ["1"]});
        std::fs::write(file.path(), format!("{heading}\nnot read here\n")).unwrap();
        let replayed = Replayed::read(file.path()).unwrap();
        assert_eq!(Value::Object(replayed.options), json!({"a": "x", "login": "scott/replayed"}));
        assert_eq!(replayed.arguments, json!(["1"]));
        std::fs::write(file.path(), "{}").unwrap();
        assert!(Replayed::read(file.path()).unwrap_err().to_string().contains("line 1"));
    }
}
