//! Server calls: away from the granted ones, and to be read in two ways.

use autoexec_e2e::guests::guest;
use autoexec_test_support::server::{Call, CallName};
use serde_json::json;

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, using, using_with};

/// What the policy says of a name that can not be compared with its rules.
const TWO_WAYS: &str = "has parts that can be read in two ways";

macro_rules! named {
    ($trick:literal, $says:expr, $name:expr) => {
        Row {
            trick: $trick,
            fate: Fate::Refused,
            says: $says,
            step: |()| using_with("raw-server", $name, "{}"),
        }
    };
}

macro_rules! with {
    ($trick:literal, $fate:ident, $says:literal, $parameters:expr) => {
        Row {
            trick: $trick,
            fate: Fate::$fate,
            says: $says,
            step: |()| using_with("raw-server", "rest/ours/call", $parameters),
        }
    };
}

pub(crate) const ROWS: &[Row<()>] = &[
    named!("a call beside the granted ones", "no rule allows it", "rest/theirs/call"),
    named!("a call whose name begins like a granted one", "no rule allows it", "rest/oursandmore/call"),
    named!("a call that is denied within the granted ones", "a rule denies it", "rest/ours/admin/delete"),
    named!("leave the granted calls by `..`", TWO_WAYS, "rest/ours/../theirs/call"),
    named!("leave the server's API by `..`", TWO_WAYS, "rest/ours/../../../../admin"),
    named!("percent-encoded dots (`%2e%2e`)", TWO_WAYS, "rest/ours/%2e%2e/theirs/call"),
    named!("dots that are encoded twice (`%252e%252e`)", TWO_WAYS, "rest/ours/%252e%252e/theirs/call"),
    named!("a percent-encoded slash (`..%2f`)", TWO_WAYS, "rest/ours/..%2ftheirs/call"),
    named!(
        "dots with a path parameter (`..;`), which servers in Java drop",
        TWO_WAYS,
        "rest/ours/..;/theirs"
    ),
    named!("a path parameter that hides a denied call (`admin;x/`)", TWO_WAYS, "rest/ours/admin;x/delete"),
    named!("a single dot, for a denied call", TWO_WAYS, "rest/ours/./admin/delete"),
    named!("two slashes, for a denied call", TWO_WAYS, "rest/ours//admin/delete"),
    named!("backslashes, which some servers take for slashes", TWO_WAYS, "rest/ours\\..\\theirs"),
    named!("dots of another script (U+FF0E)", TWO_WAYS, "rest/ours/\u{ff0e}\u{ff0e}/theirs"),
    named!("a query behind the name", TWO_WAYS, "rest/ours/call?tenant=other"),
    named!("a fragment behind the name", TWO_WAYS, "rest/ours/call#theirs"),
    named!("a name that begins with a slash", TWO_WAYS, "/rest/ours/call"),
    named!("another server (`//other/`)", TWO_WAYS, "//other.invalid/rest/ours/call"),
    named!("a whole URL", TWO_WAYS, "http://other.invalid/rest/ours/call"),
    named!("a user in front of the name (`@`)", TWO_WAYS, "@other.invalid/rest/ours/call"),
    named!(
        "another version of HTTP behind the name, to end the request line",
        TWO_WAYS,
        "rest/ours/call HTTP/1.0"
    ),
    named!("a line break in the name that makes a header", TWO_WAYS, "rest/ours/call\r\nx-forged: yes"),
    named!("a NUL byte that cuts the name of a call", TWO_WAYS, "rest/ours/call\0/admin"),
    named!("a call without a name", TWO_WAYS, ""),
    Row {
        trick: "a call with a name of 100,000 characters",
        fate: Fate::Refused,
        says: TWO_WAYS,
        step: |()| using_with("raw-server", &format!("rest/ours/{}", "x".repeat(100_000)), "{}"),
    },
    with!(
        "ask for another method in the parameters (`_method`)",
        Harmless,
        "",
        r#"{"_method": "DELETE", "method": "PUT", "X-HTTP-Method-Override": "DELETE"}"#
    ),
    with!(
        "a second request in the parameters",
        Harmless,
        "",
        r#"{"x": "\r\n\r\nPOST /neatlogic/api/rest/theirs/call HTTP/1.1\r\nhost: other\r\n\r\n{}"}"#
    ),
    with!(
        "the same parameter twice, for a server that takes the other one",
        Harmless,
        "",
        r#"{"a": 1, "a": 2}"#
    ),
    with!("parameters that are no JSON", Refused, "the parameters are not JSON", "a=1&b=2"),
    with!("two documents of parameters", Refused, "the parameters are not JSON", "{} {\"a\": 1}"),
    with!("a list of parameters", Refused, "the parameters of a server call are a JSON object", "[{}]"),
    Row {
        trick: "parameters that are nested 100,000 deep",
        fate: Fate::Refused,
        says: "recursion limit exceeded",
        step: |()| using_with("raw-server", "rest/ours/call", &"[".repeat(100_000)),
    },
    Row {
        trick: "parameters of 9 MiB",
        fate: Fate::Ended,
        says: "bytes handed over in one piece",
        step: |()| sized("raw-server-long", "rest/ours/call", 9 << 10),
    },
    Row {
        trick: "an answer that is longer than the tool may get",
        fate: Fate::Refused,
        says: "the answer is longer than 65536 bytes",
        step: |()| using_with("raw-server", "rest/ours/long", "{}"),
    },
];

/// A use with a number of KiB.
fn sized(what: &str, subject: &str, kibibytes: u32) -> serde_json::Value {
    autoexec_e2e::build::with_option(using(what, subject), "port", "text", &kibibytes.to_string())
}

#[test]
fn only_granted_calls_reach_the_server() {
    let tools = [("fixture/everything", guest("fixture/everything").unwrap())];
    let policy = format!(
        "{ALL_INTERFACES}
[[grant]]
tools = [\"fixture/everything\"]
server = {{ calls = [\"rest/ours/*\"], deny = [\"rest/ours/admin/*\"] }}

[[limits]]
tools = [\"fixture/everything\"]
response-kib = 64
"
    );
    let stage = Stage::new(&tools, &policy);
    stage.job.server.set_reply("rest/ours/call", json!({"done": true}));
    stage.job.server.set_reply("rest/ours/long", json!({"x": "y".repeat(100_000)}));
    stage.run_rows(ROWS, &());
    let calls = stage.job.server.calls_of(CallName::Unknown);
    let seen: Vec<(&str, &str, &str)> = calls.iter().map(of_call).collect();
    let (call, long) = ("/neatlogic/api/rest/ours/call", "/neatlogic/api/rest/ours/long");
    assert_eq!(seen, [("POST", call, ""), ("POST", call, ""), ("POST", call, ""), ("POST", long, "")]);
    assert_eq!(calls[2].body.matches("\"a\"").count(), 1, "{}", calls[2].body);
    assert!(calls.iter().all(|call| !call.headers.contains_key("x-forged")), "{calls:?}");
    assert_eq!(stage.job.server.bad_signatures(), 0);
}

fn of_call(call: &Call) -> (&str, &str, &str) {
    (&call.method, &call.path, &call.query)
}
