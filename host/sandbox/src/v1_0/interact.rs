//! `interact`: the call's clock stands still while a person is asked.

use std::time::Duration;

use autoexec_grants::Access;
use wasmtime::Result;

use super::bindings::autoexec::tool::interact as wit;
use crate::border::Border;
use crate::host::{Answer, InteractError, Question, QuestionKind};
use crate::state::CallState;

/// The longest question, in bytes: heading, text, choices and role together. It stands in a form, and in the status of its node.
const LONGEST_QUESTION: usize = 64 << 10;

impl wit::Host for CallState {
    async fn ask(&mut self, question: wit::Question) -> Result<Result<wit::Answer, wit::InteractError>> {
        let border = self.enter()?;
        // It stands in the node's log, as what the tool says does.
        border.spend_log(size(&question))?;
        let asked = border.asked("interact.ask", &(&question,))?;
        let act = async { ask(&border, question).await.map(wit_answer).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }
}

async fn ask(border: &Border, asked: wit::Question) -> Result<Answer, InteractError> {
    border
        .permit(&Access::Interact { title: &asked.title })
        .map_err(|denied| InteractError::Denied(denied.0))?;
    let kind = match asked.kind {
        wit::QuestionKind::Button => QuestionKind::Button,
        wit::QuestionKind::Select => QuestionKind::Select,
        wit::QuestionKind::Mselect => QuestionKind::MultiSelect,
        wit::QuestionKind::Input => QuestionKind::Input,
    };
    if asked.choices.is_empty() != (kind == QuestionKind::Input) {
        return Err(InteractError::Invalid(
            "a question of the kind `input` has no choices, and every other has at least one".into(),
        ));
    }
    if size(&asked) > LONGEST_QUESTION {
        return Err(InteractError::Invalid(format!("a question has at most {LONGEST_QUESTION} bytes")));
    }
    if !border.question() {
        return Err(InteractError::Invalid(
            "the call has asked often enough: no more questions are put".into(),
        ));
    }
    let timeout = (asked.timeout_ms != 0).then(|| Duration::from_millis(asked.timeout_ms));
    let question = Question {
        kind,
        title: asked.title,
        message: asked.message,
        choices: asked.choices,
        role: asked.role,
        timeout,
    };
    let host = border.host().map_err(|over| InteractError::Unavailable(over.to_string()))?;
    let person =
        host.person().ok_or_else(|| InteractError::Unavailable("nobody can be asked here".into()))?;
    let _paused = border.clock.pause();
    person.ask(question).await
}

fn size(question: &wit::Question) -> usize {
    let texts =
        [&question.title, &question.message].into_iter().chain(&question.choices).chain(&question.role);
    texts.map(String::len).fold(0, usize::saturating_add)
}

fn wit_answer(answer: Answer) -> wit::Answer {
    match answer {
        Answer::Given(given) => wit::Answer::Given(given),
        Answer::Skipped => wit::Answer::Skipped,
    }
}

fn wit_error(error: InteractError) -> wit::InteractError {
    match error {
        InteractError::Denied(why) => wit::InteractError::Denied(why),
        InteractError::Unavailable(why) => wit::InteractError::Unavailable(why),
        InteractError::TimedOut => wit::InteractError::TimedOut,
        InteractError::Invalid(why) => wit::InteractError::Invalid(why),
    }
}
