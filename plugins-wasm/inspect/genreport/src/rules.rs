//! Applies the rules of a definition to a record.

use autoexec_sdk::log;
use serde_json::{Map, Value, json};
use threshold_rules::Rule;

use crate::definition::Threshold;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Normal,
    Warn,
    Critical,
    Fatal,
}

impl Level {
    /// A level of a rule; one that is not known counts as a warning.
    fn read(text: &str) -> Self {
        match text.trim().to_uppercase().as_str() {
            "NORMAL" => Self::Normal,
            "CRITICAL" => Self::Critical,
            "FATAL" => Self::Fatal,
            _ => Self::Warn,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Warn => "WARN",
            Self::Critical => "CRITICAL",
            Self::Fatal => "FATAL",
        }
    }
}

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// Where; empty when it is about something that is not so.
    pub(crate) path: String,
    pub(crate) level: Level,
    pub(crate) application: Option<Value>,
    pub(crate) sequence: String,
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Alert {
    pub(crate) fn document(&self) -> Value {
        json!({
            "jsonPath": self.path,
            "ruleLevel": self.level.as_str(),
            "ruleAppId": self.application,
            "ruleSeq": self.sequence,
            "ruleName": self.name,
            "fieldValue": self.value,
        })
    }
}

/// What came of all rules.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) alerts: Vec<Alert>,
    /// What each rule is that raised an alert, by its number.
    pub(crate) thresholds: Map<String, Value>,
    /// Rules that are none, and why.
    pub(crate) broken: Vec<String>,
}

/// Applies all rules; one that is none does not keep the others from it.
pub(crate) fn apply(thresholds: &[Threshold], record: &Map<String, Value>) -> Findings {
    let record = Value::Object(record.clone());
    let mut findings = Findings::default();
    for (number, threshold) in thresholds.iter().enumerate() {
        let sequence = format!("#{}", number + 1);
        let rule: Rule = match threshold.rule.parse() {
            Ok(rule) => rule,
            Err(error) => {
                findings.broken.push(format!("{} `{}`: {error}", threshold.name, threshold.rule));
                continue;
            }
        };
        let verdict = rule.evaluate(&record);
        for warning in verdict.warnings {
            log::warn(format_args!("Rule {}: {warning}", threshold.name));
        }
        let Some(matches) = verdict.matches else { continue };
        let alert = |path: String, value: Value| Alert {
            path,
            level: Level::read(&threshold.level),
            application: threshold.application.clone(),
            sequence: sequence.clone(),
            name: threshold.name.clone(),
            value,
        };
        if matches.is_empty() {
            findings.alerts.push(alert(String::new(), Value::Null));
        }
        findings.alerts.extend(matches.into_iter().map(|found| alert(found.path, found.value)));
        findings.thresholds.insert(sequence.clone(), threshold.rule.clone().into());
    }
    findings
}
