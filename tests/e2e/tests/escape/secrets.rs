//! Reading a secret, or having it sent where it may not go.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use autoexec_e2e::build::{node, with_option};
use autoexec_e2e::guests::guest;
use serde_json::Value;

use crate::peers::{Peer, ok, say};
use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, using, using_with};

/// What vector 2 of `spec/cli.md` §1.9 decrypts to.
const PLAIN: &str = "s3cret-Pa55";
const ENCRYPTED: &str = "{RC4}d94cf101ca62a06c8680c8";

/// The servers of this group; all may be asked, and one may get the secret.
pub(crate) struct Secrets {
    entitled: Peer,
    other: Peer,
    redirecting: Peer,
}

impl Secrets {
    fn start() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let other = Peer::fine(loopback, 0);
        let port = other.port;
        let echo = |head: &str, stream: &mut std::net::TcpStream| say(stream, &ok(head));
        Self {
            entitled: Peer::start(loopback, 0, echo),
            other,
            redirecting: Peer::start(loopback, 0, move |_, stream| {
                let to = format!("http://127.0.0.1:{port}/taken");
                say(stream, &format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"));
            }),
        }
    }

    fn at(peer: &Peer) -> String {
        format!("http://127.0.0.1:{}/", peer.port)
    }
}

fn with_secret(step: Value) -> Value {
    with_option(step, "password", "password", ENCRYPTED)
}

pub(crate) const ROWS: &[Row<Secrets>] = &[
    Row {
        trick: "tell a secret option in the log, in an output, and in its failure",
        fate: Fate::Refused,
        says: "autoexec-secret-",
        step: |_| with_secret(using("tell-password", "")),
    },
    Row {
        trick: "send it to a host that may be asked, but may not have it",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |at| with_secret(using_with("http-header", &Secrets::at(&at.other), "password")),
    },
    Row {
        trick: "the same as user and password (`Basic`)",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |at| with_secret(using("basic", &Secrets::at(&at.other))),
    },
    Row {
        trick: "have it taken along by a redirect to a host that may not have it",
        fate: Fate::Harmless,
        says: "",
        step: |at| with_secret(using("http-redirect-header", &Secrets::at(&at.redirecting))),
    },
    Row {
        trick: "in the body of a request, where the answer shows it",
        fate: Fate::Harmless,
        says: "",
        step: |at| with_secret(using("http-body", &Secrets::at(&at.entitled))),
    },
    Row {
        trick: "in the URL, which servers log",
        fate: Fate::Harmless,
        says: "",
        step: |at| with_secret(using("http-query", &Secrets::at(&at.entitled))),
    },
    Row {
        trick: "over a connection to a host that may have it in a header only",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |at| {
            let talk = using_with("talk", "127.0.0.1", "password");
            with_secret(with_option(talk, "port", "text", &at.entitled.port.to_string()))
        },
    },
    Row {
        trick: "as a community, to an SNMP agent that may not have it",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |_| {
            with_secret(with_option(using_with("snmp", "127.0.0.1", "password"), "port", "text", "161"))
        },
    },
    Row {
        trick: "a reference of its own making",
        fate: Fate::Harmless,
        says: "",
        step: |at| {
            let guess = "autoexec-secret-00000000000000000000000000000000";
            with_secret(using_with("http-header", &Secrets::at(&at.entitled), guess))
        },
    },
    Row {
        trick: "the password of the node's account",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |_| using("secret", "node"),
    },
    Row {
        trick: "a secret option of another step",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |_| using("secret", "option:token"),
    },
    Row {
        trick: "a name that begins like one that is granted",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |_| using("secret", "option:password/../node"),
    },
    Row {
        trick: "a line break in a secret, that makes a second header",
        fate: Fate::Refused,
        says: "can not stand in a header",
        step: |at| {
            let step = using_with("http-header", &Secrets::at(&at.entitled), "password");
            with_option(step, "password", "password", "a\r\nx-forged: b")
        },
    },
];

/// Files that hold secrets by contract: what the server sent.
fn holds_secrets(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with("params.json") || name.contains("nodes")
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

#[test]
fn no_secret_comes_out() {
    let at = Secrets::start();
    let tools = [("fixture/everything", guest("fixture/everything").unwrap())];
    let (entitled, other, redirecting) = (at.entitled.port, at.other.port, at.redirecting.port);
    let policy = format!(
        "{ALL_INTERFACES}
[[grant]]
tools = [\"fixture/everything\"]
http = {{ hosts = [\"127.0.0.1:{entitled}\", \"127.0.0.1:{other}\", \"127.0.0.1:{redirecting}\"], schemes = [\"http\"] }}
sockets = {{ hosts = [\"127.0.0.1:{entitled}\"] }}
snmp = {{ hosts = [\"127.0.0.1:161\"] }}
secret = {{ \"option:password\" = {{ http = [\"127.0.0.1:{entitled}\", \"127.0.0.1:{redirecting}\"] }} }}
"
    );
    let stage = Stage::new(&tools, &policy);
    let ran = stage.run_rows(ROWS, &at);
    let password = node(71)["password"].as_str().unwrap().to_owned();
    for secret in [PLAIN, ENCRYPTED, "c2NvdHQ6", &format!("={password}")] {
        assert!(!ran.log.contains(secret), "{secret}:\n{}", ran.log);
    }
    for (peer, name) in [(&at.entitled, "entitled"), (&at.other, "other")] {
        let seen = peer.requests().join("\n");
        assert!(!seen.contains(PLAIN) && !seen.contains("x-forged"), "{name}:\n{seen}");
    }
    let seen = at.redirecting.requests().join("\n");
    assert!(seen.contains(PLAIN), "the test proves nothing if the secret goes nowhere:\n{seen}");
    let mut files = Vec::new();
    for directory in ["data", "logs"] {
        files_below(&stage.home().join(directory), &mut files);
    }
    let files: Vec<PathBuf> = files.into_iter().filter(|file| !holds_secrets(file)).collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(PLAIN), "{} holds it", file.display());
    }
}
