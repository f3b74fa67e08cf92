//! `--purgejobdata`: deletes old jobs and old history.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use autoexec_events::ExitCode;
use autoexec_model::JobId;
use autoexec_store::{Home, PurgeReport, purge_jobs};

use super::{running, say};
use crate::CliError;

const DAY: u64 = 86_400;

pub(super) fn run(home: &Home, days: &str) -> Result<ExitCode, CliError> {
    let age = age(days)?;
    let running: HashSet<JobId> = running::named_jobs(home)?.into_iter().collect();
    let report = purge_jobs(home, age, SystemTime::now(), &|job| running.contains(job));
    tell(&report)?;
    Ok(if report.failures.is_empty() { ExitCode::Success } else { ExitCode::Files })
}

fn age(days: &str) -> Result<Duration, CliError> {
    let seconds =
        days.trim().parse::<u64>().ok().filter(|days| *days > 0).and_then(|days| days.checked_mul(DAY));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        CliError::new(ExitCode::Usage, format!("--purgejobdata: `{days}` is not a number of days from 1"))
    })
}

fn tell(report: &PurgeReport) -> Result<(), CliError> {
    for job in &report.removed_jobs {
        crate::print(&format!("INFO: Job {job} removed.\n"))?;
    }
    for job in &report.in_use {
        crate::print(&format!("INFO: Job {job} is running and stays.\n"))?;
    }
    for failure in &report.failures {
        say(&format!("ERROR: {failure}"));
    }
    let (jobs, history) = (report.removed_jobs.len(), report.removed_history);
    crate::print(&format!("INFO: {jobs} job(s) and {history} old history file(s) removed.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_a_positive_number() {
        assert_eq!(age(" 30 ").unwrap(), Duration::from_hours(24 * 30));
        for bad in ["", "-1", "0", "x", "1.5", "99999999999999999999", "18446744073709551615"] {
            let error = age(bad).unwrap_err();
            assert_eq!(error.code(), ExitCode::Usage, "{bad}");
        }
    }
}
