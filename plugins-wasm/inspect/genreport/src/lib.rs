//! Tool `inspect/genreport`: applies threshold rules to what was collected of the node and stores its inspection report
//! (spec/tools-behaviour/12-inspection-report.md).

use autoexec_sdk::documents::{self, DocumentError};
use autoexec_sdk::server::ServerError;
use autoexec_sdk::{
    Call, Change, Checkable, Choice, Failure, HostError, Options, Outcome, Outputs, Tool, ToolResult, job,
    log, output::Outputs as _,
};
use console_calls::{call_again, job_id, now_ms};
use serde_json::{Value, json};

mod collected;
mod definition;
mod report;
mod rules;

use report::Report;

/// The report of each resource.
const REPORTS: &str = "INSPECT_REPORTS";

/// The reports of each resource and job.
const HISTORY: &str = "INSPECT_REPORTS_HIS";

/// Exit status when a rule of the definition is none, as the old tool ended with any error.
const BROKEN_RULE: u8 = 255;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Which status of the resource is updated
    #[option(label = "Status", default = "inspect", required = true)]
    statustarget: StatusTarget,
    /// Ids of application systems whose rules come first, separated by commas
    #[option(label = "Application systems")]
    appsystemid: Option<String>,
    /// Document of the definition, instead of the stored one
    definition: Option<Value>,
}

/// A status of a resource in the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
enum StatusTarget {
    Inspect,
    Monitor,
    Both,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Made {
    /// The whole report
    report: Value,
}

struct GenReport;

impl GenReport {
    fn report(options: &Options) -> Result<Report, Failure> {
        let node = job::node();
        let collected = collected::of_node()?;
        let record = collected.record_of(&node);
        let definition = match &options.definition {
            Some(definition) => definition::Definition::read(definition)?,
            None => definition::stored(&record, options.appsystemid.as_deref().unwrap_or_default())?,
        };
        Ok(Report::make(&node, &collected.availability, &record, &definition))
    }
}

impl Tool for GenReport {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let report = Self::report(&call.options)?;
        Made { report: report.document() }.put();
        store(&report)?;
        if call.options.statustarget != StatusTarget::Monitor {
            tell(&report, "inspect")?;
        }
        if call.options.statustarget != StatusTarget::Inspect {
            tell(&report, "monitor")?;
        }
        if report.broken_rules.is_empty() {
            let (status, count) = (report.status(), report.alerts.len());
            return Ok(Outcome::with_message(format!("The status is {status}, with {count} alert(s).")));
        }
        let message = format!(
            "The report is stored, but these rules could not be applied; correct them in the definition:\n{}",
            report.broken_rules.join("\n")
        );
        Err(Failure::other("broken-rule", message).with_exit_code(BROKEN_RULE))
    }
}

impl Checkable for GenReport {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let report = Self::report(&call.options)?;
        let subject = format!("inspection report of {} ({})", report.host, report.resource_id);
        Ok(vec![Change::created(subject, format!("{}, {} alert(s)", report.status(), report.alerts.len()))])
    }
}

fn store(report: &Report) -> Result<(), Failure> {
    let document = report.stored();
    match documents::save(REPORTS, &json!({"RESOURCE_ID": report.resource_id}), &document) {
        Err(HostError { reason: DocumentError::None, .. }) => {
            log::warn("There is no document store here: the report is only in the output of this step.");
            return Ok(());
        }
        saved => saved?,
    }
    log::info("Save report data success.");
    documents::save(HISTORY, &json!({"RESOURCE_ID": report.resource_id, "_jobid": job_id()}), &document)?;
    log::info("Save report history data success.");
    Ok(())
}

/// Tells the server the status of the resource; `which` is `inspect` or `monitor`.
fn tell(report: &Report, which: &str) -> Result<(), Failure> {
    let name = format!("rest/cmdb/cientity/update{which}status");
    let mut parameters = json!({
        "jobId": job_id(),
        "ciType": report.ci_type,
        "ciEntityId": report.resource_id,
        "alertCount": report.alerts.len(),
    });
    parameters[format!("{which}Status")] = report.status().into();
    parameters[format!("{which}Time")] = now_ms().into();
    match call_again(&name, &parameters) {
        Err(HostError { reason: ServerError::None, .. }) => {
            log::warn(format_args!("There is no server here: nobody is told the {which} status."));
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => {
            log::info(format_args!("Update {which} status for node success."));
            Ok(())
        }
    }
}

autoexec_sdk::export_tool!(GenReport: check);

#[cfg(test)]
mod tests;
