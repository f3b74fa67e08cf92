//! `plugin run` and what the policy refuses: an author is told capability, argument, rule and the lines that allow it, as text and as
//! data, and those lines do allow it.

use std::path::{Path, PathBuf};
use std::process::Command;

use autoexec_e2e::guests::guest;
use autoexec_test_support::home::find_program;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{A_LITTLE_OF_ALL, EVERYTHING};

/// A tool, a policy and a file, in a directory of their own.
struct Author {
    place: TempDir,
}

impl Author {
    fn new(policy: &str) -> Self {
        let author = Self { place: tempfile::tempdir().unwrap() };
        std::fs::write(author.at("tool.wasm"), guest(EVERYTHING).unwrap()).unwrap();
        std::fs::write(author.at("data.txt"), "content").unwrap();
        author.write_policy(policy);
        author
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn write_policy(&self, text: &str) {
        std::fs::write(self.at("policy.toml"), text).unwrap();
    }

    /// Appends the lines that a refusal names.
    fn follow(&self, refusal: &Value) {
        assert_eq!(refusal["advice"]["kind"], "add-grant", "{refusal}");
        assert_eq!(refusal["advice"]["file"], self.at("policy.toml").display().to_string(), "{refusal}");
        let policy = std::fs::read_to_string(self.at("policy.toml")).unwrap();
        self.write_policy(&format!("{policy}\n{}\n", refusal["advice"]["text"].as_str().unwrap()));
    }

    fn command(&self, policy: Option<&Path>) -> Command {
        let mut command = Command::new(find_program().unwrap());
        command.args(["plugin", "run", "--file"]).arg(self.at("tool.wasm"));
        command.args(["-o", "what=read", "-o"]).arg(format!("subject={}", self.at("data.txt").display()));
        if let Some(policy) = policy {
            command.arg("--policy").arg(policy);
        }
        // Such calls share a directory below it, one after the other.
        command.env("TMPDIR", self.place.path()).env_remove("AUTOEXEC_HOME");
        command
    }

    /// Reads the file with the tool; exit code and report.
    fn reads(&self) -> (i32, Value) {
        let mut command = self.command(Some(&self.at("policy.toml")));
        let output = command.args(["--output", "json"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report = serde_json::from_str(&text);
        assert!(report.is_ok(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), report.unwrap())
    }
}

#[test]
fn the_lines_that_a_refused_use_names_allow_it() {
    let author = Author::new(&format!("{A_LITTLE_OF_ALL}step-outputs = true\n"));
    let (code, report) = author.reads();
    assert_eq!(code, 77, "{report}");
    let refusals = report["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1, "{report}");
    let refusal = &refusals[0];
    let data = author.at("data.txt").display().to_string();
    assert_eq!(
        (
            &refusal["tool"],
            &refusal["capability"],
            &refusal["decision"],
            &refusal["rule"],
            &refusal["reason"]
        ),
        (
            &json!(EVERYTHING),
            &json!("filesystem"),
            &json!("denied"),
            &Value::Null,
            &json!("no rule allows it")
        )
    );
    assert!(refusal["argument"].as_str().unwrap().contains(&data), "{refusal}");
    assert!(refusal["node"].is_string(), "{refusal}");
    author.follow(refusal);
    let (code, report) = author.reads();
    assert_eq!((code, &report["outputs"]["answer"], &report["refusals"]), (0, &json!("content"), &json!([])));
}

#[test]
fn the_lines_for_interfaces_that_are_not_granted_allow_them() {
    let author = Author::new("mode = \"enforce\"\n");
    let (code, report) = author.reads();
    assert_eq!(code, 77, "{report}");
    let refusals = report["refusals"].as_array().unwrap();
    assert!(refusals.len() > 10, "every interface that it asks for: {report}");
    for refusal in refusals {
        assert_eq!(
            (&refusal["argument"], &refusal["decision"]),
            (&Value::Null, &json!("denied")),
            "{refusal}"
        );
        author.follow(refusal);
    }
    // It is linked now; the file is another question.
    let (code, report) = author.reads();
    assert_eq!((code, report["refusals"].as_array().unwrap().len()), (77, 1), "{report}");
    author.follow(&report["refusals"][0]);
    assert_eq!(author.reads().0, 0);
}

#[test]
fn a_deny_and_the_ceiling_are_named_with_their_lines() {
    let policy = format!("{A_LITTLE_OF_ALL}filesystem = {{ read = [\"PLACE\"], deny = [\"PLACE\"] }}\n");
    let author = Author::new("");
    let place = author.place.path().display().to_string();
    author.write_policy(&policy.replace("PLACE", &place));
    let (code, report) = author.reads();
    let refusal = &report["refusals"][0];
    assert_eq!((code, &refusal["advice"]["kind"]), (77, &json!("remove-deny")), "{report}");
    let line = policy.lines().position(|line| line.contains("PLACE")).unwrap() + 1;
    assert_eq!(
        (&refusal["rule"]["line"], &refusal["advice"]["at"]),
        (&json!(line), &refusal["rule"]),
        "{refusal}"
    );
    assert_eq!(refusal["rule"]["file"], author.at("policy.toml").display().to_string());

    let output = author.command(Some(&author.at("policy.toml"))).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let listed = text.split("denied:\n").nth(1).unwrap();
    for words in
        ["`filesystem` on ", "a rule denies it", "remove or narrow the rule in", &format!("line {line}")]
    {
        assert!(listed.contains(words), "no `{words}` in:\n{text}");
    }
    assert!(!text.contains("conf/policy"), "the copy that is overwritten is not named:\n{text}");
}

#[test]
fn a_policy_that_only_monitors_lists_what_it_would_deny() {
    let author = Author::new(&format!("mode = \"monitor\"\n{A_LITTLE_OF_ALL}step-outputs = true\n"));
    let (code, report) = author.reads();
    assert_eq!((code, &report["outputs"]["answer"]), (0, &json!("content")), "{report}");
    assert_eq!(report["refusals"][0]["decision"], "would-deny", "{report}");
    author.follow(&report["refusals"][0]);
    assert_eq!(author.reads().1["refusals"], json!([]));
}

#[test]
fn without_a_policy_an_author_is_told_how_to_begin_one() {
    let author = Author::new("");
    let output = author.command(None).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(77), "{text}");
    for words in
        ["denied:\n  `", "add to policy.toml (it replaces the built-in policy", "--policy policy.toml"]
    {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
}
