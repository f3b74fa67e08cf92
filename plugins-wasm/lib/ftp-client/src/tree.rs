//! Files and whole trees.

use autoexec_sdk::filesystem::{self, Entry};
use autoexec_sdk::{Failure, FailureContext as _, log};
use file_transfer::{Progress, base_name, join};

use crate::client::Client;

/// Directories within directories; more is a loop of links at the server.
const DEEPEST: usize = 64;

/// What was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Transfer {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// Downloads a file to `directory/<last part>`, or the tree below a directory of the server to the same place.
pub fn download(client: &mut Client, path: &str, local: &str) -> Result<Transfer, Failure> {
    let home = client.current()?;
    if path.is_empty() || client.enter(path)? {
        let there = client.current()?;
        let moved = download_tree(client, &there, local, 0);
        // Back, so that a relative path that follows means the same.
        client.enter(&home)?;
        return moved;
    }
    download_file(client, path, local)
}

fn download_tree(client: &mut Client, path: &str, local: &str, depth: usize) -> Result<Transfer, Failure> {
    if depth > DEEPEST {
        let message = format!("{path} lies more than {DEEPEST} directories deep: a loop of links?");
        return Err(Failure::other("too-deep", message));
    }
    filesystem::create_directory(local)?;
    let mut all = Transfer::default();
    for item in client.list(path)? {
        let (from, to) = (join(path, &item.name), join(local, &item.name));
        all.add(if item.is_directory {
            download_tree(client, &from, &to, depth + 1)?
        } else {
            download_file(client, &from, &to)?
        });
    }
    Ok(all)
}

fn download_file(client: &mut Client, path: &str, local: &str) -> Result<Transfer, Failure> {
    let part = format!("{local}.part");
    filesystem::write(&part, &[])?;
    let mut progress = Progress::new(base_name(path), client.size(path)?);
    let mut received = 0;
    let moved = client.retrieve(path, |bytes| {
        filesystem::append(&part, bytes)?;
        received += bytes.len() as u64;
        progress.at(received);
        Ok(())
    });
    let moved = moved.and_then(|bytes| {
        filesystem::rename(&part, local)?;
        Ok(bytes)
    });
    match moved {
        Ok(bytes) => {
            log::info(format_args!("Download {path} to {local}, {bytes} bytes."));
            Ok(Transfer { files: 1, bytes })
        }
        Err(failure) => {
            // What went wrong first is what matters; a part that stays is replaced the next time.
            let _ = filesystem::remove(&part);
            Err(failure).context(format_args!("downloading {path}"))
        }
    }
}

/// Uploads a file, or the tree below a directory, to that path of the server. Directories are made; the one that the path
/// is in has to be there.
pub fn upload(client: &mut Client, local: &str, path: &str) -> Result<Transfer, Failure> {
    let entry = filesystem::stat(local)?;
    if entry.is_directory {
        upload_tree(client, local, path)
    } else {
        upload_file(client, local, path, &entry)
    }
}

fn upload_tree(client: &mut Client, local: &str, path: &str) -> Result<Transfer, Failure> {
    client.make_directory(path)?;
    let mut all = Transfer::default();
    for entry in filesystem::list_directory(local)? {
        let (from, to) = (join(local, &entry.name), join(path, &entry.name));
        all.add(if entry.is_directory {
            upload_tree(client, &from, &to)?
        } else {
            upload_file(client, &from, &to, &entry)?
        });
    }
    Ok(all)
}

fn upload_file(client: &mut Client, local: &str, path: &str, entry: &Entry) -> Result<Transfer, Failure> {
    let mut progress = Progress::new(base_name(local), Some(entry.size));
    let mut sent = 0;
    let pieces = filesystem::chunks(local).map(|piece| {
        let piece = piece?;
        sent += piece.len() as u64;
        progress.at(sent);
        Ok(piece)
    });
    let bytes = client.store(path, pieces).context(format_args!("uploading {local}"))?;
    log::info(format_args!("Upload {local} to {path}, {bytes} bytes."));
    Ok(Transfer { files: 1, bytes })
}

/// The path where something of the server's is put in a directory of the runner.
pub fn fetched_name(directory: &str, name: &str) -> Result<String, Failure> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return Err(Failure::other("bad-path", format!("\"{name}\" is no name for a file")));
    }
    Ok(join(directory, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Account;
    use autoexec_sdk::testing::{Host, Script};

    fn host() -> Host {
        let host = Host::new();
        host.filesystem().writable("/data");
        host
    }

    fn greeting() -> Script {
        Script::new()
            .shows("220-Welcome\r\n220-to\r\n220 here\r\n")
            .expects("USER me\r\n")
            .shows("331 Password?\r\n")
            .expects("PASS ref\r\n")
            .shows("230 In.\r\n")
            .expects("TYPE I\r\n")
            .shows("200 ok\r\n")
    }

    fn client(host: &Host, script: Script) -> Client {
        host.connections().connect("ftp", 21).answers(Ok(script));
        let account = Account { user: "me".into(), password: "ref".into() };
        Client::log_in("ftp", 21, &account).unwrap()
    }

    fn data(host: &Host, port: u16, script: Script) {
        host.connections().connect("ftp", port).answers(Ok(script));
    }

    #[test]
    fn a_tree_is_fetched_with_the_listing_that_the_server_has() {
        let host = host();
        let script = greeting()
            .expects("PWD\r\n")
            .shows("257 \"/home/me\"\r\n")
            .expects("CWD pub\r\n")
            .shows("250 ok\r\n")
            .expects("PWD\r\n")
            .shows("257 \"/home/me/pub\" is it\r\n")
            .expects("EPSV\r\n")
            .shows("500 what?\r\n")
            .expects("PASV\r\n")
            .shows("227 Entering Passive Mode (9,9,9,9,4,1)\r\n")
            .expects("MLSD /home/me/pub\r\n")
            .shows("500 what?\r\n")
            .expects("PASV\r\n")
            .shows("227 Entering Passive Mode (9,9,9,9,4,2)\r\n")
            .expects("LIST /home/me/pub\r\n")
            .shows("150 here\r\n226 done\r\n")
            .expects("SIZE /home/me/pub/a.txt\r\n")
            .shows("213 7\r\n")
            .expects("SIZE /home/me/pub/a.txt\r\n")
            .shows("213 7\r\n")
            .expects("PASV\r\n")
            .shows("227 Entering Passive Mode (9,9,9,9,4,3)\r\n")
            .expects("RETR /home/me/pub/a.txt\r\n")
            .shows("150 here\r\n226 done\r\n")
            .expects("CWD /home/me\r\n")
            .shows("250 ok\r\n");
        let mut client = client(&host, script);
        data(&host, 1025, Script::new());
        data(&host, 1026, Script::new().shows("-rw-r--r-- 1 u g 7 Jan 1 2000 a.txt\r\n").ends());
        data(&host, 1027, Script::new().shows("con").shows("tent").ends());
        let moved = download(&mut client, "pub", "/data/pub").unwrap();
        assert_eq!(moved, Transfer { files: 1, bytes: 7 });
        assert_eq!(host.filesystem().content("/data/pub/a.txt").as_deref(), Some(b"content".as_slice()));
        assert_eq!(host.filesystem().paths(), ["/data/pub/a.txt"]);
    }

    #[test]
    fn a_file_that_is_cut_off_is_no_success_and_leaves_nothing() {
        let host = host();
        let script = greeting()
            .expects("PWD\r\n")
            .shows("257 \"/\"\r\n")
            .expects("CWD x\r\n")
            .shows("550 no directory\r\n")
            .expects("SIZE x\r\n")
            .shows("213 9\r\n")
            .expects("SIZE x\r\n")
            .shows("213 9\r\n")
            .expects("EPSV\r\n")
            .shows("229 Entering Extended Passive Mode (|||1025|)\r\n")
            .expects("RETR x\r\n")
            .shows("150 here\r\n226 done\r\n");
        let mut client = client(&host, script);
        data(&host, 1025, Script::new().shows("short").ends());
        let failure = download(&mut client, "x", "/data/x").unwrap_err();
        assert!(failure.message().contains("5 bytes came over, but the server says 9"), "{failure}");
        assert_eq!(host.filesystem().paths(), Vec::<String>::new());
    }

    #[test]
    fn a_tree_is_sent_and_a_refusal_of_one_file_fails_it() {
        let host = host();
        host.filesystem().file("/data/app/a", "aaa").file("/data/app/b", "b");
        let script = greeting()
            .expects("MKD up\r\n")
            .shows("550 exists\r\n")
            .expects("PWD\r\n")
            .shows("257 \"/\"\r\n")
            .expects("CWD up\r\n")
            .shows("250 ok\r\n")
            .expects("CWD /\r\n")
            .shows("250 ok\r\n")
            .expects("EPSV\r\n")
            .shows("229 (|||1025|)\r\n")
            .expects("STOR up/a\r\n")
            .shows("150 go\r\n226 done\r\n")
            .expects("SIZE up/a\r\n")
            .shows("500 what?\r\n")
            .expects("EPSV\r\n")
            .shows("229 (|||1026|)\r\n")
            .expects("STOR up/b\r\n")
            .shows("552 disk full\r\n");
        let mut client = client(&host, script);
        data(&host, 1025, Script::new().expects("aaa"));
        data(&host, 1026, Script::new());
        let failure = upload(&mut client, "/data/app", "up").unwrap_err();
        assert_eq!(
            failure.message(),
            "uploading /data/app/b: the FTP server ftp refused STOR up/b: 552 disk full"
        );
    }

    #[test]
    fn a_wrong_password_and_a_peer_that_speaks_something_else_are_told() {
        let host = host();
        let script = Script::new()
            .shows("220 hi\r\n")
            .expects("USER me\r\n")
            .shows("331 Password?\r\n")
            .expects("PASS ref\r\n")
            .shows("530 Login incorrect.\r\n");
        host.connections().connect("ftp", 21).answers(Ok(script));
        let account = Account { user: "me".into(), password: "ref".into() };
        let failure = Client::log_in("ftp", 21, &account).unwrap_err();
        assert!(failure.message().starts_with("me@ftp:21 login failed: 530 Login incorrect."), "{failure}");
        host.connections().connect("ftp", 21).answers(Ok(Script::new().shows("SSH-2.0-x\r\n")));
        let failure = Client::log_in("ftp", 21, &account).unwrap_err();
        assert!(failure.message().contains("does not speak FTP"), "{failure}");
        host.connections().connect("ftp", 21).answers(Ok(Script::new().ends()));
        assert!(Client::log_in("ftp", 21, &account).unwrap_err().message().contains("ended the connection"));
    }
}
