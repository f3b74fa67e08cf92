use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::*;
use crate::reference::{Found, Lookup};
use crate::{JobParams, NodeLine, OperationBody, SecretKey};

const KEY: &str = "k3y-for-tests-0123456789abcdefgh";
const ENCRYPTED: &str = "{RC4}d94cf101ca62a06c8680c8";
const PLAIN: &str = "s3cret-Pa55";

fn key() -> SecretKey {
    SecretKey::new(KEY)
}

struct Variables;

impl Lookup for Variables {
    fn variable(&self, name: &str) -> Option<Found<'_>> {
        match name {
            "region" => Some(Found::plain("north")),
            "dbpw" => Some(Found::secret(PLAIN)),
            "stored" => Some(Found::plain(ENCRYPTED)),
            "packs" => Some(Found::plain("[901, \"902\", \"file/there.txt\"]")),
            "dir" => Some(Found::plain("out/sub")),
            _ => None,
        }
    }

    fn output(&self, _: &str, _: &str) -> Option<Found<'_>> {
        None
    }
}

fn option(name: &str) -> InputSource {
    InputSource::Option(name.to_owned())
}

fn ready(name: &str, kind: ValueType, value: &Value) -> ResolvedValue {
    match resolve_value(&option(name), kind, value, &Variables, &key()).unwrap() {
        Resolution::Ready { value, warning: None } => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_type_gives_a_tool_the_text_of_the_table() {
    use ValueType as T;
    for (kind, value, text, literal) in [
        (T::Text, json!("to ${region}"), "to north", false),
        (T::Text, json!(5), "5", false),
        (T::Text, json!({"a": [1]}), r#"{"a": [1]}"#, false),
        (T::Text, json!(null), "", false),
        (T::Switch, json!(true), "true", false),
        (T::TextArea, json!("a\nb ${region}\n"), r"a\nb north\n", true),
        (T::Json, json!({"r": "$region", "n": [1, null]}), r#"{"r": "north", "n": [1, null]}"#, true),
        (T::Json, json!(r#"{"r":"$region"}"#), r#"{"r":"north"}"#, true),
        (T::Node, json!([{"host": "h"}]), r#"[{"host": "h"}]"#, true),
        (T::MultiSelect, json!(["a", "b"]), r#"["a", "b"]"#, true),
        (T::CheckBox, json!([]), "[]", true),
        (T::Password, json!(ENCRYPTED), PLAIN, true),
        (T::Password, json!("${stored}"), PLAIN, true),
        (T::Password, json!("plain"), "plain", true),
        (T::FilePath, json!("${dir}/x.log"), "out/sub/x.log", false),
    ] {
        let resolved = ready("o", kind, &value);
        assert_eq!(
            (resolved.text(Recipient::Runner).as_str(), resolved.is_literal()),
            (text, literal),
            "{kind:?} {value}"
        );
    }
}

#[test]
fn a_file_path_is_another_one_on_the_target_and_goes_along() {
    for (path, on_target) in [("out/sub/x.log", "file/x.log"), ("x", "file/x"), ("a/b/", "file/b"), ("", "")]
    {
        let value = ready("o", ValueType::FilePath, &json!(path));
        assert_eq!(value.text(Recipient::Runner), path);
        assert_eq!(value.text(Recipient::Target), on_target);
        assert_eq!(value.uploads().is_empty(), path.is_empty());
    }
}

#[test]
fn secrets_are_hidden_wherever_they_are_shown() {
    use ValueType as T;
    for (name, kind, value) in [
        ("p", T::Password, json!(ENCRYPTED)),
        ("url", T::Text, json!("mysql://u:${dbpw}@h")),
        ("doc", T::Json, json!({"pw": "$dbpw"})),
        ("notes", T::TextArea, json!("x ${dbpw}")),
        ("dbaccount", T::Text, json!("scott/tiger")),
    ] {
        let resolved = ready(name, kind, &value);
        assert!(resolved.is_hidden(), "{name}");
        assert_eq!(resolved.display(Recipient::Runner), MASK);
        assert_eq!(resolved.to_display_json(), json!(MASK));
        assert!(format!("{resolved:?}").contains(MASK));
    }
    assert!(ready("dbaccount", T::Text, &json!("scott/tiger")).is_literal());
    assert!(!ready("p", T::Text, &json!("$region")).is_hidden());
}

#[test]
fn a_text_area_is_shown_with_real_lines_and_without_its_credentials() {
    let value = ready("o", ValueType::TextArea, &json!("user=a\npassword=b\nend"));
    assert_eq!(value.text(Recipient::Target), r"user=a\npassword=b\nend");
    assert_eq!(value.display(Recipient::Target), r"user=a\npassword=******\nend");
    assert_eq!(value.to_display_json(), json!("user=a\npassword=******\nend"));
}

#[test]
fn a_password_that_cannot_be_decrypted_is_used_as_it_is_with_a_warning() {
    let source = InputSource::Argument(1);
    let Resolution::Ready { value, warning: Some(warning) } =
        resolve_value(&source, ValueType::Password, &json!("{RC4}zz"), &Variables, &key()).unwrap()
    else {
        panic!("no warning")
    };
    assert_eq!((value.text(Recipient::Runner).as_str(), value.is_hidden()), ("{RC4}zz", true));
    assert_eq!(
        warning.to_string(),
        "argument 2: can not decrypt the value, it is used as it is: the encrypted text is not hexadecimal"
    );
}

fn account(value: &str) -> AccountRequest {
    match resolve_value(&option("acc"), ValueType::Account, &json!(value), &Variables, &key()).unwrap() {
        Resolution::Pending(Pending::Account(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_account_is_asked_from_the_server_and_becomes_user_and_password() {
    let request = account("dom/scott/77/ssh");
    let parts = (request.user.as_str(), request.account_id.as_str(), request.protocol.as_str());
    assert_eq!(parts, ("dom/scott", "77", "ssh"));
    let (value, warning) = request.complete(Ok(ENCRYPTED), &key());
    assert_eq!((value.text(Recipient::Runner), warning), (format!("dom/scott/{PLAIN}"), None));
    assert!(value.is_hidden() && value.is_literal());
    assert!(!format!("{value:?}").contains(PLAIN));

    let (value, warning) = account("scott/77/ssh").complete(Err("no such account".to_owned()), &key());
    assert_eq!(value.text(Recipient::Runner), "scott/77/ssh");
    assert_eq!(
        warning.unwrap().to_string(),
        "option `acc`: can not get the account, the value is used as it is: no such account"
    );
}

#[test]
fn an_account_of_another_shape_is_kept_with_a_warning() {
    for (text, warned) in [("scott", true), ("scott/77", true), ("/7/ssh", true), ("", false)] {
        let resolution =
            resolve_value(&InputSource::Argument(0), ValueType::Account, &json!(text), &Variables, &key())
                .unwrap();
        let Resolution::Ready { value, warning } = resolution else { panic!("{text}") };
        assert_eq!((value.text(Recipient::Runner).as_str(), warning.is_some()), (text, warned));
    }
}

fn files(value: &Value) -> FileRequest {
    match resolve_value(&option("packs"), ValueType::File, value, &Variables, &key()).unwrap() {
        Resolution::Pending(Pending::Files(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_downloaded_by_id_and_joined_with_commas() {
    for value in [json!("${packs}"), json!([901, "902", "file/there.txt"])] {
        let request = files(&value);
        assert_eq!(request.ids().collect::<Vec<_>>(), ["901", "902"]);
        let done = request.complete(|id| Ok::<_, ()>(format!("f{id}.zip"))).unwrap();
        assert_eq!(done.text(Recipient::Target), "file/f901.zip,file/f902.zip,file/there.txt");
        assert_eq!(done.to_json(), json!(["file/f901.zip", "file/f902.zip", "file/there.txt"]));
        assert_eq!(done.to_display_json(), done.to_json());
        assert_eq!(done.uploads(), ["file/f901.zip", "file/f902.zip", "file/there.txt"]);
        assert!(done.is_literal());
    }
    assert_eq!(files(&json!(901)).complete(|id| Err::<String, _>(id.to_owned())), Err("901".to_owned()));
}

#[test]
fn a_file_list_that_is_none_is_empty_with_a_warning() {
    for (value, problem) in [
        (json!("${region}"), "the text is not JSON"),
        (json!([[1]]), "an entry is an array"),
        (json!({"fileIdList": [1]}), "an entry is an object"),
    ] {
        let resolution =
            resolve_value(&option("packs"), ValueType::File, &value, &Variables, &key()).unwrap();
        let Resolution::Ready { value: resolved, warning: Some(warning) } = resolution else {
            panic!("{value}")
        };
        assert!(resolved.is_empty());
        assert_eq!(
            warning.to_string(),
            format!("option `packs`: expected a JSON array of file ids, no file is used: {problem}")
        );
    }
    for empty in [json!([]), json!(""), json!(null)] {
        assert!(ready("packs", ValueType::File, &empty).is_empty(), "{empty}");
    }
}

#[test]
fn arguments_are_treated_like_options() {
    let job = JobParams::from_value(
        &json!({"runFlow": [{"groupNo": 0, "phases": [{"phaseName": "p", "phaseType": "runner", "operations": [{
            "opId": "b/t_1", "opName": "b/t", "opType": "runner",
            "opt": {"empty": "", "to": "$region", "acc": "u/1/ssh", "pw": ENCRYPTED},
            "desc": {"acc": "account", "pw": "password"},
            "arg": [{"type": "password", "value": ENCRYPTED}, {"type": "file", "value": [7]},
                    {"type": "account", "value": "v/2/ssh"}, {"type": "text"}]}]}]}]}),
        "params.json",
    )
    .unwrap();
    let OperationBody::Call(call) = &job.groups[0].phases[0].operations[0].body else { panic!("no call") };
    let mut draft = resolve_inputs(call, &Variables, &key()).unwrap();
    let pending = draft.take_pending();
    assert_eq!(
        pending.iter().map(|(source, _)| source.to_string()).collect::<Vec<_>>(),
        ["option `acc`", "argument 2", "argument 3"]
    );
    assert!(draft.take_pending().is_empty());
    for (source, pending) in pending {
        let (value, warning) = match pending {
            Pending::Account(request) => request.complete(Ok("pw"), &key()),
            Pending::Files(request) => {
                (request.complete(|id| Ok::<_, ()>(format!("{id}.txt"))).unwrap(), None)
            }
        };
        draft.put(&source, value, warning);
    }
    let (inputs, warnings) = draft.finish().unwrap();
    assert_eq!(warnings, []);
    assert_eq!(
        inputs.to_display_json(),
        json!({"options": {"empty": "", "to": "north", "acc": MASK, "pw": MASK}, "arguments": [MASK, ["file/7.txt"], MASK, ""]})
    );
    let texts: Vec<String> = inputs.arguments.iter().map(|value| value.text(Recipient::Runner)).collect();
    assert_eq!(texts, [PLAIN, "file/7.txt", "v/pw", ""]);
    assert_eq!((inputs.option("to"), inputs.option("empty")), (Some("north".to_owned()), None));
    assert_eq!(inputs.uploads(), ["file/7.txt"]);
}

#[test]
fn an_input_that_was_never_put_in_is_an_error() {
    let call = crate::Call {
        script: None,
        interpreter: None,
        options: vec![crate::OpOption {
            name: "acc".to_owned(),
            kind: ValueType::Account,
            value: json!("u/1/ssh"),
        }],
        arguments: Vec::new(),
        outputs: None,
    };
    let mut draft = resolve_inputs(&call, &Variables, &key()).unwrap();
    let _ = draft.take_pending();
    assert_eq!(
        draft.finish().unwrap_err().to_string(),
        "option `acc` is not resolved: its file or account was never put in"
    );
}

fn table(value: &Value) -> IndexMap<String, Value> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[test]
fn job_options_become_a_table_and_environment_variables() {
    let options = JobOptions::resolve(
        &table(&json!({
            "region": "north", "packs": [901, 902], "empty": "", "nothing": null,
            "dbpw": ENCRYPTED, "url": "u:${dbpw}@${site}", "later": "${last}", "last": "z",
            "fake": "{RC4}not hex", "own": "${own}", "out": "${p.op.k} $HOME"
        })),
        &table(&json!({"site": "S1"})),
        &key(),
    );
    for (name, text, secret, exported) in [
        ("region", "north", false, "north"),
        ("packs", "[901, 902]", false, "[901, 902]"),
        ("empty", "", false, ""),
        ("dbpw", PLAIN, true, ENCRYPTED),
        ("url", "u:s3cret-Pa55@S1", true, "u:s3cret-Pa55@S1"),
        ("later", "z", false, "z"),
        ("fake", "{RC4}not hex", false, "{RC4}not hex"),
        ("own", "${own}", false, "${own}"),
        ("out", "${p.op.k} $HOME", false, "${p.op.k} $HOME"),
    ] {
        let found = options.get(name).unwrap();
        assert_eq!((&*found.text, found.secret), (text, secret), "{name}");
        assert_eq!(options.environment()[name].text, exported, "{name}");
    }
    assert_eq!(options.get("nothing"), None);
    assert_eq!(options.environment()["nothing"].text, "null");
    assert!(options.environment()["url"].secret && !options.environment()["dbpw"].secret);
    assert!(!format!("{options:?}").contains(PLAIN));
}

#[test]
fn an_option_cannot_replace_the_executors_own_environment() {
    let options = JobOptions::resolve(
        &table(&json!({"PATH": "/evil", "LD_PRELOAD": "x.so", "Path": "fine", "a=b": "x", "": "y"})),
        &IndexMap::new(),
        &key(),
    );
    assert_eq!(options.environment().keys().collect::<Vec<_>>(), ["Path"]);
    assert_eq!(options.get("PATH").unwrap().text, "/evil", "still usable as a reference");
    let refused: Vec<&str> = options.refused().iter().map(|refused| refused.0.as_str()).collect();
    assert_eq!(refused, ["PATH", "LD_PRELOAD", "a=b", ""]);
    assert_eq!(
        options.refused()[0].to_string(),
        "job option `PATH` is not put into the environment, because the executor and its plugins depend on that \
         variable; `${PATH}` still works"
    );
}

#[test]
fn node_variables_are_facts_over_saved_values() {
    let NodeLine::Node(node) = NodeLine::parse(
        r#"{"resourceId":71,"host":"10.1.0.1","nodeName":"n1","protocol":"ssh","protocolPort":22,"port":8080}"#,
    )
    .unwrap()
    .unwrap() else {
        panic!("not a node")
    };
    let saved = json!({"NODE_NAME": "old", "STEP": "succeed", "COUNT": 3, "GONE": null, "TOKEN": "t"});
    let mut variables = NodeVariables::new(
        &node,
        saved.as_object().unwrap(),
        json!({"TOKEN": 1}).as_object().unwrap(),
        Some("shop/cart/SIT"),
        Some("11/22/33"),
    );
    for (name, value) in [
        ("RESOURCE_ID", "71"),
        ("NODE_NAME", "n1"),
        ("NODE_HOST", "10.1.0.1"),
        ("NODE_PORT", "8080"),
        ("NODE_PROTOCOL_PORT", "22"),
        ("INS_NAME", "n1"),
        ("INS_HOST", "10.1.0.1"),
        ("INS_PORT", "8080"),
        ("INS_PROTOCOL_PORT", "22"),
        ("INS_PATH", "shop/cart/SIT/n1"),
        ("INS_ID_PATH", "11/22/33/71"),
        ("STEP", "succeed"),
        ("COUNT", "3"),
    ] {
        assert_eq!(variables.get(name), Some(Found::plain(value)), "{name}");
    }
    assert_eq!(variables.get("TOKEN"), Some(Found::secret("t")));
    assert_eq!(variables.get("GONE"), None);

    variables.set("NODE_NAME", "mine", true);
    assert_eq!(
        variables.get("NODE_NAME"),
        Some(Found::secret("mine")),
        "what an operation sets wins in this run"
    );
    variables.set("TOKEN", "shown", false);
    assert_eq!(
        Value::from(variables.saved()),
        json!({"STEP": "succeed", "COUNT": "3", "TOKEN": "shown", "NODE_NAME": "mine"})
    );
    assert_eq!(Value::from(variables.saved_hidden()), json!({"NODE_NAME": 1}));
    assert_eq!(
        variables.iter().filter(|(name, _)| *name == "NODE_NAME").collect::<Vec<_>>(),
        [("NODE_NAME", "mine")]
    );
    assert!(!format!("{variables:?}").contains("mine"));
    variables.remove("NODE_NAME");
    assert_eq!(variables.get("NODE_NAME"), Some(Found::plain("n1")));
}

#[test]
fn a_node_without_port_or_deploy_path_has_no_such_variables() {
    let NodeLine::Node(node) = NodeLine::parse(r#"{"resourceId":1,"host":"h"}"#).unwrap().unwrap() else {
        panic!("not a node")
    };
    let variables = NodeVariables::new(&node, &Map::new(), &Map::new(), None, None);
    assert_eq!(variables.get("NODE_PORT"), Some(Found::plain("")));
    let names: BTreeSet<&str> = variables.iter().map(|(name, _)| name).collect();
    assert!(!names.contains("INS_PATH") && !names.contains("INS_ID_PATH"));
}

fn deploy(pairs: &[(&str, &str)]) -> Option<DeployScope> {
    DeployScope::from_environment(|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn deploy_variables_of_a_full_scope_follow_the_table() {
    let scope = deploy(&[
        ("DEPLOY_PATH", "shop/cart/SIT"),
        ("DEPLOY_ID_PATH", "11/22/33"),
        ("DEPLOY_RUNNERGROUP", r#"{"1": "10.0.0.5"}"#),
        ("VERSION", "1.4.0"),
        ("BUILD_NO", "7"),
    ])
    .unwrap();
    let expected = [
        ("NAME_PATH", "shop/cart/SIT"),
        ("SYS_NAME", "shop"),
        ("MODULE_NAME", "cart"),
        ("ENV_NAME", "SIT"),
        ("DEPLOY_ID_PATH", "11/22/33"),
        ("ID_PATH", "11/22/33"),
        ("SYS_ID", "11"),
        ("MODULE_ID", "22"),
        ("ENV_ID", "33"),
        ("DEPLOY_RUNNERGROUP", r#"{"1": "10.0.0.5"}"#),
        ("DATA_PATH", "/ax/data/verdata/11/22"),
        ("PRJ_ROOT", "/ax/data/verdata/11/22/workspace"),
        ("PRJ_PATH", "/ax/data/verdata/11/22/workspace/project"),
        ("MIRROR_ROOT", "/ax/data/verdata/11/22/artifact/mirror"),
        ("VER_ROOT", "/ax/data/verdata/11/22/artifact/1.4.0"),
        ("BUILD_ROOT", "/ax/data/verdata/11/22/artifact/1.4.0/build"),
        ("BUILD_PATH", "/ax/data/verdata/11/22/artifact/1.4.0/build/7"),
        ("DIST_ROOT", "/ax/data/verdata/11/22/artifact/1.4.0/env"),
        ("APP_DIST", "/ax/data/verdata/11/22/artifact/1.4.0/env/33/app"),
        ("DB_SCRIPT", "/ax/data/verdata/11/22/artifact/1.4.0/env/33/db"),
        ("TOOLS_PATH", "/ax/tools"),
    ];
    let variables = scope.variables("/ax").unwrap();
    let found: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_deploy_variable_that_needs_what_is_absent_is_left_out() {
    let names = |pairs: &[(&str, &str)]| {
        let variables = deploy(pairs).unwrap().variables("/ax").unwrap();
        assert!(variables.values().all(|value| !value.contains("None") && !value.contains("//")));
        variables.into_keys().collect::<Vec<_>>()
    };
    let two = [("DEPLOY_PATH", "shop/cart"), ("DEPLOY_ID_PATH", "11/22"), ("VERSION", "1"), ("BUILD_NO", "")];
    let found = names(&two);
    for absent in ["ENV_NAME", "ENV_ID", "BUILD_PATH", "APP_DIST", "DB_SCRIPT", "DEPLOY_RUNNERGROUP"] {
        assert!(!found.iter().any(|name| name == absent), "{absent}");
    }
    assert!(found.iter().any(|name| name == "VER_ROOT"));
    assert!(!names(&two[..2]).iter().any(|name| name == "VER_ROOT"));
}

#[test]
fn a_deploy_path_that_would_leave_the_data_directory_is_refused() {
    assert_eq!(deploy(&[("VERSION", "1")]), None);
    assert_eq!(deploy(&[("DEPLOY_PATH", "")]), None);
    for (name_path, id_path, error) in [
        ("shop", "11", "`DEPLOY_PATH` is `shop`: expected `system/module` or"),
        ("a/b/c/d", "1/2/3", "`DEPLOY_PATH` is `a/b/c/d`: expected"),
        ("a/b", "../..", "`DEPLOY_ID_PATH` is `../..`: expected"),
        ("a/b", "1//2", "`DEPLOY_ID_PATH` is `1//2`: expected"),
        ("a/b", "", "`DEPLOY_ID_PATH` is not set: ask the server for the ids of `a/b`"),
    ] {
        let scope =
            deploy(&[("DEPLOY_PATH", name_path), ("DEPLOY_ID_PATH", id_path), ("VERSION", "..")]).unwrap();
        let found = scope.variables("/ax").unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
}
