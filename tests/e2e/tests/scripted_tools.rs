//! Tools in Python and JavaScript: made, tested and built with `autoexec plugin`, then called in the sandbox against a real
//! listener. The tool chains come from PyPI and npm on the first run and are kept (`AUTOEXEC_TOOLCHAINS`).

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use autoexec_test_support::home::find_program;
use serde_json::Value;

fn plugin(words: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(find_program().unwrap());
    command.arg("plugin").args(words).current_dir(dir).env_remove("AUTOEXEC_HOME");
    if std::env::var_os("AUTOEXEC_TOOLCHAINS").is_none() {
        command.env(
            "AUTOEXEC_TOOLCHAINS",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/toolchains"),
        );
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeds(words: &[&str], dir: &Path) -> String {
    let output = plugin(words, dir);
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    text(&output)
}

/// A new tool whose tests pass and that is built.
fn built(place: &Path, language: &str) -> PathBuf {
    succeeds(&["new", "shop/portcheck", "--lang", language], place);
    let dir = place.join("portcheck");
    succeeds(&["test"], &dir);
    succeeds(&["build"], &dir);
    dir
}

fn calls_and_refusals(dir: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("port={}", listener.local_addr().unwrap().port());
    let call = ["run", "--output", "json", "-o", "host=127.0.0.1", "-o", &port];
    let output = plugin(&[&call[..], &["--policy", "policy.toml"]].concat(), dir);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_eq!(report["exitCode"], 0, "{report}");
    assert!(report["outputs"]["milliseconds"].is_number(), "{report}");
    assert!(report["log"].to_string().contains("accepts connections"), "{report}");

    std::fs::write(dir.join("none.toml"), "mode = \"enforce\"\n").unwrap();
    let refused = plugin(&[&call[..], &["--policy", "none.toml"]].concat(), dir);
    assert_ne!(refused.status.code(), Some(0), "{}", text(&refused));
    assert!(text(&refused).contains("net-probe"), "{}", text(&refused));

    let inspected = succeeds(&["inspect", "--output", "json"], dir);
    let facts: Value = serde_json::from_str(&inspected).unwrap();
    let ambient = facts["imports"].as_array().unwrap().iter().filter_map(Value::as_str);
    let foreign: Vec<&str> = ambient
        .filter(|import| {
            ["wasi:cli", "wasi:filesystem", "wasi:sockets", "wasi:http"]
                .iter()
                .any(|one| import.starts_with(one))
        })
        .collect();
    assert_eq!(foreign, [""; 0], "nothing of WASI is ambient");
    assert_eq!(facts["manifest"]["descriptor"]["option"][1]["defaultValue"], "22");
}

#[test]
fn a_tool_in_python_runs_in_the_sandbox_and_its_errors_name_the_line() {
    let place = tempfile::tempdir().unwrap();
    let dir = built(place.path(), "python");
    calls_and_refusals(&dir);
    let code = std::fs::read_to_string(dir.join("tool.py")).unwrap();
    std::fs::write(dir.join("tool.py"), format!("{code}\ndef broken(:\n")).unwrap();
    let broken = plugin(&["build"], &dir);
    assert_eq!(broken.status.code(), Some(65), "{}", text(&broken));
    let line = code.lines().count() + 2;
    assert!(
        text(&broken).contains("tool.py\", line ") && text(&broken).contains(&line.to_string()),
        "{}",
        text(&broken)
    );
}

#[test]
fn a_tool_in_javascript_runs_in_the_sandbox_and_its_errors_name_the_line() {
    let place = tempfile::tempdir().unwrap();
    let dir = built(place.path(), "js");
    calls_and_refusals(&dir);
    let code = std::fs::read_to_string(dir.join("tool.js")).unwrap();
    std::fs::write(dir.join("tool.js"), format!("{code}\nfunction broken( {{\n")).unwrap();
    let broken = plugin(&["build"], &dir);
    assert_eq!(broken.status.code(), Some(65), "{}", text(&broken));
    assert!(text(&broken).contains("tool.js:"), "{}", text(&broken));
}
