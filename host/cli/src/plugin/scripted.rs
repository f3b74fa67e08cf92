//! Tools in Python and JavaScript: components that hold an interpreter, made by the tool chains of those languages.
//!
//! Such a component imports the whole of its WIT world, used or not. So the world is written anew for each build, with
//! nothing in it but what every tool gets and what tool.toml asks for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use autoexec_manifest::Manifest;
use autoexec_packaging::{Description, Packed, of_component};

use super::args::Language;
use super::build::{in_project, not_started, program, start};
use super::project::Project;
use crate::CliError;

/// The tool chains that the SDK was tested with.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const NPM_PACKAGES: [&str; 2] = ["@bytecodealliance/componentize-js@0.23.0", "esbuild@0.28.2"];

/// What every tool may import.
const ALWAYS: [&str; 7] = [
    "log",
    "output",
    "job",
    "local-time",
    "wasi:clocks/monotonic-clock@0.2.12",
    "wasi:clocks/wall-clock@0.2.12",
    "wasi:random/random@0.2.12",
];

/// Name of the world that is written for a build.
const WORLD: &str = "authored";

/// Builds the component and makes the tool of it.
pub(super) fn build(project: &Project) -> Result<Packed, CliError> {
    let wit = write_world(project)?;
    let work = project.target().join("component");
    let (component, description) = match project.language {
        Language::Js => js(project, &wit, &work)?,
        Language::Python | Language::Rust => python(project, &wit, &work)?,
    };
    let description: Description = serde_json::from_slice(&description).map_err(|error| {
        in_project(project, &format_args!("the tool's options can not be described: {error}"))
    })?;
    of_component(component, description, project.manifest.clone())
        .map_err(|error| in_project(project, &error))
}

fn python(project: &Project, wit: &Path, work: &Path) -> Result<(Vec<u8>, Vec<u8>), CliError> {
    let python = python_environment(project)?;
    let bin = python.parent().unwrap_or(&python).to_owned();
    let sdk = sdk(project, "python");
    let described = describe(
        Command::new(&python)
            .arg("-m")
            .arg("autoexec_sdk.describe")
            .env("PYTHONPATH", python_path(project, &sdk)),
    )?;
    fresh(work)?;
    let component = work.join("tool.wasm");
    let mut command = Command::new(bin.join("componentize-py"));
    command.arg("-d").arg(wit).args(["-w", WORLD, "componentize", "--stub-wasi", "autoexec_sdk.entry"]);
    command.arg("-p").arg(&project.dir).arg("-p").arg(&sdk).arg("-o").arg(&component);
    start(&mut command, "the component could not be made")?;
    Ok((read(&component)?, described))
}

fn js(project: &Project, wit: &Path, work: &Path) -> Result<(Vec<u8>, Vec<u8>), CliError> {
    let modules = npm_modules(project)?;
    let sdk = sdk(project, "js");
    let described = describe(
        Command::new(program("NODE", "node")).arg(sdk.join("describe.mjs")).arg(project.dir.join("tool.js")),
    )?;
    fresh(work)?;
    let component = work.join("tool.wasm");
    let mut command = Command::new(program("NODE", "node"));
    command
        .arg(sdk.join("componentize.mjs"))
        .arg(&modules)
        .arg(&project.dir)
        .arg(wit)
        .arg(WORLD)
        .arg(&component);
    start(&mut command, "the component could not be made")?;
    Ok((read(&component)?, described))
}

/// What the tool's own code says of its options and outputs, as JSON.
fn describe(command: &mut Command) -> Result<Vec<u8>, CliError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| not_started(&name, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    // The interpreter's own words: they name the author's file and line.
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(CliError::bad_input(format!("the code can not be loaded:\n{}", errors.trim_end())))
}

/// The tests of a tool in Python.
pub(super) fn python_tests(project: &Project) -> Command {
    let mut command = Command::new(program("PYTHON", "python3"));
    command.args(["-m", "unittest", "discover", "-s"]).arg(&project.dir).args(["-p", "test_*.py"]);
    command
        .env("PYTHONPATH", python_path(project, &sdk(project, "python")))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The tests of a tool in JavaScript.
pub(super) fn js_tests(project: &Project) -> Command {
    let mut command = Command::new(program("NODE", "node"));
    command
        .arg("--import")
        .arg(sdk(project, "js").join("register.mjs"))
        .arg("--test")
        .current_dir(&project.dir);
    command
}

fn python_path(project: &Project, sdk: &Path) -> std::ffi::OsString {
    let paths = [project.dir.as_path(), sdk];
    std::env::join_paths(paths).unwrap_or_else(|_| project.dir.clone().into_os_string())
}

/// The SDK that the project refers to with `sdk = "…"` in the file `sdk.path`, or holds itself.
fn sdk(project: &Project, language: &str) -> PathBuf {
    let referred = fs::read_to_string(project.dir.join(super::make::SDK_FILE)).unwrap_or_default();
    let referred = referred.trim();
    let root = if referred.is_empty() { super::make::VENDORED } else { referred };
    project.dir.join(root).join("sdk").join(language)
}

/// A Python with the tool chain in it, made once for all projects.
fn python_environment(project: &Project) -> Result<PathBuf, CliError> {
    let dir = tool_chains(project)?.join(COMPONENTIZE_PY.replace("==", "-"));
    let python = dir.join("bin/python");
    if dir.join("bin/componentize-py").is_file() {
        return Ok(python);
    }
    crate::print_progress(&format!("installing {COMPONENTIZE_PY} in {} (once)", dir.display()));
    let mut venv = Command::new(program("PYTHON", "python3"));
    start(venv.args(["-m", "venv"]).arg(&dir), "no environment for Python could be made")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", COMPONENTIZE_PY]);
    start(&mut pip, "the tool chain for Python could not be installed")?;
    Ok(python)
}

/// A directory with the tool chain for JavaScript in its `node_modules`, made once for all projects.
fn npm_modules(project: &Project) -> Result<PathBuf, CliError> {
    let name = NPM_PACKAGES[0].rsplit('@').next().unwrap_or_default();
    let dir = tool_chains(project)?.join(format!("componentize-js-{name}"));
    let done = dir.join("complete");
    if done.is_file() {
        return Ok(dir);
    }
    crate::print_progress(&format!("installing {} in {} (once)", NPM_PACKAGES.join(" and "), dir.display()));
    fs::create_dir_all(&dir).map_err(CliError::files)?;
    fs::write(dir.join("package.json"), "{\"private\": true}\n").map_err(CliError::files)?;
    let mut npm = Command::new(program("NPM", "npm"));
    npm.args(["install", "--no-audit", "--no-fund", "--silent"]).args(NPM_PACKAGES).current_dir(&dir);
    start(&mut npm, "the tool chain for JavaScript could not be installed")?;
    fs::write(done, "").map_err(CliError::files)?;
    Ok(dir)
}

/// `AUTOEXEC_TOOLCHAINS`, else a directory of the user's cache, else one of the project.
fn tool_chains(project: &Project) -> Result<PathBuf, CliError> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let dir = named("AUTOEXEC_TOOLCHAINS")
        .or_else(|| named("XDG_CACHE_HOME").map(|dir| dir.join("autoexec/toolchains")))
        .or_else(|| named("HOME").map(|dir| dir.join(".cache/autoexec/toolchains")))
        .unwrap_or_else(|| project.target().join("toolchains"));
    fs::create_dir_all(&dir)
        .map_err(|error| CliError::files(format!("can not make {}: {error}", dir.display())))?;
    Ok(dir)
}

/// Writes the WIT package with the tool's world below the project's target directory.
fn write_world(project: &Project) -> Result<PathBuf, CliError> {
    let dir = project.target().join("wit");
    fresh(&dir)?;
    let failed = |error: std::io::Error| CliError::files(format!("can not write {}: {error}", dir.display()));
    for (name, content) in super::sdk::below("wit/autoexec-tool/") {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&dir)).map_err(failed)?;
        fs::write(path, content).map_err(failed)?;
    }
    fs::write(dir.join("authored.wit"), world(&project.manifest)).map_err(failed)?;
    Ok(dir)
}

/// The world of one tool.
fn world(manifest: &Manifest) -> String {
    let mut world = format!("world {WORLD} {{\n");
    let asked = manifest.capabilities.iter().map(|request| match request.interface.as_str() {
        "sockets" => "connection",
        "http" => "wasi:http/outgoing-handler@0.2.12",
        own => own,
    });
    for import in ALWAYS.into_iter().chain(asked) {
        // Writing to a text can not fail.
        let _ = writeln!(world, "    import {import};");
    }
    world.push_str("    export tool;\n}\n");
    world
}

fn fresh(dir: &Path) -> Result<(), CliError> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)
        .map_err(|error| CliError::files(format!("can not make {}: {error}", dir.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::files(format!("can not read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_holds_what_is_asked_for_and_nothing_more() {
        let text = include_str!("../../../manifest/tests/minimal.toml");
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), text).unwrap();
        let manifest = autoexec_packaging::read_tool_file(path.path()).unwrap();
        let world = world(&manifest);
        assert!(world.contains("import net-probe;") && world.contains("export tool;"), "{world}");
        assert!(!world.contains("filesystem"), "{world}");
    }
}
