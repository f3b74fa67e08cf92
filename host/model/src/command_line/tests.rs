use serde_json::{Value, json};

use super::*;
use crate::reference::{Found, Lookup};
use crate::value::resolve_inputs;
use crate::{Argument, Call, OpOption, SecretKey, ValueType};

struct Nothing;

impl Lookup for Nothing {
    fn variable(&self, _: &str) -> Option<Found<'_>> {
        None
    }

    fn output(&self, _: &str, _: &str) -> Option<Found<'_>> {
        None
    }
}

fn inputs(options: &[(&str, &str, Value)], arguments: &[(&str, Value)]) -> Inputs {
    let call = Call {
        script: None,
        interpreter: None,
        options: options
            .iter()
            .map(|(name, kind, value)| OpOption {
                name: (*name).to_owned(),
                kind: ValueType::from_word(kind),
                value: value.clone(),
            })
            .collect(),
        arguments: arguments
            .iter()
            .map(|(kind, value)| Argument { kind: ValueType::from_word(kind), value: value.clone() })
            .collect(),
        outputs: None,
    };
    resolve_inputs(&call, &Nothing, &SecretKey::new("k")).unwrap().finish().unwrap().0
}

/// One of each kind that quoting tells apart.
fn sample() -> Inputs {
    inputs(
        &[
            ("path", "text", json!("/data dir/$HOME")),
            ("l", "text", json!("5")),
            ("empty", "text", json!("")),
            ("conf", "json", json!({"a": "it's"})),
            ("pw", "password", json!("p w")),
            ("log", "filepath", json!("out/x.log")),
        ],
        &[("text", json!("say \"hi\"")), ("text", json!("")), ("password", json!("p2"))],
    )
}

#[test]
fn a_local_run_gets_the_values_as_they_are() {
    let argv = CommandLine::new(&sample(), None).local_argv().unwrap();
    assert_eq!(
        argv,
        [
            "--path",
            "/data dir/$HOME",
            "-l",
            "5",
            "--conf",
            r#"{"a": "it's"}"#,
            "--pw",
            "p w",
            "--log",
            "out/x.log",
            "say \"hi\"",
            "",
            "p2"
        ]
    );
}

#[test]
fn each_interpreter_has_its_form_of_options() {
    let inputs = inputs(&[("key", "text", json!("v")), ("k", "text", json!("w"))], &[]);
    for (interpreter, argv) in [
        (None, vec!["--key", "v", "-k", "w"]),
        (Some(Interpreter::Python), vec!["--key", "v", "-k", "w"]),
        (Some(Interpreter::Cmd), vec!["/key:v", "/k:w"]),
        (Some(Interpreter::VbScript), vec!["/key:v", "/k:w"]),
        (Some(Interpreter::PowerShell), vec!["-key", "v", "-k", "w"]),
    ] {
        assert_eq!(CommandLine::new(&inputs, interpreter).local_argv().unwrap(), argv, "{interpreter:?}");
    }
}

#[test]
fn a_unix_target_sees_nothing_live_by_default() {
    let inputs = sample();
    let text = CommandLine::new(&inputs, None).unix_text(Recipient::Target, ShellExpansion::Off).unwrap();
    assert_eq!(
        text,
        r#" --path '/data dir/$HOME' -l '5' --conf '{"a": "it'\''s"}' --pw 'p w' --log 'file/x.log' 'say "hi"' '' 'p2'"#
    );
    let text = CommandLine::new(&inputs, Some(Interpreter::VbScript))
        .unix_text(Recipient::Target, ShellExpansion::Off)
        .unwrap();
    assert!(text.starts_with(" /path:'/data dir/$HOME' /l:'5' "), "{text}");
}

#[test]
fn compatible_expansion_is_the_old_contract() {
    let text =
        CommandLine::new(&sample(), None).unix_text(Recipient::Runner, ShellExpansion::Compatible).unwrap();
    assert_eq!(
        text,
        r#" --path "/data dir/$HOME" -l "5" --conf '{"a": "it'\''s"}' --pw 'p w' --log "out/x.log" "say \"hi\"" "" 'p2'"#
    );
    for (value, quoted) in [
        (r"C:\dir\", r#" "C:\dir\\""#),
        (r"two\\", r#" "two\\""#),
        (r#"has \" already"#, r#" "has \" already""#),
        (r#"even \\" not"#, r#" "even \\\" not""#),
        ("`date` $(id)", " \"`date` $(id)\""),
    ] {
        let inputs = inputs(&[], &[("text", json!(value))]);
        let text =
            CommandLine::new(&inputs, None).unix_text(Recipient::Target, ShellExpansion::Compatible).unwrap();
        assert_eq!(text, quoted);
    }
}

#[test]
fn an_option_name_cannot_be_a_command() {
    let inputs = inputs(&[("x; rm -rf /", "text", json!("v"))], &[]);
    for expansion in [ShellExpansion::Off, ShellExpansion::Compatible] {
        let text = CommandLine::new(&inputs, None).unix_text(Recipient::Target, expansion).unwrap();
        assert!(text.starts_with(" '--x; rm -rf /' "), "{text}");
    }
    assert_eq!(
        CommandLine::new(&inputs, None).windows_text(ShellExpansion::Off).unwrap_err().to_string(),
        "option `x; rm -rf /` cannot be part of a command: it holds a quote, `%` or a control character"
    );
}

fn windows(
    value: &str,
    interpreter: Option<Interpreter>,
    expansion: ShellExpansion,
) -> Result<String, String> {
    let inputs = inputs(&[("k1", "text", json!(value))], &[]);
    CommandLine::new(&inputs, interpreter).windows_text(expansion).map_err(|error| error.to_string())
}

#[test]
fn a_windows_program_gets_double_quotes_by_the_microsoft_rules() {
    for (value, text) in [
        ("v", r#" --k1 "v""#),
        ("a & b", r#" --k1 "a & b""#),
        (r"C:\dir\", r#" --k1 "C:\dir\\""#),
        // the command processor must not see the quotes of such a value
        (r#"a" & calc "b"#, r#" --k1 ^"a\^" ^& calc \^"b^""#),
        (r#"x\" %P% (y)"#, r#" --k1 ^"x\\\^" ^%P^% ^(y^)^""#),
    ] {
        assert_eq!(windows(value, None, ShellExpansion::Off).unwrap(), text, "{value}");
    }
    assert_eq!(windows("v w", Some(Interpreter::PowerShell), ShellExpansion::Off).unwrap(), r#" -k1 "v w""#);
    assert_eq!(windows(r#"a"b\"#, None, ShellExpansion::Compatible).unwrap(), r#" --k1 "a\"b\\""#);
}

#[test]
fn a_batch_file_gets_quotes_where_they_are_needed() {
    let cmd = Some(Interpreter::Cmd);
    for (value, text) in [
        ("v", " /k1:v"),
        ("v w", r#" /k1:"v w""#),
        ("a&calc", r#" /k1:"a&calc""#),
        (r"C:\my dir\", r#" /k1:"C:\my dir\""#),
    ] {
        assert_eq!(windows(value, cmd, ShellExpansion::Off).unwrap(), text, "{value}");
    }
    assert_eq!(windows("a&calc", cmd, ShellExpansion::Compatible).unwrap(), " /k1:a&calc");
    assert_eq!(
        windows("a\"b", Some(Interpreter::VbScript), ShellExpansion::Compatible).unwrap(),
        r#" /k1:"a\"b""#
    );
    for interpreter in [Interpreter::Cmd, Interpreter::VbScript] {
        assert_eq!(
            windows("a\"b", Some(interpreter), ShellExpansion::Off).unwrap_err(),
            format!(
                "option `k1` holds a double quote, which a {} script cannot receive safely; remove it, pass a file, or \
                 switch shell expansion to compatible",
                interpreter.as_str()
            )
        );
    }
}

#[test]
fn what_no_command_line_can_hold_is_an_error() {
    let inputs = inputs(&[], &[("text", json!("a\u{0}b"))]);
    let line = CommandLine::new(&inputs, None);
    let error = "argument 1 holds a NUL character, which cannot be passed to a program";
    assert_eq!(line.local_argv().unwrap_err().to_string(), error);
    assert_eq!(line.unix_text(Recipient::Target, ShellExpansion::Off).unwrap_err().to_string(), error);
    assert_eq!(line.windows_text(ShellExpansion::Off).unwrap_err().to_string(), error);
    assert_eq!(
        windows("a\nb", None, ShellExpansion::Compatible).unwrap_err(),
        "option `k1` holds a line break, which cannot be passed to a program on Windows; use a text area or a file"
    );
}

#[test]
fn logs_show_the_command_without_secrets() {
    assert_eq!(
        CommandLine::new(&sample(), None).display("basic/free", Recipient::Runner),
        "basic/free --path \"/data dir/$HOME\" -l \"5\" --conf '{\"a\": \"it'\\''s\"}' --pw '******' --log \"out/x.log\" \
         \"say \\\"hi\\\"\" \"\" '******'"
    );
    assert_eq!(
        CommandLine::new(&sample(), Some(Interpreter::Cmd)).display("free.bat", Recipient::Target),
        "free.bat /path:\"/data dir/$HOME\" /l:\"5\" /conf:'{\"a\": \"it'\\''s\"}' /pw:'******' /log:\"file/x.log\" \
         \"say \\\"hi\\\"\" \"\" '******'"
    );
}

fn program(interpreter: Option<Interpreter>, file: &str) -> RemoteProgram<'_> {
    RemoteProgram { directory: "/tmp/autoexec-1-2-3/basic", file, interpreter, environment: &[] }
}

#[test]
fn unix_targets_start_the_file_with_its_interpreter() {
    use Interpreter as I;
    for (interpreter, file, start) in [
        (Some(I::Bash), "free", "bash -l free"),
        (Some(I::Sh), "free", "sh -l free"),
        (Some(I::Csh), "free", "csh -l free"),
        (Some(I::Ksh), "free", "ksh free"),
        (Some(I::Python), "free.py", "python free.py"),
        (Some(I::JavaScript), "x.js", "node x.js"),
        (Some(I::Bash), "-x", "bash -l ./-x"),
        (Some(I::Perl), "脚本 a'b.pl", r"perl '脚本 a'\''b.pl'"),
        (None, "tool", "./tool"),
    ] {
        let text = program(interpreter, file).unix_text().unwrap();
        assert_eq!(text, format!("cd /tmp/autoexec-1-2-3/basic && {start}"));
    }
}

#[test]
fn variables_stand_in_front_of_the_interpreter() {
    let variables = [("HISTSIZE", "0"), ("AUTOEXEC_NODE", r#"{"host":"it's"}"#)];
    let program = RemoteProgram {
        directory: "$TMPDIR/a b",
        file: "t",
        interpreter: Some(Interpreter::Bash),
        environment: &variables,
    };
    assert_eq!(
        program.unix_text().unwrap(),
        r#"cd '$TMPDIR/a b' && HISTSIZE='0' AUTOEXEC_NODE='{"host":"it'\''s"}' bash -l t"#
    );
    let bad = [("A B", "x")];
    assert_eq!(
        RemoteProgram { environment: &bad, ..program }.unix_text().unwrap_err().to_string(),
        "`A B` is not the name of an environment variable"
    );
}

#[test]
fn windows_targets_start_the_file_with_its_interpreter() {
    use Interpreter as I;
    let directory = "cd $TMPDIR/autoexec-1 & ";
    for (interpreter, give_extension, file, start) in [
        (Some(I::Cmd), false, "t.bat", "cmd /c t.bat"),
        (Some(I::Cmd), false, "a b.bat", "cmd /c call \"a b.bat\""),
        (Some(I::VbScript), false, "t.vbs", "cscript t.vbs"),
        (Some(I::JavaScript), false, "t.js", "node t.js"),
        (
            Some(I::PowerShell),
            true,
            "t",
            "copy /y t t.ps1 >NUL & powershell -Command \"Set-ExecutionPolicy -Force RemoteSigned\" & powershell -f t.ps1",
        ),
        (Some(I::Python), true, "t", "copy /y t t.py >NUL & python t.py"),
        (Some(I::Python), true, "t.py", "python t.py"),
        (None, true, "t.exe", "t.exe"),
    ] {
        let program = RemoteProgram { directory: "$TMPDIR/autoexec-1", file, interpreter, environment: &[] };
        assert_eq!(program.windows_text(give_extension).unwrap(), format!("{directory}{start}"));
    }
    assert!(matches!(program(None, "a%b\".bat").windows_text(false), Err(CommandLineError::Name(_))));
}

#[test]
fn an_archive_cannot_be_run() {
    let error = program(Some(Interpreter::Package), "lib.tar").unix_text().unwrap_err().to_string();
    assert_eq!(error, "`lib.tar` has the interpreter `package`: an archive is a library, it cannot be run");
    assert!(program(Some(Interpreter::Package), "lib.tar").windows_text(false).is_err());
    assert!(matches!(program(None, "a\u{0}").unix_text(), Err(CommandLineError::Nul(_))));
}

#[test]
fn a_tool_that_is_asked_is_told_in_the_form_of_its_interpreter() {
    let inputs = inputs(&[("path", "text", json!("/a")), ("check", "text", json!("0"))], &[]);
    for (interpreter, purpose, unix, windows) in [
        (None, Purpose::Run, " --path '/a' --check '0'", None),
        (None, Purpose::Check, " --check 1 --path '/a'", None),
        (None, Purpose::Probe, " --probe 1 --path '/a' --check '0'", None),
        (Some(Interpreter::Cmd), Purpose::Check, " /check:1 /path:'/a'", Some(" /check:1 /path:/a")),
        (
            Some(Interpreter::PowerShell),
            Purpose::Check,
            " -check 1 -path '/a'",
            Some(" -check 1 -path \"/a\""),
        ),
    ] {
        let line = CommandLine::new(&inputs, interpreter).to(purpose);
        assert_eq!(line.unix_text(Recipient::Target, ShellExpansion::Off).unwrap(), unix, "{purpose:?}");
        if let Some(windows) = windows {
            assert_eq!(line.windows_text(ShellExpansion::Off).unwrap(), windows, "{purpose:?}");
        }
    }
    let argv = CommandLine::new(&inputs, None).to(Purpose::Check).local_argv().unwrap();
    assert_eq!(argv, ["--check", "1", "--path", "/a"]);
    let shown = CommandLine::new(&inputs, None).to(Purpose::Check).display("b/x", Recipient::Runner);
    assert_eq!(shown, "b/x --check 1 --path \"/a\"");
}
