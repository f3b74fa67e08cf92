//! A name server that answers as an attacker would: the same name leads somewhere else each time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// Where it listens: a loopback address of its own, since the port of name servers can not be chosen.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 77, 47, 11);

/// Record types (RFC 1035, RFC 3596).
const A: u16 = 1;
const AAAA: u16 = 28;

/// Answers of a name: the first question gets the first list, the last list serves all further ones.
type Answers = HashMap<&'static str, Vec<Vec<IpAddr>>>;

/// The server; it ends with the process.
pub(crate) struct NameServer {
    asked: Arc<Mutex<HashMap<(String, u16), usize>>>,
}

impl NameServer {
    pub(crate) fn start(answers: Answers) -> Self {
        let socket = UdpSocket::bind((ADDRESS, 53)).unwrap_or_else(|error| {
            panic!("{ADDRESS}:53 can not be listened on: {error}; these tests run as root")
        });
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut packet) {
                if let Some(reply) = reply(&packet[..length], &answers, &counted) {
                    let _sent = socket.send_to(&reply, peer);
                }
            }
        });
        Self { asked }
    }

    /// How often an IPv4 address of the name was asked for.
    pub(crate) fn times_asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(&(name.to_owned(), A)).copied().unwrap_or_default()
    }
}

/// Makes a command ask this server: it runs in a view of the file system of its own, in which `/etc/resolv.conf` names it.
pub(crate) fn asking(command: &Command, dir: &Path) -> Command {
    let file = dir.join("resolv.conf");
    std::fs::write(&file, format!("nameserver {ADDRESS}\noptions timeout:5 attempts:1\n")).unwrap();
    let mut inside = Command::new("unshare");
    inside
        .args(["--mount", "/bin/sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""])
        .arg(&file)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        inside.current_dir(dir);
    }
    inside
}

/// The answer to one question.
fn reply(
    question: &[u8],
    answers: &Answers,
    asked: &Mutex<HashMap<(String, u16), usize>>,
) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let end = at + 4;
    let count = {
        let mut asked = asked.lock().unwrap();
        let count = asked.entry((name.clone(), kind)).or_default();
        *count += 1;
        *count
    };
    let lists = answers.get(name.as_str());
    let addresses = lists.and_then(|lists| lists.get(count - 1).or_else(|| lists.last()));
    let records: Vec<Vec<u8>> = addresses
        .into_iter()
        .flatten()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    // An answer that is recursive and final; a name that is not known does not exist.
    let status = if lists.is_some() { 0x80 } else { 0x83 };
    let mut reply = question.get(..2)?.to_vec();
    reply.extend([0x81, status, 0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]);
    reply.extend_from_slice(question.get(12..end)?);
    for record in records {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 0]);
        reply.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        reply.extend(record);
    }
    Some(reply)
}
