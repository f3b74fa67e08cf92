use serde_json::{Value, json};

use super::*;
use crate::reference::{Found, Lookup};
use crate::value::resolve_inputs;
use crate::{Argument, Call, OpOption, SecretKey, ValueType};

struct Password;

impl Lookup for Password {
    fn variable(&self, name: &str) -> Option<Found<'_>> {
        (name == "dbpw").then(|| Found::secret("hunter2"))
    }

    fn output(&self, _: &str, _: &str) -> Option<Found<'_>> {
        None
    }
}

fn inputs(options: &Value, arguments: &[&str]) -> Inputs {
    let options = options.as_object().unwrap().iter().map(|(name, value)| OpOption {
        name: name.clone(),
        kind: ValueType::Text,
        value: value.clone(),
    });
    let arguments = arguments.iter().map(|text| Argument { kind: ValueType::Text, value: json!(text) });
    let call = Call {
        script: None,
        interpreter: None,
        options: options.collect(),
        arguments: arguments.collect(),
        outputs: None,
    };
    resolve_inputs(&call, &Password, &SecretKey::new("k")).unwrap().finish().unwrap().0
}

fn read(tool: &str, options: Value, arguments: &[&str]) -> Result<Option<NativeOp>, String> {
    NativeOp::from_operation(tool, &inputs(&options, arguments)).map_err(|error| error.to_string())
}

fn operation(tool: &str, options: Value, arguments: &[&str]) -> NativeOp {
    read(tool, options, arguments).unwrap().unwrap()
}

#[test]
fn a_name_that_is_not_built_in_is_a_plugin() {
    assert!(read("checksomething", json!({}), &[]).unwrap().is_none());
    assert!(read("IF-Block", json!({}), &[]).unwrap().is_none());
}

#[test]
fn echo_and_failjob_join_their_texts_and_mask_secrets() {
    let NativeOp::Echo { text } = operation("echo", json!({}), &["a b", "", "c", "pw=${dbpw}"]) else {
        panic!()
    };
    assert_eq!(text, "a bc******");
    let NativeOp::FailJob { text } = operation("failjob", json!({}), &["stop ", "here"]) else { panic!() };
    assert_eq!(text, "stop here");
    let NativeOp::Echo { text } = operation("echo", json!({}), &[]) else { panic!() };
    assert_eq!(text, "");
}

#[test]
fn export_takes_names_and_a_flag() {
    let NativeOp::Export { names, hidden } = operation("export", json!({"hidden": "1"}), &["A", "", " B "])
    else {
        panic!()
    };
    assert_eq!((names, hidden), (vec!["A".to_owned(), "B".to_owned()], true));
    let NativeOp::Export { hidden: false, .. } = operation("export", json!({}), &[]) else { panic!() };
    assert_eq!(
        read("export", json!({"hidden": "maybe"}), &[]).unwrap_err(),
        "native/export: option `hidden` is `maybe`, expected 0 or 1"
    );
}

#[test]
fn setenv_has_the_defaults_of_the_table() {
    let NativeOp::SetEnv { name, value, scope, hidden, shell } =
        operation("setenv", json!({"name": " X ", "value": "v"}), &[])
    else {
        panic!()
    };
    assert_eq!(
        (name.as_str(), value.expose(), scope, hidden, shell),
        ("X", "v", Scope::Node, false, ShellText::None)
    );
    let NativeOp::SetEnv { value, scope, hidden, shell, .. } =
        operation("setenv", json!({"name": "X", "value": "$(date)", "scope": "Global", "hidden": 1}), &[])
    else {
        panic!()
    };
    assert_eq!((value.expose(), scope, hidden, shell), ("$(date)", Scope::Global, true, ShellText::Harmless));
    let NativeOp::SetEnv { value, .. } = operation("setenv", json!({"name": "X"}), &[]) else { panic!() };
    assert_eq!(value.expose(), "");
}

#[test]
fn a_variable_made_from_a_secret_is_hidden() {
    let made = operation("setenv", json!({"name": "X", "value": "${dbpw}", "hidden": "0"}), &[]);
    assert!(!format!("{made:?}").contains("hunter2"));
    let NativeOp::SetEnv { hidden: true, .. } = made else { panic!() };
}

#[test]
fn setenv_refuses_what_cannot_or_must_not_be_set() {
    for (options, error) in [
        (json!({"value": "v"}), "native/setenv: option `name` is missing"),
        (json!({"name": "  "}), "native/setenv: option `name` is missing"),
        (
            json!({"name": "X", "scope": "job"}),
            "native/setenv: option `scope` is `job`, expected node or global",
        ),
        (json!({"name": "A=B"}), "native/setenv: option `name` is `A=B`, expected a name without `=`"),
        (
            json!({"name": "LD_PRELOAD", "scope": "global"}),
            "native/setenv: the environment variable `LD_PRELOAD` must not be set by a job, because the executor and \
             its plugins depend on it",
        ),
    ] {
        assert_eq!(read("setenv", options, &[]).unwrap_err(), error);
    }
    assert!(read("setenv", json!({"name": "PATH", "scope": "node"}), &[]).is_ok());
}

#[test]
fn updategparam_needs_a_name() {
    let NativeOp::UpdateGlobalParam { name, value } =
        operation("updategparam", json!({"name": "g", "value": "v"}), &[])
    else {
        panic!()
    };
    assert_eq!((name.as_str(), value.expose()), ("g", "v"));
    assert_eq!(
        read("updategparam", json!({}), &[]).unwrap_err(),
        "native/updategparam: option `name` is missing"
    );
}

#[test]
fn failkeys_takes_patterns_that_all_or_any_must_match() {
    let NativeOp::FailKeys { operator, exclude, patterns } =
        operation("failkeys", json!({}), &["ORA-\\d+", ""])
    else {
        panic!()
    };
    assert_eq!((operator, exclude, patterns), (PatternOperator::And, None, vec!["ORA-\\d+".to_owned()]));
    let NativeOp::FailKeys { operator, exclude, .. } =
        operation("failkeys", json!({"operator": "OR", "exclude": "ok"}), &[])
    else {
        panic!()
    };
    assert_eq!((operator, exclude.as_deref()), (PatternOperator::Or, Some("ok")));
    assert!(read("failkeys", json!({"operator": "xor"}), &[]).unwrap_err().contains("expected and or or"));
}

#[test]
fn extractprestepstatus_works_for_both_scopes() {
    for (options, expected) in [
        (json!({}), ("PRE_STEP_STATUS", Scope::Node)),
        (json!({"envname": "S", "scope": "global"}), ("S", Scope::Global)),
    ] {
        let NativeOp::ExtractPreStepStatus { name, scope } = operation("extractprestepstatus", options, &[])
        else {
            panic!()
        };
        assert_eq!((name.as_str(), scope), expected);
    }
}

#[test]
fn maintainwindow_reads_its_lines() {
    let NativeOp::MaintainWindow { windows } =
        operation("maintainwindow", json!({}), &["20:00-21:00\\nnever"])
    else {
        panic!()
    };
    assert_eq!((windows.lines().count(), windows.malformed().len()), (1, 1));
}

#[test]
fn value_extraction_reads_its_source_and_selector() {
    let NativeOp::ExtractOutVal { source, selector: Selector::Json(_) } =
        operation("extractoutval", json!({"outputkey": "#{p.b/t_1.k}", "selector": "data[a]"}), &[])
    else {
        panic!()
    };
    assert_eq!(source, OutputKey::Output { op_id: "b/t_1".to_owned(), key: "k".to_owned() });
    let NativeOp::ExtractOutVal { source: OutputKey::Data(data), selector: Selector::Pattern(_) } = operation(
        "extractoutval",
        json!({"outputkey": "some text", "selector": "te.t", "selectortype": "RegExp"}),
        &[],
    ) else {
        panic!()
    };
    assert_eq!(data.expose(), "some text");
    let NativeOp::GetValFromJson { text, .. } =
        operation("getvalfromjson", json!({"jsontxt": {"a": 1}, "selector": "data[a]"}), &[])
    else {
        panic!()
    };
    assert_eq!(text.expose(), r#"{"a": 1}"#);
    assert!(matches!(
        operation("getvalfromtxt", json!({"txtval": "t", "selector": "t"}), &[]),
        NativeOp::GetValFromTxt { .. }
    ));
    for (tool, options, error) in [
        (
            "extractoutval",
            json!({"selector": "data[a]"}),
            "native/extractoutval: option `outputkey` is missing",
        ),
        (
            "extractoutval",
            json!({"outputkey": "#{p.k}", "selector": "data[a]"}),
            "native/extractoutval: `#{p.k}` does not name an output: expected `#{phase.opId.key}`",
        ),
        (
            "extractoutval",
            json!({"outputkey": "x", "selector": "y", "selectortype": "XPath"}),
            "native/extractoutval: `XPath` is not a selector type: expected JsonObject or RegExp",
        ),
        (
            "getvalfromjson",
            json!({"jsontxt": "{}", "selector": "a"}),
            "selector `a`, column 1: expected `data[`",
        ),
        ("getvalfromtxt", json!({"txtval": "t"}), "native/getvalfromtxt: option `selector` is missing"),
    ] {
        assert_eq!(read(tool, options, &[]).unwrap_err(), error);
    }
}
