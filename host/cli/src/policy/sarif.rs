//! SARIF 2.1.0, as code review tools read it.

use serde_json::{Value, json};

/// One finding.
pub(super) struct Finding<'a> {
    /// Kind of finding, such as `policy-widen`.
    pub(super) kind: &'a str,
    /// `error`, `warning` or `note`.
    pub(super) level: &'a str,
    pub(super) text: String,
    /// File and line.
    pub(super) place: Option<(&'a str, usize)>,
}

/// The document with all findings.
pub(super) fn document(findings: &[Finding<'_>]) -> Value {
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "autoexec policy", "version": env!("CARGO_PKG_VERSION")}},
            "results": results,
        }],
    })
}

fn result(finding: &Finding<'_>) -> Value {
    let locations: Vec<Value> = finding
        .place
        .iter()
        .map(|(file, line)| {
            json!({"physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": {"startLine": line}}})
        })
        .collect();
    json!({"ruleId": finding.kind, "level": finding.level, "message": {"text": finding.text}, "locations": locations})
}

/// A relative path stays relative: reviews are of files in a repository.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let encoded: String = path.bytes().map(encode).collect();
    if encoded.starts_with('/') { format!("file://{encoded}") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("conf/policy/10 a%b.toml"), "conf/policy/10%20a%25b.toml");
        assert_eq!(uri("/h/ü.toml"), "file:///h/%C3%BC.toml");
    }
}
