use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::{Failure, HostError};

/// The path, unless a part of it leads to the parent directory.
pub fn checked(path: &str) -> Result<&str, Failure> {
    let path = path.trim();
    if path.is_empty() {
        return Err(Failure::other("bad-path", "an empty path: name a file or directory"));
    }
    if path.split(['/', '\\']).any(|part| part == "..") {
        let message =
            format!("The path {path} has a part `..`, which is not allowed: write where it leads to");
        return Err(Failure::other("bad-path", message));
    }
    Ok(path)
}

/// The last part of a path.
pub fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// A path below a directory.
pub fn join(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

/// A directory of the runner that must be there, as an absolute path; `missing` says that it is not.
pub fn existing_directory(path: &str, missing: impl FnOnce(&str) -> String) -> Result<String, Failure> {
    let directory = filesystem::in_job(checked(path)?)?;
    match filesystem::stat(&directory) {
        Ok(entry) if entry.is_directory => Ok(directory),
        Ok(_) | Err(HostError { reason: FileError::NotFound, .. }) => Err(Failure::not_found(missing(path))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_up_are_refused() {
        for path in ["../x", "/a/../b", "/a/..", "..", "a\\..\\b", " "] {
            assert!(checked(path).is_err(), "{path}");
        }
        for path in ["/a/b..c", "..a", "a/"] {
            assert_eq!(checked(path).unwrap(), path);
        }
    }

    #[test]
    fn names_of_paths() {
        assert_eq!((base_name("/a/b"), base_name("/a/b/"), base_name("b")), ("b", "b", "b"));
        assert_eq!(join("/a/", "b"), "/a/b");
    }
}
