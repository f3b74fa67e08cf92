//! `interact`: the clock stands still while a person thinks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_sandbox::{Answer, InteractError, InteractHost, Limits, Question, QuestionKind};
use serde_json::json;

use crate::support::{Recorder, use_everything};

/// Thinks for a while and takes the last choice.
struct Slow;

#[async_trait]
impl InteractHost for Slow {
    async fn ask(&self, question: Question) -> Result<Answer, InteractError> {
        assert_eq!(question.kind, QuestionKind::Button);
        tokio::time::sleep(Duration::from_millis(700)).await;
        Ok(Answer::Given(question.choices.last().cloned().into_iter().collect()))
    }
}

#[tokio::test]
async fn thinking_costs_no_time() {
    let host = |allowed: &[&str]| {
        let allowed = allowed.iter().map(|&rule| rule.to_owned()).collect();
        Arc::new(Recorder { allowed, person: Some(Box::new(Slow)), ..Recorder::default() })
    };
    let ask = json!({"what": "ask", "subject": "Go on?"});
    let limits = Limits { time: Duration::from_millis(500), ..Limits::default() };
    let answer = use_everything(&host(&["Interact*"]), &ask, limits).await.unwrap();
    assert!(answer.as_str().unwrap().contains("no"), "{answer}");
    assert!(use_everything(&host(&[]), &ask, limits).await.unwrap_err().contains("Denied"));
    let nobody = Arc::new(Recorder { allowed: vec!["Interact*".into()], ..Recorder::default() });
    assert!(use_everything(&nobody, &ask, limits).await.unwrap_err().contains("nobody can be asked"));
}
