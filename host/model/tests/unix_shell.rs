//! What a real shell makes of the text that is sent to Unix targets.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use autoexec_model::command_line::{CommandLine, RemoteProgram, ShellExpansion};
use autoexec_model::reference::{Found, Lookup};
use autoexec_model::value::{Inputs, Recipient, resolve_inputs};
use autoexec_model::{Argument, Call, Interpreter, OpOption, SecretKey, ValueType};
use proptest::prelude::*;
use serde_json::Value;

struct Nothing;

impl Lookup for Nothing {
    fn variable(&self, _: &str) -> Option<Found<'_>> {
        None
    }

    fn output(&self, _: &str, _: &str) -> Option<Found<'_>> {
        None
    }
}

fn inputs(options: &[(String, String)], arguments: &[String], kind: ValueType) -> Inputs {
    let call = Call {
        script: None,
        interpreter: None,
        options: options
            .iter()
            .map(|(name, value)| OpOption { name: name.clone(), kind, value: Value::from(value.as_str()) })
            .collect(),
        arguments: arguments
            .iter()
            .map(|value| Argument { kind, value: Value::from(value.as_str()) })
            .collect(),
        outputs: None,
    };
    let draft = resolve_inputs(&call, &Nothing, &SecretKey::new("k")).expect("no output is referred to");
    draft.finish().expect("nothing needs the server").0
}

/// Runs `script` in a fresh shell, by standard input as a remote session gets it.
fn run(shell: &str, script: &str) -> Vec<u8> {
    let mut child = Command::new(shell)
        .env("MARK", "live")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("the shell reads its script");
    let output = child.wait_with_output().expect("the shell ends");
    assert!(output.status.success(), "{shell}: {}\n{script}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The words a shell makes of `text`.
fn words(shell: &str, text: &str) -> Vec<String> {
    let stdout = run(shell, &format!("printf '%s\\0' {text}\n"));
    let text = String::from_utf8(stdout).expect("what went in was UTF-8");
    text.split_terminator('\0').map(str::to_owned).collect()
}

proptest! {
    // each case starts two processes
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_target_gets_every_argument_exactly_as_it_was_written(
        options in proptest::collection::vec(("[a-zA-Z ;$'\"-]{1,6}", "[^\0]{1,12}"), 0..3),
        arguments in proptest::collection::vec("[^\0]{0,12}|[$`'\"\\\\!*~ \n;&|<>(){}#]{1,10}", 1..4),
    ) {
        let inputs = inputs(&options, &arguments, ValueType::Text);
        let line = CommandLine::new(&inputs, None);
        let text = line.unix_text(Recipient::Target, ShellExpansion::Off).unwrap();
        let argv = line.local_argv().unwrap();
        for shell in ["sh", "bash"] {
            prop_assert_eq!(&words(shell, &text), &argv, "{}: {}", shell, text);
        }
    }

    #[test]
    fn compatible_quotes_are_never_left_open(
        value in "[a-z \"\\\\\n';&|<>!*~#]{0,12}",
    ) {
        let arguments = [value.clone(), "next".to_owned()];
        let inputs = inputs(&[], &arguments, ValueType::Text);
        let text = CommandLine::new(&inputs, None).unix_text(Recipient::Target, ShellExpansion::Compatible).unwrap();
        let found = words("sh", &text);
        prop_assert_eq!(found.len(), 2, "{} became {:?}", text, found);
        prop_assert_eq!(&found[1], "next");
    }
}

#[test]
fn compatible_expansion_lets_text_values_use_the_targets_shell_and_no_other_value() {
    let value = "$MARK-$(echo run)-`echo back`".to_owned();
    for (kind, expansion, found) in [
        (ValueType::Text, ShellExpansion::Compatible, "live-run-back"),
        (ValueType::Text, ShellExpansion::Off, value.as_str()),
        (ValueType::Password, ShellExpansion::Compatible, value.as_str()),
        (ValueType::Json, ShellExpansion::Compatible, value.as_str()),
    ] {
        let inputs = inputs(&[], std::slice::from_ref(&value), kind);
        let text = CommandLine::new(&inputs, None).unix_text(Recipient::Target, expansion).expect("no NUL");
        assert_eq!(words("sh", &text), [found], "{kind:?} {expansion:?}");
    }
}

#[test]
fn a_remote_command_runs_in_its_directory_with_its_variables() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tool = directory.path().join("it's a tool");
    std::fs::create_dir(&tool).expect("a directory");
    std::fs::write(tool.join("-show me"), "pwd; echo \"$AUTOEXEC_NODE\"; printf '<%s>' \"$@\"\n")
        .expect("a script");
    let environment = [("AUTOEXEC_NODE", r#"{"name": "$x 'y'"}"#)];
    let program = RemoteProgram {
        directory: tool.to_str().expect("UTF-8"),
        file: "-show me",
        interpreter: Some(Interpreter::Sh),
        environment: &environment,
    };
    let inputs = inputs(&[("k".to_owned(), "a b".to_owned())], &["$HOME".to_owned()], ValueType::Text);
    let line =
        CommandLine::new(&inputs, None).unix_text(Recipient::Target, ShellExpansion::Off).expect("no NUL");
    let stdout = run("sh", &format!("{}{line}\n", program.unix_text().expect("usable")));
    let expected = format!("{}\n{{\"name\": \"$x 'y'\"}}\n<-k><a b><$HOME>", program.directory);
    // a login shell may print a greeting of its own first
    assert!(String::from_utf8_lossy(&stdout).ends_with(&expected), "{}", String::from_utf8_lossy(&stdout));
}
