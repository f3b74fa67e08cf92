//! To hosts that are not granted, and from hosts that do not behave.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use autoexec_e2e::build::{op, with_argument, with_option};
use autoexec_e2e::guests::guest;
use serde_json::Value;

use crate::name_server::{NameServer, asking};
use crate::peers::{Peer, say};
use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, changed, step, using, using_with};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where a name leads that is granted, and where it leads later.
const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 1, 1));
const LATER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 1, 2));
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Of a public network; nothing is sent there.
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 43, 8));

/// The servers of this group.
pub(crate) struct Network {
    /// Granted by its address.
    granted: Peer,
    /// Not granted, on all addresses of this machine.
    victim: Peer,
    /// Granted: sends elsewhere.
    redirecting: Peer,
    /// Granted: answers with 20,000 headers.
    headers: Peer,
    /// Granted: answers without end.
    endless: Peer,
    /// Granted: a byte now and then.
    slow: Peer,
    first: Peer,
    later: Peer,
}

impl Network {
    fn start() -> Self {
        let victim = Peer::fine(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        let inner = victim.port;
        let first = Peer::fine(FIRST, 0);
        let later = Peer::fine(LATER, first.port);
        Self {
            granted: Peer::fine(LOOPBACK, 0),
            redirecting: Peer::start(LOOPBACK, 0, move |head, stream| {
                let to = if head.contains("/metadata") {
                    "http://169.254.169.254/latest/".to_owned()
                } else {
                    format!("http://127.0.0.1:{inner}/")
                };
                say(stream, &format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"));
            }),
            headers: Peer::start(LOOPBACK, 0, |_, stream| {
                say(stream, "HTTP/1.1 200 OK\r\n");
                for number in 0..20_000 {
                    if write!(stream, "x-{number}: {}\r\n", "y".repeat(100)).is_err() {
                        return;
                    }
                }
                say(stream, "content-length: 0\r\n\r\n");
            }),
            endless: Peer::start(LOOPBACK, 0, |_, stream| {
                say(stream, "HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[b'x'; 8192]).is_ok() {}
            }),
            // The rest of the body never comes: the connection stays open as long as the guest's end does.
            slow: Peer::start(LOOPBACK, 0, |_, stream| {
                say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx");
                let _gone = std::io::Read::read(stream, &mut [0]);
            }),
            victim,
            first,
            later,
        }
    }

    fn at_victim(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.victim.port)
    }

    /// Of the server that is granted.
    fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.granted.port)
    }
}

fn at(peer: &Peer, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", peer.port)
}

/// A step of the copy of the guest that may ask every public host.
fn wide(what: &str, subject: &str) -> Value {
    step("fixture/wide", &[("what", what), ("subject", subject)])
}

fn connect(host: &str, port: u16) -> Value {
    with_option(wide("talk", host), "port", "text", &port.to_string())
}

fn ambient(words: &[&str]) -> Value {
    let step = op("fixture/ambient", "runner_target", 0);
    words.iter().fold(step, |step, word| with_argument(step, "text", word))
}

macro_rules! to_victim {
    ($trick:literal, $host:literal, $says:literal) => {
        Row {
            trick: $trick,
            fate: Fate::Refused,
            says: $says,
            step: |network| wide("http", &network.at_victim($host)),
        }
    };
}

pub(crate) const ROWS: &[Row<Network>] = &[
    Row {
        trick: "another port of a host that is granted with a port",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |network| using("http", &network.at_victim("127.0.0.1")),
    },
    Row {
        trick: "a method that is not granted",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |network| using_with("http-method", &at(&network.granted, "/"), "DELETE"),
    },
    Row {
        trick: "a tunnel through a granted host (`CONNECT`)",
        fate: Fate::Refused,
        says: "HttpRequestMethodInvalid",
        step: |network| using_with("http-method", &at(&network.granted, "/"), "CONNECT"),
    },
    Row {
        trick: "a granted host as user information in front of another (`http://granted@other/`)",
        fate: Fate::Refused,
        says: "HttpRequestUriInvalid",
        step: |network| {
            let authority = format!("127.0.0.1:{}@127.0.0.1:{}", network.granted.port, network.victim.port);
            using_with("http-raw", &authority, "/")
        },
    },
    Row {
        trick: "another scheme (`file`)",
        fate: Fate::Refused,
        says: "not sent",
        step: |network| using_with("http-raw", &network.authority(), "scheme:file"),
    },
    Row {
        trick: "a line break in the path that makes a second request",
        fate: Fate::Refused,
        says: "the host does not take the path",
        step: |network| using_with("http-raw", &network.authority(), "/ HTTP/1.1\r\n\r\nGET /second"),
    },
    Row {
        trick: "a line break in a header that makes a second header",
        fate: Fate::Refused,
        says: "the host does not take the header",
        step: |network| using_with("http-raw", &network.authority(), "header:a\r\nx-forged: b"),
    },
    Row {
        trick: "a `host` header of its own, for a virtual host that is not granted",
        fate: Fate::Refused,
        says: "the host does not take the header name",
        step: |network| using_with("http-raw", &network.authority(), "name:host"),
    },
    Row {
        trick: "a `transfer-encoding` header of its own, to smuggle a second request",
        fate: Fate::Refused,
        says: "the host does not take the header name",
        step: |network| using_with("http-raw", &network.authority(), "name:transfer-encoding"),
    },
    Row {
        trick: "a redirect to a host that is not granted",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |network| using("http", &at(&network.redirecting, "/inner")),
    },
    Row {
        trick: "a redirect to the metadata service of a cloud",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |network| using("http", &at(&network.redirecting, "/metadata")),
    },
    Row {
        trick: "the metadata service, where every public host is granted",
        fate: Fate::Refused,
        says: "is a cloud metadata address",
        step: |_| wide("http", "http://169.254.169.254/latest/meta-data/"),
    },
    Row {
        trick: "the metadata service as IPv4 in IPv6",
        fate: Fate::Refused,
        says: "is a cloud metadata address",
        step: |_| wide("http", "http://[::ffff:169.254.169.254]/latest/meta-data/"),
    },
    Row {
        trick: "the metadata service by its IPv6 address",
        fate: Fate::Refused,
        says: "is a cloud metadata address",
        step: |_| wide("http", "http://[fd00:ec2::254]/latest/meta-data/"),
    },
    to_victim!("this machine, where every public host is granted", "127.0.0.1", "is a loopback address"),
    to_victim!("this machine by another loopback address", "127.1.2.3", "is a loopback address"),
    to_victim!("this machine as the unspecified address", "0.0.0.0", "is a unspecified address"),
    to_victim!("this machine in IPv6", "[::1]", "is a loopback address"),
    to_victim!("this machine as the unspecified address of IPv6", "[::]", "is a unspecified address"),
    to_victim!("this machine as IPv4 in IPv6", "[::ffff:127.0.0.1]", "is a loopback address"),
    to_victim!("this machine as IPv4 in IPv6, in hexadecimal", "[::ffff:7f00:1]", "is a loopback address"),
    to_victim!(
        "this machine as IPv4 translated to IPv6 (NAT64)",
        "[64:ff9b::7f00:1]",
        "is a translated address"
    ),
    to_victim!("this machine as one decimal number", "2130706433", "a number that may be read as an address"),
    to_victim!("this machine in octal", "0177.0.0.1", "a number that may be read as an address"),
    to_victim!("this machine in hexadecimal", "0x7f.0.0.1", "a number that may be read as an address"),
    to_victim!("this machine in the short form", "127.1", "a number that may be read as an address"),
    to_victim!("this machine by its name", "localhost", "is a loopback address"),
    to_victim!(
        "a name whose address is this machine, with a dot at the end",
        "inside.test.",
        "is a loopback address"
    ),
    to_victim!("a name whose address is this machine", "inside.test", "is a loopback address"),
    to_victim!("a name with a public and an inner address", "both.test", "is a loopback address"),
    Row {
        trick: "a name whose address is the metadata service",
        fate: Fate::Refused,
        says: "is a cloud metadata address",
        step: |_| wide("http", "http://metadata.test/"),
    },
    Row {
        trick: "DNS rebinding, first use: the name leads to a granted address",
        fate: Fate::Harmless,
        says: "",
        step: |network| using("http", &format!("http://rebind.test:{}/", network.first.port)),
    },
    Row {
        trick: "DNS rebinding, second use: the same name leads to an address that is not granted",
        fate: Fate::Refused,
        says: "is a loopback address",
        step: |network| using("http", &format!("http://rebind.test:{}/", network.first.port)),
    },
    Row {
        trick: "a connection to this machine",
        fate: Fate::Refused,
        says: "is a loopback address",
        step: |network| connect("127.0.0.1", network.victim.port),
    },
    Row {
        trick: "a connection by a name whose address is this machine",
        fate: Fate::Refused,
        says: "is a loopback address",
        step: |network| connect("inside.test", network.victim.port),
    },
    Row {
        trick: "datagrams to this machine",
        fate: Fate::Refused,
        says: "is a loopback address",
        step: |_| with_option(wide("datagram", "127.0.0.1"), "port", "text", "53"),
    },
    Row {
        trick: "try ports of this machine one by one",
        fate: Fate::Refused,
        says: "is a loopback address",
        step: |network| {
            with_option(wide("tcp", "127.0.0.1"), "port", "text", &network.victim.port.to_string())
        },
    },
    Row {
        trick: "an SNMP agent that is not granted",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |_| with_option(using("snmp", "127.0.0.1"), "port", "text", "161"),
    },
    Row {
        trick: "WASI: a name that is not granted",
        fate: Fate::Refused,
        says: "access-denied",
        step: |network| ambient(&["connect", "localhost", &network.victim.port.to_string()]),
    },
    Row {
        trick: "WASI: listen for others",
        fate: Fate::Refused,
        says: "access-denied",
        step: |_| ambient(&["listen", "0"]),
    },
    Row {
        trick: "open sockets without end",
        fate: Fate::Refused,
        says: "sockets open at the same time",
        step: |network| {
            let many = using_with("connect-many", "127.0.0.1", "1000");
            with_option(many, "port", "text", &network.granted.port.to_string())
        },
    },
    Row {
        trick: "a request with 20,000 headers",
        fate: Fate::Crashes,
        says: "total size of fields exceeds limit",
        step: |network| using_with("http-flood", &at(&network.granted, "/"), "20000"),
    },
    Row {
        trick: "an answer with 20,000 headers",
        fate: Fate::Refused,
        says: "HttpResponseHeaderSectionSize",
        step: |network| using("http", &at(&network.headers, "/")),
    },
    Row {
        trick: "an answer without end",
        fate: Fate::Refused,
        says: "bytes of one answer",
        step: |network| using("http", &at(&network.endless, "/")),
    },
    Row {
        trick: "an answer whose rest never comes",
        fate: Fate::Ended,
        says: "did not end within its limit of 2s",
        step: |network| step("fixture/hasty", &[("what", "http"), ("subject", &at(&network.slow, "/"))]),
    },
];

#[test]
fn no_host_is_reached_that_is_not_granted() {
    let network = Network::start();
    let names = NameServer::start(HashMap::from([
        ("inside.test", vec![vec![LOOPBACK]]),
        ("both.test", vec![vec![PUBLIC, LOOPBACK]]),
        ("metadata.test", vec![vec![METADATA]]),
        ("rebind.test", vec![vec![FIRST], vec![LATER]]),
    ]));
    let named = |name: &str, seconds| {
        changed("fixture/everything", |manifest| {
            manifest.name = name.to_owned().try_into().unwrap();
            manifest.limits.time_seconds = Some(seconds);
        })
    };
    let tools = [
        ("fixture/everything", guest("fixture/everything").unwrap()),
        ("fixture/ambient", guest("fixture/ambient").unwrap()),
        ("fixture/wide", named("fixture/wide", 30)),
        ("fixture/hasty", named("fixture/hasty", 2)),
    ];
    let peers = [&network.granted, &network.redirecting, &network.headers, &network.endless, &network.slow];
    let granted: Vec<String> = peers.iter().map(|peer| format!("\"127.0.0.1:{}\"", peer.port)).collect();
    let granted = granted.join(", ");
    let policy = format!(
        "{ALL_INTERFACES}
[[grant]]
tools = [\"fixture/everything\", \"fixture/hasty\"]
http = {{ hosts = [{granted}, \"*.test\", \"{FIRST}\"], methods = [\"GET\"], schemes = [\"http\"] }}
sockets = {{ hosts = [{granted}] }}
[[grant]]
tools = [\"fixture/wide\"]
http = {{ hosts = [\"*\"], schemes = [\"http\", \"https\"] }}
sockets = {{ hosts = [\"*\"] }}
net-probe = {{ hosts = [\"*\"] }}
[[limits]]
tools = [\"fixture/everything\"]
sockets = 8
response-kib = 256
"
    );
    let stage = Stage::new(&tools, &policy);
    stage.run_rows_as(ROWS, &network, |command| asking(&command, stage.home()));
    assert_eq!(network.victim.requests(), [""; 0], "somebody came");
    assert_eq!(network.later.requests(), [""; 0], "the name was followed to its second address");
    assert_eq!(network.first.requests().len(), 1);
    assert_eq!(names.times_asked("rebind.test"), 2, "a use looks the name up once");
    let smuggled = network
        .granted
        .requests()
        .into_iter()
        .find(|head| head.contains("second") || head.contains("forged"));
    assert_eq!(smuggled, None);
}
