//! `autoexec plugin inspect`: what is in a tool's file.

use std::path::{Path, PathBuf};

use autoexec_events::ExitCode;
use autoexec_manifest::{ComponentOutline, Manifest, capability_of, read_outline};
use autoexec_supply::{Digest, TrustedKeys, signature_path, verify};
use serde_json::{Value, json};

use super::args::{InspectArgs, ProjectArgs};
use super::project::Project;
use super::tell;
use crate::CliError;
use crate::args::Output;

/// Shows it.
pub(super) fn run(arguments: &InspectArgs) -> Result<ExitCode, CliError> {
    let path = match &arguments.file {
        Some(path) => path.clone(),
        None => Project::find(&ProjectArgs { dir: None, output: Output::Human })?.built()?,
    };
    let bytes = std::fs::read(&path)
        .map_err(|error| CliError::files(format!("can not read {}: {error}", path.display())))?;
    let outline =
        read_outline(&bytes).map_err(|error| CliError::bad_input(format!("{}: {error}", path.display())))?;
    let facts = Facts {
        size: bytes.len(),
        digest: Digest::of(&bytes).to_string(),
        signature: Signature::beside(&path, &bytes),
        outline,
        path,
    };
    tell(arguments.output, &facts.text(), &facts.document())
}

/// Where a tool's signature stands.
enum Signature {
    None,
    /// By a key that this home trusts.
    Trusted(String),
    /// Not by one that this home trusts, or not for this file; says why.
    Doubtful(String),
}

impl Signature {
    fn beside(path: &Path, bytes: &[u8]) -> Self {
        let beside = signature_path(path);
        let Ok(text) = std::fs::read_to_string(&beside) else { return Self::None };
        // Without a home there is nobody whose trust counts.
        let keys = crate::home::find().ok().map(|home| home.root().join("conf/trust"));
        let keys = match keys.filter(|dir| dir.is_dir()) {
            Some(dir) => TrustedKeys::load(&dir),
            None => TrustedKeys::of([]),
        };
        let signer = keys.map_err(|error| error.to_string()).and_then(|keys| {
            verify(bytes, &Digest::of(bytes), &text, &keys).map_err(|error| error.to_string())
        });
        match signer {
            Ok(signer) => Self::Trusted(signer.key_name),
            Err(why) => Self::Doubtful(why),
        }
    }

    fn explain(&self) -> String {
        match self {
            Self::None => "not signed".to_owned(),
            Self::Trusted(key) => format!("signed by {key}, a key that this home trusts"),
            Self::Doubtful(why) => format!("signed, but not accepted here: {why}"),
        }
    }

    fn state(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trusted(_) => "trusted",
            Self::Doubtful(_) => "not-accepted",
        }
    }
}

struct Facts {
    path: PathBuf,
    size: usize,
    digest: String,
    signature: Signature,
    outline: ComponentOutline,
}

impl Facts {
    fn manifest(&self) -> &Manifest {
        &self.outline.manifest
    }

    fn text(&self) -> String {
        let manifest = self.manifest();
        let mut lines = vec![
            format!("{} {}", manifest.name, manifest.version),
            format!("  {}", manifest.description),
            format!("file       {} ({} bytes)", self.path.display(), self.size),
            format!("digest     {}", self.digest),
            format!("signature  {}", self.signature.explain()),
            format!("wit        autoexec:tool {}", manifest.wit),
            format!("rerun      {}", word(&manifest.rerun)),
        ];
        lines.push("capabilities".to_owned());
        lines.extend(
            manifest.capabilities.iter().map(|one| format!("  {:<14} {}", one.interface, one.reason)),
        );
        if manifest.capabilities.is_empty() {
            lines.push("  none".to_owned());
        }
        lines.push("imports".to_owned());
        lines.extend(self.outline.imports.iter().map(|import| {
            let capability = capability_of(import).map_or_else(String::new, |name| format!("  ({name})"));
            format!("  {import}{capability}")
        }));
        lines.push("exports".to_owned());
        lines.extend(self.outline.exports.iter().map(|export| format!("  {export}")));
        lines.push("options".to_owned());
        for option in &manifest.descriptor.option {
            let default = match &option.default_value {
                Value::String(text) if text.is_empty() => String::new(),
                Value::Null => String::new(),
                value => {
                    format!(" [default: {}]", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }
            };
            let required = if option.required.0 { " (required)" } else { "" };
            lines.push(format!("  --{:<14} {}{default}{required}", option.opt, option.help));
        }
        if let Some(argument) = &manifest.descriptor.argument {
            lines.push(format!("  {:<16} {}", format!("{}...", argument.name), argument.help));
        }
        lines.push("outputs".to_owned());
        lines.extend(
            manifest.descriptor.output.iter().map(|output| format!("  {:<16} {}", output.opt, output.help)),
        );
        lines.join("\n") + "\n"
    }

    fn document(&self) -> Value {
        let names = |names: &[autoexec_manifest::InterfaceName]| {
            names.iter().map(|name| Value::from(name.as_str())).collect::<Value>()
        };
        json!({
            "file": self.path.display().to_string(),
            "size": self.size,
            "digest": self.digest,
            "signature": {"state": self.signature.state(), "text": self.signature.explain()},
            "imports": names(&self.outline.imports),
            "exports": names(&self.outline.exports),
            "manifest": serde_json::to_value(self.manifest()).unwrap_or_default(),
        })
    }
}

/// The word by which a manifest spells a value.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
