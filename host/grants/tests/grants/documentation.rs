//! Everything that docs/policy.md shows is what the reader of policies takes.

use autoexec_grants::{BUILT_IN, Policy, diff};

const DOCUMENT: &str = include_str!("../../../../docs/policy.md");

/// The texts of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_example_is_a_policy() {
    let examples = blocks("toml");
    assert!(examples.len() >= 3, "{}", examples.len());
    for text in examples {
        let policy = Policy::parse(&[("example", text)]).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(policy.grant_count() > 0, "{text}");
    }
}

#[test]
fn the_built_in_policy_is_shown_as_it_is() {
    let shown = Policy::parse(&[("example", blocks("toml")[0])]).unwrap();
    let real = Policy::parse(&[("built in", BUILT_IN)]).unwrap();
    assert_eq!(diff(&shown, &real), []);
}

#[test]
fn the_audit_example_is_one_line_of_json_with_the_fields_of_a_decision() {
    let line: serde_json::Value = serde_json::from_str(blocks("json")[0]).unwrap();
    let policy = Policy::parse(&[("example", "mode = \"enforce\"\n")]).unwrap();
    let access = autoexec_grants::Access::NetProbe { host: "10.0.0.9", port: 22, address: None };
    let request = autoexec_grants::Request { tool: "basic/tcpcheck", digest: None, access };
    let decision = serde_json::to_value(policy.decide(&request, &autoexec_grants::Facts::default())).unwrap();
    for (key, value) in decision.as_object().unwrap() {
        assert!(line.get(key).is_some(), "{key}");
        if key != "digest" {
            assert_eq!(&line[key], value, "{key}");
        }
    }
}
