//! Documents: other collections, and filters and documents that are more than data.

use autoexec_e2e::build::with_option;
use autoexec_e2e::guests::guest;
use autoexec_test_support::mongo::{MongoCommand, MongoDouble, MongoUser};
use bson::doc;
use serde_json::{Value, json};

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, using, using_with};

const TWO_WAYS: &str = "has parts that can be read in two ways";
const OPERATOR: &str = "is an operator of the database";

macro_rules! found {
    ($trick:literal, $fate:ident, $says:expr, $collection:expr, $filter:expr) => {
        Row {
            trick: $trick,
            fate: Fate::$fate,
            says: $says,
            step: |()| using_with("raw-find", $collection, $filter),
        }
    };
}

macro_rules! saved {
    ($trick:literal, $fate:ident, $says:expr, $collection:expr, $filter:literal, $document:literal) => {
        Row {
            trick: $trick,
            fate: Fate::$fate,
            says: $says,
            step: |()| using_with("raw-save", $collection, concat!($filter, "\n", $document)),
        }
    };
}

pub(crate) const ROWS: &[Row<()>] = &[
    saved!(
        "write a collection that is granted for reading",
        Refused,
        "no rule allows it",
        "OPEN",
        r#"{"a": 1}"#,
        "{}"
    ),
    saved!(
        "the statuses of jobs (`_node_status`)",
        Refused,
        "no rule allows it",
        "_node_status",
        r#"{"a": 1}"#,
        "{}"
    ),
    found!(
        "read them, where every collection is granted",
        Refused,
        "no rule allows it",
        "_node_status",
        "{}"
    ),
    found!("the accounts of the database (`system.users`)", Refused, TWO_WAYS, "system.users", "{}"),
    found!("its stored code (`system.js`)", Refused, TWO_WAYS, "system.js", "{}"),
    found!("commands as a collection (`$cmd`)", Refused, TWO_WAYS, "$cmd", "{}"),
    found!("the same behind a granted name", Refused, TWO_WAYS, "OPEN.$cmd", "{}"),
    found!("a NUL byte that cuts the name of a collection", Refused, TWO_WAYS, "OPEN\0system.users", "{}"),
    found!("a collection without a name", Refused, TWO_WAYS, "", "{}"),
    Row {
        trick: "a collection with a name of 100,000 characters",
        fate: Fate::Refused,
        says: TWO_WAYS,
        step: |()| using_with("raw-find", &"x".repeat(100_000), "{}"),
    },
    found!("another database in front of the name", Harmless, "", "admin.system.users", "{}"),
    found!("leave the database by `..`", Harmless, "", "../admin/users", "{}"),
    found!(
        "code in a filter (`$where`)",
        Refused,
        OPERATOR,
        "OPEN",
        r#"{"$where": "sleep(100000) || true"}"#
    ),
    found!(
        "code in a filter (`$expr` with `$function`)",
        Refused,
        OPERATOR,
        "OPEN",
        r#"{"$expr": {"$function": {"body": "f"}}}"#
    ),
    found!(
        "a comparison that is always true (`$ne`)",
        Refused,
        OPERATOR,
        "OPEN",
        r#"{"password": {"$ne": null}}"#
    ),
    found!(
        "a value guessed by its first letter (`$regex`)",
        Refused,
        OPERATOR,
        "OPEN",
        r#"{"password": {"$regex": "^s"}}"#
    ),
    found!("an operator within a list", Refused, OPERATOR, "OPEN", r#"{"a": [[{"b": {"$gt": ""}}]]}"#),
    found!(
        "an operator in its escaped form (`\\u0024where`)",
        Refused,
        OPERATOR,
        "OPEN",
        r#"{"\u0024where": "1"}"#
    ),
    found!("a filter that is a list", Refused, "is no JSON object", "OPEN", r#"[{"$where": "1"}]"#),
    found!("a filter that is text", Refused, "is no JSON object", "OPEN", r#""1; drop""#),
    Row {
        trick: "a filter that is nested 100,000 deep",
        fate: Fate::Refused,
        says: "recursion limit exceeded",
        step: |()| using_with("raw-find", "OPEN", &format!("{{\"a\":{}", "[".repeat(100_000))),
    },
    Row {
        trick: "no document at all, which the database takes for all of them",
        fate: Fate::Harmless,
        says: "",
        step: |()| using("raw-find-none", "OPEN"),
    },
    found!(
        "all documents of a collection that is longer than the tool may get",
        Refused,
        "longer than 65536 bytes",
        "LONG",
        "{}"
    ),
    saved!(
        "remove a document's fields by an update (`$unset`)",
        Refused,
        "can not have a field `$unset`",
        "MINE",
        r#"{"a": 1}"#,
        r#"{"$unset": {"b": 1}}"#
    ),
    saved!("replace any document (an empty filter)", Refused, "an empty filter", "MINE", "{}", r#"{"a": 1}"#),
    saved!(
        "an operator in the filter of a write",
        Refused,
        OPERATOR,
        "MINE",
        r#"{"a": {"$exists": true}}"#,
        r#"{"a": 1}"#
    ),
    saved!(
        "a NUL byte in the name of a field",
        Refused,
        "null",
        "MINE",
        r#"{"a": 1}"#,
        r#"{"a": 1, "b\u0000c": 2}"#
    ),
    Row {
        trick: "remove the whole collection (an empty filter)",
        fate: Fate::Refused,
        says: "an empty filter would remove the whole collection",
        step: |()| using_with("raw-remove", "MINE", "{}"),
    },
    Row {
        trick: "remove with a condition that is always true",
        fate: Fate::Refused,
        says: OPERATOR,
        step: |()| using_with("raw-remove", "MINE", r#"{"a": {"$nin": []}}"#),
    },
    Row {
        trick: "a document of 9 MiB",
        fate: Fate::Ended,
        says: "bytes handed over in one piece",
        step: |()| with_option(using_with("raw-save-long", "MINE", r#"{"a": 1}"#), "port", "text", "9216"),
    },
];

fn user() -> MongoUser {
    MongoUser { name: "autoexec".to_owned(), password: "m0ngo-Pa55".to_owned() }
}

#[test]
fn nothing_but_data_reaches_the_database() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    mongo.insert("MINE", doc! { "key": "kept" });
    mongo.insert("OPEN", doc! { "password": "s3cret" });
    for number in 0..200 {
        mongo.insert("LONG", doc! { "number": number, "x": "y".repeat(10_000) });
    }
    let tools = [("fixture/everything", guest("fixture/everything").unwrap())];
    let policy = format!(
        "{ALL_INTERFACES}
[[grant]]
tools = [\"fixture/everything\"]
documents = {{ read = [\"*\"], write = [\"MINE\"] }}

[[limits]]
tools = [\"fixture/everything\"]
response-kib = 64
"
    );
    let stage = Stage::new(&tools, &policy);
    let MongoUser { name, password } = user();
    stage
        .job
        .server
        .set_mongo(json!({"host": mongo.address().to_string(), "database": "autoexec", "username": name,
        "passwordPlain": password, "option": "authSource=admin&serverSelectionTimeoutMS=3000"}));
    stage.run_rows(ROWS, &());

    let commands = mongo.commands();
    let others: Vec<_> = commands
        .iter()
        .filter(|command| command.body.get_str("$db").is_ok_and(|database| database != "autoexec"))
        .filter(|command| {
            !command.name.to_ascii_lowercase().starts_with("sasl") && !is_greeting(&command.name)
        })
        .collect();
    assert!(others.is_empty(), "another database was asked: {others:?}");
    let given_up: Vec<&str> = given_up_searches(&commands).collect();
    assert_eq!(given_up, ["LONG"], "it is not read to its end");
    let code = commands.iter().find(|command| command.body.to_string().contains("$where"));
    assert!(code.is_none(), "{code:?}");
    let left: Vec<Value> =
        mongo.documents("MINE").iter().map(|document| json!(document.get_str("key").ok())).collect();
    assert!(left.contains(&json!("kept")), "{left:?}");
    assert_eq!(mongo.documents("MINE").len(), 1, "the one that was there");
    assert!(mongo.documents("_node_status").iter().all(|document| document.get("a").is_none()));
}

/// The collections of searches that were given up.
fn given_up_searches(commands: &[MongoCommand]) -> impl Iterator<Item = &str> {
    let given_up = commands.iter().filter(|command| command.name == "killCursors");
    given_up.map(|command| command.collection.as_str())
}

/// What a driver says to any server; a search that is given up is named as the answer to it was.
fn is_greeting(name: &str) -> bool {
    ["hello", "ismaster", "ping", "endSessions", "killCursors"]
        .iter()
        .any(|greeting| name.eq_ignore_ascii_case(greeting))
}
