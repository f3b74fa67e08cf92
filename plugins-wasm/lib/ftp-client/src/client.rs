use std::time::Duration;

use autoexec_sdk::connection::Stream;
use autoexec_sdk::options::Secret;
use autoexec_sdk::{Failure, FailureKind, OptionGroup, log, secret};

use crate::listing::{Item, Listing};

/// Longest wait for each step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest line of a reply.
const MOST_LINE: usize = 8 << 10;

/// Lines of one reply.
const MOST_LINES: usize = 1000;

/// The most bytes of a listing.
const MOST_LISTING: usize = 16 << 20;

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Account {
    /// Name of the user.
    pub user: String,
    /// Password, or a reference to it.
    pub password: String,
}

impl Account {
    /// Who needs no password.
    pub fn anonymous() -> Self {
        Self { user: "anonymous".into(), password: "anonymous@".into() }
    }
}

/// Who logs in, as the options of a tool say it.
#[derive(Debug, OptionGroup)]
pub struct AccountOptions {
    /// User name; anonymous without it
    user: Option<String>,
    /// Password
    #[option(label = "Password")]
    pass: Option<Secret>,
}

impl AccountOptions {
    /// The account; anybody where there is no user.
    pub fn account(&self) -> Result<Account, Failure> {
        let Some(user) = self.user.clone() else { return Ok(Account::anonymous()) };
        let password = if self.pass.is_some() { secret::reference("option:pass")? } else { String::new() };
        Ok(Account { user, password })
    }
}

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// A connection on which somebody is logged in.
#[derive(Debug)]
pub struct Client {
    control: Stream,
    host: String,
    /// Whether `EPSV` is understood; not known before it was tried.
    extended: Option<bool>,
    /// Whether `MLSD` is understood.
    machine_listing: Option<bool>,
}

impl Client {
    /// Connects and logs in.
    pub fn log_in(host: &str, port: u16, account: &Account) -> Result<Self, Failure> {
        let control = Stream::connect(host, port, TIMEOUT)?;
        let mut client = Self { control, host: host.to_owned(), extended: None, machine_listing: None };
        let greeting = client.reply()?;
        if greeting.code != 220 {
            return Err(client.refused("greeting", &greeting));
        }
        let mut reply = client.command("USER", &account.user)?;
        if reply.code == 331 {
            reply = client.command("PASS", &account.password)?;
        }
        if reply.code != 230 {
            let message = format!(
                "{}@{}:{port} login failed: {} {}; check user name and password",
                account.user, client.host, reply.code, reply.text
            );
            return Err(Failure::new(FailureKind::Denied, message));
        }
        client.expect_done("TYPE", "I")?;
        log::info("Login ftp success.");
        Ok(client)
    }

    /// Says good-bye. That it could not be said changes nothing.
    pub fn quit(mut self) {
        let _ = self.send("QUIT", "");
    }

    /// Goes into a directory; false where it is none.
    pub fn enter(&mut self, path: &str) -> Result<bool, Failure> {
        Ok(self.command("CWD", path)?.is_done())
    }

    /// The current directory, absolute.
    pub fn current(&mut self) -> Result<String, Failure> {
        let reply = self.command("PWD", "")?;
        let quoted = reply.text.split_once('"').filter(|_| reply.code == 257);
        // A quotation mark within is doubled.
        let path = quoted.and_then(|(_, rest)| {
            let mut path = String::new();
            let mut chars = rest.chars().peekable();
            while let Some(c) = chars.next() {
                if c == '"' && chars.next_if_eq(&'"').is_none() {
                    return Some(path);
                }
                path.push(c);
            }
            None
        });
        path.ok_or_else(|| self.refused("PWD", &reply))
    }

    /// Makes a directory, or goes on where it is there already.
    pub fn make_directory(&mut self, path: &str) -> Result<(), Failure> {
        let reply = self.command("MKD", path)?;
        if reply.is_done() {
            return Ok(());
        }
        let here = self.current()?;
        let is_there = self.enter(path)?;
        self.expect_done("CWD", &here)?;
        if is_there { Ok(()) } else { Err(self.refused(&format!("MKD {path}"), &reply)) }
    }

    /// Size of a file, where the server tells it.
    pub fn size(&mut self, path: &str) -> Result<Option<u64>, Failure> {
        let reply = self.command("SIZE", path)?;
        Ok((reply.code == 213).then(|| reply.text.trim().parse().ok()).flatten())
    }

    /// What a directory holds.
    pub fn list(&mut self, path: &str) -> Result<Vec<Item>, Failure> {
        if self.machine_listing != Some(false) {
            let (reply, bytes) = self.listing("MLSD", path)?;
            self.machine_listing = Some(bytes.is_some() || !matches!(reply.code, 500..=502 | 504));
            match bytes {
                Some(bytes) => return Listing::Machine.read(&bytes),
                None if self.machine_listing == Some(true) => {
                    return Err(self.refused(&format!("MLSD {path}"), &reply));
                }
                None => {}
            }
        }
        let (reply, bytes) = self.listing("LIST", path)?;
        match bytes {
            Some(bytes) => Listing::People.read(&bytes),
            None => Err(self.refused(&format!("LIST {path}"), &reply)),
        }
    }

    fn listing(&mut self, verb: &str, path: &str) -> Result<(Reply, Option<Vec<u8>>), Failure> {
        let mut data = self.open_data()?;
        let reply = self.command(verb, path)?;
        if !matches!(reply.code, 125 | 150) {
            return Ok((reply, None));
        }
        let bytes = data.receive_all(MOST_LISTING)?;
        drop(data);
        let reply = self.finished(&format!("{verb} {path}"))?;
        Ok((reply, Some(bytes)))
    }

    /// Fetches a file piece by piece; returns its bytes.
    pub fn retrieve(
        &mut self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let expected = self.size(path)?;
        let mut data = self.open_data()?;
        let reply = self.command("RETR", path)?;
        if !matches!(reply.code, 125 | 150) {
            return Err(self.refused(&format!("RETR {path}"), &reply));
        }
        let mut received = 0;
        while let Some(bytes) = data.receive()? {
            received += bytes.len() as u64;
            take(&bytes)?;
        }
        drop(data);
        self.finished(&format!("RETR {path}"))?;
        self.same_size(path, expected, received)?;
        Ok(received)
    }

    /// Sends a file piece by piece; returns its bytes.
    pub fn store(
        &mut self,
        path: &str,
        pieces: impl Iterator<Item = Result<Vec<u8>, Failure>>,
    ) -> Result<u64, Failure> {
        let mut data = self.open_data()?;
        let reply = self.command("STOR", path)?;
        if !matches!(reply.code, 125 | 150) {
            return Err(self.refused(&format!("STOR {path}"), &reply));
        }
        let mut sent = 0;
        for piece in pieces {
            let piece = piece?;
            data.send(&piece)?;
            sent += piece.len() as u64;
        }
        // The end of the connection is the end of the file.
        drop(data);
        self.finished(&format!("STOR {path}"))?;
        let stored = self.size(path)?;
        self.same_size(path, stored, sent)?;
        Ok(sent)
    }

    fn same_size(&self, path: &str, told: Option<u64>, moved: u64) -> Result<(), Failure> {
        match told {
            Some(told) if told != moved => {
                let message = format!(
                    "{path} at {}: {moved} bytes came over, but the server says {told}: it was changed or cut off",
                    self.host
                );
                Err(Failure::other("incomplete", message))
            }
            _ => Ok(()),
        }
    }

    /// A connection for data, at the server's own address whatever it names: behind a firewall it names a wrong one,
    /// and a hostile server another machine.
    fn open_data(&mut self) -> Result<Stream, Failure> {
        if self.extended != Some(false) {
            let reply = self.command("EPSV", "")?;
            self.extended = Some(reply.code == 229);
            if reply.code == 229 {
                let port = extended_port(&reply.text).ok_or_else(|| self.refused("EPSV", &reply))?;
                return Ok(Stream::connect(&self.host, port, TIMEOUT)?);
            }
        }
        let reply = self.command("PASV", "")?;
        let port = passive_port(&reply.text).filter(|_| reply.code == 227);
        let port = port.ok_or_else(|| self.refused("PASV", &reply))?;
        Ok(Stream::connect(&self.host, port, TIMEOUT)?)
    }

    /// The reply after the data.
    fn finished(&mut self, what: &str) -> Result<Reply, Failure> {
        let reply = self.reply()?;
        if reply.is_done() { Ok(reply) } else { Err(self.refused(what, &reply)) }
    }

    fn expect_done(&mut self, verb: &str, argument: &str) -> Result<(), Failure> {
        let reply = self.command(verb, argument)?;
        if reply.is_done() { Ok(()) } else { Err(self.refused(&format!("{verb} {argument}"), &reply)) }
    }

    fn refused(&self, what: &str, reply: &Reply) -> Failure {
        let message =
            format!("the FTP server {} refused {}: {} {}", self.host, what.trim(), reply.code, reply.text);
        let kind = match reply.code {
            530 | 532 => FailureKind::Denied,
            550 => FailureKind::NotFound,
            _ => FailureKind::Other("refused".into()),
        };
        Failure::new(kind, message)
    }

    fn command(&mut self, verb: &str, argument: &str) -> Result<Reply, Failure> {
        self.send(verb, argument)?;
        self.reply()
    }

    fn send(&mut self, verb: &str, argument: &str) -> Result<(), Failure> {
        if argument.contains(['\r', '\n', '\0']) {
            let message = format!("a name with a line break can not be sent with {verb}");
            return Err(Failure::other("bad-path", message));
        }
        let separator = if argument.is_empty() { "" } else { " " };
        Ok(self.control.send(format!("{verb}{separator}{argument}\r\n").as_bytes())?)
    }

    /// Reads a reply; one of several lines ends with a line that begins with its code and a blank.
    fn reply(&mut self) -> Result<Reply, Failure> {
        let unreadable = |host: &str, line: &str| {
            let line: String = line.chars().take(100).collect();
            let message = format!("{host} does not speak FTP: it said \"{}\"", line.escape_debug());
            Failure::other("invalid-data", message)
        };
        let first = self.line()?;
        let code = first.get(..3).and_then(|code| code.parse().ok()).filter(|code| *code >= 100);
        let code = code.ok_or_else(|| unreadable(&self.host, &first))?;
        let text = first.get(4..).unwrap_or_default().to_owned();
        if first.as_bytes().get(3) == Some(&b'-') {
            let end = format!("{code} ");
            let mut lines = 0;
            loop {
                let line = self.line()?;
                if line.starts_with(&end) {
                    break;
                }
                lines += 1;
                if lines > MOST_LINES {
                    return Err(unreadable(&self.host, "a reply without an end"));
                }
            }
        }
        Ok(Reply { code, text })
    }

    fn line(&mut self) -> Result<String, Failure> {
        let line = self.control.receive_line(MOST_LINE)?;
        line.ok_or_else(|| {
            Failure::unreachable(format!("the FTP server {} has ended the connection", self.host))
        })
    }
}

/// The port in `Entering Extended Passive Mode (|||6446|)`.
fn extended_port(text: &str) -> Option<u16> {
    let (_, inner) = text.split_once('(')?;
    let (inner, _) = inner.split_once(')')?;
    let mark = inner.chars().next()?;
    inner.split(mark).nth(3)?.parse().ok()
}

/// The port in `Entering Passive Mode (h1,h2,h3,h4,p1,p2)`.
fn passive_port(text: &str) -> Option<u16> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let numbers: Vec<u16> = text[start..]
        .split(|c: char| !c.is_ascii_digit())
        .take(6)
        .map(|number| number.parse().ok().filter(|number| *number < 256))
        .collect::<Option<_>>()?;
    match numbers.as_slice() {
        [_, _, _, _, high, low] => Some(high * 256 + low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_replies() {
        assert_eq!(extended_port("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(passive_port("Entering Passive Mode (10,0,0,1,4,2)."), Some(1026));
        assert_eq!(passive_port("=10,0,0,1,4,2"), Some(1026));
        for bad in ["", "(1,2,3)", "(1,2,3,4,5,256)", "(|||x|)", "(", "(|||70000|)"] {
            assert_eq!((extended_port(bad), passive_port(bad)), (None, None), "{bad}");
        }
    }
}
