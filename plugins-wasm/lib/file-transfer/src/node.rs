//! Copies between the runner and the node.

use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::target::{self, TargetError, Times};
use autoexec_sdk::{Change, Choice, Failure, HostError, log};
use wildcard::{Dialect, Wildcard};

use crate::paths::{base_name, checked, join};

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Direction {
    /// From the node to the runner.
    #[choice(label = "Pull")]
    Pull,
    /// From the runner to the node.
    #[choice(label = "Push")]
    Push,
}

/// Several copies to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Which way.
    pub direction: Direction,
    /// Files and directories, with wildcards in any part.
    pub sources: Vec<String>,
    /// A file, or a directory; see [`Ends`].
    pub destination: String,
    /// Whether times of last change are kept.
    pub keeps_times: bool,
    /// A source that is not there is no failure.
    pub only_if_exists: bool,
}

/// Where the copy of one source ends up: a file keeps its name in a directory that is there and in one that is written
/// with a slash at the end; what a directory holds goes into the destination, and the directory itself below one that is
/// written with a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The source.
    pub from: String,
    /// The path of its copy.
    pub to: String,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

/// One of the two file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Runner,
    Node,
}

impl Side {
    fn kind(self, path: &str) -> Result<Option<Kind>, Failure> {
        let kind = |is_directory| Some(if is_directory { Kind::Directory } else { Kind::File });
        match self {
            Self::Runner => match filesystem::stat(path) {
                Ok(entry) => Ok(kind(entry.is_directory)),
                Err(HostError { reason: FileError::NotFound, .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Node => match target::stat(path) {
                Ok(entry) => Ok(kind(entry.is_directory)),
                Err(HostError { reason: TargetError::NotFound(_), .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// The names in a directory; none for what is no directory.
    fn names(self, directory: &str) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Runner => match filesystem::list_directory(directory) {
                Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
                Err(HostError { reason: FileError::NotFound | FileError::WrongKind(_), .. }) => Vec::new(),
                Err(error) => return Err(error.into()),
            },
            Self::Node => match self.kind(directory)? {
                Some(Kind::Directory) => {
                    target::list_directory(directory)?.into_iter().map(|entry| entry.name).collect()
                }
                _ => Vec::new(),
            },
        })
    }

    /// The paths that a path with wildcards stands for.
    fn expand(self, path: &str) -> Result<Vec<String>, Failure> {
        let mut found = vec![String::new()];
        let parts = path.trim_end_matches('/').split('/');
        let is_absolute = path.starts_with('/');
        let mut is_first = true;
        for part in parts {
            let mut next = Vec::new();
            for base in found {
                let at = |name: &str| {
                    if is_first && !is_absolute { name.to_owned() } else { format!("{base}/{name}") }
                };
                if is_first && part.is_empty() {
                    next.push(String::new());
                } else if Dialect::Plain.has_wildcard(part) {
                    let directory = match (is_first, base.is_empty()) {
                        (true, _) => ".",
                        (false, true) => "/",
                        (false, false) => base.as_str(),
                    };
                    let fitting = Wildcard::new(part, Dialect::Plain)
                        .map_err(|error| Failure::other("invalid-path", format!("{path}: {part} {error}")))?;
                    let mut names = self.names(directory)?;
                    names.retain(|name| fitting.matches(name));
                    names.sort();
                    next.extend(names.iter().map(|name| at(name)));
                } else {
                    next.push(at(part));
                }
            }
            found = next;
            is_first = false;
        }
        Ok(found)
    }
}

impl Copy {
    /// Copies all. The first that fails ends it.
    pub fn run(&self) -> Result<(), Failure> {
        let times = if self.keeps_times { Times::Keep } else { Times::New };
        for Ends { from, to } in self.plan()? {
            log::info(format_args!("Begin to copy {from} to {to} ..."));
            let bytes = match self.direction {
                Direction::Push => target::upload(&from, &to, times)?,
                Direction::Pull => target::download(&from, &to, times)?,
            };
            log::fine(format_args!("Copied {from} to {to}, {bytes} bytes."));
        }
        Ok(())
    }

    /// What it would change, one for each source.
    pub fn check(&self) -> Result<Vec<Change>, Failure> {
        let destination = self.sides().1;
        let change = |Ends { from, to }: Ends| {
            let after = format!("a copy of {from}");
            Ok(match destination.kind(&to)? {
                None => Change::created(to, after),
                Some(Kind::File) => Change::changed(to, "another or the same file", after),
                Some(Kind::Directory) => Change::changed(to, "a directory", format!("with {after}")),
            })
        };
        self.plan()?.into_iter().map(change).collect()
    }

    fn sides(&self) -> (Side, Side) {
        match self.direction {
            Direction::Push => (Side::Runner, Side::Node),
            Direction::Pull => (Side::Node, Side::Runner),
        }
    }

    /// Each source that is there, with the place of its copy.
    pub fn plan(&self) -> Result<Vec<Ends>, Failure> {
        let (source_side, destination_side) = self.sides();
        let destination = on(destination_side, checked(&self.destination)?)?;
        let mut sources = Vec::new();
        for source in &self.sources {
            let path = on(source_side, checked(source)?)?;
            let mut found = Vec::new();
            for path in source_side.expand(&path)? {
                if let Some(kind) = source_side.kind(&path)? {
                    found.push((path, kind));
                }
            }
            if found.is_empty() && self.only_if_exists {
                log::warn(format_args!("Src path {source} not exists, left out."));
            } else if found.is_empty() {
                return Err(Failure::not_found(format!("Src path {source} not exists .")));
            }
            sources.append(&mut found);
        }
        let is_below = destination.ends_with('/');
        let there = destination_side.kind(destination.trim_end_matches('/'))?;
        if self.direction == Direction::Pull && is_below && there.is_none() {
            return Err(Failure::not_found(format!("Dest path {} not exists .", self.destination)));
        }
        let several_files = sources.iter().filter(|(_, kind)| *kind == Kind::File).count() > 1;
        if several_files && !is_below && there != Some(Kind::Directory) {
            let message = format!(
                "{} is no directory, and several files are to be copied there: make it, or write a slash at its end",
                self.destination
            );
            return Err(Failure::other("wrong-kind", message));
        }
        let ends = sources.into_iter().map(|(from, kind)| {
            let keeps_name = match kind {
                Kind::File => is_below || there == Some(Kind::Directory),
                Kind::Directory => is_below,
            };
            let to = if keeps_name { join(&destination, base_name(&from)) } else { destination.clone() };
            Ends { from, to }
        });
        Ok(ends.collect())
    }
}

/// A path as its side takes it: on the runner relative ones are below the job's directory.
fn on(side: Side, path: &str) -> Result<String, Failure> {
    match side {
        Side::Runner => filesystem::in_job(path),
        Side::Node => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::Entry;
    use autoexec_sdk::testing::Host;

    fn entry(name: &str, is_directory: bool) -> Entry {
        Entry { name: name.into(), is_directory, size: 1, modified: 0, mode: 0o644 }
    }

    fn push(sources: &[&str], destination: &str) -> Copy {
        Copy {
            direction: Direction::Push,
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
            destination: destination.into(),
            keeps_times: false,
            only_if_exists: false,
        }
    }

    fn runner() -> Host {
        let host = Host::new();
        host.set_variable("AUTOEXEC_WORK_PATH", "/job");
        host.filesystem().readable("/job").readable("/srv");
        host.filesystem().file("/job/file/a.rpm", "a").file("/job/file/b.rpm", "b").file("/srv/app/x/y", "y");
        host
    }

    fn missing(host: &Host, path: &str) {
        host.target().stat(path).answers(Err(TargetError::NotFound(path.into())));
    }

    #[test]
    fn a_file_goes_to_the_path_or_into_the_directory() {
        let host = runner();
        missing(&host, "/opt/new.rpm");
        let plan = push(&["file/a.rpm"], "/opt/new.rpm").plan().unwrap();
        assert_eq!(plan, [Ends { from: "/job/file/a.rpm".into(), to: "/opt/new.rpm".into() }]);
        host.target().stat("/opt").answers(Ok(entry("opt", true)));
        let plan = push(&["file/*.rpm"], "/opt").plan().unwrap();
        assert_eq!(plan[1], Ends { from: "/job/file/b.rpm".into(), to: "/opt/b.rpm".into() });
        missing(&host, "/opt/none");
        assert_eq!(push(&["file/a.rpm"], "/opt/none/").plan().unwrap()[0].to, "/opt/none/a.rpm");
        missing(&host, "/opt/none");
        assert!(push(&["file/*.rpm"], "/opt/none").plan().unwrap_err().message().contains("no directory"));
    }

    #[test]
    fn a_directory_goes_into_the_destination_or_below_it() {
        let host = runner();
        host.target().stat("/opt").answers_times(2, Ok(entry("opt", true)));
        assert_eq!(push(&["/srv/app"], "/opt").plan().unwrap()[0].to, "/opt");
        assert_eq!(push(&["/srv/app/"], "/opt/").plan().unwrap()[0].to, "/opt/app");
    }

    #[test]
    fn what_is_missing_fails_unless_that_is_fine() {
        let host = runner();
        let failure = push(&["file/none"], "/opt/x").plan().unwrap_err();
        assert_eq!(failure.message(), "Src path file/none not exists .");
        missing(&host, "/opt/x");
        let lenient = Copy { only_if_exists: true, ..push(&["file/none"], "/opt/x") };
        lenient.run().unwrap();
        assert_eq!(host.log_lines(), ["WARN: Src path file/none not exists, left out."]);
        assert!(push(&["file/../a"], "/opt").plan().is_err());
    }

    #[test]
    fn pulling_expands_wildcards_on_the_node() {
        let host = runner();
        host.target().stat("/var/log").answers(Ok(entry("log", true)));
        let names = [entry("a.log", false), entry("b.txt", false)];
        host.target().list_directory("/var/log").answers(Ok(names.to_vec()));
        host.target().stat("/var/log/a.log").answers(Ok(entry("a.log", false)));
        host.target().download("/var/log/a.log", "/srv/app/a.log").answers_with(|copy| {
            assert!(copy.2, "times are kept");
            Ok(1)
        });
        let copy =
            Copy { direction: Direction::Pull, keeps_times: true, ..push(&["/var/log/*.log"], "/srv/app") };
        copy.run().unwrap();
        assert_eq!(host.log_lines()[1], "FINE: Copied /var/log/a.log to /srv/app/a.log, 1 bytes.");
        let nowhere = Copy { direction: Direction::Pull, ..push(&["/var/log/a.log"], "/srv/none/") };
        host.target().stat("/var/log/a.log").answers(Ok(entry("a.log", false)));
        assert_eq!(nowhere.plan().unwrap_err().message(), "Dest path /srv/none/ not exists .");
    }

    #[test]
    fn a_check_says_what_would_be_there() {
        let host = runner();
        host.target().stat("/opt/x").answers_times(1, Ok(entry("x", false)));
        host.target().stat("/opt/x").answers(Ok(entry("x", false)));
        let changes = push(&["file/a.rpm"], "/opt/x").check().unwrap();
        assert_eq!(changes[0].subject, "/opt/x");
        assert_eq!(changes[0].after.as_deref(), Some("a copy of /job/file/a.rpm"));
    }
}
