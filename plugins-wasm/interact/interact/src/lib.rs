//! Tool `interact/interact`: asks the person who watches the job, and puts the answer out
//! (spec/tools-behaviour/08-interaction-and-jobs.md).

use autoexec_sdk::interact::{Answer, Question, QuestionKind};
use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, log, options, output};
use serde::Deserialize;
use serde_json::Value;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// How the question is shown.
    #[serde(default)]
    optype: Kind,
    /// What can be chosen: a list of texts.
    #[serde(default = "nothing", deserialize_with = "options::json")]
    optionsjson: Value,
    /// Who may answer.
    role: Option<String>,
    /// Heading.
    #[serde(default = "please_select")]
    title: String,
    /// What it is about.
    message: String,
}

/// How a question is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Button,
    Select,
    MSelect,
    Input,
}

fn nothing() -> Value {
    Value::Array(Vec::new())
}

fn please_select() -> String {
    "Please Select".into()
}

struct Interact;

impl Tool for Interact {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { optype, optionsjson, role, title, message } = call.options;
        let choices = choices(optype, &optionsjson)?;
        let kind = match optype {
            Kind::Button => QuestionKind::Button,
            Kind::Select => QuestionKind::Select,
            Kind::MSelect => QuestionKind::Mselect,
            Kind::Input => QuestionKind::Input,
        };
        let mut question = Question::new(kind, title, choices).message(message);
        if let Some(role) = role {
            question = question.role(role);
        }
        let answer = match question.ask()? {
            Answer::Skipped => {
                log::warn("The operator went on without an answer.");
                Value::Null
            }
            Answer::Given(chosen) if optype == Kind::MSelect => Value::from(serde_json::to_string(&chosen)?),
            Answer::Given(chosen) => Value::from(chosen.into_iter().next().unwrap_or_default()),
        };
        output::set("interactOut", &answer);
        Ok(Outcome::default())
    }
}

/// The choices as texts. A question that nobody could answer is not asked.
fn choices(kind: Kind, given: &Value) -> Result<Vec<String>, Failure> {
    let list = given
        .as_array()
        .ok_or_else(|| Failure::invalid_option("optionsjson", "`optionsjson` is no list of texts"))?;
    let text = |choice: &Value| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
    let choices: Vec<String> = list.iter().map(text).filter(|choice| !choice.trim().is_empty()).collect();
    if choices.is_empty() && kind != Kind::Input {
        let message = "`optionsjson` is empty: there is nothing to choose from";
        return Err(Failure::invalid_option("optionsjson", message));
    }
    Ok(choices)
}

autoexec_sdk::export_tool!(Interact);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn ask(options: Value, answer: Answer) -> (Option<Value>, Host) {
        let host = Host::new();
        host.interact().ask("Please Select").answers(Ok(answer));
        host.run::<Interact>(options).unwrap();
        (host.output("interactOut"), host)
    }

    #[test]
    fn the_answer_is_put_out() {
        let options = json!({"message": "Which?", "optionsjson": "[\"a\", \"b\"]"});
        let (answer, _host) = ask(options, Answer::Given(vec!["b".into()]));
        assert_eq!(answer, Some(json!("b")));
    }

    #[test]
    fn several_answers_are_the_text_of_a_list() {
        let options = json!({"message": "Which?", "optype": "mselect", "optionsjson": ["a", "b", 3]});
        let (answer, _host) = ask(options, Answer::Given(vec!["a".into(), "3".into()]));
        assert_eq!(answer, Some(json!("[\"a\",\"3\"]")));
    }

    #[test]
    fn going_on_without_an_answer_is_null() {
        let (answer, host) = ask(json!({"message": "Why?", "optype": "input"}), Answer::Skipped);
        assert_eq!(answer, Some(Value::Null));
        assert_eq!(host.log_lines(), ["WARN: The operator went on without an answer."]);
    }

    #[test]
    fn kind_role_and_choices_reach_the_host() {
        let host = Host::new();
        host.interact().ask("T").answers_with(|asked| {
            assert_eq!((asked.kind, asked.role.as_deref()), (QuestionKind::Select, Some("dba")));
            assert_eq!(
                (asked.message.as_str(), asked.choices.as_slice()),
                ("m", ["x".to_owned()].as_slice())
            );
            Ok(Answer::Given(vec!["x".into()]))
        });
        let options = json!({"title": "T", "message": "m", "role": "dba", "optype": "select", "optionsjson": "[\"x\"]"});
        host.run::<Interact>(options).unwrap();
    }

    #[test]
    fn a_question_that_nobody_can_answer_is_not_asked() {
        let host = Host::new();
        for choices in [json!([]), json!("[]"), json!("{"), json!({"a": 1})] {
            let failure = host.run::<Interact>(json!({"message": "m", "optionsjson": choices})).unwrap_err();
            assert!(failure.message().contains("optionsjson") || failure.message().contains("not JSON"));
        }
    }
}
