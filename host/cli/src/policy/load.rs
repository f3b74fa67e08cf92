//! Brings policies from disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use autoexec_grants::{Policy, PolicyError};
use autoexec_runners::SitePolicy;
use autoexec_store::Home;

use crate::CliError;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// A file or directory can not be read.
    #[error("policy {}: {problem}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
    /// A directory given by hand has no policy in it.
    #[error("policy {}: there is no `*.toml` file in it", path.display())]
    Nothing {
        /// The directory.
        path: PathBuf,
    },
    /// A file is no policy.
    #[error("policy {0}")]
    Policy(#[from] PolicyError),
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        Self::bad_input(error)
            .hint("correct it and try `autoexec policy check`; docs/policy.md has every key")
    }
}

/// The policy that runs are held to, and where its decisions are recorded.
pub(crate) fn site_policy(home: &Home) -> Result<Arc<SitePolicy>, CliError> {
    let policy = of_home(home)?;
    Ok(Arc::new(SitePolicy::new(policy, &home.policy_audit())))
}

/// The policy of a home: its files, or the built-in one when it has none.
pub(super) fn of_home(home: &Home) -> Result<Policy, LoadError> {
    let files = match policy_files(&home.policy()) {
        Err(LoadError::Read { problem, .. }) if problem.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    if files.is_empty() {
        return Ok(Policy::built_in(home.policy().join("site.toml").display().to_string())?);
    }
    of_files(&files)
}

/// The policy in a file or in a directory.
pub(super) fn at(path: &Path) -> Result<Policy, LoadError> {
    if !path.is_dir() {
        return of_files(&[path.to_owned()]);
    }
    let files = policy_files(path)?;
    if files.is_empty() {
        return Err(LoadError::Nothing { path: path.to_owned() });
    }
    of_files(&files)
}

fn of_files(files: &[PathBuf]) -> Result<Policy, LoadError> {
    let read = |path: &PathBuf| {
        let text =
            fs::read_to_string(path).map_err(|problem| LoadError::Read { path: path.clone(), problem })?;
        Ok((path.display().to_string(), text))
    };
    let texts: Vec<(String, String)> = files.iter().map(read).collect::<Result<_, LoadError>>()?;
    Ok(Policy::parse(&texts)?)
}

fn policy_files(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |problem| LoadError::Read { path: directory.to_owned(), problem };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Editors leave hidden files behind; a directory or dangling link of that name is an error when it is read.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_without_policy_files_has_the_built_in_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        assert!(of_home(&home).unwrap().is_built_in());
        fs::create_dir_all(home.policy()).unwrap();
        fs::write(home.policy().join("README"), "x").unwrap();
        fs::write(home.policy().join(".10.toml"), "x").unwrap();
        assert!(of_home(&home).unwrap().is_built_in());
        fs::write(home.policy().join("10.toml"), "mode = \"learn\"\n").unwrap();
        let policy = of_home(&home).unwrap();
        assert!(!policy.is_built_in());
        assert_eq!(policy.files(), [home.policy().join("10.toml").display().to_string()]);
    }

    #[test]
    fn what_can_not_be_read_is_an_error_and_never_the_built_in_policy() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        fs::create_dir_all(home.policy().join("10.toml")).unwrap();
        assert!(of_home(&home).unwrap_err().to_string().contains("10.toml"));
        let home = Home::new(dir.path().join("other"));
        fs::create_dir_all(home.root().join("conf")).unwrap();
        fs::write(home.policy(), "a file where the directory should be").unwrap();
        assert!(of_home(&home).unwrap_err().to_string().contains("conf/policy"));
        assert!(matches!(at(dir.path()), Err(LoadError::Nothing { .. })));
    }
}
