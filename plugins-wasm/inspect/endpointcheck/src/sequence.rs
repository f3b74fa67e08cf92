//! A sequence of requests, as an access point's configuration has it.

use std::collections::BTreeMap;
use std::time::Duration;

use autoexec_sdk::job::{self, Node};
use autoexec_sdk::{Failure, log, server};
use console_calls::job_id;
use fancy_regex::{Regex, RegexBuilder};
use http_session::{FORM, JSON, Request, Session, shown};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Look, unanswered};

/// The server call for the configuration of an access point.
const CONFIGURATION: &str = "rest/resourcecenter/resource/accessendpoint/get";

/// Steps a pattern may go back on one answer.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// One request of a sequence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    #[serde(default)]
    name: String,
    url: String,
    #[serde(default)]
    method: Method,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    proxy: Value,
    #[serde(default)]
    match_key: Option<String>,
    #[serde(default)]
    extract_conf: Value,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Method {
    #[default]
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "POST-FORM")]
    Form,
    #[serde(rename = "POST-JSON")]
    Json,
}

/// What answers were asked for.
type Variables = BTreeMap<String, String>;

/// The sequence of the node's access point.
pub(crate) fn of_node(node: &Node) -> Result<Vec<Step>, Failure> {
    let parameters =
        json!({"jobId": job_id(), "tenant": job::context().tenant, "resourceId": node.resource_id});
    let answer: Value = server::call(CONFIGURATION, &parameters)?;
    let invalid = |why: &dyn std::fmt::Display| {
        Failure::other(
            "invalid-endpoint",
            format!("the configuration of the access point can not be used: {why}"),
        )
    };
    let list = answer.as_array().filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| invalid(&"it is no list of requests"))?;
    list.iter().map(|step| Step::deserialize(step).map_err(|error| invalid(&error))).collect()
}

/// Sends the requests; the first failure ends it.
pub(crate) fn look(steps: &[Step], timeout: Duration) -> Result<Look, Failure> {
    let mut session = Session::new(timeout);
    let mut variables = Variables::new();
    for (number, step) in steps.iter().enumerate() {
        let name = if step.name.is_empty() { format!("request {}", number + 1) } else { step.name.clone() };
        if step.proxy.as_str().is_some_and(|proxy| !proxy.trim().is_empty()) || step.proxy.is_object() {
            log::warn(format_args!("{name}: the proxy is not used."));
        }
        let request = step.request(&variables);
        log::info(format_args!("Http request {}.", shown(&request.url)));
        let answer = match session.send(&request) {
            Ok(answer) if answer.status >= 400 => {
                return Ok(Look::Not(format!("{name}: the answer has the status {}", answer.status)));
            }
            Ok(answer) => answer,
            Err(reason) => {
                return unanswered(&reason, &format!("{name}: {} {}", request.method, shown(&request.url)));
            }
        };
        let text = answer.text();
        if let Some(key) = step.match_key.as_deref().filter(|key| !key.is_empty())
            && !pattern(&name, key)?.is_match(text.as_str()).unwrap_or(false)
        {
            return Ok(Look::Not(format!("{name}: `{key}` is not in the answer")));
        }
        for (variable, expression) in step.extracted() {
            let regex = pattern(&name, expression)?;
            let found = regex.captures(text.as_str()).ok().flatten();
            let Some(group) = found.and_then(|found| Some(found.get(1)?.as_str().to_owned())) else {
                return Ok(Look::Not(format!(
                    "{name}: nothing in the answer is `{expression}` (for ${{{variable}}})"
                )));
            };
            variables.insert(variable.to_owned(), group);
        }
        log::info("Http request succeed.");
    }
    Ok(Look::Available)
}

fn pattern(name: &str, pattern: &str) -> Result<Regex, Failure> {
    RegexBuilder::new(pattern).backtrack_limit(BACKTRACK_LIMIT).build().map_err(|error| {
        Failure::other("invalid-endpoint", format!("{name}: `{pattern}` is no regular expression: {error}"))
    })
}

impl Step {
    fn request(&self, variables: &Variables) -> Request {
        let url = filled_in(&self.url, variables);
        let data = filled_in_all(&self.data, variables);
        let (body, content_type) = match self.method {
            Method::Get => return Request::get(url),
            Method::Form => (form(&data), FORM),
            Method::Json => (text_of(&data), JSON),
        };
        Request { method: "POST".to_owned(), url, body: Some(body), content_type: Some(content_type) }
    }

    /// Variables and the expressions whose first group they get: one object, or a list of objects.
    fn extracted(&self) -> impl Iterator<Item = (&str, &str)> {
        let objects = match &self.extract_conf {
            Value::Array(list) => list.as_slice(),
            other => std::slice::from_ref(other),
        };
        let pairs = objects.iter().filter_map(Value::as_object).flatten();
        pairs.filter_map(|(variable, expression)| Some((variable.as_str(), expression.as_str()?)))
    }
}

fn filled_in(text: &str, variables: &Variables) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

fn filled_in_all(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => filled_in(text, variables).into(),
        Value::Array(list) => list.iter().map(|value| filled_in_all(value, variables)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), filled_in_all(value, variables))).collect()
        }
        other => other.clone(),
    }
}

/// The fields of an object as a form; a text is one already.
fn form(data: &Value) -> String {
    let Value::Object(fields) = data else { return text_of(data) };
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, &text_of(value));
    }
    form.finish()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
