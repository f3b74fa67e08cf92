//! Scripts of steps: their text and what runs them.

use autoexec_model::Interpreter;
use serde_json::{Map, Value};

use super::job_file::{On, StepFile};
use super::source::{At, FileError};
use super::vault::from_directory;

pub(super) fn insert_interpreter(
    at: &At<'_>,
    operation: &mut Map<String, Value>,
    interpreter: Option<Interpreter>,
    on: On,
) -> Result<(), FileError> {
    match interpreter {
        Some(interpreter) => {
            operation.insert("interpreter".to_owned(), interpreter.as_str().into());
            Ok(())
        }
        None if on == On::Target => Err(at.complain(
            "the tool has no descriptor that names its interpreter; add `interpreter`, such as `interpreter: bash`",
        )),
        None => Ok(()),
    }
}

pub(super) fn script_text(at: &At<'_>, step: &StepFile) -> Result<String, FileError> {
    let (at, mut text) = match (&step.script, &step.script_file) {
        (Some(text), _) => (at.field("script"), text.clone()),
        (None, Some(path)) => {
            let at = at.field("script_file");
            let path = from_directory(at.source().directory(), path);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| at.complain(format_args!("{}: {error}", path.display())))?;
            (at, text)
        }
        (None, None) => (at.clone(), String::new()),
    };
    if text.trim().is_empty() {
        return Err(at.complain("the script is empty"));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// The interpreter that the `#!` line names, with or without a version: `#!/usr/bin/env python3` → python.
pub(super) fn named_in_first_line(script: &str) -> Option<Interpreter> {
    let line = script.lines().next()?.strip_prefix("#!")?;
    let mut words = line.split_whitespace();
    let program = words.next()?.rsplit('/').next()?;
    let program = if program == "env" { words.find(|word| !word.starts_with('-'))? } else { program };
    Interpreter::from_word(program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}
