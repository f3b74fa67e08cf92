//! Questions to a person: fooling who reads them, and asking for ever.

use autoexec_e2e::build::with_option;
use autoexec_e2e::guests::guest;
use autoexec_test_support::server::CallName;
use serde_json::{Value, json};

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, using_with};

macro_rules! asked {
    ($trick:literal, $fate:ident, $says:expr, $what:literal, $title:expr, $message:expr, $number:literal) => {
        Row {
            trick: $trick,
            fate: Fate::$fate,
            says: $says,
            step: |()| with_option(using_with($what, $title, $message), "port", "text", $number),
        }
    };
}

/// Nobody answers: each waits a moment.
const UNANSWERED: &str = "TimedOut";

/// A question that clears the terminal, sets its title, and goes on in a line of its own.
const CONTROLS: &str = "Really?\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}2J\nphase A: succeed, 0.01 s";

pub(crate) const ROWS: &[Row<()>] = &[
    asked!(
        "act on the terminal of the person who is asked",
        Refused,
        UNANSWERED,
        "raw-ask",
        "t",
        CONTROLS,
        "1"
    ),
    asked!("the same in the heading", Refused, UNANSWERED, "raw-ask", CONTROLS, "m", "1"),
    asked!(
        "forge the end of the step in a question",
        Refused,
        UNANSWERED,
        "raw-ask",
        "t",
        "m\n00:00:00 ------END--[x/y_1] local execution complete",
        "1"
    ),
    asked!("a NUL byte in a question", Refused, UNANSWERED, "raw-ask", "t\0", "m\0", "1"),
    asked!(
        "1,000 questions, one after the other",
        Refused,
        "no more questions are put",
        "raw-ask",
        "t",
        "m",
        "1000"
    ),
    asked!(
        "a question with 60,000 choices",
        Refused,
        "at most 65536 bytes",
        "raw-ask-choices",
        "t",
        "m",
        "60000"
    ),
    Row {
        trick: "a question of 100,000 characters",
        fate: Fate::Refused,
        says: "at most 65536 bytes",
        step: |()| using_with("raw-ask", "t", &"m".repeat(100_000)),
    },
];

#[test]
fn a_question_is_a_question() {
    let tools = [("fixture/everything", guest("fixture/everything").unwrap())];
    let stage = Stage::new(&tools, ALL_INTERFACES);
    let ran = stage.run_rows(ROWS, &());
    let console = stage.job.console();
    let told = ran.log.lines().filter(|line| !line.contains("Execute -> "));
    let log: String = told.collect::<Vec<_>>().join("\n");
    for text in [&log, &console] {
        let control = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(control, None, "a control character came through:\n{text:?}");
    }
    let forged = log.lines().find(|line| line.contains("------END--[x/y_1]")).unwrap();
    assert!(forged.matches(':').count() >= 4, "the executor's own time stands in front: {forged}");
    let waits = |body: &Value| body["status"] == "waitInput";
    let told = stage.job.server.calls_of(CallName::NodeStatus);
    let told = told.iter().filter(|call| waits(&call.json())).count();
    assert!((1..=110).contains(&told), "the server heard of {told} questions");
    let pipe = stage.job.dir().join("log/A");
    let left = autoexec_e2e::files_below(&pipe).unwrap();
    assert!(left.iter().all(|file| !file.to_string_lossy().contains(".pipe")), "{left:?}");
}

#[test]
fn a_question_on_the_terminal_acts_on_nothing() {
    let stage = Stage::new(&[("fixture/everything", guest("fixture/everything").unwrap())], ALL_INTERFACES);
    let with = json!({"what": "raw-ask", "subject": "t", "text": CONTROLS});
    let job = json!({"name": "j", "phases": [{"name": "p", "on": "runner",
        "steps": [{"tool": "fixture/everything", "id": "s", "with": with}]}]});
    stage.job.home.write("job.json", job.to_string()).unwrap();
    let output = stage.job.home.autoexec(["run", "job.json"]).unwrap().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let asked = text.lines().find(|line| line.contains(" asks: t: Really?")).unwrap();
    assert!(asked.contains("phase A: succeed") && asked.contains("Answer with: echo"), "one line: {asked}");
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "a control character came through:\n{text:?}");
}
