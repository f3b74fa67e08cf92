//! `tool trust`: whose signatures count.

use std::path::Path;

use autoexec_events::ExitCode;
use autoexec_store::atomic;
use autoexec_supply::{KeyId, PublicKey, TrustedKeys};
use comfy_table::Table;
use serde_json::{Value, json};

use super::args::{Format, Shared, TrustCommand};
use super::{home_of, print_json};
use crate::{CliError, print};

/// Public keys are for everybody to read.
const PUBLIC: u32 = 0o644;

pub(super) fn run(command: &TrustCommand) -> Result<ExitCode, CliError> {
    match command {
        TrustCommand::List(arguments) => list(&arguments.shared),
        TrustCommand::Add { file, name, shared } => add(file, name.as_deref(), shared),
        TrustCommand::Remove { key, shared } => remove(*key, shared),
    }
}

fn load(directory: &Path) -> Result<TrustedKeys, CliError> {
    TrustedKeys::load(directory).map_err(CliError::bad_input)
}

fn list(shared: &Shared) -> Result<ExitCode, CliError> {
    let home = home_of(shared)?;
    let keys = load(&home.trust())?;
    match shared.output {
        Format::Json => {
            let object = |key: &autoexec_supply::TrustedKey| -> Value {
                json!({"name": key.name, "id": key.key.id(), "path": key.path})
            };
            print_json(&json!({"keys": keys.iter().map(object).collect::<Vec<_>>()}))?;
        }
        Format::Table if keys.is_empty() => print(&format!(
            "No key is trusted: there is no *.pub in {}. `autoexec tool trust add FILE` adds one.\n",
            home.trust().display()
        ))?,
        Format::Table => {
            let mut table = Table::new();
            table.set_header(["name", "key id"]);
            for key in keys.iter() {
                table.add_row([key.name.clone(), key.key.id().to_string()]);
            }
            print(&format!("{table}\n"))?;
        }
    }
    Ok(ExitCode::Success)
}

fn add(file: &Path, name: Option<&str>, shared: &Shared) -> Result<ExitCode, CliError> {
    let home = home_of(shared)?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::files(format!("{}: {error}", file.display())))?;
    let key = PublicKey::parse(&text)
        .map_err(|problem| CliError::bad_input(format!("{}: {problem}", file.display())))?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.unwrap_or(&stem);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(CliError::new(
            ExitCode::Usage,
            format!(
                "`{name}` is no name for a key: letters, digits, `-`, `_`, `.` and `@`; give one with --name"
            ),
        ));
    }
    let directory = home.trust();
    if let Some(known) = load(&directory)?.get(key.id()) {
        return said(shared, &key, &known.name, "is trusted already as");
    }
    let path = directory.join(format!("{name}.pub"));
    if path.exists() {
        return Err(CliError::bad_input(format!("{} is there already, with another key", path.display()))
            .hint("give the new key another name with --name; remove the old one when nothing is signed with it any more"));
    }
    std::fs::create_dir_all(&directory)
        .map_err(|error| CliError::files(format!("{}: {error}", directory.display())))?;
    atomic::write(&path, text.as_bytes(), PUBLIC).map_err(CliError::files)?;
    said(shared, &key, name, "is trusted now as")
}

fn said(shared: &Shared, key: &PublicKey, name: &str, what: &str) -> Result<ExitCode, CliError> {
    match shared.output {
        Format::Json => print_json(&json!({"id": key.id(), "name": name}))?,
        Format::Table => print(&format!("Key {} {what} {name}.\n", key.id()))?,
    }
    Ok(ExitCode::Success)
}

fn remove(id: KeyId, shared: &Shared) -> Result<ExitCode, CliError> {
    let home = home_of(shared)?;
    let keys = load(&home.trust())?;
    let Some(key) = keys.get(id) else {
        return Err(CliError::bad_input(format!("key {id} is not trusted here"))
            .hint("`autoexec tool trust list` shows the keys"));
    };
    if let Some(path) = &key.path {
        std::fs::remove_file(path)
            .map_err(|error| CliError::files(format!("{}: {error}", path.display())))?;
    }
    said(shared, &key.key, &key.name, "is no longer trusted; it was")
}
