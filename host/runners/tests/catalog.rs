//! Where tools are looked for.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::fs;

use autoexec_model::{JobParams, Operation};
use autoexec_runners::{Catalog, Found};
use autoexec_store::Home;
use serde_json::json;

fn operation(name: &str, place: &str) -> Operation {
    let params = json!({"runFlow": [{"groupNo": 0, "phases": [{"phaseName": "p", "phaseType": "target",
        "operations": [{"opName": name, "opId": format!("{name}_1"), "opType": place}]}]}]});
    JobParams::from_value(&params, "test").unwrap().groups[0].phases[0].operations[0].clone()
}

#[test]
fn each_place_has_its_directories_and_a_component_wins_over_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(Home::new(dir.path()));
    let at = |path: &str| dir.path().join("plugins").join(path);
    for path in ["wasm/b", "local/b", "remote/b", "local/native"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    for path in
        ["local/b/both", "local/b/native-only", "remote/b/both", "wasm/b/both.wasm", "local/native/own"]
    {
        fs::write(at(path), "").unwrap();
    }
    for (name, place, expected) in [
        ("b/both", "runner", Found::Component(at("wasm/b/both.wasm"))),
        ("b/both", "runner_target", Found::Component(at("wasm/b/both.wasm"))),
        ("b/both", "target", Found::Remote(at("remote/b/both"))),
        ("b/native-only", "runner", Found::Program(at("local/b/native-only"))),
        ("native/own", "native", Found::Program(at("local/native/own"))),
    ] {
        assert_eq!(catalog.find(&operation(name, place)), Ok(expected), "{name} {place}");
    }
}

#[test]
fn a_missing_tool_is_answered_with_every_place_that_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(Home::new(dir.path()));
    // A directory is no tool.
    fs::create_dir_all(dir.path().join("plugins/local/b/x")).unwrap();
    let here = catalog.find(&operation("b/x", "runner")).unwrap_err();
    assert!(here.contains("plugins/wasm/b/x.wasm") && here.contains("plugins/local/b/x"), "{here}");
    let there = catalog.find(&operation("b/x", "target")).unwrap_err();
    assert!(there.contains("plugins/remote/b/x") && !there.contains("local"), "{there}");
}
