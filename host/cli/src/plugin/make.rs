//! `autoexec plugin new`: the directory of a new tool.

use std::path::{Path, PathBuf};

use autoexec_events::ExitCode;
use autoexec_manifest::ToolName;

use super::args::{Language, NewArgs};
use super::sdk;
use crate::{CliError, print};

/// Where a project keeps its copy of the SDK.
pub(super) const VENDORED: &str = "vendor/autoexec";

/// The file of a project that names another place of the SDK, for languages whose own files can not.
pub(super) const SDK_FILE: &str = "sdk.path";

/// A file of a template: its name and its text, in which `{{…}}` are replaced.
type File = (&'static str, &'static str);

const RUST: [File; 6] = [
    ("Cargo.toml", include_str!("templates/rust/Cargo.toml.in")),
    ("tool.toml", include_str!("templates/rust/tool.toml.in")),
    ("src/lib.rs", include_str!("templates/rust/lib.rs.in")),
    ("README.md", include_str!("templates/README.md.in")),
    ("policy.toml", include_str!("templates/policy.toml.in")),
    (".gitignore", "/target\n/dist\n*.key\n"),
];

const PYTHON: [File; 7] = [
    ("tool.py", include_str!("templates/python/tool.py.in")),
    ("test_tool.py", include_str!("templates/python/test_tool.py.in")),
    ("pyproject.toml", include_str!("templates/python/pyproject.toml.in")),
    ("tool.toml", include_str!("templates/python/tool.toml.in")),
    ("README.md", include_str!("templates/README.md.in")),
    ("policy.toml", include_str!("templates/policy.toml.in")),
    (".gitignore", "/target\n/dist\n*.key\n__pycache__\n"),
];

const JS: [File; 8] = [
    ("tool.js", include_str!("templates/js/tool.js.in")),
    ("tool.test.js", include_str!("templates/js/tool.test.js.in")),
    ("package.json", include_str!("templates/js/package.json.in")),
    ("jsconfig.json", include_str!("templates/js/jsconfig.json.in")),
    ("tool.toml", include_str!("templates/js/tool.toml.in")),
    ("README.md", include_str!("templates/README.md.in")),
    ("policy.toml", include_str!("templates/policy.toml.in")),
    (".gitignore", "/target\n/dist\n*.key\n/node_modules\n"),
];

/// Makes it.
pub(super) fn run(arguments: &NewArgs) -> Result<ExitCode, CliError> {
    let name = ToolName::try_from(arguments.name.clone()).map_err(CliError::bad_input)?;
    let dir = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name.base()));
    if dir.exists() {
        let text = format!("{} is there already", dir.display());
        return Err(CliError::bad_input(text).hint("name another directory with --dir"));
    }
    let sdk = if let Some(path) = &arguments.sdk {
        referred(path)?
    } else {
        sdk::unpack(&dir.join(VENDORED))?;
        VENDORED.to_owned()
    };
    write(&dir, &name, arguments.lang, &sdk)?;
    let text = format!(
        "made {} for the tool {name}\nnext: cd {0} && autoexec plugin test && autoexec plugin build\n",
        dir.display()
    );
    print(&text)?;
    Ok(ExitCode::Success)
}

fn referred(path: &Path) -> Result<String, CliError> {
    let path = path
        .canonicalize()
        .map_err(|error| CliError::bad_input(format!("--sdk {}: {error}", path.display())))?;
    if !path.join("sdk/rust/Cargo.toml").is_file() || !path.join("wit/autoexec-tool").is_dir() {
        let text = format!("--sdk {}: there is no `sdk/rust` and `wit/autoexec-tool` in it", path.display());
        return Err(CliError::bad_input(text).hint("name the root of a source tree of autoexec"));
    }
    Ok(path.display().to_string())
}

fn write(dir: &Path, name: &ToolName, language: Language, sdk: &str) -> Result<(), CliError> {
    let files: &[File] = match language {
        Language::Rust => &RUST,
        Language::Python => &PYTHON,
        Language::Js => &JS,
    };
    for (file, text) in files {
        let text = text
            .replace("{{name}}", name.as_str())
            .replace("{{base}}", name.base())
            .replace("{{crate}}", &crate_name(name))
            .replace("{{sdk}}", sdk);
        put(&dir.join(file), text.as_bytes())?;
    }
    if language != Language::Rust && sdk != VENDORED {
        put(&dir.join(SDK_FILE), format!("{sdk}\n").as_bytes())?;
    }
    if language == Language::Rust
        && let Some(lock) = sdk::file("sdk/rust/Cargo.lock")
    {
        // The versions that the SDK was tested with; cargo keeps what fits of them.
        put(&dir.join("Cargo.lock"), lock)?;
    }
    Ok(())
}

/// A name that cargo takes: it may not begin with a digit or hold dots.
fn crate_name(name: &ToolName) -> String {
    let name = name.as_str().replace(['/', '.'], "-").to_ascii_lowercase();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("tool-{name}") } else { name }
}

fn put(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let failed = |error| CliError::files(format!("can not write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(path, content).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(dir: &Path, name: &str, lang: Language) -> Result<ExitCode, CliError> {
        run(&NewArgs { name: name.into(), lang, dir: Some(dir.to_owned()), sdk: None })
    }

    #[test]
    fn every_template_describes_a_tool_and_leaves_no_gap() {
        let root = tempfile::tempdir().unwrap();
        for lang in [Language::Rust, Language::Python, Language::Js] {
            let dir = root.path().join(format!("{lang:?}"));
            new(&dir, "shop/port.check", lang).unwrap();
            let manifest = autoexec_packaging::read_tool_file(&dir.join("tool.toml")).unwrap();
            assert_eq!(manifest.name.as_str(), "shop/port.check");
            for entry in
                std::fs::read_dir(&dir).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
            {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                assert!(!text.contains("{{"), "{}", entry.path().display());
            }
            assert!(dir.join(VENDORED).join("wit/autoexec-tool/world.wit").is_file());
        }
    }

    #[test]
    fn what_is_there_is_never_overwritten_and_names_are_checked() {
        let root = tempfile::tempdir().unwrap();
        let there = new(root.path(), "shop/x", Language::Rust).unwrap_err();
        assert!(there.to_string().contains("there already"), "{there}");
        let name = new(&root.path().join("y"), "portcheck", Language::Rust).unwrap_err();
        assert!(name.to_string().contains("bundle/name"), "{name}");
    }

    #[test]
    fn crate_names_are_such_that_cargo_takes_them() {
        let of = |name: &str| crate_name(&ToolName::try_from(name.to_owned()).unwrap());
        assert_eq!(of("shop/port.check"), "shop-port-check");
        assert_eq!(of("3com/x"), "tool-3com-x");
    }
}
