//! Values of steps: from what people write to what the parameters hold, by the type that the tool declares.

use std::path::PathBuf;

use autoexec_model::ValueType;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::source::{At, FileError};
use super::tools::OptionDescription;
use super::vault::{SecretSource, Vault, from_directory};

/// A file of this machine that a tool gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its name in the job's `file` directory.
    pub(super) name: String,
}

/// Turns values into those of the parameters.
pub(super) struct Values<'v> {
    vault: &'v Vault,
    /// Files that tools get, in the order they are met.
    pub(super) files: Vec<GivenFile>,
}

impl<'v> Values<'v> {
    /// Secrets are kept in `vault`.
    pub(super) fn new(vault: &'v Vault) -> Self {
        Self { vault, files: Vec::new() }
    }

    /// The value of an option or argument of type `kind`.
    pub(super) fn translate(
        &mut self,
        at: &At<'_>,
        kind: ValueType,
        value: &Spanned<Value>,
    ) -> Result<Value, FileError> {
        let at = &at.of(value);
        match kind {
            ValueType::Password => self.secret(at, &value.value),
            ValueType::File => self.files(at, &value.value),
            ValueType::Node | ValueType::Json | ValueType::MultiSelect | ValueType::CheckBox => {
                Ok(value.value.clone())
            }
            ValueType::Text
            | ValueType::Account
            | ValueType::FilePath
            | ValueType::TextArea
            | ValueType::Switch => Ok(spelled(at, value)),
        }
    }

    /// A reference to an option and a value that is encrypted already stay as they are.
    fn secret(&self, at: &At<'_>, value: &Value) -> Result<Value, FileError> {
        let complain = |problem: String| at.complain(problem);
        if let Some(text) = value.as_str() {
            self.vault.admit(text).map_err(complain)?;
            if text.is_empty() || text.contains("${") || autoexec_model::is_encrypted(text) {
                return Ok(value.clone());
            }
        }
        let source = SecretSource::from_value(value).map_err(complain)?;
        self.keep(at, &source).map(Value::String)
    }

    /// The text that stands for a secret in the parameters.
    pub(super) fn keep(&self, at: &At<'_>, source: &SecretSource) -> Result<String, FileError> {
        let secret = source.reveal(at.source().directory()).map_err(|problem| at.complain(problem))?;
        Ok(self.vault.keep(&secret))
    }

    /// A path or a list of paths; each file is handed to the tool as `file/<name>`.
    fn files(&mut self, at: &At<'_>, value: &Value) -> Result<Value, FileError> {
        let wrong = || at.complain("expected the path of a file, or a list of paths");
        let paths: Vec<&str> = match value {
            Value::String(text) if text.starts_with("${") => return Ok(value.clone()),
            Value::String(path) => vec![path],
            Value::Array(paths) => {
                paths.iter().map(|path| path.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?
            }
            _ => return Err(wrong()),
        };
        let names = paths.into_iter().map(|path| self.file(at, path).map(Value::String));
        names.collect::<Result<_, _>>().map(Value::Array)
    }

    fn file(&mut self, at: &At<'_>, written: &str) -> Result<String, FileError> {
        let path = from_directory(at.source().directory(), written.as_ref());
        if !path.is_file() {
            return Err(at.complain(format_args!("{}: there is no such file", path.display())));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| at.complain("the name of the file is not UTF-8"))?.to_owned();
        match self.files.iter().find(|file| file.name == name) {
            Some(other) if other.path != path => {
                let other = other.path.display();
                return Err(at.complain(format_args!("{} and {other} have the same name", path.display())));
            }
            Some(_) => {}
            None => self.files.push(GivenFile { path, name: name.clone() }),
        }
        Ok(format!("file/{name}"))
    }
}

/// A number as it was written; anything else as it is.
pub(super) fn spelled(at: &At<'_>, value: &Spanned<Value>) -> Value {
    match at.source().spelling(value) {
        Some(written) => Value::String(written.to_owned()),
        None => value.value.clone(),
    }
}

/// A value that is not among the choices of a select is refused, unless it is known only when the job runs.
pub(super) fn check_choice(at: &At<'_>, option: &OptionDescription, value: &Value) -> Result<(), FileError> {
    let is_reference = value.as_str().is_some_and(|text| text.contains('$'));
    let text = autoexec_model::plain_text;
    if option.kind != "select" || option.choices.is_empty() || is_reference {
        return Ok(());
    }
    if option.choices.iter().any(|choice| text(choice) == text(value)) {
        return Ok(());
    }
    let choices: Vec<String> = option.choices.iter().map(text).collect();
    Err(at.complain(format_args!("`{}` is not one of {}", text(value), choices.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;
    use crate::config::Config;
    use autoexec_model::Secret;
    use serde_json::json;
    use serde_saphyr::Location;

    fn translate(
        directory: &std::path::Path,
        kind: ValueType,
        value: Value,
    ) -> (Result<Value, String>, Vec<GivenFile>) {
        let config = Config::parse("[server]\npassword.key = k\n", "config.ini").unwrap();
        let vault = Vault::new(&config).unwrap();
        let mut values = Values::new(&vault);
        let source = Source::new(&directory.join("job.yaml"), String::new());
        let value = Spanned::new(value, Location::UNKNOWN, Location::UNKNOWN);
        let translated = values.translate(&source.root(), kind, &value);
        (translated.map_err(|error| error.to_string()), values.files)
    }

    #[test]
    fn passwords_are_encrypted_unless_they_are_references() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "s3cret").unwrap();
        let key = autoexec_model::SecretKey::new("k");
        let expected = json!(format!("{{RC4}}{}", key.encrypt(&Secret::new("s3cret"))));
        for value in [json!("s3cret"), json!({"file": "pw"})] {
            assert_eq!(translate(dir.path(), ValueType::Password, value).0.unwrap(), expected);
        }
        for value in [json!("${dbpw}"), expected.clone(), json!("")] {
            assert_eq!(translate(dir.path(), ValueType::Password, value.clone()).0.unwrap(), value);
        }
        let error = translate(dir.path(), ValueType::Password, json!(["hunter2"])).0.unwrap_err();
        assert!(error.contains("expected a secret") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn files_are_handed_over_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("a.txt"), "").unwrap();
        std::fs::write(dir.path().join("sub/a.txt"), "").unwrap();
        let (value, files) = translate(dir.path(), ValueType::File, json!("a.txt"));
        assert_eq!(value.unwrap(), json!(["file/a.txt"]));
        assert_eq!(files, [GivenFile { path: dir.path().join("a.txt"), name: "a.txt".to_owned() }]);
        let (value, _) = translate(dir.path(), ValueType::File, json!(["a.txt", "sub/a.txt"]));
        assert!(value.unwrap_err().ends_with("have the same name"));
        let (value, _) = translate(dir.path(), ValueType::File, json!("none"));
        assert!(value.unwrap_err().ends_with("there is no such file"));
    }
}
