//! Every example in the documentation is read by the code it documents.

use std::path::{Path, PathBuf};

use autoexec_store::Home;
use indexmap::IndexMap;
use serde_saphyr::Spanned;

use super::inventory::check_form;
use super::job_file::{JobFile, StepFile};
use super::source::Source;
use super::tools::Tools;
use super::translate::translate;
use super::vault::Vault;
use crate::config::Config;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn read_form(name: &str, text: &str) {
    let source = Source::new(Path::new(name), text.to_owned());
    let result = if text.starts_with("- ") || text.contains("\n- tool:") {
        source.parse::<Vec<Spanned<StepFile>>>().map(|steps| {
            for step in steps {
                step.value.kind().unwrap();
            }
        })
    } else if text.contains("nodes:\n") {
        check_form(&source)
    } else {
        source.parse::<JobFile>().map(drop)
    };
    result.unwrap_or_else(|error| panic!("{error}\n{text}"));
}

#[test]
fn every_block_of_the_page_is_read() {
    let page = std::fs::read_to_string(docs().join("standalone.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4, "the page has lost its examples");
    for (number, block) in blocks.iter().enumerate() {
        read_form(&format!("block {}.yaml", number + 1), block);
    }
}

#[test]
fn the_example_is_complete_without_any_tool() {
    let path = docs().join("examples/patch-check.job.yaml");
    let source = Source::read(&path).unwrap();
    let home = tempfile::tempdir().unwrap();
    let tools = Tools::new(Home::new(home.path()));
    let vault = Vault::new(&Config::without_file()).unwrap();
    let job: JobFile = source.parse().unwrap();
    let translated = translate(&source, &job, &IndexMap::new(), &tools, &vault).unwrap();
    autoexec_model::JobParams::from_value(&translated.params, "example").unwrap();
    assert_eq!(translated.reported, ["script_facts", "script_total"]);
    check_form(&Source::read(&docs().join("examples/hosts.yaml")).unwrap()).unwrap();
    Source::read(&docs().join("examples/demo/demo.job.yaml")).unwrap().parse::<JobFile>().unwrap();
}
