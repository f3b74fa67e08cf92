use super::*;
use crate::config::Config;
use autoexec_model::{JobParams, OperationBody};
use autoexec_store::Home;
use std::path::Path;

const PING: &str = r#"{"opType": "runner_target", "interpreter": "python",
  "option": [{"opt": "count", "type": "text", "required": "true", "defaultValue": "3"},
             {"opt": "mode", "type": "select", "required": "false", "defaultValue": "",
              "dataSource": {"dataList": [{"text": "A", "value": "a"}]}},
             {"opt": "token", "type": "password", "required": "false"}],
  "output": [{"opt": "loss", "type": "text", "defaultValue": "100"}]}"#;

struct Place {
    dir: tempfile::TempDir,
    vault: Vault,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("plugins/local/net/ping", "#!/bin/sh\n"),
            ("plugins/local/net/ping.json", PING),
            ("plugins/local/net/report", "#!/bin/sh\n"),
            ("plugins/remote/os/free", "#!/bin/bash\n"),
            ("secret", "s3cret\n"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let config = Config::parse("[server]\npassword.key = k\n", "config.ini").unwrap();
        Self { dir, vault: Vault::new(&config).unwrap() }
    }

    fn translate(&self, text: &str, options: &[(&str, &str)]) -> Result<Translated, String> {
        let source = Source::new(&self.dir.path().join("job.yaml"), text.to_owned());
        let job: JobFile = source.parse().map_err(|error| error.to_string())?;
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let tools = Tools::new(Home::new(self.dir.path()));
        translate(&source, &job, &options, &tools, &self.vault).map_err(|error| error.to_string())
    }
}

const JOB: &str = r#"
name: everything
rounds: 2
options:
  version: 1.10
  must: null
secrets:
  dbpw: {file: secret}
environment:
  STAGE: 7
phases:
  - name: check
    on: runner_target
    steps:
      - tool: net/ping
        id: first
        name: is it there
        with: {mode: a, token: {file: secret}}
        report: true
      - if: '$NODE_NAME == "web1"'
        then:
          - script: echo yes
      - tool: native/setenv
        with: {name: LOSS, value: '${check.net/ping_first.loss}'}
  - name: work
    on: target
    rounds: 1
    steps:
      - tool: os/free
        interpreter: bash
        args: [1.50, '${version}']
        ignore_failure: true
        outputs: {size: text}
      - loop: [a, b]
        as: part
        steps:
          - tool: net/ping
            on: runner_target
            id: again
            with: {count: 5}
  - name: report
    on: runner
    steps:
      - tool: net/report
        with: {lines: '${work.os/free_5.size}'}
"#;

#[test]
fn a_job_becomes_the_parameters_of_a_server() {
    let place = Place::new();
    let translated = place.translate(JOB, &[("must", "given")]).unwrap();
    let kept = place.vault.keep(&autoexec_model::Secret::new("s3cret"));
    let ping_output = json!({"loss": {"opt": "loss", "type": "text", "defaultValue": "100"}});
    let expected = json!({
        "roundCount": 2,
        "opt": {"version": "1.10", "must": "given", "dbpw": kept},
        "environment": {"STAGE": "7"},
        "runFlow": [
            {"groupNo": 0, "execStrategy": "oneShot", "phases": [{"phaseName": "check", "phaseType": "runner_target", "operations": [
                {"opId": "net/ping_first", "opName": "net/ping", "failIgnore": 0, "help": "is it there",
                 "opType": "runner_target", "isScript": 0, "interpreter": "python",
                 "opt": {"mode": "a", "token": kept, "count": "3"},
                 "desc": {"mode": "select", "token": "password", "count": "text"}, "arg": [], "output": ping_output},
                {"opId": "native/IF-Block_2", "opName": "native/IF-Block", "failIgnore": 0, "help": "", "opType": "native",
                 "condition": "$NODE_NAME == \"web1\"",
                 "if": [{"opId": "script_3", "opName": "script-3", "failIgnore": 0, "help": "", "opType": "runner_target",
                         "isScript": 1, "interpreter": "sh", "scriptContent": "echo yes\n",
                         "opt": {}, "desc": {}, "arg": [], "output": {}}],
                 "else": []},
                {"opId": "native/setenv_4", "opName": "native/setenv", "failIgnore": 0, "help": "", "opType": "native", "isScript": 0,
                 "opt": {"name": "LOSS", "value": "${check.net/ping_first.loss}"},
                 "desc": {"name": "text", "value": "text"}, "arg": [], "output": {}}]}]},
            {"groupNo": 1, "execStrategy": "oneShot", "phases": [{"phaseName": "work", "phaseType": "target", "roundCount": 1, "operations": [
                {"opId": "os/free_5", "opName": "os/free", "failIgnore": 1, "help": "", "opType": "target", "isScript": 0,
                 "interpreter": "bash", "opt": {}, "desc": {},
                 "arg": [{"key": 1, "type": "text", "value": "1.50"}, {"key": 2, "type": "text", "value": "${version}"}],
                 "output": {"size": {"opt": "size", "type": "text", "defaultValue": null}}},
                {"opId": "native/LOOP-Block_6", "opName": "native/LOOP-Block", "failIgnore": 0, "help": "", "opType": "native",
                 "loopItems": "[\"a\", \"b\"]", "loopItemVar": "part",
                 "operations": [{"opId": "net/ping_again", "opName": "net/ping", "failIgnore": 0, "help": "",
                                 "opType": "runner_target", "isScript": 0, "interpreter": "python",
                                 "opt": {"count": "5"}, "desc": {"count": "text"}, "arg": [], "output": ping_output}]}]}]},
            {"groupNo": 2, "execStrategy": "oneShot", "phases": [{"phaseName": "report", "phaseType": "runner", "operations": [
                {"opId": "net/report_8", "opName": "net/report", "failIgnore": 0, "help": "", "opType": "runner", "isScript": 0,
                 "opt": {"lines": "${work.os/free_5.size}"}, "desc": {"lines": "text"}, "arg": [], "output": {}}]}]},
        ],
    });
    assert_eq!(translated.params, expected);
    assert_eq!(translated.reported, ["net/ping_first"]);
    let params = JobParams::from_value(&translated.params, "test").unwrap();
    assert!(matches!(params.groups[1].phases[0].operations[1].body, OperationBody::Loop(_)));
}

#[test]
fn groups_carry_strategy_and_rounds() {
    let place = Place::new();
    let job = "name: j\ngroups:\n- strategy: gray_scale\n  rounds: 3\n  phases:\n  - {name: a, on: runner, in_round: last, steps: [{script: 'true'}]}\n";
    let translated = place.translate(job, &[]).unwrap();
    let group = &translated.params["runFlow"][0];
    assert_eq!((&group["execStrategy"], &group["roundCount"]), (&json!("grayScale"), &json!(3)));
    assert_eq!(group["phases"][0]["execRound"], "last");
    assert_eq!(translated.params["roundCount"], 1);
}

#[test]
fn every_complaint_names_the_place_and_says_what_to_do() {
    let place = Place::new();
    let file = place.dir.path().join("job.yaml").display().to_string();
    let step = |step: &str| {
        format!("name: j\nphases:\n  - name: a\n    on: runner_target\n    steps:\n      - {step}\n")
    };
    for (job, expected) in [
        (step("{tool: net/none}"), ", line 6, column 9: phases[0].steps[0].tool: the tool net/none is not installed"),
        (step("{tool: net/ping, with: {cuont: 1}}"), "with.cuont: the tool has no such option; it has: count, mode, token"),
        (step("{tool: net/ping, with: {mode: b}}"), "with.mode: `b` is not one of a"),
        (step("{tool: net/ping, args: [x]}"), "the tool takes no arguments"),
        (step("{tool: net/ping, with: {count: null}}"), "ok"),
        (step("{tool: ping}"), "`ping` is not `bundle/name`"),
        (step("{tool: net/ping, script: x}"), "not both `tool` and `script`"),
        (step("{tool: net/ping, then: []}"), "`then` does not go with `tool`"),
        (step("{id: x}"), "a step needs `tool`"),
        (step("{tool: net/ping, cmd: x}"), "unknown field `cmd`"),
        (step("{script: x, id: a.b}"), "steps[0].id: `a.b` is not usable"),
        (step("{script: x, on: runner}"), "a step of a `runner_target` phase can not run on `runner`"),
        (step("{script: x, args: ['${a.size}']}"), "args[0]: `${a.size}` is no reference: the output of a step is ${phase.opId.key}"),
        (step("{script: x, args: ['${b.script_1.size}']}"), "names the phase `b`, and the job has: a"),
        (step("{script: x, args: ['${a.script_2.size}']}"), "phase `a` has: script_1"),
        (step("{script: x, outputs: {n: number}}"), "outputs.n: `number` is not a type"),
        (step("{if: '$A =', then: []}"), "phases[0].steps[0].if: `$A =`"),
        (step("{loop: x, steps: []}"), "the loop has no step"),
        (step("{script: ''}"), "the script is empty"),
        (step("{script_file: none.sh}"), "none.sh: No such file"),
        (step("{tool: net/ping, with: {token: {env: AUTOEXEC_NO_SUCH}}}"), "with.token: the environment variable AUTOEXEC_NO_SUCH is not set"),
        ("name: j\n".to_owned(), "the job has neither `phases` nor `groups`"),
        ("name: j\nphases: []\n".to_owned(), "phases: the job has no phase"),
        ("name: j\nphases:\n- {name: a, on: runner, steps: [{tool: net/ping}]}\n".to_owned(), "it needs `on: runner_target`"),
        ("name: j\nphases:\n- {name: a, on: runner, in_round: last, steps: [{script: x}]}\n".to_owned(), "in_round: only a `runner` phase of a gray_scale group"),
        ("name: j\nphases:\n- {name: a, on: nodes, steps: []}\n".to_owned(), "unknown variant `nodes`"),
        ("name: j\nphases:\n- {name: a, on: runner, steps: [{script: x}]}\n- {name: a, on: runner, steps: [{script: x}]}\n".to_owned(), "two phases are named `a`"),
        ("name: j\nphases:\n- {name: a, on: runner, steps: [{script: x, id: z}, {script: x, id: z}]}\n".to_owned(), "another step has the operation id `script_z`"),
        ("name: j\noptions: {a: null}\nphases:\n- {name: a, on: runner, steps: [{script: x}]}\n".to_owned(), "options.a: the option has no value; give it with -o a=VALUE"),
        ("name: j\nenvironment: {PATH: x}\nphases:\n- {name: a, on: runner, steps: [{script: x}]}\n".to_owned(), "environment.PATH: a job may not set"),
    ] {
        match place.translate(&job, &[]) {
            Ok(_) => assert_eq!(expected, "ok", "{job}"),
            Err(error) => assert!(error.starts_with(&file) && error.contains(expected), "{job}\n{error}"),
        }
    }
    let error = place.translate(&step("{script: x}"), &[("verzion", "1")]).unwrap_err();
    assert!(error.ends_with("options: the job has no option `verzion`; it has: none"), "{error}");
}

#[test]
fn scripts_are_run_by_what_their_first_line_names() {
    let place = Place::new();
    for (script, expected) in
        [("#!/usr/bin/env python3\\nx", "python"), ("#!/bin/bash -e\\nx", "bash"), ("x", "sh")]
    {
        let job = format!("name: j\nphases:\n- {{name: a, on: runner, steps: [{{script: \"{script}\"}}]}}\n");
        let translated = place.translate(&job, &[]).unwrap();
        assert_eq!(translated.params["runFlow"][0]["phases"][0]["operations"][0]["interpreter"], expected);
    }
}

#[test]
fn a_job_may_be_json() {
    let place = Place::new();
    let path = Path::new("job.json");
    let text = r#"{"name": "j", "phases": [{"name": "a", "on": "runner", "steps": [{"tool": "net/report", "with": {"n": 1.5}}]}]}"#;
    let source = Source::new(path, text.to_owned());
    let job: JobFile = source.parse().unwrap();
    let tools = Tools::new(Home::new(place.dir.path()));
    let translated = translate(&source, &job, &IndexMap::new(), &tools, &place.vault).unwrap();
    assert_eq!(translated.params["runFlow"][0]["phases"][0]["operations"][0]["opt"], json!({"n": 1.5}));
}
