//! What is true of every tool in the sandbox and of every program for the runner. Target tools have the same in `target_tools`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use autoexec_e2e::files_below;
use autoexec_e2e::guests::{guest, tools};
use autoexec_manifest::{Rerun, read_outline};
use serde_json::Value;

/// Tools that have nothing to say about what they would change, and why. One that comes new has to be put here or to have a check.
const WITHOUT_CHECK: &[(&[&str], &str)] = &[
    (
        &[
            "basic/aggoutput",
            "basic/concatoutput",
            "basic/convout2local",
            "basic/getnodes",
            "basic/hostsconfbynet",
            "basic/hostsconfbynode",
            "basic/mergeoutput",
            "demo/hello",
            "demo/local",
            "demo/localremote",
            "demo/nodefacts",
            "demo/summary",
            "native/extractoutval",
            "native/getvalfromjson",
            "native/getvalfromtxt",
        ],
        "computes its outputs",
    ),
    (
        &[
            "basic/jsondatacheck",
            "cmdbcollect/f5collector",
            "cmdbcollect/firewallcollector",
            "cmdbcollect/switchcollector",
            "deploy/inscheck",
            "inspect/endpointcheck",
            "inspect/pingcheck",
            "inspect/sshcheck",
            "inspect/tagentcheck",
            "inspect/tcpcheck",
            "inspect/urlcheck",
            "native/maintainwindow",
        ],
        "looks only",
    ),
    (
        &[
            "basic/sleep",
            "basic/waitjob",
            "deploy/checksvc",
            "inspect/pingwait",
            "inspect/tcpwait",
            "inspect/urlwait",
        ],
        "waits only",
    ),
    (&["deploy/insconfirm", "interact/continue", "interact/interact"], "asks a person"),
    (
        &["inspect/confbackup", "inspect/netdevbackup"],
        "keeps copies for this job and leaves the node as it is",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_component_has_a_readme_a_rerun_class_and_a_check_if_it_changes_something() {
    let mut without: BTreeMap<&str, &str> = BTreeMap::new();
    for (tools, why) in WITHOUT_CHECK {
        without.extend(tools.iter().map(|tool| (*tool, *why)));
    }
    let names = tools().unwrap();
    for name in &names {
        let outline = read_outline(&guest(name).unwrap()).unwrap();
        let manifest = &outline.manifest;
        assert_eq!(&manifest.name.to_string(), name);
        let readme =
            fs::read_to_string(root().join("plugins-wasm").join(name).join("README.md")).unwrap_or_default();
        assert!(
            readme.starts_with(&format!("# {name}\n")) && readme.lines().count() > 2,
            "{name}: README.md"
        );
        match (outline.can_check(), without.remove(name.as_str())) {
            (true, None) => {}
            (true, Some(why)) => panic!("{name} has a check: it is no longer one that {why}"),
            (false, None) => panic!("{name} has no check: let it say what it would change"),
            (false, Some(why)) => {
                assert_eq!(manifest.rerun, Rerun::Safe, "{name}, which {why}, can be run again");
            }
        }
        assert_eq!(
            manifest.rerun == Rerun::Probe,
            outline.can_probe(),
            "{name}: what is asked has an answer"
        );
    }
    assert!(without.is_empty(), "there are no such tools: {without:?}");
    assert!(names.len() >= 40, "{names:?}");
}

#[test]
fn every_component_is_a_step_of_some_job_here() {
    // Sources of these tests and the parameters of scenarios; this file names tools for another reason.
    let below = |directory: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        files_below(&directory).unwrap().into_iter().map(move |file| directory.join(file))
    };
    let is_source =
        |file: &PathBuf| file.extension().is_some_and(|kind| kind == "rs") && !file.ends_with("catalogue.rs");
    let is_parameters = |file: &PathBuf| file.ends_with("params.json");
    let files = below("tests").filter(is_source).chain(below("scenarios").filter(is_parameters));
    let text: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let missing: Vec<String> =
        tools().unwrap().into_iter().filter(|name| !text.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "no job of these tests has a step of {missing:?}");
}

#[test]
fn every_program_has_a_descriptor_with_its_reason_a_rerun_class_and_a_check() {
    let local = root().join("plugins-native/local");
    let tools: Vec<PathBuf> = files_below(&local)
        .unwrap()
        .into_iter()
        .filter(|file| file.extension().is_none() && !file.starts_with("lib"))
        .collect();
    assert!(!tools.is_empty());
    let readme = fs::read_to_string(local.join("README.md")).unwrap();
    for tool in tools {
        let name = tool.display();
        let text = fs::read_to_string(local.join(tool.with_extension("json"))).unwrap();
        let descriptor: Value = serde_json::from_str(&text).unwrap();
        for key in ["opDesc", "description", "reason"] {
            assert!(descriptor[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}");
        }
        let rerun = descriptor["rerun"].as_str().unwrap_or_default();
        assert!(["safe", "probe", "once"].contains(&rerun), "{name}: rerun");
        assert_eq!(descriptor["check"], true, "{name}: check");
        assert!(readme.contains(&format!("`{name}`")), "{name}: README.md");
    }
}
