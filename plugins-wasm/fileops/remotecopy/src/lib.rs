//! Tool `fileops/remotecopy`: copies files and directories between the runner and the node, over the executor's own
//! connection (spec/tools-behaviour/04-file-transfer.md).

use autoexec_sdk::{
    Call, Change, Checkable, Failure, FailureContext as _, Options, Outcome, Tool, ToolResult, job, log,
};
use file_transfer::{Copy, Direction};

/// What a job may set.
#[derive(Debug, Options)]
#[expect(clippy::struct_excessive_bools, reason = "these are the options of the tool")]
pub struct Options {
    /// Show more
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    /// From the node to the runner, or from the runner to the node
    #[option(default = "pull", required = true)]
    direction: Direction,
    /// Files and directories, separated by commas; `*` and `?` stand for several
    #[option(label = "Source")]
    src: String,
    /// A file, or a directory with a slash at its end
    #[option(label = "Destination")]
    dest: String,
    /// Copies get the time of the copy instead of the time of the original
    #[option(label = "New times", choices = "1=Yes, 0=No", default = "1", required = true)]
    np: bool,
    /// Kept for existing jobs: links within a granted directory are always followed, others never
    #[option(label = "Follow links", choices = "0=No, 1=Yes", default = "0", required = true)]
    followlinks: bool,
    /// A source that is not there is no failure
    #[option(label = "Copy if it exists", choices = "0=No, 1=Yes", default = "0", required = true)]
    cpifexists: bool,
}

struct RemoteCopy;

impl RemoteCopy {
    fn copy(options: &Options) -> Result<Copy, Failure> {
        let protocol = job::node().protocol;
        if !matches!(protocol.as_str(), "ssh" | "tagent") {
            let message = format!("Protolc {protocol} not supported by remotecopy, failed.");
            return Err(Failure::other("unsupported", message));
        }
        let sources = options.src.split(',').map(str::trim).filter(|source| !source.is_empty());
        Ok(Copy {
            direction: options.direction,
            sources: sources.map(str::to_owned).collect(),
            destination: options.dest.clone(),
            keeps_times: !options.np,
            only_if_exists: options.cpifexists,
        })
    }

    fn shown(options: &Options) -> String {
        format!("remotecopy --{} {} {}", options.direction.value(), options.src, options.dest)
    }
}

impl Tool for RemoteCopy {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let copy = Self::copy(&options)?;
        if options.verbose {
            log::info(format_args!("Copying by the protocol {}.", job::node().protocol));
        }
        if options.followlinks {
            log::info("Links are followed within a granted directory only.");
        }
        let shown = Self::shown(&options);
        copy.run().context(format_args!("{shown} failed"))?;
        log::info(format_args!("{shown} success."));
        Ok(Outcome::default())
    }
}

impl Checkable for RemoteCopy {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        Self::copy(&call.options)?.check()
    }
}

autoexec_sdk::export_tool!(RemoteCopy: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::{Entry, TargetError};
    use autoexec_sdk::testing::Host;
    use serde_json::{Value, json};

    fn host(protocol: &str) -> Host {
        let host = Host::new();
        host.set_variable("AUTOEXEC_WORK_PATH", "/job");
        host.filesystem().writable("/job").file("/job/file/a", "a").file("/job/file/b", "b");
        let protocol = protocol.to_owned();
        host.set_node(|node| node.protocol = protocol);
        host
    }

    fn push(src: &str, dest: &str) -> Value {
        json!({"direction": "push", "src": src, "dest": dest, "np": "0"})
    }

    #[test]
    fn pushing_keeps_times_and_says_what_was_done() {
        let host = host("ssh");
        host.target().stat("/opt").answers(Ok(Entry {
            name: "opt".into(),
            is_directory: true,
            size: 0,
            modified: 0,
            mode: 0o755,
        }));
        for name in ["a", "b"] {
            let (from, to) = (format!("/job/file/{name}"), format!("/opt/{name}"));
            host.target().upload(&from, &to).answers_with(|copy| {
                assert!(copy.2);
                Ok(1)
            });
        }
        host.run::<RemoteCopy>(push("file/a, file/b", "/opt")).unwrap();
        assert_eq!(host.lines().last().unwrap(), "remotecopy --push file/a, file/b /opt success.");
    }

    #[test]
    fn what_failed_is_said() {
        let host = host("tagent");
        host.target().stat("/opt/a").answers(Err(TargetError::NotFound("/opt/a".into())));
        host.target().upload("/job/file/a", "/opt/a").answers(Err(TargetError::Denied("no rule".into())));
        let failure = host.run::<RemoteCopy>(push("file/a", "/opt/a")).unwrap_err();
        assert_eq!(
            failure.message(),
            "remotecopy --push file/a /opt/a failed: copying /job/file/a to /opt/a on the node: not granted: no rule"
        );
    }

    #[test]
    fn other_protocols_are_refused() {
        let host = host("snmp");
        let failure = host.run::<RemoteCopy>(push("file/a", "/opt/a")).unwrap_err();
        assert_eq!(failure.message(), "Protolc snmp not supported by remotecopy, failed.");
    }

    #[test]
    fn a_check_copies_nothing() {
        let host = host("ssh");
        host.target().stat("/opt/a").answers_times(2, Err(TargetError::NotFound("/opt/a".into())));
        let changes = host.check::<RemoteCopy>(push("file/a", "/opt/a")).unwrap();
        assert_eq!((changes[0].subject.as_str(), changes[0].before.as_deref()), ("/opt/a", None));
    }
}
