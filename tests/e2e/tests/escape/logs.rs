//! Fooling who reads the log, and the steps that come after.

use autoexec_e2e::build::with_output;
use autoexec_e2e::guests::guest;
use serde_json::Value;

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, using, using_with};

/// A step that logs a line, and then bytes.
fn logging(line: &str, bytes: &str) -> Value {
    let quoted = |text: &str| Value::from(text).to_string();
    using_with("log", &quoted(line), &quoted(bytes))
}

pub(crate) const ROWS: &[Row<()>] = &[
    Row {
        trick: "clear the reader's terminal",
        fate: Fate::Harmless,
        says: "beforeafter",
        step: |()| logging("before\u{1b}[2J\u{1b}[Hafter", ""),
    },
    Row {
        trick: "set the title of the reader's terminal",
        fate: Fate::Harmless,
        says: "title-gone",
        step: |()| logging("title-\u{1b}]0;owned\u{7}gone", ""),
    },
    Row {
        trick: "put a command into the reader's clipboard (OSC 52)",
        fate: Fate::Harmless,
        says: "clip-board",
        step: |()| logging("clip-\u{1b}]52;c;cm0gLXJmIC8K\u{7}board", ""),
    },
    Row {
        trick: "have the terminal answer as if the reader typed (DECRQSS)",
        fate: Fate::Harmless,
        says: "typed",
        step: |()| logging("\u{1b}P$q\"p\u{1b}\\typed", ""),
    },
    Row {
        trick: "an escape sequence of which half is in one write and half in the next",
        fate: Fate::Harmless,
        says: "cut\u{241b}",
        step: |()| logging("cut\u{1b}", "[2Jtail\n"),
    },
    Row {
        trick: "the same with 8-bit controls",
        fate: Fate::Harmless,
        says: "eight\u{fffd}2J\u{fffd}0;title\u{fffd}",
        step: |()| logging("eight\u{9b}2J\u{9d}0;title\u{9c}", ""),
    },
    Row {
        trick: "write over the line with a carriage return",
        fate: Fate::Harmless,
        says: "real",
        step: |()| logging("real\rfake", ""),
    },
    Row {
        trick: "take characters back with backspaces",
        fate: Fate::Harmless,
        says: "\u{2408}",
        step: |()| logging("evil\u{8}\u{8}\u{8}\u{8}good", ""),
    },
    Row {
        trick: "a NUL byte, at which other programs stop reading",
        fate: Fate::Harmless,
        says: "\u{2400}",
        step: |()| logging("shown\u{0}hidden", ""),
    },
    Row {
        trick: "forge the end of the step, and the success of another one",
        fate: Fate::Harmless,
        says: "forged",
        step: |()| logging("forged\n00:00:00 ------END--[x/y_1] local execution complete", ""),
    },
    Row {
        trick: "an output with the name of the executor's own environment",
        fate: Fate::Harmless,
        says: "",
        step: |()| with_output(using_with("set", "environment", "planted"), "answer", "text"),
    },
    Row {
        trick: "an output whose name is a path",
        fate: Fate::Harmless,
        says: "",
        step: |()| using_with("set", "../../../status/A/10.1.0.1--71", "planted"),
    },
    Row {
        trick: "an output with an empty name",
        fate: Fate::Harmless,
        says: "",
        step: |()| using_with("set", "", "planted"),
    },
    Row {
        trick: "an output with the name of another step",
        fate: Fate::Harmless,
        says: "",
        step: |()| using_with("set", "fixture/hostile_14", "planted"),
    },
    Row {
        trick: "ask as the option of another step (`${…}` in an option's value)",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |()| using("secret", "option:${password}"),
    },
];

#[test]
fn logs_and_outputs_stay_what_they_are() {
    let tools = [("fixture/everything", guest("fixture/everything").unwrap())];
    let stage = Stage::new(&tools, ALL_INTERFACES);
    let ran = stage.run_rows(ROWS, &());
    let console = stage.job.console();
    for log in [&ran.log, &console] {
        let control = log.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(control, None, "a control character came through:\n{log:?}");
    }
    // The executor's own line with the options shows them as the JSON they are.
    let told = ran.log.lines().filter(|line| !line.contains("Execute -> "));
    let told = told.filter(|line| line.contains("owned") || line.contains("cm0gLXJmIC8K")).count();
    assert_eq!(told, 0, "{}", ran.log);
    // Every line has the time that the executor put in front, so the forged one begins with two.
    let forged = ran.log.lines().find(|line| line.contains("------END--[x/y_1]")).unwrap();
    assert!(
        forged.find("00:00:00 ").is_some_and(|at| at > 0) || forged.matches(':').count() >= 4,
        "{forged}"
    );
    assert_eq!(stage.job.status("A", "10.1.0.1--71")["fixture/hostile_16"], "succeed");
    let outputs: Value = serde_json::from_str(&stage.job.file("output/10.1.0.1--71.json")).unwrap();
    let outputs = outputs.as_object().unwrap();
    let planted = outputs.iter().filter(|(name, _)| !name.starts_with("fixture/everything_"));
    let planted: Vec<_> = planted.filter(|(_, value)| value.to_string().contains("planted")).collect();
    assert!(planted.is_empty(), "outside of the step's own outputs: {planted:?}");
}
