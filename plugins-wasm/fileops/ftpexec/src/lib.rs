//! Tool `fileops/ftpexec`: pushes or pulls files and directory trees, with the node as FTP server
//! (spec/tools-behaviour/04-file-transfer.md).

use autoexec_sdk::job::{self, Node};
use autoexec_sdk::{
    Call, Change, Checkable, Failure, FailureContext as _, Options, Outcome, Tool, ToolResult, filesystem,
    log, secret,
};
use file_transfer::{Direction, base_name, checked, existing_directory, join};
use ftp_client::{Account, Client, fetched_name};

/// The usual port of FTP.
const PORT: u16 = 21;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Show more
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    /// From the node to the runner, or from the runner to the node
    #[option(default = "pull", required = true)]
    direction: Direction,
    /// Files and directories, separated by commas
    #[option(label = "Source")]
    src: String,
    /// Directory that gets them
    #[option(label = "Destination")]
    dest: String,
}

/// One copy: a path of the runner and one of the node.
struct Copy {
    local: String,
    remote: String,
}

fn copies(options: &Options) -> Result<Vec<Copy>, Failure> {
    let destination = checked(&options.dest)?;
    let sources = options.src.split(',').map(str::trim).filter(|source| !source.is_empty());
    let directory = match options.direction {
        Direction::Pull => {
            existing_directory(destination, |directory| format!("Dest path {directory} not exists ."))?
        }
        Direction::Push => destination.to_owned(),
    };
    let copy = |source: &str| {
        let source = checked(source)?;
        Ok(match options.direction {
            Direction::Pull => {
                Copy { local: fetched_name(&directory, base_name(source))?, remote: source.to_owned() }
            }
            Direction::Push => {
                let local = filesystem::in_job(source)?.trim_end_matches('/').to_owned();
                filesystem::stat(&local).context(format_args!("Src path {source} not exists ."))?;
                let remote = join(&directory, base_name(&local));
                Copy { local, remote }
            }
        })
    };
    sources.map(copy).collect()
}

/// The port of FTP on a node: its own protocol's where that is FTP, else the service's, else the usual one.
fn port(node: &Node) -> u16 {
    let own = (node.protocol == "ftp").then_some(node.protocol_port).flatten();
    own.or(node.port).filter(|port| *port != 0).unwrap_or(PORT)
}

struct FtpExec;

impl Tool for FtpExec {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let node = job::node();
        let copies = copies(&options)?;
        let account = Account { user: node.username.clone(), password: secret::reference("node")? };
        let mut client = Client::log_in(&node.host, port(&node), &account)?;
        if options.verbose {
            log::info(format_args!("{} path(s) to copy.", copies.len()));
        }
        let direction = options.direction.value();
        for Copy { local, remote } in copies {
            match options.direction {
                Direction::Pull => ftp_client::download(&mut client, &remote, &local)?,
                Direction::Push => ftp_client::upload(&mut client, &local, &remote)?,
            };
        }
        client.quit();
        log::info(format_args!("ftpexec --{direction} {} {} success.", options.src, options.dest));
        Ok(Outcome::default())
    }
}

impl Checkable for FtpExec {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let host = job::node().host;
        let change = |Copy { local, remote }: Copy| match call.options.direction {
            Direction::Push => Change::created(format!("{host}:{remote}"), format!("a copy of {local}")),
            Direction::Pull => Change::created(local, format!("a copy of {host}:{remote}")),
        };
        Ok(copies(&call.options)?.into_iter().map(change).collect())
    }
}

autoexec_sdk::export_tool!(FtpExec: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::{Host, Script};
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.filesystem().writable("/data").file("/data/a.txt", "abc");
        host.set_node(|node| {
            node.host = "db".into();
            node.username = "app".into();
            node.protocol = "ssh".into();
            node.protocol_port = Some(22);
            node.port = None;
        });
        host
    }

    #[test]
    fn the_account_of_the_node_logs_in() {
        let host = host();
        host.secrets().value("node").answers(Ok("node-ref".into()));
        let script = Script::new()
            .shows("220 hi\r\n")
            .expects("USER app\r\n")
            .shows("331 password\r\n")
            .expects("PASS node-ref\r\n")
            .shows("230 in\r\n")
            .expects("TYPE I\r\n")
            .shows("200 ok\r\n")
            .expects("EPSV\r\n")
            .shows("229 (|||1025|)\r\n")
            .expects("STOR /in/a.txt\r\n")
            .shows("150 go\r\n226 done\r\n")
            .expects("SIZE /in/a.txt\r\n")
            .shows("213 3\r\n")
            .expects("QUIT\r\n");
        host.connections().connect("db", 21).answers(Ok(script));
        host.connections().connect("db", 1025).answers(Ok(Script::new().expects("abc")));
        let options = json!({"direction": "push", "src": "/data/a.txt", "dest": "/in/"});
        host.run::<FtpExec>(options.clone()).unwrap();
        assert_eq!(host.lines().last().unwrap(), "ftpexec --push /data/a.txt /in/ success.");
        assert_eq!(host.check::<FtpExec>(options).unwrap()[0].subject, "db:/in/a.txt");
    }

    #[test]
    fn what_is_missing_here_is_said_before_anything_is_asked() {
        let host = host();
        for options in [
            json!({"direction": "push", "src": "/data/none", "dest": "/in"}),
            json!({"direction": "pull", "src": "/x", "dest": "/data/none"}),
            json!({"direction": "pull", "src": "/../x", "dest": "/data"}),
        ] {
            assert!(host.run::<FtpExec>(options).is_err());
        }
    }

    #[test]
    fn the_port_is_that_of_the_service_or_the_usual_one() {
        let host = host();
        let mut node = job::node();
        assert_eq!(port(&node), 21);
        node.port = Some(2121);
        assert_eq!(port(&node), 2121);
        node.protocol = "ftp".into();
        node.protocol_port = Some(990);
        assert_eq!(port(&node), 990);
        drop(host);
    }
}
