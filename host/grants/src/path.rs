//! Paths of files: one form per path, so that rules can not be passed by with another spelling.

use std::fmt;

/// The variable for the directory of the job.
const JOB_DIR: &str = "${job.dir}";

/// The longest path, in bytes (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Sub-directories of a job that a policy can give out. Everything else there is the executor's own: parameters, node files,
/// inputs and outputs hold secrets, statuses and locks decide what runs.
pub(crate) const JOB_DIRECTORIES: [&str; 7] =
    ["file", "livedata", "log", "output-op", "script", "sqlfile", "work"];

/// Of those, the ones that only the executor writes.
const READ_ONLY_JOB_DIRECTORIES: [&str; 2] = ["log", "script"];

/// Directories of the installation that a policy can give out.
pub(crate) const HOME_DIRECTORIES: [&str; 1] = ["data/verdata"];

/// An absolute path without `.`, `..`, doubled slashes and a slash at the end; the root is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AbsolutePath(String);

impl AbsolutePath {
    /// Brings a path of this machine into its one form.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        if !text.starts_with('/') {
            return Err(if text.is_empty() { PathError::Empty } else { PathError::Relative });
        }
        plain(text)?;
        Ok(Self::from_parts(text))
    }

    /// Brings a path of a node into its one form: `/x`, or `C:/x` and `C:\x` in small letters. Others are not absolute.
    pub(crate) fn parse_on_node(text: &str) -> Result<Self, PathError> {
        plain(text)?;
        if text.starts_with('/') {
            return Ok(Self::from_parts(text));
        }
        let drive = text.as_bytes().first_chunk::<2>();
        let after = text.get(2..).unwrap_or_default();
        if drive.is_some_and(|[letter, colon]| letter.is_ascii_alphabetic() && *colon == b':')
            && (after.is_empty() || after.starts_with(['/', '\\']))
        {
            // Windows has no case in names, and reads both slashes.
            return Ok(Self::from_parts(&text.to_lowercase().replace('\\', "/")));
        }
        Err(if text.is_empty() { PathError::Empty } else { PathError::Relative })
    }

    fn from_parts(text: &str) -> Self {
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        Self(parts.fold(String::new(), |path, part| path + "/" + part))
    }

    /// The part below a directory, without a slash at its start; empty for the directory itself.
    pub(crate) fn below(&self, directory: &Self) -> Option<&str> {
        let rest = self.0.strip_prefix(directory.0.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// This path with another one below it.
    fn join(&self, below: &str) -> Self {
        Self(if below.is_empty() { self.0.clone() } else { format!("{}/{below}", self.0) })
    }

    /// How many names it has.
    pub(crate) fn depth(&self) -> usize {
        self.0.matches('/').count()
    }

    /// The directory that it lies in; the root is its own.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned()))
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// What no path may hold, whoever reads it. `..` is not taken away: with a link before it, it leads elsewhere.
fn plain(text: &str) -> Result<(), PathError> {
    if text.len() > LONGEST_PATH {
        Err(PathError::TooLong)
    } else if text.contains(char::is_control) {
        Err(PathError::Control)
    } else if text.split(['/', '\\']).any(|part| part == "..") {
        Err(PathError::Parent)
    } else {
        Ok(())
    }
}

/// A directory, or one file: the path itself and everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern {
    base: Base,
    path: AbsolutePath,
}

/// What the path of a pattern is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The root of this machine, or of a node.
    Root,
    /// The directory of the job.
    Job,
}

impl PathPattern {
    /// Reads a directory of this machine: absolute, or below `${job.dir}`.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let Some(below) = text.strip_prefix(JOB_DIR) else {
            if text.contains("${") {
                return Err(PathError::Variable);
            }
            let path = AbsolutePath::parse(text)?;
            // Everything there is would hold every secret there is.
            return if path.0.is_empty() {
                Err(PathError::Root)
            } else {
                Ok(Self { base: Base::Root, path })
            };
        };
        if below.contains("${") || !(below.is_empty() || below.starts_with('/')) {
            return Err(PathError::Variable);
        }
        let path = AbsolutePath::parse(&format!("/{below}"))?;
        let first = path.0.split('/').nth(1).unwrap_or_default();
        if JOB_DIRECTORIES.contains(&first) {
            Ok(Self { base: Base::Job, path })
        } else {
            Err(PathError::JobDirectory)
        }
    }

    /// Reads a directory of a node.
    pub(crate) fn parse_on_node(text: &str) -> Result<Self, PathError> {
        if text.contains("${") {
            return Err(PathError::NodeVariable);
        }
        Ok(Self { base: Base::Root, path: AbsolutePath::parse_on_node(text)? })
    }

    /// The directory itself, the variable filled in. None where the variable has no value.
    pub(crate) fn resolve(&self, job: Option<&AbsolutePath>) -> Option<AbsolutePath> {
        match self.base {
            Base::Root => Some(self.path.clone()),
            Base::Job => job.map(|job| job.join(self.path.0.trim_start_matches('/'))),
        }
    }

    /// Whether the path is the directory or lies below it.
    pub(crate) fn holds(&self, path: &AbsolutePath, job: Option<&AbsolutePath>) -> bool {
        self.resolve(job).is_some_and(|directory| path.below(&directory).is_some())
    }

    /// Whether it is a directory right below the root.
    pub(crate) fn is_first_level(&self) -> bool {
        self.base == Base::Root && self.path.depth() < 2
    }

    /// Whether everything that `other` holds is held by this one too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.base == other.base && other.path.below(&self.path).is_some()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Root => self.path.fmt(f),
            Base::Job => write!(f, "{JOB_DIR}{}", self.path.0),
        }
    }
}

/// Where the executor keeps what no tool may see or change.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnDirectories {
    pub(crate) home: Option<AbsolutePath>,
    pub(crate) job: Option<AbsolutePath>,
}

impl OwnDirectories {
    /// Whether the path is the executor's own, whatever a rule says.
    pub(crate) fn keeps(&self, path: &AbsolutePath, writing: bool) -> bool {
        let around = |own: &Option<AbsolutePath>| own.as_ref().is_some_and(|own| own.below(path).is_some());
        if writing && (around(&self.home) || around(&self.job)) {
            return true;
        }
        if let Some(below) = self.job.as_ref().and_then(|job| path.below(job)) {
            let first = below.split('/').next().unwrap_or_default();
            return !JOB_DIRECTORIES.contains(&first)
                || (writing && READ_ONLY_JOB_DIRECTORIES.contains(&first));
        }
        let Some(home) = &self.home else { return false };
        path.below(home).is_some()
            && !HOME_DIRECTORIES.iter().any(|given| path.below(&home.join(given)).is_some())
    }
}

/// Why a text is not taken for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there.
    #[error("the path is empty")]
    Empty,
    /// Not from the root.
    #[error("the path is not absolute")]
    Relative,
    /// Longer than a path can be.
    #[error("the path is longer than {LONGEST_PATH} bytes")]
    TooLong,
    /// NUL, line breaks and the like.
    #[error("the path has control characters")]
    Control,
    /// `..` in it.
    #[error("the path has a `..` in it; write where it leads to")]
    Parent,
    /// `/` in a policy.
    #[error("the root directory can not be given out; name directories")]
    Root,
    /// A variable that does not exist here.
    #[error("the only variable in a path is `{JOB_DIR}`, and it stands at the start")]
    Variable,
    /// A variable in a path on a node.
    #[error("paths on the node have no variables")]
    NodeVariable,
    /// `${job.dir}` or a directory of the executor in it.
    #[error(
        "of the job's directory only these can be given out: {}; what else is there holds secrets or is the executor's own",
        JOB_DIRECTORIES.map(|name| format!("`{JOB_DIR}/{name}`")).join(", ")
    )]
    JobDirectory,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one() {
        for (text, expected) in [
            ("/a/b", Ok("/a/b")),
            ("//a///b/", Ok("/a/b")),
            ("/./a/.", Ok("/a")),
            ("/", Ok("/")),
            ("/a b/ü", Ok("/a b/ü")),
            ("/...", Ok("/...")),
            ("", Err(PathError::Empty)),
            ("a", Err(PathError::Relative)),
            ("~/a", Err(PathError::Relative)),
            ("/a/../b", Err(PathError::Parent)),
            ("/..", Err(PathError::Parent)),
            ("/a\\..\\b", Err(PathError::Parent)),
            ("/a\0b", Err(PathError::Control)),
            ("/a\nb", Err(PathError::Control)),
        ] {
            let path = AbsolutePath::parse(text).map(|path| path.to_string());
            assert_eq!(path, expected.map(str::to_owned), "{text:?}");
        }
        assert!(AbsolutePath::parse(&format!("/{}", "x".repeat(LONGEST_PATH - 1))).is_ok());
        assert_eq!(AbsolutePath::parse(&format!("/{}", "x".repeat(LONGEST_PATH))), Err(PathError::TooLong));
    }

    #[test]
    fn paths_of_a_windows_node_have_one_form_too() {
        for (text, expected) in [
            ("/Etc", Ok("/Etc")),
            ("C:\\Program Files\\X", Ok("/c:/program files/x")),
            ("c:/program files//x/", Ok("/c:/program files/x")),
            ("C:", Ok("/c:")),
            ("C:x", Err(PathError::Relative)),
            ("\\\\server\\share", Err(PathError::Relative)),
            ("C:\\a\\..\\b", Err(PathError::Parent)),
            ("", Err(PathError::Empty)),
            (":/x", Err(PathError::Relative)),
            ("é:/x", Err(PathError::Relative)),
        ] {
            let path = AbsolutePath::parse_on_node(text).map(|path| path.to_string());
            assert_eq!(path, expected.map(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_is_a_directory_and_what_is_below() {
        let path = |text: &str| AbsolutePath::parse(text).unwrap();
        let job = path("/home/x/data/job/1");
        for (pattern, asked, expected) in [
            ("/data", "/data", true),
            ("/data/", "/data/x/y", true),
            ("/data", "/database", false),
            ("/data/x", "/data", false),
            ("${job.dir}/file", "/home/x/data/job/1/file/a", true),
            ("${job.dir}/file/", "/home/x/data/job/1/files", false),
            ("${job.dir}/output-op/x", "/home/x/data/job/1/output-op/y", false),
            ("${job.dir}/file", "/home/x/data/job/2/file/a", false),
        ] {
            let pattern = PathPattern::parse(pattern).unwrap();
            assert_eq!(pattern.holds(&path(asked), Some(&job)), expected, "{pattern} {asked}");
        }
        assert!(!PathPattern::parse("${job.dir}/file").unwrap().holds(&path("/file"), None));
        for (text, expected) in [
            ("/", PathError::Root),
            ("//.", PathError::Root),
            ("x", PathError::Relative),
            ("${job.dir}", PathError::JobDirectory),
            ("${job.dir}/", PathError::JobDirectory),
            ("${job.dir}/.", PathError::JobDirectory),
            ("${job.dir}/params.json", PathError::JobDirectory),
            ("${job.dir}/input/x", PathError::JobDirectory),
            ("${job.dir}/output", PathError::JobDirectory),
            ("${job.dir}/files", PathError::JobDirectory),
            ("${job.dir}/file/../input", PathError::Parent),
            ("${job.dir}x", PathError::Variable),
            ("${home}/x", PathError::Variable),
            ("/x/${job.dir}", PathError::Variable),
            ("${job.dir}/file/${job.dir}", PathError::Variable),
        ] {
            assert_eq!(PathPattern::parse(text), Err(expected), "{text}");
        }
        assert_eq!(PathPattern::parse("${job.dir}//file/").unwrap().to_string(), "${job.dir}/file");
        assert_eq!(PathPattern::parse_on_node("${job.dir}/file"), Err(PathError::NodeVariable));
        assert_eq!(PathPattern::parse_on_node("/").unwrap().to_string(), "/");
    }

    #[test]
    fn what_is_the_executors_own_stays_its_own() {
        let path = |text: &str| AbsolutePath::parse(text).unwrap();
        let own = OwnDirectories { home: Some(path("/opt/ax")), job: Some(path("/opt/ax/data/job/1")) };
        for (asked, read, write) in [
            ("/opt/ax/data/job/1/file/x", false, false),
            ("/opt/ax/data/job/1/log/x", false, true),
            ("/opt/ax/data/job/1/script/x", false, true),
            ("/opt/ax/data/job/1/params.json", true, true),
            ("/opt/ax/data/job/1/input", true, true),
            ("/opt/ax/data/job/1", true, true),
            ("/opt/ax/data/job/2/file/x", true, true),
            ("/opt/ax/conf/config.ini", true, true),
            ("/opt/ax", true, true),
            ("/opt/ax/data/verdata/1", false, false),
            ("/opt/ax/data/verdata2", true, true),
            ("/opt/axe", false, false),
            ("/opt", false, true),
            ("/", false, true),
            ("/data", false, false),
        ] {
            assert_eq!(
                (own.keeps(&path(asked), false), own.keeps(&path(asked), true)),
                (read, write),
                "{asked}"
            );
        }
        let nothing = OwnDirectories::default();
        assert!(!nothing.keeps(&path("/"), true));
        let elsewhere = OwnDirectories { job: Some(path("/tmp/job")), ..own };
        assert!(
            elsewhere.keeps(&path("/tmp/job/params.json"), false) && elsewhere.keeps(&path("/tmp"), true)
        );
    }
}
