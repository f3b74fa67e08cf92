//! Programs of the runner: other ones, other arguments, code through the environment, and what is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use autoexec_e2e::build::with_output;
use autoexec_e2e::guests::guest;
use autoexec_test_support::process::lives;
use serde_json::Value;
use tempfile::TempDir;

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, changed, step, using_with};

/// A directory with a program, and one that it may write to.
pub(crate) struct Place(TempDir);

/// What the granted program does, as its first argument says. `$0` is its path.
const SCRIPT: &str = r#"#!/bin/sh
out=${0%/tool}/out
case $1 in
flood) while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done ;;
descriptors) exec perl -e 'for (0 .. 1023) { print "$_\n" if open my $file, "<&", $_ }' ;;
environment) env ;;
stay) trap '' TERM; echo $$ > "$out/stays"; while :; do sleep 1; done ;;
ran) touch "$out/ran" ;;
*) echo "$#" ;;
esac
"#;

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        fs::create_dir(place.at("out")).unwrap();
        fs::write(place.at("tool"), SCRIPT).unwrap();
        fs::set_permissions(place.at("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The number that a program wrote there.
    fn number(&self, name: &str) -> String {
        fs::read_to_string(self.at("out").join(name)).unwrap().trim().to_owned()
    }
}

const NOT_NAMED: &str = "no rule for the tool says where this program is";
const NOT_GRANTED: &str = "no rule allows it";
const OTHER_CODE: &str = "it decides which code programs run";

macro_rules! program {
    ($trick:literal, $fate:ident, $says:expr, $name:literal, $invocation:literal) => {
        Row {
            trick: $trick,
            fate: Fate::$fate,
            says: $says,
            step: |_| with_output(using_with("raw-program", $name, $invocation), "answer", "text"),
        }
    };
}

/// `tool` takes any arguments and variables; `strict` is the same with `show *` and one variable, or `list` and none.
pub(crate) const ROWS: &[Row<Place>] = &[
    program!(
        "a program that the policy does not name",
        Refused,
        NOT_NAMED,
        "sh",
        r#"{"arguments": ["-c", "id"]}"#
    ),
    program!("a path in the place of a name", Refused, NOT_NAMED, "/bin/sh", "{}"),
    program!("a path that leaves a granted name", Refused, NOT_NAMED, "tool/../sh", "{}"),
    program!(
        "a NUL byte that cuts the name of a program",
        Refused,
        "has parts that can be read in two ways",
        "tool\0x",
        "{}"
    ),
    program!("another command of a program", Refused, NOT_GRANTED, "strict", r#"{"arguments": ["ran"]}"#),
    program!(
        "an option where the rule has a value",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "--output=/etc/passwd"]}"#
    ),
    program!(
        "`..` where the rule has a value",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "../../etc/shadow"]}"#
    ),
    program!(
        "more arguments than the rule has",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "a", "--force"]}"#
    ),
    program!("two arguments in one", Refused, NOT_GRANTED, "strict", r#"{"arguments": ["show a"]}"#),
    program!(
        "an empty argument in front",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["", "show", "a"]}"#
    ),
    program!(
        "a line break in an argument",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show\nran", "a"]}"#
    ),
    program!(
        "the words of a shell: there is none",
        Harmless,
        "",
        "tool",
        r#"{"arguments": ["$(touch /tmp/x)", ";", "touch", "`id`", "| sh"]}"#
    ),
    program!(
        "a NUL byte that cuts an argument",
        Refused,
        "nul byte",
        "tool",
        r#"{"arguments": ["a\u0000b"]}"#
    ),
    program!(
        "an argument of 3 MiB",
        Refused,
        "larger than the system allows",
        "tool",
        r#"{"letters": 3145728}"#
    ),
    program!(
        "code by `LD_PRELOAD`",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["LD_PRELOAD", "/tmp/x.so"]]}"#
    ),
    program!(
        "code by `LD_LIBRARY_PATH`",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["LD_LIBRARY_PATH", "/tmp"]]}"#
    ),
    program!("code by `PATH`", Refused, OTHER_CODE, "tool", r#"{"environment": [["PATH", "/tmp"]]}"#),
    program!(
        "code by `BASH_ENV`",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["BASH_ENV", "/tmp/x"]]}"#
    ),
    program!(
        "code by an exported function of the shell",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["BASH_FUNC_echo%%", "() { id; }"]]}"#
    ),
    program!(
        "code by `PYTHONPATH`",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["PYTHONPATH", "/tmp"]]}"#
    ),
    program!(
        "code by `GCONV_PATH`",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["GCONV_PATH", "/tmp"]]}"#
    ),
    program!(
        "another home, with files that programs read",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["HOME", "/tmp"]]}"#
    ),
    program!(
        "a variable whose name holds another one",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["A=1\nLD_PRELOAD", "/tmp/x.so"]]}"#
    ),
    program!(
        "a variable whose name sets another one (`LD_PRELOAD=x`)",
        Refused,
        OTHER_CODE,
        "tool",
        r#"{"environment": [["X=y", "z"]]}"#
    ),
    program!("a variable without a name", Refused, OTHER_CODE, "tool", r#"{"environment": [["", "x"]]}"#),
    program!(
        "a NUL byte in the value of a variable",
        Refused,
        "holds a zero byte",
        "tool",
        r#"{"environment": [["A", "b\u0000LD_PRELOAD=x"]]}"#
    ),
    program!(
        "another command of the program, by `GIT_SSH_COMMAND`",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "a"], "environment": [["GIT_SSH_COMMAND", "id"]]}"#
    ),
    program!(
        "another command of the program, by `PAGER`",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "a"], "environment": [["PAGER", "id"]]}"#
    ),
    program!(
        "a variable more than the rule has",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "a"], "environment": [["TOOL_COLOR", "1"], ["LESSOPEN", "|id"]]}"#
    ),
    program!(
        "a variable whose name begins like one that is granted",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["show", "a"], "environment": [["TOOL_COLOR_COMMAND", "id"]]}"#
    ),
    program!(
        "a variable that is granted for other arguments",
        Refused,
        NOT_GRANTED,
        "strict",
        r#"{"arguments": ["list"], "environment": [["TOOL_COLOR", "1"]]}"#
    ),
    program!(
        "run in a directory that is not granted",
        Refused,
        NOT_GRANTED,
        "tool",
        r#"{"directory": "/etc"}"#
    ),
    program!("output without end", Refused, "TooLarge", "tool", r#"{"arguments": ["flood"]}"#),
    program!(
        "look for open files of the executor, and for those that were left open for it",
        Harmless,
        "",
        "tool",
        r#"{"arguments": ["descriptors"]}"#
    ),
    program!(
        "look for secrets in the environment",
        Harmless,
        "",
        "tool",
        r#"{"arguments": ["environment"]}"#
    ),
];

/// A program that does not let itself be asked.
pub(crate) const ENDLESS: &[Row<Place>] = &[Row {
    trick: "a program that does not end and ignores TERM",
    fate: Fate::Ended,
    says: "did not end within its limit of 2s",
    step: |_| {
        let options = [("what", "raw-program"), ("subject", "tool"), ("text", r#"{"arguments": ["stay"]}"#)];
        step("fixture/brief", &options)
    },
}];

fn policy(place: &Place) -> String {
    format!(
        "{ALL_INTERFACES}
[[grant]]
tools = [\"fixture/*\"]
filesystem = {{ write = [\"{out}\"] }}
[grant.program]
tool = {{ path = \"{tool}\", environment = [\"*\"] }}
strict = {{ path = \"{tool}\", arguments = [\"show *\"], environment = [\"TOOL_COLOR\"] }}

[[grant]]
tools = [\"fixture/*\"]
program = {{ strict = {{ path = \"{tool}\", arguments = [\"list\"] }} }}

[[limits]]
tools = [\"fixture/everything\"]
response-kib = 64
",
        out = place.at("out").display(),
        tool = place.at("tool").display(),
    )
}

#[test]
fn programs_do_what_the_policy_says_and_nothing_is_left() {
    let brief = changed("fixture/everything", |manifest| {
        manifest.name = "fixture/brief".to_owned().try_into().unwrap();
        manifest.limits.time_seconds = Some(2);
    });
    let tools = [("fixture/everything", guest("fixture/everything").unwrap()), ("fixture/brief", brief)];
    let place = Place::new();
    let stage = Stage::new(&tools, &policy(&place));
    // Whoever starts the executor may leave files open, as here.
    let left_open = nix::unistd::dup(fs::File::open(place.at("tool")).unwrap()).unwrap();
    stage.run_rows(ROWS, &place);
    drop(left_open);
    assert!(!place.at("out/ran").exists(), "a command ran that is not granted");
    let outputs: Value = serde_json::from_str(&stage.job.file("output/10.1.0.1--71.json")).unwrap();
    let answer = |trick: &str| {
        let number = ROWS.iter().position(|row| row.trick.starts_with(trick)).unwrap() + 1;
        outputs[format!("fixture/everything_{number}")]["answer"].clone()
    };
    assert_eq!(answer("the words of a shell")["stdout"], "5\n");
    assert_eq!(answer("look for open files")["stdout"], "0\n1\n2\n");
    let environment = answer("look for secrets")["stdout"].as_str().unwrap().to_owned();
    for secret in ["tok-4711", "AUTOEXEC", "PASS", "KEY="] {
        assert!(!environment.contains(secret), "{environment}");
    }

    stage.run_rows(ENDLESS, &place);
    assert!(!lives(place.number("stays")), "it was killed");
    let left: Vec<_> =
        fs::read_dir(stage.job.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".tmp.")), "{left:?}");
}
