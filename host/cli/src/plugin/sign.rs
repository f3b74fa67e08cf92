//! `autoexec plugin sign`: a minisign signature beside the built tool.

use std::path::{Path, PathBuf};

use autoexec_events::ExitCode;
use autoexec_store::atomic;
use autoexec_supply::{SigningKey, sign, signature_path};
use serde_json::json;

use super::args::SignArgs;
use super::project::Project;
use super::tell;
use crate::CliError;

/// Mode of what everybody may read.
const READABLE: u32 = 0o644;

/// Signs it.
pub(super) fn run(arguments: &SignArgs) -> Result<ExitCode, CliError> {
    let project = Project::find(&arguments.project)?;
    let built = project.built()?;
    let bytes = read(&built)?;
    let password = arguments.password_file.as_deref().map(password).transpose()?;
    let mut text = String::new();
    let key = match (&arguments.new_key, &arguments.key) {
        (Some(path), _) => {
            let public = make_key(path, password.as_deref())?;
            text = format!("made the key {}, public half {}\n", path.display(), public.display());
            open_key(path, password.as_deref())?
        }
        (None, Some(path)) => open_key(path, password.as_deref())?,
        (None, None) => {
            return Err(CliError::bad_input("there is no key").hint("--key FILE, or --new-key FILE"));
        }
    };
    let signature = sign(&bytes, &key).map_err(CliError::bad_input)?;
    let beside = signature_path(&built);
    write(&beside, signature.as_bytes(), READABLE)?;
    let id = key.id().map_err(CliError::bad_input)?;
    text += &[
        "signed ",
        &built.display().to_string(),
        " with the key ",
        &id.to_string(),
        ": ",
        &beside.display().to_string(),
        "\n",
    ]
    .concat();
    let document = json!({
        "file": built.display().to_string(),
        "signature": beside.display().to_string(),
        "key": id.to_string(),
    });
    tell(arguments.project.output, &text, &document)
}

fn open_key(path: &Path, password: Option<&str>) -> Result<SigningKey, CliError> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| CliError::bad_input(format!("{}: this is not a minisign secret key", path.display())))?;
    if password.is_none() && SigningKey::needs_password(&text) {
        let problem = format!("{}: the key is protected by a password", path.display());
        return Err(CliError::bad_input(problem).hint("name a file that holds it: --password-file FILE"));
    }
    SigningKey::read(&text, password)
        .map_err(|error| CliError::bad_input(format!("{}: {error}", path.display())))
}

/// Makes both halves; a key that is there is never replaced.
fn make_key(path: &Path, password: Option<&str>) -> Result<PathBuf, CliError> {
    let public = path.with_extension("pub");
    if let Some(there) = [path, &public].into_iter().find(|path| path.exists()) {
        let text = format!("{} is there already: a key that was lost can not be made again", there.display());
        return Err(CliError::bad_input(text).hint(format!("sign with it: --key {}", path.display())));
    }
    let (key, secret) = if let Some(password) = password {
        SigningKey::generate_encrypted(password).map_err(CliError::bad_input)?
    } else {
        let key = SigningKey::generate().map_err(CliError::bad_input)?;
        let text = key.unprotected_text().map_err(CliError::bad_input)?;
        (key, text)
    };
    write(path, secret.as_bytes(), atomic::PRIVATE)?;
    write(&public, key.public().map_err(CliError::bad_input)?.as_bytes(), READABLE)?;
    Ok(public)
}

/// The first line of a file.
fn password(path: &Path) -> Result<String, CliError> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| CliError::bad_input(format!("{}: the password is not UTF-8", path.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(CliError::bad_input(format!("{}: there is no password in it", path.display()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::files(format!("can not read {}: {error}", path.display())))
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CliError> {
    atomic::write(path, content, mode)
        .map_err(|error| CliError::files(format!("can not write {}: {error}", path.display())))
}
