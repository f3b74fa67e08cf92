//! Tool `deploy/insconfirm`: asks whether to go on, for named instances only
//! (spec/tools-behaviour/08-interaction-and-jobs.md).

use autoexec_sdk::interact::{Answer, Question};
use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, job, log};
use serde::de::IgnoredAny;

struct InsConfirm;

impl Tool for InsConfirm {
    type Options = IgnoredAny;

    fn run(call: Call<IgnoredAny>) -> ToolResult {
        let node = job::node();
        let is_named = call
            .text_arguments()
            .any(|names| names.split(',').map(str::trim).any(|name| !name.is_empty() && name == node.name));
        if !is_named {
            log::info(format_args!("Instance {} needs no confirmation.", node.name));
            return Ok(Outcome::default());
        }
        let question = Question::buttons("Continue", ["Yes", "No"])
            .message(format!("Do you want to continue with {} ({})?", node.name, node.host));
        match question.ask()? {
            Answer::Given(chosen) if chosen.iter().any(|answer| answer == "Yes") => Ok(Outcome::default()),
            Answer::Given(_) | Answer::Skipped => {
                log::warn("Operation break, exit.");
                Err(Failure::check_failed(format!("The operator does not go on with {}.", node.name)))
            }
        }
    }
}

autoexec_sdk::export_tool!(InsConfirm);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host(name: &str) -> Host {
        let host = Host::new();
        host.set_node(|node| node.name = name.to_owned());
        host
    }

    #[test]
    fn other_instances_pass_without_a_question() {
        let host = host("web-2");
        host.run_with_arguments::<InsConfirm>(json!({}), [json!("web-1"), json!("db, web")]).unwrap();
    }

    #[test]
    fn named_instances_wait_for_a_yes() {
        for (answer, goes_on) in [("Yes", true), ("No", false)] {
            let host = host("web-1");
            host.interact().ask("Continue").answers_with(move |asked| {
                assert!(asked.message.contains("web-1"), "{}", asked.message);
                Ok(Answer::Given(vec![answer.into()]))
            });
            let result = host.run_with_arguments::<InsConfirm>(json!({}), [json!("db,web-1")]);
            assert_eq!(result.is_ok(), goes_on);
        }
    }
}
