//! `autoexec plugin build`: from the project to `dist/BUNDLE/NAME.wasm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use autoexec_events::ExitCode;
use autoexec_manifest::Manifest;
use autoexec_packaging::{DEBIAN_PACKAGES, Packed, TARGET, Toolchain, of_core_module};
use autoexec_store::atomic;
use serde_json::{Value, json};

use super::args::{Language, ProjectArgs};
use super::project::Project;
use super::{scripted, tell};
use crate::CliError;

/// Mode of a tool's file: everybody may read it.
const READABLE: u32 = 0o644;

/// Builds it and says what came out.
pub(super) fn run(arguments: &ProjectArgs) -> Result<ExitCode, CliError> {
    let project = Project::find(arguments)?;
    let built = build(&project)?;
    let text = format!(
        "built {}: {} {}, {} bytes{}\n",
        built.path.display(),
        built.manifest.name,
        built.manifest.version,
        built.size,
        capabilities(&built.manifest)
    );
    tell(arguments.output, &text, &built.document())
}

/// A tool that was built.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) path: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) size: usize,
}

impl Built {
    fn document(&self) -> Value {
        let capabilities: Vec<&str> =
            self.manifest.capabilities.iter().map(|request| request.interface.as_str()).collect();
        json!({
            "file": self.path.display().to_string(),
            "name": self.manifest.name.as_str(),
            "version": self.manifest.version.to_string(),
            "size": self.size,
            "capabilities": capabilities,
        })
    }
}

fn capabilities(manifest: &Manifest) -> String {
    let names: Vec<&str> = manifest.capabilities.iter().map(|request| request.interface.as_str()).collect();
    if names.is_empty() { ", no capabilities".to_owned() } else { format!(", asks for {}", names.join(", ")) }
}

/// Builds the project; nothing is left half-written.
pub(super) fn build(project: &Project) -> Result<Built, CliError> {
    let path = project.artifact();
    let packed = match project.language {
        Language::Rust => rust(project)?,
        Language::Python | Language::Js => {
            // Cargo knows what has changed; these tool chains take half a minute each time.
            if let Some(built) = scripted::up_to_date(project, &path) {
                return Ok(built);
            }
            scripted::build(project)?
        }
    };
    let failed =
        |error: &dyn std::fmt::Display| CliError::files(format!("can not write {}: {error}", path.display()));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    }
    atomic::write(&path, &packed.bytes, READABLE).map_err(|error| failed(&error))?;
    Ok(Built { path, manifest: packed.manifest, size: packed.bytes.len() })
}

fn rust(project: &Project) -> Result<Packed, CliError> {
    let library = library_name(project)?;
    let toolchain = Toolchain::find().ok_or_else(|| {
        CliError::bad_input(format!("there is no compiler for {TARGET}")).hint(format!(
            "with rustup: rustup target add {TARGET}; on Debian: apt-get install {}",
            DEBIAN_PACKAGES.join(" ")
        ))
    })?;
    let mut cargo = toolchain.cargo_build();
    cargo
        .arg("--manifest-path")
        .arg(project.dir.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(project.target());
    // Cargo names the author's files and lines itself.
    start(&mut cargo, "the code does not compile")?;
    let core = project.target().join(TARGET).join("release").join(format!("{library}.wasm"));
    let bytes = std::fs::read(&core)
        .map_err(|error| CliError::files(format!("can not read {}: {error}", core.display())))?;
    of_core_module(&bytes, project.manifest.clone()).map_err(|error| in_project(project, &error))
}

/// An error of packaging, with the directory it is about.
pub(super) fn in_project(project: &Project, error: &dyn std::fmt::Display) -> CliError {
    CliError::bad_input(format!("{}: {error}", project.dir.join(super::project::TOOL_FILE).display()))
}

/// The name of the module that cargo writes.
fn library_name(project: &Project) -> Result<String, CliError> {
    let path = project.dir.join("Cargo.toml");
    let mut cargo = Command::new(program("CARGO", "cargo"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&path);
    let output = cargo.output().map_err(|error| not_started("cargo", &error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::bad_input(format!("{}: {}", path.display(), text.trim())));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(CliError::bad_input)?;
    let targets = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| package["manifest_path"].as_str().is_some_and(|own| Path::new(own) == path));
    let mut targets = targets.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let is_cdylib = |target: &&Value| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let name = targets.find(is_cdylib).and_then(|target| target["name"].as_str());
    name.map(|name| name.replace('-', "_")).ok_or_else(|| {
        CliError::bad_input(format!("{}: builds no module", path.display()))
            .hint("put `crate-type = [\"cdylib\"]` under [lib]")
    })
}

/// The program to use: the one of the environment variable, where it is set.
pub(super) fn program(variable: &str, name: &str) -> std::ffi::OsString {
    std::env::var_os(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| name.into())
}

/// Runs a program whose messages go to the terminal; what fails is the author's.
pub(super) fn start(command: &mut Command, problem: &str) -> Result<(), CliError> {
    let name = command.get_program().to_string_lossy().into_owned();
    // Standard output belongs to the result of this command.
    command.stdout(std::io::stderr());
    let status = command.status().map_err(|error| not_started(&name, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(CliError::bad_input(format!("{problem}: see the messages of {name} above")))
    }
}

/// A program that is not there.
pub(super) fn not_started(name: &str, error: &std::io::Error) -> CliError {
    let error = CliError::bad_input(format!("{name} can not be started: {error}"));
    match name {
        "cargo" => error.hint("install Rust: https://rustup.rs"),
        "python3" => {
            error.hint("install Python 3.10 or later, on Debian: apt-get install python3 python3-venv")
        }
        "node" | "npm" => error.hint("install Node.js 20 or later"),
        _ => error,
    }
}
