//! Tool `fileops/httpget`: downloads a URL to a directory of the runner, unless the file there is as new
//! (spec/tools-behaviour/04-file-transfer.md).

use std::time::Duration;

use autoexec_sdk::filesystem::{self, Entry, FileError};
use autoexec_sdk::{
    Call, Change, Checkable, Failure, HostError, Options, Outcome, Outputs, Tool, ToolResult, http, log,
    output::Outputs as _,
};
use file_transfer::{BasicAccount, Progress, base_name, existing_directory, join};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

/// Longest wait for the begin of the answer and for each further piece of it.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Redirects that are followed.
const REDIRECTS: u32 = 10;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// URL of the file
    #[option(label = "Address")]
    addr: String,
    /// Directory of the runner, which must be there
    #[option(label = "Directory")]
    dir: String,
    #[option(flatten)]
    account: BasicAccount,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Downloaded {
    /// Path of the file on the runner
    #[output(name = "filePath", label = "File", kind = "filepath")]
    file_path: String,
}

/// A download, with what is there already.
struct Download {
    url: String,
    path: String,
    present: Option<Entry>,
    authorization: Option<String>,
}

impl Download {
    fn prepare(options: &Options) -> Result<Self, Failure> {
        let url = options.addr.trim().to_owned();
        let directory =
            existing_directory(&options.dir, |directory| format!("Directory {directory} not exists."))?;
        let name = file_name(&url)?;
        let path = join(&directory, &name);
        let present = match filesystem::stat(&path) {
            Ok(entry) if entry.is_directory => {
                let message = format!("{path} is a directory: it can not be replaced by a download");
                return Err(Failure::other("wrong-kind", message));
            }
            Ok(entry) => Some(entry),
            Err(HostError { reason: FileError::NotFound, .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let authorization = options.account.authorization()?;
        Ok(Self { url, path, present, authorization })
    }

    /// A request that answers 304 when the file here is as new.
    fn request(&self, request: http::Request) -> http::Request {
        let mut request = request.timeout(TIMEOUT).follow_redirects(REDIRECTS);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.clone());
        }
        match self.present.as_ref().and_then(|entry| http_date(entry.modified)) {
            Some(date) => request.header("if-modified-since", date),
            None => request,
        }
    }

    fn said(&self) -> String {
        format!("Download {} to {} success.", self.url, self.path)
    }
}

struct HttpGet;

impl Tool for HttpGet {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let download = Download::prepare(&call.options)?;
        let response = download.request(http::get(&download.url)).send()?;
        if response.status() == 304 && download.present.is_some() {
            log::info(format_args!("{} has not changed at the server.", download.path));
        } else {
            let response = response.require_success()?;
            let total = response.header("content-length").and_then(|length| length.parse().ok());
            let modified = response.header("last-modified").and_then(seconds);
            let mut progress = Progress::new(base_name(&download.path), total);
            let size = response.save_telling(&download.path, u64::MAX, |bytes| progress.at(bytes))?;
            if let Some(modified) = modified {
                filesystem::set_modified(&download.path, modified)?;
            }
            log::info(format_args!("{size} bytes."));
        }
        let said = download.said();
        Downloaded { file_path: download.path }.put();
        Ok(Outcome::with_message(said))
    }
}

impl Checkable for HttpGet {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let download = Download::prepare(&call.options)?;
        let after = format!("the content of {}", download.url);
        let Some(present) = &download.present else { return Ok(vec![Change::created(download.path, after)]) };
        let response = download.request(http::head(&download.url)).send()?;
        if response.status() == 304 {
            return Ok(Vec::new());
        }
        // Servers that do not know HEAD can not tell; then it may change.
        if response.status() != 405 && response.status() != 501 {
            response.require_success()?;
        }
        let before = format!("{} bytes of {}", present.size, shown_time(present.modified));
        Ok(vec![Change::changed(download.path, before, after)])
    }
}

/// The last part of a URL's path, as a file name.
fn file_name(url: &str) -> Result<String, Failure> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let last = path.split_once('/').map(|(_, path)| path.rsplit('/').next().unwrap_or_default());
    let name = decoded(last.unwrap_or_default());
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        let message = format!("the URL {url} ends with no file name: name a file");
        return Err(Failure::invalid_option("addr", message));
    }
    Ok(name)
}

/// Text with its `%xx` as characters. What is no UTF-8 then stays as it was.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, behind @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default());
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A moment as in the header `If-Modified-Since` (RFC 9110).
fn http_date(seconds: i64) -> Option<String> {
    let moment = Timestamp::from_second(seconds).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()
}

fn seconds(date: &str) -> Option<i64> {
    DateTimeParser::new().parse_timestamp(date).ok().map(Timestamp::as_second)
}

fn shown_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}

autoexec_sdk::export_tool!(HttpGet: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::{Value, json};

    const URL: &str = "http://repo/pkg/a%20b.rpm?token=1";

    fn host() -> Host {
        let host = Host::new();
        host.filesystem().writable("/data");
        host
    }

    fn options() -> Value {
        json!({"addr": URL, "dir": "/data"})
    }

    #[test]
    fn a_file_is_downloaded_with_its_time() {
        let host = host();
        host.http()
            .request("GET", URL)
            .checked(|sent| assert_eq!(sent.header("if-modified-since"), None))
            .with_header("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT")
            .responds(200, "content");
        host.run::<HttpGet>(options()).unwrap();
        assert_eq!(host.filesystem().content("/data/a b.rpm").as_deref(), Some(b"content".as_slice()));
        assert_eq!(host.output("filePath"), Some(json!("/data/a b.rpm")));
        assert_eq!(host.filesystem().paths(), ["/data/a b.rpm"]);
        // The next one asks whether it has changed.
        host.http()
            .request("GET", URL)
            .checked(|sent| {
                assert_eq!(sent.header("if-modified-since"), Some("Sat, 01 Jan 2000 00:00:00 GMT"));
            })
            .responds(304, "");
        let outcome = host.run::<HttpGet>(options()).unwrap();
        assert_eq!(outcome.message.unwrap(), format!("Download {URL} to /data/a b.rpm success."));
        host.http().request("HEAD", URL).responds(304, "");
        assert_eq!(host.check::<HttpGet>(options()).unwrap(), []);
        host.http().request("HEAD", URL).responds(200, "");
        let changes = host.check::<HttpGet>(options()).unwrap();
        assert_eq!(changes[0].before.as_deref(), Some("7 bytes of 2000-01-01T00:00:00Z"));
    }

    #[test]
    fn a_refusal_shows_what_the_server_says_and_leaves_the_file() {
        let host = host();
        host.filesystem().file("/data/a b.rpm", "old");
        host.http().request("GET", URL).responds(403, "no licence");
        let failure = host.run::<HttpGet>(options()).unwrap_err();
        assert!(failure.message().contains("403") && failure.message().contains("no licence"), "{failure}");
        assert_eq!((failure.exit_code(), host.output("filePath")), (1, None));
        assert_eq!(host.filesystem().content("/data/a b.rpm").as_deref(), Some(b"old".as_slice()));
    }

    #[test]
    fn a_user_is_sent_with_the_password() {
        let host = host();
        host.secrets().basic_authorization("me", "option:pass").answers(Ok("basic-ref".into()));
        host.http()
            .request("GET", URL)
            .checked(|sent| assert_eq!(sent.header("authorization"), Some("basic-ref")))
            .responds(200, "x");
        let options = json!({"addr": URL, "dir": "/data", "user": "me", "pass": "ref"});
        host.run::<HttpGet>(options).unwrap();
        let without = json!({"addr": URL, "dir": "/data", "user": "me"});
        assert!(host.run::<HttpGet>(without).unwrap_err().message().contains("without a password"));
    }

    #[test]
    fn what_can_not_be_is_said_first() {
        let host = host();
        let missing = host.run::<HttpGet>(json!({"addr": URL, "dir": "/data/none"})).unwrap_err();
        assert_eq!(missing.message(), "Directory /data/none not exists.");
        for url in ["http://repo", "http://repo/", "http://repo/x/..", "http://repo/a%2Fb", "http://repo/?x"]
        {
            assert!(host.run::<HttpGet>(json!({"addr": url, "dir": "/data"})).is_err(), "{url}");
        }
        let created = host.check::<HttpGet>(options()).unwrap();
        assert_eq!(created[0].before, None);
    }
}
