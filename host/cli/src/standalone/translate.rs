//! A readable job becomes the parameters that a server would send (`spec/job-params.md`), so that everything behind
//! is one code path.

use autoexec_model::PhaseName;
use autoexec_model::value::is_refused_environment_name;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::job_file::{GroupFile, JobFile, On, PhaseFile, Strategy};
use super::references::References;
use super::source::{At, FileError, Source};
use super::steps::Steps;
use super::tools::Tools;
use super::values::{GivenFile, spelled};
use super::vault::Vault;

/// Without a word of the job all nodes of a phase run side by side, up to the limit of connections.
const DEFAULT_ROUNDS: i64 = 1;

/// A job that is ready to be stored.
#[derive(Debug)]
pub(super) struct Translated {
    /// What people call the job.
    pub(super) name: String,
    /// The parameters.
    pub(super) params: Value,
    /// Ids of operations whose outputs are shown at the end.
    pub(super) reported: Vec<String>,
    /// Files for the job's `file` directory.
    pub(super) files: Vec<GivenFile>,
}

/// Translates a job. `options` are those of the command line.
pub(super) fn translate(
    source: &Source,
    job: &JobFile,
    options: &IndexMap<String, String>,
    tools: &Tools,
    vault: &Vault,
) -> Result<Translated, FileError> {
    let at = source.root();
    let mut steps = Steps::new(tools, vault);
    let mut flow = Flow { steps: &mut steps, operations: IndexMap::new(), references: References::default() };
    let groups = flow.groups(&at, job)?;
    let Flow { operations, references, .. } = flow;
    references.check(&operations)?;
    let params = json!({
        "roundCount": job.rounds.unwrap_or(DEFAULT_ROUNDS),
        "opt": job_options(&at, job, options, &steps)?,
        "environment": environment(&at.field("environment"), job)?,
        "runFlow": groups,
    });
    Ok(Translated { name: job.name.clone(), params, reported: steps.reported, files: steps.values.files })
}

struct Flow<'s, 'v, 'a> {
    steps: &'s mut Steps<'v>,
    /// Phase → ids of its operations, for the check of references.
    operations: IndexMap<String, Vec<String>>,
    references: References<'a>,
}

impl<'a> Flow<'_, '_, 'a> {
    fn groups(&mut self, at: &At<'a>, job: &JobFile) -> Result<Vec<Value>, FileError> {
        match (&job.phases, &job.groups) {
            (Some(phases), None) => self.phase_groups(&at.field("phases"), phases),
            (None, Some(groups)) => self.explicit_groups(&at.field("groups"), groups),
            (None, None) => Err(at.complain("the job has neither `phases` nor `groups`")),
            (Some(_), Some(_)) => Err(at.complain(
                "the job has `phases` and `groups`; put the phases into the groups, or leave the groups out",
            )),
        }
    }

    /// One group per phase, so that they run one after the other.
    fn phase_groups(&mut self, at: &At<'a>, phases: &[Spanned<PhaseFile>]) -> Result<Vec<Value>, FileError> {
        if phases.is_empty() {
            return Err(at.complain("the job has no phase"));
        }
        let mut groups = Vec::new();
        for (number, phase) in phases.iter().enumerate() {
            let phase = self.phase(&at.index(number).of(phase), &phase.value, Strategy::OneShot)?;
            groups.push(json!({"groupNo": number, "execStrategy": "oneShot", "phases": [phase]}));
        }
        Ok(groups)
    }

    fn explicit_groups(
        &mut self,
        at: &At<'a>,
        groups: &[Spanned<GroupFile>],
    ) -> Result<Vec<Value>, FileError> {
        let mut translated = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let at = at.index(number).of(group);
            let group = &group.value;
            if group.phases.is_empty() {
                return Err(at.field("phases").complain("the group has no phase"));
            }
            let mut phases = Vec::new();
            for (index, phase) in group.phases.iter().enumerate() {
                let at = at.field("phases").index(index).of(phase);
                phases.push(self.phase(&at, &phase.value, group.strategy)?);
            }
            let mut object = Map::new();
            object.insert("groupNo".to_owned(), number.into());
            object.insert("execStrategy".to_owned(), strategy_word(group.strategy).into());
            insert_rounds(&mut object, group.rounds);
            object.insert("phases".to_owned(), phases.into());
            translated.push(Value::Object(object));
        }
        if translated.is_empty() { Err(at.complain("the job has no group")) } else { Ok(translated) }
    }

    fn phase(&mut self, at: &At<'a>, phase: &PhaseFile, strategy: Strategy) -> Result<Value, FileError> {
        self.check_phase(at, phase, strategy)?;
        let mut ids = Vec::new();
        let operations =
            self.steps.list(&at.field("steps"), &phase.steps, phase.on, &mut self.references, &mut ids)?;
        self.operations.insert(phase.name.clone(), ids);
        let mut object = Map::new();
        object.insert("phaseName".to_owned(), phase.name.clone().into());
        object.insert("phaseType".to_owned(), phase.on.word().into());
        if let Some(round) = phase.in_round {
            object.insert("execRound".to_owned(), round.word().into());
        }
        insert_rounds(&mut object, phase.rounds);
        object.insert("operations".to_owned(), operations.into());
        Ok(Value::Object(object))
    }

    fn check_phase(&self, at: &At<'a>, phase: &PhaseFile, strategy: Strategy) -> Result<(), FileError> {
        let name_at = at.field("name");
        PhaseName::new(phase.name.as_str()).map_err(|error| name_at.complain(error))?;
        if phase.name.contains(['.', '$', '{', '}']) {
            return Err(
                name_at.complain("a phase name that references can use holds no `.`, `$`, `{` or `}`")
            );
        }
        if self.operations.contains_key(&phase.name) {
            return Err(name_at.complain(format_args!("two phases are named `{}`", phase.name)));
        }
        if phase.steps.is_empty() {
            return Err(at.field("steps").complain("the phase has no step"));
        }
        let in_rounds = strategy == Strategy::GrayScale;
        if phase.in_round.is_some() && !(in_rounds && matches!(phase.on, On::Runner | On::Sqlfile)) {
            return Err(at.field("in_round").complain("only a `runner` phase of a gray_scale group has it"));
        }
        if phase.rounds.is_some() && in_rounds {
            return Err(at
                .field("rounds")
                .complain("the phases of a gray_scale group share the rounds of the group"));
        }
        Ok(())
    }
}

fn strategy_word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::OneShot => "oneShot",
        Strategy::GrayScale => "grayScale",
    }
}

fn insert_rounds(object: &mut Map<String, Value>, rounds: Option<i64>) {
    if let Some(rounds) = rounds {
        object.insert("roundCount".to_owned(), rounds.into());
    }
}

/// The job's defaults under the command line's values, and the secrets.
fn job_options(
    at: &At<'_>,
    job: &JobFile,
    given: &IndexMap<String, String>,
    steps: &Steps<'_>,
) -> Result<Map<String, Value>, FileError> {
    if let Some(unknown) = given.keys().find(|name| !job.options.contains_key(*name)) {
        let known: Vec<&str> = job.options.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(at
            .field("options")
            .complain(format_args!("the job has no option `{unknown}`; it has: {known}")));
    }
    let mut options = Map::new();
    for (name, default) in &job.options {
        let at = at.field("options").field(name).of(default);
        let value = match given.get(name) {
            Some(text) => Value::String(text.clone()),
            None if default.value.is_null() => {
                return Err(
                    at.complain(format_args!("the option has no value; give it with -o {name}=VALUE"))
                );
            }
            None => spelled(&at, default),
        };
        options.insert(name.clone(), value);
    }
    for (name, source) in &job.secrets {
        let at = at.field("secrets").field(name);
        let kept = steps.values.keep(&at, source)?;
        if options.insert(name.clone(), kept.into()).is_some() {
            return Err(at.complain("there is an option of the same name"));
        }
    }
    Ok(options)
}

fn environment(at: &At<'_>, job: &JobFile) -> Result<Map<String, Value>, FileError> {
    let variable = |(name, value): (&String, &Spanned<Value>)| {
        let at = at.field(name).of(value);
        if is_refused_environment_name(name) {
            return Err(
                at.complain("a job may not set this variable: the executor and its tools depend on it")
            );
        }
        match spelled(&at, value) {
            Value::Object(_) | Value::Array(_) | Value::Null => {
                Err(at.complain("expected a text or a number"))
            }
            other => Ok((name.clone(), autoexec_model::plain_text(&other).into())),
        }
    };
    job.environment.iter().map(variable).collect()
}

#[cfg(test)]
mod tests;
