//! Tool `inspect/setoutputdesc`: declares which outputs the exported report of the job has
//! (spec/tools-behaviour/12-inspection-report.md).

use std::collections::BTreeMap;

use autoexec_sdk::{
    Call, Change, Checkable, Failure, Options, Outcome, Tool, ToolResult, clock, documents, log,
};
use console_calls::job_id;
use serde_json::json;

/// Where the console finds the declarations.
const COLLECTION: &str = "_job_output_desc";

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Kept for existing jobs and not used
    #[option(name = "node")]
    _node: Option<String>,
}

struct SetOutputDesc;

/// Names of outputs by phase and step.
type Declared = BTreeMap<(String, String), Vec<String>>;

fn declared(call: &Call<Options>) -> Result<Declared, Failure> {
    let mut steps = Declared::new();
    for text in call.text_arguments().filter(|text| !text.trim().is_empty()) {
        let wanted = output_query::parse("arguments", &text)?;
        let names = steps.entry((wanted.phase, wanted.operation_id)).or_default();
        if !names.contains(&wanted.name) {
            names.push(wanted.name);
        }
    }
    if steps.is_empty() {
        let message = "no output is given: write references such as #{phase.bundle/tool_1.name} as arguments";
        return Err(Failure::invalid_option("arguments", message).with_exit_code(2));
    }
    Ok(steps)
}

impl Tool for SetOutputDesc {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let steps = declared(&call)?;
        let now = documents::date(clock::since_epoch());
        for ((phase, plugin), names) in steps {
            let key = json!({"jobId": job_id(), "phase": phase, "pluginId": plugin});
            let mut document = key.clone();
            document["field"] = json!(names);
            document["_updatetime"] = now.clone();
            documents::save(COLLECTION, &key, &document)?;
            log::info(format_args!("The report of the job has {} of {phase}.{plugin}.", names.join(", ")));
        }
        Ok(Outcome::default())
    }
}

impl Checkable for SetOutputDesc {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let mut changes = Vec::new();
        for ((phase, plugin), names) in declared(&call)? {
            let key = json!({"jobId": job_id(), "phase": phase, "pluginId": plugin});
            let before =
                documents::find(COLLECTION, &key, 1)?.into_iter().next().map(|found| found["field"].clone());
            let after = json!(names);
            if before.as_ref() != Some(&after) {
                let subject = format!("outputs of {phase}.{plugin} in the report");
                changes.push(Change {
                    subject,
                    before: before.map(|b| b.to_string()),
                    after: Some(after.to_string()),
                });
            }
        }
        Ok(changes)
    }
}

autoexec_sdk::export_tool!(SetOutputDesc: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::documents::DocumentError;
    use autoexec_sdk::testing::Host;
    use serde_json::Value;

    fn key(step: &str) -> Value {
        json!({"jobId": 1, "phase": "p", "pluginId": step})
    }

    fn arguments() -> [Value; 4] {
        ["#{p.a/x_1.one}", "p.b/y_2.two", "#{p.a/x_1.three}", "#{p.a/x_1.one}"].map(Value::from)
    }

    #[test]
    fn there_is_one_document_for_each_step() {
        let host = Host::new();
        host.documents().save(COLLECTION, key("a/x_1")).answers_with(|(_, _, document)| {
            let expected = json!({"jobId": 1, "phase": "p", "pluginId": "a/x_1", "field": ["one", "three"],
                "_updatetime": {"$date": {"$numberLong": "1704067200000"}}});
            assert_eq!(document, &expected);
            Ok(())
        });
        host.documents().save(COLLECTION, key("b/y_2")).answers(Ok(()));
        host.run_with_arguments::<SetOutputDesc>(json!({}), arguments()).unwrap();
    }

    #[test]
    fn nothing_is_stored_of_a_list_with_a_mistake() {
        let host = Host::new();
        let failure = host
            .run_with_arguments::<SetOutputDesc>(json!({}), [json!("#{p.a/x_1.one}"), json!("p.x")])
            .unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (3, "Malform output key p.x."));
        assert_eq!(host.run::<SetOutputDesc>(json!({})).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_store_that_is_away_fails_the_step() {
        let host = Host::new();
        host.documents().save(COLLECTION, key("a/x_1")).answers(Err(DocumentError::None));
        assert!(host.run_with_arguments::<SetOutputDesc>(json!({}), [json!("p.a/x_1.one")]).is_err());
    }
}
