use std::collections::BTreeSet;

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::value::{JobOptions, NodeVariables};
use crate::{Node, SecretKey};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other}"),
    }
}

fn table(value: Value) -> IndexMap<String, Value> {
    object(value).into_iter().collect()
}

/// Everything the layers borrow.
struct Job {
    options: JobOptions,
    node_variables: NodeVariables,
    environment: IndexMap<String, String>,
    hidden_environment: BTreeSet<String>,
    node_outputs: Map<String, Value>,
    local_outputs: Map<String, Value>,
    secret_outputs: BTreeSet<(String, String)>,
}

impl Job {
    fn new() -> Self {
        let key = SecretKey::new("k3y-for-tests-0123456789abcdefgh");
        let mut node_variables =
            NodeVariables::new(&Node::local(), &Map::new(), &Map::new(), Some("shop/cart"), None);
        node_variables.set("ITEM", "item", false);
        node_variables.set("TOKEN", "t0ken", true);
        node_variables.set("region", "hidden by the option", false);
        Self {
            options: JobOptions::resolve(
                &table(json!({
                    "region": "north", "packs": [901, {"名": "值"}], "dbpw": "{RC4}d94cf101ca62a06c8680c8",
                    "nothing": null, "money": "$region and \\1", "a.b.c": "dotted option"
                })),
                &table(json!({"region": "south", "site": "S1", "nothing": "from global"})),
                &key,
            ),
            node_variables,
            environment: [("HOME_DIR", "/h"), ("ITEM", "env"), ("nothing2", "e")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            hidden_environment: ["nothing2".to_owned()].into(),
            node_outputs: object(json!({
                "basic/df_500": {"free": 12, "list": [1, "x"], "none": null, "pw": "s3cret"},
                "two": {"here": "node"}
            })),
            local_outputs: object(
                json!({"two": {"here": "local", "there": "local"}, "v1.2/op_1": {"k": "dots"}}),
            ),
            secret_outputs: [("basic/df_500".to_owned(), "pw".to_owned())].into(),
        }
    }

    fn resolve(&self, text: &str) -> Result<Resolved, UnresolvedOutput> {
        let layers = Layers {
            options: &self.options,
            node_variables: &self.node_variables,
            environment: &self.environment,
            hidden_environment: &self.hidden_environment,
            node_outputs: &self.node_outputs,
            local_outputs: &self.local_outputs,
            secret_outputs: &self.secret_outputs,
        };
        resolve(&Template::parse(text), &layers)
    }
}

#[test]
fn references_become_the_value_of_the_first_layer_that_has_it() {
    let job = Job::new();
    for (text, expected) in [
        ("${region}", "north"),
        ("${ region }", "north"),
        ("$region/x", "north/x"),
        ("$regions", "$regions"),
        ("${site}", "S1"),
        ("${nothing}", "from global"),
        ("$ITEM ${HOME_DIR}", "item /h"),
        ("${INS_PATH}", "shop/cart/"),
        ("$packs", "[901, {\"名\": \"值\"}]"),
        ("free=${check.basic/df_500.free}", "free=12"),
        ("${check.basic/df_500.list}", "[1, \"x\"]"),
        ("${p.two.here}", "node"),
        ("${p.v1.2/op_1.k}", "dots"),
        ("${a.b.c}", "dotted option"),
    ] {
        assert_eq!(job.resolve(text).unwrap().text, expected, "{text}");
    }
}

#[test]
fn what_is_not_a_known_reference_stays_as_it_stands() {
    let job = Job::new();
    for text in [
        "",
        "plain",
        "$",
        "$$",
        "$HOME and $(date) and ${NOPE}",
        "${a.b}",
        "${}",
        "${ }",
        "${",
        "${region",
        "#{phase.op_1.key}",
        "a\\1\\g<0>",
        "100% $1",
        "${NAME:-x}",
    ] {
        assert_eq!(job.resolve(text).unwrap().text, text);
    }
    assert_eq!(job.resolve("${x${region}}").unwrap().text, "${xnorth}");
    assert_eq!(job.resolve("$$region").unwrap().text, "$north");
}

#[test]
fn text_that_a_reference_brings_in_is_not_looked_at_again() {
    let job = Job::new();
    assert_eq!(job.resolve("${money}").unwrap().text, "north and \\1", "resolved once, as an option");
    let mut job = Job::new();
    job.environment.insert("LITERAL".to_owned(), "${region} $region \\1 \\n".to_owned());
    assert_eq!(job.resolve("<$LITERAL>").unwrap().text, "<${region} $region \\1 \\n>");
}

#[test]
fn an_output_that_is_not_there_is_an_error_that_names_it() {
    let job = Job::new();
    for (text, op_id, key) in [
        ("${p.nowhere_1.k}", "nowhere_1", "k"),
        ("${check.basic/df_500.none}", "basic/df_500", "none"),
        // the node's own entry hides the local one
        ("${p.two.there}", "two", "there"),
    ] {
        let error = job.resolve(text).unwrap_err();
        assert_eq!((error.written.as_str(), error.op_id.as_str(), error.key.as_str()), (text, op_id, key));
    }
    assert_eq!(
        job.resolve("x ${ p.nowhere_1.k }").unwrap_err().to_string(),
        "can not resolve `${ p.nowhere_1.k }`: there is no output `k` of operation `nowhere_1` on this node or the \
         runner; an operation that declares this output must succeed before"
    );
}

#[test]
fn a_text_knows_that_a_secret_came_in_and_does_not_print_it() {
    let job = Job::new();
    for (text, plain) in
        [("pw=${dbpw}", "pw=s3cret-Pa55"), ("$TOKEN", "t0ken"), ("${check.basic/df_500.pw}", "s3cret")]
    {
        let resolved = job.resolve(text).unwrap();
        assert_eq!((resolved.text.as_str(), resolved.tainted), (plain, true));
        assert!(!format!("{resolved:?}").contains(plain), "{resolved:?}");
    }
    assert!(!job.resolve("$region").unwrap().tainted);
    assert!(job.resolve("$nothing2").unwrap().tainted, "a hidden variable of the environment");
}

#[test]
fn a_quote_in_a_value_leaves_json_valid() {
    struct Quotes;
    impl Lookup for Quotes {
        fn variable(&self, name: &str) -> Option<Found<'_>> {
            (name == "Q").then(|| Found::secret("a\"b\\"))
        }
        fn output(&self, _: &str, _: &str) -> Option<Found<'_>> {
            None
        }
    }
    let (value, tainted) = resolve_json(&json!({"$Q": ["${Q}", 5, null]}), &Quotes).unwrap();
    assert_eq!((value, tainted), (json!({"a\"b\\": ["a\"b\\", 5, null]}), true));
}

proptest! {
    #[test]
    fn the_pieces_of_any_text_are_the_text(text in r"(\$|\{|\}|[a-z_ .#]|值){0,30}") {
        let joined: String = Template::parse(&text)
            .pieces()
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Reference { written, .. } => written.as_str(),
            })
            .collect();
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn no_text_makes_resolving_panic(text in any::<String>()) {
        let _ = Job::new().resolve(&text);
    }

    #[test]
    fn a_value_comes_in_as_it_is(value in any::<String>(), before in "[^$]{0,5}", after in "[^$]{0,5}") {
        let text = format!("{before}${{X}}{after}");
        let resolved = Template::parse(&text).resolve_variables(|name| (name == "X").then(|| Found::plain(value.as_str())));
        prop_assert_eq!(resolved.text, format!("{before}{value}{after}"));
    }
}
