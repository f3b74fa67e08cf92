//! Tool `fileops/ftpput`: uploads a file or directory tree of the runner to an FTP server
//! (spec/tools-behaviour/04-file-transfer.md).

use autoexec_sdk::{
    Call, Change, Checkable, Failure, Options, Outcome, Outputs, Tool, ToolResult, filesystem,
    output::Outputs as _,
};
use file_transfer::{base_name, checked, join};
use ftp_client::{AccountOptions, Address, Client};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Address of the directory that gets the file or directory, `ftp://host[:port]/path`
    #[option(label = "Address")]
    addr: String,
    /// File or directory of the runner
    #[option(label = "File or directory")]
    dir: String,
    #[option(flatten)]
    account: AccountOptions,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Uploaded {
    /// Address of the copy
    #[output(name = "filePath", label = "Address")]
    file_path: String,
}

/// What goes where.
struct Upload {
    address: Address,
    /// On the runner.
    local: String,
    /// Its name at the server.
    name: String,
}

impl Upload {
    fn of(options: &Options) -> Result<Self, Failure> {
        let address = Address::parse(&options.addr)?;
        checked(&format!("/{}", address.path))?;
        let local = filesystem::in_job(checked(&options.dir)?)?;
        let local = local.trim_end_matches('/').to_owned();
        filesystem::stat(&local)?;
        let name = base_name(&local).to_owned();
        Ok(Self { address, local, name })
    }

    /// The path at the server, as the address has it.
    fn path(&self) -> String {
        if self.address.path.is_empty() { self.name.clone() } else { join(&self.address.path, &self.name) }
    }

    fn shown(&self, options: &Options) -> String {
        join(options.addr.trim(), &self.name)
    }
}

struct FtpPut;

impl Tool for FtpPut {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let upload = Upload::of(&options)?;
        let account = options.account.account()?;
        let mut client = Client::log_in(&upload.address.host, upload.address.port, &account)?;
        let moved = ftp_client::upload(&mut client, &upload.local, &upload.path())?;
        client.quit();
        let shown = upload.shown(&options);
        let said = format!("Upload {} to {shown}, {} file(s), success.", upload.local, moved.files);
        Uploaded { file_path: shown }.put();
        Ok(Outcome::with_message(said))
    }
}

impl Checkable for FtpPut {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let upload = Upload::of(&call.options)?;
        Ok(vec![Change::created(upload.shown(&call.options), format!("a copy of {}", upload.local))])
    }
}

autoexec_sdk::export_tool!(FtpPut: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::{Host, Script};
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.filesystem().readable("/data").file("/data/a.txt", "abc");
        host
    }

    #[test]
    fn a_file_is_sent_with_the_password_by_reference() {
        let host = host();
        host.secrets().value("option:pass").answers(Ok("the-ref".into()));
        let script = Script::new()
            .shows("220 hi\r\n")
            .expects("USER me\r\n")
            .shows("331 password\r\n")
            .expects("PASS the-ref\r\n")
            .shows("230 in\r\n")
            .expects("TYPE I\r\n")
            .shows("200 ok\r\n")
            .expects("EPSV\r\n")
            .shows("229 (|||1025|)\r\n")
            .expects("STOR in/a.txt\r\n")
            .shows("150 go\r\n226 done\r\n")
            .expects("SIZE in/a.txt\r\n")
            .shows("213 3\r\n")
            .expects("QUIT\r\n");
        host.connections().connect("ftp", 2121).answers(Ok(script));
        host.connections().connect("ftp", 1025).answers(Ok(Script::new().expects("abc")));
        let options =
            json!({"addr": "ftp://ftp:2121/in", "dir": "/data/a.txt", "user": "me", "pass": "the-ref"});
        host.run::<FtpPut>(options.clone()).unwrap();
        assert_eq!(host.output("filePath"), Some(json!("ftp://ftp:2121/in/a.txt")));
        let changes = host.check::<FtpPut>(options).unwrap();
        assert_eq!(changes[0].subject, "ftp://ftp:2121/in/a.txt");
    }

    #[test]
    fn a_missing_file_is_said_before_anything_is_asked() {
        let host = host();
        let failure = host.run::<FtpPut>(json!({"addr": "ftp://ftp", "dir": "/data/none"})).unwrap_err();
        assert!(failure.message().contains("/data/none"), "{failure}");
    }
}
