//! docs/authoring.md, done: every command of the walk-through is run in an empty directory, in its order, and has to say what
//! the page says.

#![expect(clippy::expect_used, reason = "a test fails where its surroundings do")]

use std::path::Path;
use std::process::Command;

use autoexec_test_support::home::find_program;

/// A command of the page and the lines it shows below it.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// Takes the commands out of the blocks marked `console`.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
                None => steps.last_mut().expect("output stands below a command").shown.push(line.to_owned()),
            },
            _ => {}
        }
    }
    steps
}

/// One shell for all of them, so that `cd` lasts; what each says is told apart by a line in front of it.
fn script(steps: &[Step]) -> String {
    let one = |(number, step): (usize, &Step)| format!("echo '@@@ {number}'\n{}\n", step.command);
    let all: Vec<String> = steps.iter().enumerate().map(one).collect();
    format!("set -e\nexec 2>&1\n{}", all.concat())
}

#[test]
fn the_authors_guide_works_as_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authoring.md");
    let steps = steps(&std::fs::read_to_string(page).unwrap());
    assert!(steps.len() >= 8, "the page has lost its commands");
    let place = tempfile::tempdir().unwrap();
    let bin = find_program().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", &script(&steps)]).current_dir(place.path());
    shell.env("PATH", format!("{}:{path}", bin.parent().unwrap().display()));
    // As in an author's terminal: not what cargo sets for this test.
    for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "AUTOEXEC_HOME", "CARGO_MANIFEST_DIR"] {
        shell.env_remove(name);
    }
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for (number, step) in steps.iter().enumerate() {
        let said = text.split(&format!("@@@ {number}\n")).nth(1).unwrap().split("@@@ ").next().unwrap();
        for shown in &step.shown {
            assert!(
                said.lines().any(|line| line.contains(shown)),
                "`{}` did not say \"{shown}\":\n{said}",
                step.command
            );
        }
    }
    assert!(place.path().join("portcheck/dist/shop-portcheck-0.1.0.tar").is_file());
}
