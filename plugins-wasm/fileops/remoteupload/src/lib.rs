//! Tool `fileops/remoteupload`: pushes files that a user has attached to the job to the node
//! (spec/tools-behaviour/04-file-transfer.md).

use autoexec_sdk::{
    Call, Change, Checkable, Failure, FailureContext as _, Options, Outcome, Tool, ToolResult, log,
};
use file_transfer::{Copy, Direction};
use serde_json::Value;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Show more
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    /// The attached files
    #[option(label = "Files")]
    src: Attachments,
    /// A file, or a directory with a slash at its end
    #[option(label = "Destination")]
    dest: String,
}

/// Paths of attached files: a list, or a text with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attachments(Vec<String>);

impl autoexec_sdk::options::OptionValue for Attachments {
    const KIND: &'static str = r#""type":"file""#;

    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let list = match serde_json::from_str::<Vec<String>>(&text) {
            Ok(list) => list,
            Err(_) if text.trim_start().starts_with('[') => {
                return Err(format!("{text} is no list of files"));
            }
            Err(_) => text.split(',').map(|path| path.trim().to_owned()).collect(),
        };
        let list: Vec<String> = list.into_iter().filter(|path| !path.is_empty()).collect();
        if list.is_empty() { Err("no file is attached".into()) } else { Ok(Self(list)) }
    }
}

struct RemoteUpload;

impl RemoteUpload {
    fn copy(options: &Options) -> Copy {
        Copy {
            direction: Direction::Push,
            sources: options.src.0.clone(),
            destination: options.dest.clone(),
            keeps_times: false,
            only_if_exists: false,
        }
    }
}

impl Tool for RemoteUpload {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let shown = format!("remoteupload --push {} {}", options.src.0.join(","), options.dest);
        if options.verbose {
            log::info(format_args!("{} file(s) to copy.", options.src.0.len()));
        }
        Self::copy(&options).run().context(format_args!("{shown} failed"))?;
        log::info(format_args!("{shown} success."));
        Ok(Outcome::default())
    }
}

impl Checkable for RemoteUpload {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        Self::copy(&call.options).check()
    }
}

autoexec_sdk::export_tool!(RemoteUpload: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::TargetError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.set_variable("AUTOEXEC_WORK_PATH", "/job");
        host.filesystem().readable("/job/file").file("/job/file/a.zip", "a").file("/job/file/b.zip", "b");
        host
    }

    #[test]
    fn all_spellings_of_a_list_are_taken() {
        for src in [
            json!(["file/a.zip", "file/b.zip"]),
            json!("file/a.zip, file/b.zip"),
            json!("[\"file/a.zip\",\"file/b.zip\"]"),
        ] {
            let host = host();
            host.target().stat("/tmp/in").answers(Err(TargetError::NotFound("/tmp/in".into())));
            host.target().upload("/job/file/a.zip", "/tmp/in/a.zip").answers(Ok(1));
            host.target().upload("/job/file/b.zip", "/tmp/in/b.zip").answers(Ok(1));
            host.run::<RemoteUpload>(json!({"src": src, "dest": "/tmp/in/"})).unwrap();
            assert_eq!(
                host.lines().last().unwrap(),
                "remoteupload --push file/a.zip,file/b.zip /tmp/in/ success."
            );
        }
    }

    #[test]
    fn no_file_is_said_before_anything_is_done() {
        let host = host();
        for src in [json!([]), json!("[]"), json!(","), json!("[broken")] {
            let failure = host.run::<RemoteUpload>(json!({"src": src, "dest": "/tmp/in"})).unwrap_err();
            assert!(failure.message().contains("option `src`"), "{failure}");
        }
    }

    #[test]
    fn a_check_copies_nothing() {
        let host = host();
        host.target().stat("/tmp/a").answers_times(2, Err(TargetError::NotFound("/tmp/a".into())));
        let changes = host.check::<RemoteUpload>(json!({"src": "file/a.zip", "dest": "/tmp/a"})).unwrap();
        assert_eq!(changes.len(), 1);
    }
}
