//! The directory of a tool: where it is, in which language it is written, where its results go.

use std::path::{Path, PathBuf};

use autoexec_manifest::Manifest;
use autoexec_packaging::read_tool_file;

use super::args::{Language, ProjectArgs};
use crate::CliError;

/// The file that makes a directory a tool's.
pub(super) const TOOL_FILE: &str = "tool.toml";

/// A tool's directory, its description read and checked.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) dir: PathBuf,
    pub(super) language: Language,
    pub(super) manifest: Manifest,
}

impl Project {
    /// The one that was named, or the one that the current directory is in.
    pub(super) fn find(arguments: &ProjectArgs) -> Result<Self, CliError> {
        let dir = match &arguments.dir {
            Some(dir) if dir.join(TOOL_FILE).is_file() => dir.clone(),
            Some(dir) => return Err(no_tool(&format!("there is no {TOOL_FILE} in {}", dir.display()))),
            None => here_or_above()?,
        };
        let dir = std::path::absolute(&dir).map_err(CliError::files)?;
        Self::read(dir)
    }

    fn read(dir: PathBuf) -> Result<Self, CliError> {
        let manifest = read_tool_file(&dir.join(TOOL_FILE)).map_err(CliError::bad_input)?;
        let marks =
            [("Cargo.toml", Language::Rust), ("package.json", Language::Js), ("tool.py", Language::Python)];
        let mark = marks.iter().find(|(file, _)| dir.join(file).is_file());
        let language = mark.map(|(_, language)| *language).ok_or_else(|| {
            let text = format!("{}: can not tell the language of the tool", dir.display());
            let files: Vec<&str> = marks.iter().map(|(file, _)| *file).collect();
            CliError::bad_input(text)
                .hint(format!("one of {} has to be beside {TOOL_FILE}", files.join(", ")))
        })?;
        Ok(Self { dir, language, manifest })
    }

    /// The built tool.
    pub(super) fn artifact(&self) -> PathBuf {
        self.dir.join("dist").join(format!("{}.wasm", self.manifest.name))
    }

    /// The built tool, which must be there.
    pub(super) fn built(&self) -> Result<PathBuf, CliError> {
        let artifact = self.artifact();
        if artifact.is_file() {
            return Ok(artifact);
        }
        let text = format!("{} is not there yet", artifact.display());
        Err(CliError::bad_input(text).hint("build it: autoexec plugin build"))
    }

    /// Where the project keeps what can be made again.
    pub(super) fn target(&self) -> PathBuf {
        self.dir.join("target")
    }
}

fn here_or_above() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().map_err(CliError::files)?;
    let found = here.ancestors().find(|dir| dir.join(TOOL_FILE).is_file()).map(Path::to_owned);
    found.ok_or_else(|| no_tool(&format!("there is no {TOOL_FILE} in {} or above", here.display())))
}

fn no_tool(text: &str) -> CliError {
    CliError::bad_input(text)
        .hint("name the tool's directory with --dir, or make one: autoexec plugin new BUNDLE/NAME")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Output;

    fn find(dir: &Path) -> Result<Project, CliError> {
        Project::find(&ProjectArgs { dir: Some(dir.to_owned()), output: Output::Human })
    }

    #[test]
    fn the_language_is_seen_by_its_files_and_mistakes_by_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let text = |error: CliError| error.to_string();
        assert!(text(find(dir.path()).unwrap_err()).contains("there is no tool.toml"));
        let minimal = include_str!("../../../manifest/tests/minimal.toml");
        std::fs::write(dir.path().join(TOOL_FILE), minimal).unwrap();
        assert!(text(find(dir.path()).unwrap_err()).contains("can not tell the language"));
        std::fs::write(dir.path().join("tool.py"), "").unwrap();
        let project = find(dir.path()).unwrap();
        assert_eq!(project.language, Language::Python);
        assert!(project.artifact().ends_with("dist/demo/probe.wasm"));
        std::fs::write(dir.path().join(TOOL_FILE), format!("nmae = 1\n{minimal}")).unwrap();
        let error = text(find(dir.path()).unwrap_err());
        assert!(error.contains("tool.toml") && error.contains("line 1") && error.contains("nmae"), "{error}");
    }
}
