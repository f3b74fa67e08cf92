//! Tool `fileops/ftpget`: downloads a file or directory tree from an FTP server to the runner
//! (spec/tools-behaviour/04-file-transfer.md).

use autoexec_sdk::{
    Call, Change, Checkable, Failure, Options, Outcome, Outputs, Tool, ToolResult, filesystem,
    output::Outputs as _,
};
use file_transfer::existing_directory;
use ftp_client::{AccountOptions, Address, Client, fetched_name};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Address of the file or directory, `ftp://host[:port]/path`
    #[option(label = "Address")]
    addr: String,
    /// Directory of the runner, which must be there
    #[option(label = "Directory")]
    dir: String,
    #[option(flatten)]
    account: AccountOptions,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Downloaded {
    /// Path of the file or directory on the runner
    #[output(name = "filePath", label = "File", kind = "filepath")]
    file_path: String,
}

/// From where to where.
fn places(options: &Options) -> Result<(Address, String), Failure> {
    let address = Address::parse(&options.addr)?;
    file_transfer::checked(&format!("/{}", address.path))?;
    let directory =
        existing_directory(&options.dir, |directory| format!("Directory {directory} not exists."))?;
    let local = fetched_name(&directory, address.name())?;
    Ok((address, local))
}

struct FtpGet;

impl Tool for FtpGet {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let (address, local) = places(&options)?;
        let account = options.account.account()?;
        let mut client = Client::log_in(&address.host, address.port, &account)?;
        let moved = ftp_client::download(&mut client, &address.path, &local)?;
        client.quit();
        let said = format!("Download {} to {local}, {} file(s), success.", options.addr.trim(), moved.files);
        Downloaded { file_path: local }.put();
        Ok(Outcome::with_message(said))
    }
}

impl Checkable for FtpGet {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let (_, local) = places(&call.options)?;
        let after = format!("a copy of {}", call.options.addr.trim());
        Ok(vec![if filesystem::exists(&local)? {
            Change::changed(local, "another or the same content", after)
        } else {
            Change::created(local, after)
        }])
    }
}

autoexec_sdk::export_tool!(FtpGet: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::{Host, Script};
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.filesystem().writable("/data");
        host
    }

    #[test]
    fn a_file_is_fetched_by_anybody() {
        let host = host();
        let script = Script::new()
            .shows("220 hi\r\n")
            .expects("USER anonymous\r\n")
            .shows("230 in\r\n")
            .expects("TYPE I\r\n")
            .shows("200 ok\r\n")
            .expects("PWD\r\n")
            .shows("257 \"/\"\r\n")
            .expects("CWD pub/a.txt\r\n")
            .shows("550 no directory\r\n")
            .expects("SIZE pub/a.txt\r\n")
            .shows("213 1\r\n")
            .expects("SIZE pub/a.txt\r\n")
            .shows("213 1\r\n")
            .expects("EPSV\r\n")
            .shows("229 (|||1025|)\r\n")
            .expects("RETR pub/a.txt\r\n")
            .shows("150 go\r\n226 done\r\n")
            .expects("QUIT\r\n");
        host.connections().connect("ftp", 21).answers(Ok(script));
        host.connections().connect("ftp", 1025).answers(Ok(Script::new().shows("x").ends()));
        host.run::<FtpGet>(json!({"addr": "ftp://ftp/pub/a.txt", "dir": "/data"})).unwrap();
        assert_eq!(host.output("filePath"), Some(json!("/data/a.txt")));
        assert_eq!(host.log_lines()[0], "INFO: Login ftp success.");
        let changes = host.check::<FtpGet>(json!({"addr": "ftp://ftp/pub/a.txt", "dir": "/data"})).unwrap();
        assert!(changes[0].before.is_some());
    }

    #[test]
    fn what_can_not_be_is_said_before_anything_is_asked() {
        let host = host();
        for (addr, dir) in
            [("http://ftp/x", "/data"), ("ftp://ftp/a/../b", "/data"), ("ftp://ftp/x", "/data/none")]
        {
            assert!(host.run::<FtpGet>(json!({"addr": addr, "dir": dir})).is_err(), "{addr}");
        }
    }
}
