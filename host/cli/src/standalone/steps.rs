//! Steps of a readable job become operations.

use std::collections::HashSet;

use autoexec_model::condition::Condition;
use autoexec_model::{Interpreter, OpId, OpName, ValueType};
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::call::{Options, described, outputs};
use super::job_file::{On, StepFile, StepKind};
use super::references::References;
use super::scripts::{insert_interpreter, named_in_first_line, script_text};
use super::source::{At, FileError};
use super::tools::{Description, OptionDescription, Tools};
use super::values::{Values, check_choice};
use super::vault::Vault;

/// The variable of a loop that names none.
const LOOP_VARIABLE: &str = "item";

/// Blocks hold blocks; deeper ones are refused, here and by the model.
const MAX_DEPTH: usize = 16;

/// Turns steps into operations and numbers them.
pub(super) struct Steps<'v> {
    tools: &'v Tools,
    /// Values and files.
    pub(super) values: Values<'v>,
    /// Ids of operations whose outputs are shown at the end.
    pub(super) reported: Vec<String>,
    /// Number of the step met last, over the whole job.
    number: usize,
    /// Outputs are kept by operation id over all phases of a node, so ids are unique in the job.
    ids: HashSet<String>,
}

/// One list of steps at work.
struct List<'s, 'a> {
    on: On,
    depth: usize,
    references: &'s mut References<'a>,
    /// Ids of the phase.
    ids: &'s mut Vec<String>,
}

impl<'v> Steps<'v> {
    /// Steps that call `tools` and keep secrets in `vault`.
    pub(super) fn new(tools: &'v Tools, vault: &'v Vault) -> Self {
        Self { tools, values: Values::new(vault), reported: Vec::new(), number: 0, ids: HashSet::new() }
    }

    /// The operations of a phase. Their ids are added to `ids`, their references to `references`.
    pub(super) fn list<'a>(
        &mut self,
        at: &At<'a>,
        steps: &[Spanned<StepFile>],
        on: On,
        references: &mut References<'a>,
        ids: &mut Vec<String>,
    ) -> Result<Vec<Value>, FileError> {
        self.operations(at, steps, &mut List { on, depth: 0, references, ids })
    }

    fn operations<'a>(
        &mut self,
        at: &At<'a>,
        steps: &[Spanned<StepFile>],
        list: &mut List<'_, 'a>,
    ) -> Result<Vec<Value>, FileError> {
        if list.depth > MAX_DEPTH {
            return Err(at.complain(format_args!("blocks are nested deeper than {MAX_DEPTH}")));
        }
        let steps = steps.iter().enumerate();
        steps.map(|(index, step)| self.operation(&at.index(index).of(step), &step.value, list)).collect()
    }

    fn operation<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        list: &mut List<'_, 'a>,
    ) -> Result<Value, FileError> {
        let kind = step.kind().map_err(|problem| at.complain(problem))?;
        self.number += 1;
        let label = self.label(at, step)?;
        match kind {
            StepKind::Tool => self.tool(at, step, &label, list),
            StepKind::Script => self.script(at, step, &label, list),
            StepKind::If => self.condition(at, step, &label, list),
            StepKind::Loop => self.repetition(at, step, &label, list),
        }
    }

    /// The given id, else the number of the step.
    fn label(&self, at: &At<'_>, step: &StepFile) -> Result<String, FileError> {
        let Some(id) = &step.id else { return Ok(self.number.to_string()) };
        let usable =
            !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if usable {
            Ok(id.clone())
        } else {
            Err(at
                .field("id")
                .complain(format_args!("`{id}` is not usable: letters, digits, `-` and `_` only")))
        }
    }

    fn claim_id(
        &mut self,
        at: &At<'_>,
        name: &str,
        label: &str,
        list: &mut List<'_, '_>,
    ) -> Result<String, FileError> {
        let id = format!("{name}_{label}");
        OpId::new(id.as_str()).map_err(|error| at.complain(error))?;
        if !self.ids.insert(id.clone()) {
            return Err(at.field("id").complain(format_args!(
                "another step has the operation id `{id}`; give each an `id` of its own"
            )));
        }
        list.ids.push(id.clone());
        Ok(id)
    }

    fn tool<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        label: &str,
        list: &mut List<'_, 'a>,
    ) -> Result<Value, FileError> {
        let at_tool = at.field("tool");
        let written = step.tool.as_deref().unwrap_or_default();
        let name = OpName::new(written).map_err(|error| at_tool.complain(error))?;
        if name.bundle().is_empty() {
            return Err(at_tool.complain(format_args!("`{written}` is not `bundle/name`")));
        }
        let on = place(at, step, list.on)?;
        let tool = self.tools.find(&name, on).map_err(|problem| at_tool.complain(problem))?;
        let needs_node =
            tool.description.as_ref().and_then(|d| d.runs_on.as_deref()) == Some("runner_target");
        if needs_node && matches!(on, On::Runner | On::Sqlfile) {
            return Err(at_tool
                .complain(format_args!("{name} works on one node at a time; it needs `on: runner_target`")));
        }
        let mut operation = self.start(at, step, name.as_str(), label, list)?;
        let word = if tool.is_native { "native" } else { on.word() };
        operation.insert("opType".to_owned(), word.into());
        operation.insert("isScript".to_owned(), 0.into());
        if !tool.is_native {
            let described = tool.description.as_ref().and_then(|description| description.interpreter);
            insert_interpreter(at, &mut operation, step.interpreter.or(described), on)?;
        }
        self.fill_call(at, step, tool.description.as_ref(), &mut operation, list)?;
        Ok(Value::Object(operation))
    }

    fn script<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        label: &str,
        list: &mut List<'_, 'a>,
    ) -> Result<Value, FileError> {
        let on = place(at, step, list.on)?;
        let content = script_text(at, step)?;
        let mut operation = self.start(at, step, "script", label, list)?;
        // The name is also the file's, so each script needs its own.
        operation.insert("opName".to_owned(), format!("script-{label}").into());
        operation.insert("opType".to_owned(), on.word().into());
        operation.insert("isScript".to_owned(), 1.into());
        let interpreter =
            step.interpreter.or_else(|| named_in_first_line(&content)).unwrap_or(Interpreter::Sh);
        operation.insert("interpreter".to_owned(), interpreter.as_str().into());
        operation.insert("scriptContent".to_owned(), content.into());
        self.fill_call(at, step, None, &mut operation, list)?;
        Ok(Value::Object(operation))
    }

    /// What every operation has.
    fn start(
        &mut self,
        at: &At<'_>,
        step: &StepFile,
        name: &str,
        label: &str,
        list: &mut List<'_, '_>,
    ) -> Result<Map<String, Value>, FileError> {
        let id = self.claim_id(at, name, label, list)?;
        if step.report == Some(true) {
            self.reported.push(id.clone());
        }
        let object = json!({
            "opId": id,
            "opName": name,
            "failIgnore": u8::from(step.ignore_failure == Some(true)),
            "help": step.name.as_deref().unwrap_or_default(),
        });
        match object {
            Value::Object(object) => Ok(object),
            _ => Ok(Map::new()),
        }
    }

    fn fill_call<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        description: Option<&Description>,
        operation: &mut Map<String, Value>,
        list: &mut List<'_, 'a>,
    ) -> Result<(), FileError> {
        let at_with = at.field("with");
        let mut options = self.given_options(&at_with, step, description, list)?;
        if let Some(description) = description {
            options.add_defaults(&at_with, description)?;
        }
        operation.insert("opt".to_owned(), options.values.into());
        operation.insert("desc".to_owned(), options.types.into());
        operation.insert("arg".to_owned(), self.arguments(at, step, description, list)?.into());
        operation.insert("output".to_owned(), outputs(at, step, description)?.into());
        Ok(())
    }

    fn given_options<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        description: Option<&Description>,
        list: &mut List<'_, 'a>,
    ) -> Result<Options, FileError> {
        let mut options = Options::default();
        for (name, value) in step.with.iter().flatten() {
            let at = at.field(name).of(value);
            let option = described(&at, name, description)?;
            let kind = option.map_or(ValueType::Text, OptionDescription::value_type);
            list.references.collect_value(&at, &value.value);
            // Null leaves an option out, also one with a default.
            if !value.value.is_null() {
                let value = self.values.translate(&at, kind, value)?;
                option.map_or(Ok(()), |option| check_choice(&at, option, &value))?;
                options.values.insert(name.clone(), value);
            }
            let word = option.map_or("text", |option| option.kind.as_str());
            options.types.insert(name.clone(), word.into());
        }
        Ok(options)
    }

    fn arguments<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        description: Option<&Description>,
        list: &mut List<'_, 'a>,
    ) -> Result<Vec<Value>, FileError> {
        let at = at.field("args");
        let kind = match description {
            None => "text",
            Some(Description { argument: Some(kind), .. }) => kind,
            Some(_) if step.args.iter().flatten().next().is_none() => return Ok(Vec::new()),
            Some(_) => return Err(at.complain("the tool takes no arguments")),
        };
        let mut arguments = Vec::new();
        for (index, value) in step.args.iter().flatten().enumerate() {
            let at = at.index(index).of(value);
            list.references.collect_value(&at, &value.value);
            let value = self.values.translate(&at, ValueType::from_word(kind), value)?;
            arguments.push(json!({"key": index + 1, "type": kind, "value": value}));
        }
        Ok(arguments)
    }

    fn condition<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        label: &str,
        list: &mut List<'_, 'a>,
    ) -> Result<Value, FileError> {
        let text = step.condition.as_deref().unwrap_or_default();
        let at_if = at.field("if");
        Condition::parse(text).map_err(|error| at_if.complain(format_args!("`{text}`: {error}")))?;
        let mut operation = self.start(at, step, "native/IF-Block", label, list)?;
        operation.insert("opType".to_owned(), "native".into());
        operation.insert("condition".to_owned(), text.into());
        for (key, name, steps) in [("if", "then", &step.then), ("else", "else", &step.otherwise)] {
            let steps = steps.as_deref().unwrap_or_default();
            operation.insert(key.to_owned(), self.nested(&at.field(name), steps, list)?.into());
        }
        Ok(Value::Object(operation))
    }

    fn repetition<'a>(
        &mut self,
        at: &At<'a>,
        step: &StepFile,
        label: &str,
        list: &mut List<'_, 'a>,
    ) -> Result<Value, FileError> {
        let items = step.items.as_ref().map_or(&Value::Null, |items| &items.value);
        let at_items = at.field("loop");
        list.references.collect_value(&at_items, items);
        let items = match items {
            Value::String(text) if !text.trim().is_empty() => text.clone(),
            Value::Array(elements) if !elements.is_empty() => autoexec_model::json_text(items),
            _ => return Err(at_items.complain("expected a list, or a text that gives one, such as ${hosts}")),
        };
        let variable = step.item_name.as_deref().unwrap_or(LOOP_VARIABLE);
        if variable.is_empty() || !variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(at.field("as").complain("a variable has a name of letters, digits and `_`"));
        }
        let mut operation = self.start(at, step, "native/LOOP-Block", label, list)?;
        operation.insert("opType".to_owned(), "native".into());
        operation.insert("loopItems".to_owned(), items.into());
        operation.insert("loopItemVar".to_owned(), variable.into());
        let steps = step.steps.as_deref().unwrap_or_default();
        if steps.is_empty() {
            return Err(at.field("steps").complain("the loop has no step"));
        }
        operation.insert("operations".to_owned(), self.nested(&at.field("steps"), steps, list)?.into());
        Ok(Value::Object(operation))
    }

    fn nested<'a>(
        &mut self,
        at: &At<'a>,
        steps: &[Spanned<StepFile>],
        list: &mut List<'_, 'a>,
    ) -> Result<Vec<Value>, FileError> {
        list.depth += 1;
        let operations = self.operations(at, steps, list);
        list.depth -= 1;
        operations
    }
}

/// Where a step runs: where its phase does, or the other of the two places that have a node.
fn place(at: &At<'_>, step: &StepFile, phase: On) -> Result<On, FileError> {
    let has_node = |on: On| matches!(on, On::Target | On::RunnerTarget);
    match step.on {
        None => Ok(phase),
        Some(on) if on == phase || (has_node(on) && has_node(phase)) => Ok(on),
        Some(on) => Err(at.field("on").complain(format_args!(
            "a step of a `{}` phase can not run on `{}`; put it into a phase of its own",
            phase.word(),
            on.word()
        ))),
    }
}
