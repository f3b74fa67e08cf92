//! Tool `interact/continue`: asks the person who watches the job whether to go on
//! (spec/tools-behaviour/08-interaction-and-jobs.md). Unlike the old program it fails when the answer is no.

use autoexec_sdk::interact::{Answer, Question};
use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, output};
use serde::Deserialize;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// What it is about.
    message: String,
}

struct Continue;

impl Tool for Continue {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let question = Question::buttons("Continue", ["Yes", "No"]).message(call.options.message);
        let answer = match question.ask()? {
            Answer::Given(chosen) => chosen.into_iter().next(),
            Answer::Skipped => None,
        };
        output::set("interactOut", &answer);
        match answer.as_deref() {
            Some("Yes") => Ok(Outcome::with_message("The operator lets the job go on.")),
            _ => Err(Failure::check_failed("The operator does not let the job go on.")),
        }
    }
}

autoexec_sdk::export_tool!(Continue);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::interact::InteractError;
    use autoexec_sdk::testing::Host;
    use serde_json::{Value, json};

    fn answered(answer: Answer) -> (bool, Option<Value>) {
        let host = Host::new();
        host.interact().ask("Continue").answers(Ok(answer));
        (host.run::<Continue>(json!({"message": "Go on?"})).is_ok(), host.output("interactOut"))
    }

    #[test]
    fn only_yes_goes_on() {
        assert_eq!(answered(Answer::Given(vec!["Yes".into()])), (true, Some(json!("Yes"))));
        assert_eq!(answered(Answer::Given(vec!["No".into()])), (false, Some(json!("No"))));
        assert_eq!(answered(Answer::Skipped), (false, Some(Value::Null)));
    }

    #[test]
    fn no_answer_is_a_failure_that_says_so() {
        let host = Host::new();
        host.interact().ask("Continue").answers(Err(InteractError::TimedOut));
        let failure = host.run::<Continue>(json!({"message": "Go on?"})).unwrap_err();
        assert_eq!(failure.message(), "asking \"Continue\": nobody answered in time");
    }
}
