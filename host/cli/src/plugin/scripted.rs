//! Tools in Python and JavaScript: components that hold an interpreter, made by the tool chains of those languages.
//!
//! Such a component imports the whole of its WIT world, used or not. So the world is written anew for each build, with
//! nothing in it but what every tool gets and what tool.toml asks for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use autoexec_manifest::{Manifest, read_outline};
use autoexec_packaging::{
    Description, InstallError, Interpreters, Packed, of_component, with_wasi, without_wasi,
};

use super::args::Language;
use super::build::{Built, in_project, not_started, program, start};
use super::project::Project;
use crate::CliError;

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
    let work = project.target().join("component");
    fresh(&work)?;
    let (component, described) = match project.language {
        Language::Js => js(project, &work)?,
        Language::Python | Language::Rust => python(project, &work)?,
    };
    of_component(component, described.description, project.manifest.clone())
        .map_err(|error| in_project(project, &error))
}

/// What was built, if it is newer than the project, the SDK and this program.
pub(super) fn up_to_date(project: &Project, artifact: &Path) -> Option<Built> {
    let made = fs::metadata(artifact).and_then(|metadata| metadata.modified()).ok()?;
    let name = if project.language == Language::Js { "js" } else { "python" };
    let inputs = [project.dir.clone(), sdk(project, name), std::env::current_exe().ok()?];
    if !inputs.iter().all(|input| is_older(input, made)) {
        return None;
    }
    let bytes = fs::read(artifact).ok()?;
    let manifest = read_outline(&bytes).ok()?.manifest;
    Some(Built { path: artifact.to_owned(), manifest, size: bytes.len() })
}

/// Whether nothing at or below a path has changed since; what a build itself writes does not count.
fn is_older(path: &Path, made: SystemTime) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    if !metadata.is_dir() {
        return metadata.modified().is_ok_and(|modified| modified < made);
    }
    let Ok(entries) = fs::read_dir(path) else { return false };
    entries.filter_map(Result::ok).all(|entry| {
        let name = entry.file_name();
        ["dist", "target", ".git", "__pycache__"].iter().any(|made| name == *made)
            || is_older(&entry.path(), made)
    })
}

/// What the tool's own code says of it.
#[derive(serde::Deserialize)]
struct Described {
    #[serde(flatten)]
    description: Description,
    /// It can say what it would change.
    check: bool,
    /// It can say what an interrupted run did.
    probe: bool,
}

fn python(project: &Project, work: &Path) -> Result<(Vec<u8>, Described), CliError> {
    let python = interpreters(project).python(crate::print_progress).map_err(not_installed)?;
    let bin = python.parent().unwrap_or(&python).to_owned();
    let sdk = sdk(project, "python");
    let described = describe(
        project,
        Command::new(&python)
            .arg("-m")
            .arg("autoexec_sdk.describe")
            .env("PYTHONPATH", python_path(project, &sdk))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )?;
    let wit = write_world(project, &described)?;
    let component = work.join("tool.wasm");
    let mut command = Command::new(bin.join("componentize-py"));
    command.arg("-d").arg(wit).args(["-w", WORLD, "componentize", "--stub-wasi", "autoexec_sdk.entry"]);
    command.arg("-p").arg(&project.dir).arg("-p").arg(&sdk).arg("-o").arg(&component);
    start(&mut command, "the component could not be made")?;
    let component = with_wasi(read(&component)?).map_err(|error| in_project(project, &error))?;
    Ok((component, described))
}

fn js(project: &Project, work: &Path) -> Result<(Vec<u8>, Described), CliError> {
    let modules = interpreters(project).javascript(crate::print_progress).map_err(not_installed)?;
    let sdk = sdk(project, "js");
    let described = describe(
        project,
        Command::new(program("NODE", "node")).arg(sdk.join("describe.mjs")).arg(project.dir.join("tool.js")),
    )?;
    let wit = write_world(project, &described)?;
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

/// Asks the tool's own code for its options, outputs and exports.
fn describe(project: &Project, command: &mut Command) -> Result<Described, CliError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| not_started(&name, &error))?;
    if !output.status.success() {
        // The interpreter's own words: they name the author's file and line.
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::bad_input(format!("the code can not be loaded:\n{}", errors.trim_end())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| {
        in_project(project, &format_args!("the tool's options can not be described: {error}"))
    })
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

/// The tool chains that all projects of the user share.
fn interpreters(project: &Project) -> Interpreters {
    Interpreters::of_user(project.target().join("toolchains"))
}

fn not_installed(error: InstallError) -> CliError {
    match error {
        InstallError::NotStarted { program, source } => not_started(&program, &source),
        error @ InstallError::Directory { .. } => CliError::files(error),
        error @ InstallError::Failed { .. } => CliError::bad_input(error)
            .hint("the first build needs PyPI or npm; AUTOEXEC_TOOLCHAINS names a directory that has been filled before"),
    }
}

/// Writes the WIT package with the tool's world below the project's target directory.
fn write_world(project: &Project, described: &Described) -> Result<PathBuf, CliError> {
    let dir = project.target().join("wit");
    fresh(&dir)?;
    let failed = |error: std::io::Error| CliError::files(format!("can not write {}: {error}", dir.display()));
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        let text = if project.language == Language::Python { without_wasi(text) } else { text.to_owned() };
        fs::create_dir_all(path.parent().unwrap_or(&dir)).and_then(|()| fs::write(path, text)).map_err(failed)
    };
    for (name, content) in super::sdk::below("wit/autoexec-tool/") {
        write(name, &String::from_utf8_lossy(content))?;
    }
    write("authored.wit", &world(&project.manifest, described))?;
    Ok(dir)
}

/// The world of one tool.
fn world(manifest: &Manifest, described: &Described) -> String {
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
    world.push_str("    export tool;\n");
    for (interface, is_there) in [("dry-run", described.check), ("effect-probe", described.probe)] {
        if is_there {
            let _ = writeln!(world, "    export {interface};");
        }
    }
    world.push_str("}\n");
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
    fn what_was_built_is_out_of_date_when_something_is_newer() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, seconds: u64| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(10);
        file("tool.py", 5);
        file("lib/more.py", 6);
        file("target/new", 20);
        assert!(is_older(dir.path(), made));
        file("lib/more.py", 11);
        assert!(!is_older(dir.path(), made));
        assert!(!is_older(&dir.path().join("missing"), made));
    }

    #[test]
    fn a_world_holds_what_is_asked_for_and_nothing_more() {
        let text = include_str!("../../../manifest/tests/minimal.toml");
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), text).unwrap();
        let manifest = autoexec_packaging::read_tool_file(path.path()).unwrap();
        let described = |check| Described { description: Description::default(), check, probe: false };
        let plain = world(&manifest, &described(false));
        assert!(plain.contains("import net-probe;") && plain.contains("export tool;"), "{plain}");
        assert!(!plain.contains("filesystem") && !plain.contains("dry-run"), "{plain}");
        let checkable = world(&manifest, &described(true));
        assert!(checkable.contains("export dry-run;") && !checkable.contains("effect-probe"), "{checkable}");
    }
}
