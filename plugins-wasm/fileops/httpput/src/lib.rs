//! Tool `fileops/httpput`: uploads a file as a multipart form (spec/tools-behaviour/04-file-transfer.md).

use std::time::Duration;

use autoexec_sdk::{
    Call, Change, Checkable, Failure, Options, Outcome, Outputs, Tool, ToolResult, filesystem, http,
    output::Outputs as _, random,
};
use file_transfer::{BasicAccount, Progress, base_name, checked};

/// Longest time for sending all of it and getting the answer.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Redirects that are followed, by a GET.
const REDIRECTS: u32 = 5;

/// The most bytes of an answer that are put out.
const MOST_ANSWER: u64 = 4 << 20;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// URL that takes the form
    #[option(label = "Address")]
    addr: String,
    /// Path of the file on the runner
    #[option(label = "File")]
    dir: String,
    #[option(flatten)]
    account: BasicAccount,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Uploaded {
    /// What the server answered
    #[output(name = "uploadResponse", label = "Answer")]
    upload_response: String,
}

/// The file that is sent.
struct Source {
    path: String,
    size: u64,
}

fn source(options: &Options) -> Result<Source, Failure> {
    let path = filesystem::in_job(checked(&options.dir)?)?;
    let entry = filesystem::stat(&path)?;
    if entry.is_directory {
        let message = format!("{path} is a directory: name one file");
        return Err(Failure::other("wrong-kind", message));
    }
    Ok(Source { path, size: entry.size })
}

struct HttpPut;

impl Tool for HttpPut {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let Source { path, size } = source(&options)?;
        let url = options.addr.trim();
        let boundary = format!("autoexec-{:016x}{:016x}", random::number(), random::number());
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            quoted(base_name(&path))
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let length = size + (head.len() + tail.len()) as u64;
        let mut progress = Progress::new(base_name(&path), Some(size));
        let mut sent = 0;
        let content = filesystem::chunks(&path).map(move |piece| {
            let piece = piece?;
            sent += piece.len() as u64;
            progress.at(sent);
            Ok(piece)
        });
        let pieces = std::iter::once(Ok(head.into_bytes()))
            .chain(content)
            .chain(std::iter::once(Ok(tail.into_bytes())));
        let mut request = http::post(url)
            .timeout(TIMEOUT)
            .follow_redirects(REDIRECTS)
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .body_pieces(length, pieces);
        if let Some(authorization) = options.account.authorization()? {
            request = request.header("authorization", authorization);
        }
        let answer = request.send()?.require_success()?.text(MOST_ANSWER)?;
        Uploaded { upload_response: answer }.put();
        Ok(Outcome::with_message(format!("Upload {path} to {url} success.")))
    }
}

impl Checkable for HttpPut {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let Source { path, size } = source(&call.options)?;
        Ok(vec![Change::created(call.options.addr.trim(), format!("an upload of {path}, {size} bytes"))])
    }
}

/// A file name as browsers write it into a form (WHATWG HTML, multipart/form-data).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

autoexec_sdk::export_tool!(HttpPut: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    const URL: &str = "http://repo/upload";

    fn host() -> Host {
        let host = Host::new();
        host.filesystem().readable("/data").file("/data/a\"b.txt", "content");
        host
    }

    #[test]
    fn the_form_holds_the_file() {
        let host = host();
        host.http()
            .request("POST", URL)
            .checked(|sent| {
                let kind = sent.header("content-type").unwrap();
                let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
                let body = String::from_utf8(sent.body.clone()).unwrap();
                assert_eq!(sent.header("content-length"), Some(body.len().to_string().as_str()));
                assert_eq!(
                    body,
                    format!(
                        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22b.txt\"\r\n\
                         Content-Type: application/octet-stream\r\n\r\ncontent\r\n--{boundary}--\r\n"
                    )
                );
            })
            .responds(200, "stored as 7");
        let outcome = host.run::<HttpPut>(json!({"addr": URL, "dir": "/data/a\"b.txt"})).unwrap();
        assert_eq!(outcome.message.unwrap(), format!("Upload /data/a\"b.txt to {URL} success."));
        assert_eq!(host.output("uploadResponse"), Some(json!("stored as 7")));
    }

    #[test]
    fn a_redirect_is_followed_by_a_get_and_a_refusal_fails() {
        let host = host();
        host.http().request("POST", URL).redirects(302, "/done");
        host.http().request("GET", "http://repo/done").responds(200, "ok");
        host.run::<HttpPut>(json!({"addr": URL, "dir": "/data/a\"b.txt"})).unwrap();
        host.http().request("POST", URL).responds(500, "disk full");
        let failure = host.run::<HttpPut>(json!({"addr": URL, "dir": "/data/a\"b.txt"})).unwrap_err();
        assert!(failure.message().contains("disk full"), "{failure}");
    }

    #[test]
    fn a_check_sends_nothing() {
        let host = host();
        let changes = host.check::<HttpPut>(json!({"addr": URL, "dir": "/data/a\"b.txt"})).unwrap();
        assert_eq!(changes[0].after.as_deref(), Some("an upload of /data/a\"b.txt, 7 bytes"));
        assert!(host.check::<HttpPut>(json!({"addr": URL, "dir": "/data"})).is_err());
        assert!(host.check::<HttpPut>(json!({"addr": URL, "dir": "/data/none"})).is_err());
    }
}
