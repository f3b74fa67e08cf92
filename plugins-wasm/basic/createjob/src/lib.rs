//! Tool `basic/createjob`: starts another job from a saved composite tool, or fires it again in a re-run
//! (spec/tools-behaviour/08-interaction-and-jobs.md).

use autoexec_sdk::{
    Call, Change, Checkable, Failure, Outcome, Tool, ToolResult, job, log, options, output, server,
    step_outputs,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use step_outputs::OutputRef;

/// The server call that makes a job.
const CREATE: &str = "rest/autoexec/job/from/combop/create/public";

/// The server call that fires a job again.
const REFIRE: &str = "rest/autoexec/job/refire";

/// The server call for the status of a job.
const STATUS: &str = "rest/autoexec/job/status/get";

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Name of the saved composite tool.
    combop_name: String,
    /// Name of the new job.
    name: String,
    /// Scenario of the composite tool.
    scenario_name: Option<String>,
    /// Where the job counts as coming from.
    #[serde(default)]
    source: Source,
    /// Rounds of its gray-scale groups.
    #[serde(default = "three", deserialize_with = "options::number")]
    round_count: u32,
    /// When it is to start: milliseconds since 1970, or a date as the console writes it.
    plan_start_time: Option<Value>,
    /// Whether it starts by itself at that time.
    #[serde(default)]
    trigger_type: Trigger,
    /// Who is to run it; who runs this job without it.
    assign_exec_user: Option<String>,
    /// Protocol of its nodes.
    protocol: Option<String>,
    /// Account on its nodes.
    execute_user: Option<String>,
    /// Its nodes.
    input_node_list: Option<Value>,
}

/// Where a job counts as coming from.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Itsm,
    #[default]
    Combop,
}

/// How a job starts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Trigger {
    #[default]
    Auto,
    Manual,
}

fn three() -> u32 {
    3
}

struct CreateJob;

impl Tool for CreateJob {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let pairs = pairs(call.text_arguments().collect())?;
        if let Some(created) = created_before()? {
            output::set("createdJobId", &created);
            fire_again(&created)?;
            return Ok(Outcome::default());
        }
        let answer: Value = server::call(CREATE, &request(call.options, pairs)?)?;
        let Some(id) = job_id(&answer) else {
            let message = format!("the server made a job, but its answer names none: {answer}");
            return Err(Failure::other("invalid-answer", message));
        };
        output::set("createdJobId", &id);
        Ok(Outcome::with_message(format!("Created job {id}.")))
    }
}

impl Checkable for CreateJob {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let pairs = pairs(call.text_arguments().collect())?;
        if let Some(created) = created_before()? {
            let status = status_of(&created)?;
            let fired = Change::changed(format!("job {created}"), &status, "fired again");
            return Ok(if has_ended(&status) { vec![fired] } else { Vec::new() });
        }
        let request = request(call.options, pairs)?;
        let shown = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        let after = format!("a job of the composite tool {}", shown("combopName"));
        Ok(vec![Change::created(format!("job {}", shown("name")), after)])
    }
}

/// Parameters of the new job: `name value name value …`.
fn pairs(arguments: Vec<String>) -> Result<Map<String, Value>, Failure> {
    if arguments.len() % 2 == 1 {
        let message =
            "the arguments are names and values in turn, but there is a name without a value at the end";
        return Err(Failure::invalid_option("arguments", message));
    }
    let pairs = arguments.chunks_exact(2);
    Ok(pairs.map(|pair| (pair[0].clone(), Value::from(pair[1].clone()))).collect())
}

fn request(options: Options, parameters: Map<String, Value>) -> Result<Value, Failure> {
    let context = job::context();
    let parent = console_calls::job_id();
    let source = match options.source {
        Source::Itsm => "itsm",
        Source::Combop => "combop",
    };
    let trigger = match options.trigger_type {
        Trigger::Auto => "auto",
        Trigger::Manual => "manual",
    };
    let mut request = json!({
        "combopName": options.combop_name,
        "name": options.name,
        "scenarioName": options.scenario_name,
        "source": source,
        "roundCount": options.round_count,
        "planStartTime": options.plan_start_time.map(start_time),
        "triggerType": trigger,
        "assignExecUser": options.assign_exec_user.unwrap_or(context.exec_user),
        "param": parameters,
        "parentId": parent,
        "invokeId": parent,
    });
    if let (Some(protocol), Some(user), Some(nodes)) =
        (options.protocol, options.execute_user, options.input_node_list)
    {
        let nodes = match nodes {
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| Failure::invalid_option("inputNodeList", format!("not JSON: {error}")))?,
            nodes => nodes,
        };
        request["executeConfig"] = json!({
            "protocol": protocol,
            "executeUser": {"mappingMode": "constant", "value": user},
            "executeNodeConfig": {"inputNodeList": nodes},
            "whenToSpecify": "runtime",
        });
    }
    Ok(request)
}

/// A number stays a number; any other text is the console's to understand.
fn start_time(value: Value) -> Value {
    let number = value.as_str().and_then(|text| text.trim().parse::<u64>().ok());
    number.map_or(value, Value::from)
}

/// The job that this step made in an earlier run of this job.
fn created_before() -> Result<Option<String>, Failure> {
    let context = job::context();
    let own =
        OutputRef { phase: context.phase, operation_id: context.operation_id, name: "createdJobId".into() };
    let node = job::node().resource_id;
    let found = step_outputs::find(&own)?.into_iter().find(|value| value.resource_id == node);
    Ok(found.and_then(|value| text_of(&value.value)))
}

fn status_of(id: &str) -> Result<String, Failure> {
    let answer: Value = server::call(STATUS, &json!({"jobId": id}))?;
    let status = answer.get("status").and_then(Value::as_str).unwrap_or_default();
    log::info(format_args!("Job {id} was created by an earlier run, its status is {status}."));
    Ok(status.to_owned())
}

fn has_ended(status: &str) -> bool {
    matches!(status, "aborted" | "paused" | "completed" | "failed")
}

/// A job that has ended is fired again as a whole; one that runs is left alone.
fn fire_again(id: &str) -> Result<(), Failure> {
    if has_ended(&status_of(id)?) {
        server::call_value(REFIRE, &json!({"jobId": id, "type": "refireAll"}))?;
        log::info(format_args!("Fired job {id} again."));
    }
    Ok(())
}

fn job_id(answer: &Value) -> Option<String> {
    ["jobId", "id"].into_iter().find_map(|key| text_of(answer.get(key)?))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

autoexec_sdk::export_tool!(CreateJob: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::step_outputs::NodeValue;
    use autoexec_sdk::testing::Host;

    fn host(before: Option<Value>) -> Host {
        let host = Host::new();
        host.set_context(|context| {
            context.job_id = "620011".into();
            context.phase = "start".into();
            context.operation_id = "basic/createjob_1".into();
            context.exec_user = "ann".into();
        });
        let value = |value| NodeValue { resource_id: 0, host: "local".into(), port: None, value };
        host.step_outputs("start.basic/createjob_1.createdJobId")
            .answers(Ok(before.map(value).into_iter().collect()));
        host
    }

    #[test]
    fn a_job_is_made_with_parameters_and_parent() {
        let host = host(None);
        let expected = json!({
            "combopName": "deploy", "name": "n", "scenarioName": null, "source": "combop", "roundCount": 3,
            "planStartTime": 1_700_000_000_000_u64, "triggerType": "auto", "assignExecUser": "ann",
            "param": {"a": "1", "b": "x y"}, "parentId": 620_011, "invokeId": 620_011,
            "executeConfig": {"protocol": "ssh", "executeUser": {"mappingMode": "constant", "value": "root"},
                "executeNodeConfig": {"inputNodeList": [{"ip": "10.0.0.1"}]}, "whenToSpecify": "runtime"},
        });
        host.server().call(CREATE, expected).answers(Ok(json!({"jobId": 77})));
        let options = json!({"combopName": "deploy", "name": "n", "planStartTime": "1700000000000", "protocol": "ssh",
            "executeUser": "root", "inputNodeList": "[{\"ip\": \"10.0.0.1\"}]"});
        let arguments = [json!("a"), json!("1"), json!("b"), json!("x y")];
        host.run_with_arguments::<CreateJob>(options, arguments).unwrap();
        assert_eq!(host.output("createdJobId"), Some(json!("77")));
    }

    #[test]
    fn a_rerun_fires_the_ended_job_again_and_leaves_a_running_one() {
        for (status, fires) in [("failed", true), ("completed", true), ("running", false), ("succeed", false)]
        {
            let host = host(Some(json!("77")));
            host.server().call(STATUS, json!({"jobId": "77"})).answers(Ok(json!({"status": status})));
            if fires {
                host.server()
                    .call(REFIRE, json!({"jobId": "77", "type": "refireAll"}))
                    .answers(Ok(Value::Null));
            }
            host.run::<CreateJob>(json!({"combopName": "deploy", "name": "n"})).unwrap();
            assert_eq!(host.output("createdJobId"), Some(json!("77")), "{status}");
        }
    }

    #[test]
    fn a_check_says_which_job_would_be_made_or_fired_again() {
        let options = || json!({"combopName": "deploy", "name": "n"});
        let made = host(None).check::<CreateJob>(options()).unwrap();
        assert_eq!(made, [Change::created("job n", "a job of the composite tool deploy")]);
        for (status, changes) in
            [("failed", vec![Change::changed("job 77", "failed", "fired again")]), ("running", Vec::new())]
        {
            let host = host(Some(json!("77")));
            host.server().call(STATUS, json!({"jobId": "77"})).answers(Ok(json!({"status": status})));
            assert_eq!(host.check::<CreateJob>(options()).unwrap(), changes);
        }
    }

    #[test]
    fn a_name_without_a_value_is_refused_before_anything_happens() {
        let host = Host::new();
        let options = json!({"combopName": "deploy", "name": "n"});
        assert!(host.run_with_arguments::<CreateJob>(options, [json!("a")]).is_err());
    }

    #[test]
    fn an_answer_without_a_job_fails() {
        let host = host(None);
        host.server().call(CREATE, request_of("deploy")).answers(Ok(json!({})));
        assert!(host.run::<CreateJob>(json!({"combopName": "deploy", "name": "n"})).is_err());
    }

    fn request_of(combop: &str) -> Value {
        json!({"combopName": combop, "name": "n", "scenarioName": null, "source": "combop", "roundCount": 3,
            "planStartTime": null, "triggerType": "auto", "assignExecUser": "ann", "param": {}, "parentId": 620_011,
            "invokeId": 620_011})
    }
}
