//! Options of a tool: a struct whose fields are what a job may set.
//!
//! ```
//! use autoexec_sdk::{Choice, Options};
//!
//! #[derive(Options)]
//! struct Options {
//!     /// Whom to greet
//!     #[option(default = "world")]
//!     who: String,
//!     /// How often, 0 to 255
//!     #[option(default = 1)]
//!     times: u8,
//!     /// Language of the greeting
//!     #[option(default = "english")]
//!     language: Language,
//!     /// Longer text, if any
//!     #[option(label = "More", kind = "textarea")]
//!     more: Option<String>,
//! }
//!
//! #[derive(Choice)]
//! enum Language { English, French }
//! # fn main() {}
//! ```
//!
//! The doc comment is the help text. Keys of `#[option(…)]`: `name` (the field's name without it), `label`, `help`, `default` (the
//! text that the console fills in, and the value when the job sets none), `kind` (where the type alone does not say it:
//! `textarea`, `password`, `node`, …), `choices = "a, b=Text of b"` for a text with a list, `required`, `validate`. An option
//! without a default whose type is not `Option` is required.
//!
//! Options that several tools have in common are a struct of their own, which takes their place as one field. They are described where
//! that field stands:
//!
//! ```
//! use autoexec_sdk::{OptionGroup, Options, options::Secret};
//!
//! #[derive(OptionGroup)]
//! pub struct Account {
//!     /// Name of the account
//!     user: String,
//!     /// Its password
//!     password: Secret,
//! }
//!
//! #[derive(Options)]
//! struct Options {
//!     /// Name of the database
//!     database: String,
//!     #[option(flatten)]
//!     account: Account,
//! }
//! # fn main() {}
//! ```
//!
//! The functions below are for options read with serde's `#[serde(deserialize_with = "…")]` instead.

use std::fmt::Display;
use std::str::FromStr;

use std::time::Duration;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::log;

/// Exit status for options that can not be used, as tools before components had it.
const UNUSABLE: u8 = 2;

/// What the options of a tool are read into. Derive it with `#[derive(Options)]`; a type that derives serde's `Deserialize` has it
/// too, but is described in `tool.toml`.
pub trait OptionSet: Sized {
    /// Reads them.
    fn read_all(given: Given) -> Result<Self, Failure>;

    /// Their description as a JSON list; empty where the type has none.
    fn describe() -> String {
        String::new()
    }
}

impl<T: DeserializeOwned> OptionSet for T {
    fn read_all(given: Given) -> Result<Self, Failure> {
        serde_json::from_value(Value::Object(given.0)).map_err(|error| {
            let text = format!("the options can not be used: {error}");
            Failure::invalid_option("", text).with_exit_code(UNUSABLE)
        })
    }
}

/// Options that several tools have in common. Derive it with `#[derive(OptionGroup)]`; a field of the type, marked with
/// `#[option(flatten)]`, stands for all of them.
pub trait OptionGroup: Sized {
    /// Their descriptions: members of a JSON list.
    const MEMBERS: &'static str;

    /// Takes them out of what the job has set.
    fn take_from(given: &mut Given) -> Result<Self, Failure>;
}

/// The options that a job has set.
#[derive(Debug, Clone, PartialEq)]
pub struct Given(Map<String, Value>);

impl Given {
    pub(crate) fn new(options: Map<String, Value>) -> Self {
        Self(options)
    }

    /// Takes one out and reads it.
    #[doc(hidden)]
    pub fn take<T: OptionValue>(&mut self, name: &str, default: Option<&str>) -> Result<T, Failure> {
        let value = self.0.shift_remove(name).or_else(|| default.map(Value::from));
        let unusable = |why: &str| {
            Failure::invalid_option(name, format!("option `{name}`: {why}")).with_exit_code(UNUSABLE)
        };
        match value {
            Some(value) => T::read(&value).map_err(|why| unusable(&why)),
            None => T::absent().ok_or_else(|| unusable("it is missing")),
        }
    }

    /// Takes those of a group out and reads them.
    #[doc(hidden)]
    pub fn group<T: OptionGroup>(&mut self) -> Result<T, Failure> {
        T::take_from(self)
    }

    /// Says what nobody took: an option of an older version of the tool, or a misspelt one.
    #[doc(hidden)]
    pub fn finish(self) {
        for name in self.0.keys() {
            log::warn(format_args!("option `{name}` is not known and was not used"));
        }
    }
}

/// The type of one option.
pub trait OptionValue: Sized {
    /// Members `type` and, for choices, `dataSource` of its description, as JSON.
    const KIND: &'static str;

    /// Whether a job may leave it out.
    const IS_OPTIONAL: bool = false;

    /// Reads a value. The console stores most of them as text. The error says what is wrong with the value.
    fn read(value: &Value) -> Result<Self, String>;

    /// The value when the job sets none and there is no default.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: &'static str = T::KIND;
    const IS_OPTIONAL: bool = true;

    fn read(value: &Value) -> Result<Self, String> {
        T::read(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl OptionValue for String {
    const KIND: &'static str = r#""type":"text""#;

    fn read(value: &Value) -> Result<Self, String> {
        Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl OptionValue for $type {
            const KIND: &'static str = r#""type":"text""#;

            fn read(value: &Value) -> Result<Self, String> {
                let text = String::read(value)?;
                text.trim().parse().map_err(|error| format!("\"{text}\" is not a usable number: {error}"))
            }
        })+
    };
}

numbers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64);

/// `true`, `yes`, `on` and `1`, and their opposites.
impl OptionValue for bool {
    const KIND: &'static str = concat!(
        r#""type":"select","dataSource":{"dataList":[{"text":"Yes","value":"true"},"#,
        r#"{"text":"No","value":"false"}]}"#
    );

    fn read(value: &Value) -> Result<Self, String> {
        match String::read(value)?.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("{value} is neither true nor false")),
        }
    }
}

/// A length of time in seconds, which may be a fraction.
impl OptionValue for Duration {
    const KIND: &'static str = r#""type":"text""#;

    fn read(value: &Value) -> Result<Self, String> {
        let seconds = f64::read(value)?;
        Self::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
    }
}

/// Any JSON document, or a text that holds one.
impl OptionValue for Value {
    const KIND: &'static str = r#""type":"json""#;

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Self::String(text) => serde_json::from_str(text).map_err(|error| format!("not JSON: {error}")),
            value => Ok(value.clone()),
        }
    }
}

/// A list of texts: a JSON list, or a text that holds one.
impl OptionValue for Vec<String> {
    const KIND: &'static str = r#""type":"json""#;

    fn read(value: &Value) -> Result<Self, String> {
        match Value::read(value)? {
            Value::Array(values) => values.iter().map(String::read).collect(),
            other => Err(format!("{other} is not a list")),
        }
    }
}

/// A text of several lines: those that are not blank, without blanks around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(pub Vec<String>);

impl OptionValue for Lines {
    const KIND: &'static str = r#""type":"textarea""#;

    fn read(value: &Value) -> Result<Self, String> {
        Ok(Self(lines(&String::read(value)?).map(str::to_owned).collect()))
    }
}

/// A password: a reference to it, see [`crate::secret`]. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The reference, to be put where the value goes.
    pub fn reference(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl OptionValue for Secret {
    const KIND: &'static str = r#""type":"password""#;

    fn read(value: &Value) -> Result<Self, String> {
        String::read(value).map(Self)
    }
}

/// A number, or a text that is one: the console stores numbers as text.
pub fn number<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: FromStr<Err: Display>,
{
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.trim()
        .parse()
        .map_err(|error| D::Error::custom(format!("\"{text}\" is not a usable number: {error}")))
}

/// A JSON document, or a text that holds one.
pub fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|error| D::Error::custom(format!("not JSON: {error}")))
        }
        value => Ok(value),
    }
}

/// A text with several lines. The console stores line breaks as the two characters `\n`.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split("\\n").flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Options {
        #[serde(deserialize_with = "number")]
        count: u16,
        #[serde(deserialize_with = "json")]
        data: Value,
    }

    fn read(text: &str) -> Result<Options, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn text_and_real_values_are_the_same() {
        for text in [r#"{"count": "7", "data": "[1]"}"#, r#"{"count": 7, "data": [1]}"#] {
            let options = read(text).unwrap();
            assert_eq!((options.count, options.data), (7, serde_json::json!([1])));
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        assert!(
            read(r#"{"count": "many", "data": 1}"#).unwrap_err().contains("\"many\" is not a usable number")
        );
        assert!(read(r#"{"count": 70000, "data": 1}"#).is_err());
        assert!(read(r#"{"count": 1, "data": "{"}"#).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn both_kinds_of_line_breaks_separate() {
        assert_eq!(lines("a\\nb\n c \\n\\n").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[derive(Debug, PartialEq, crate::Options)]
    struct Derived {
        /// How often
        #[option(default = 1)]
        times: u8,
        /// Where to. May be a name.
        #[option(name = "toHost", label = "Target")]
        to_host: String,
        /// How
        #[option(default = "fast")]
        mode: Mode,
        /// Longest wait in seconds
        wait: Option<Duration>,
        /// Key of the service
        #[option(validate = "enchar", kind = "password")]
        key: Option<String>,
        /// Size
        #[option(choices = "s=Small, l=Large", default = "s")]
        size: String,
    }

    #[derive(Debug, PartialEq, crate::Choice)]
    enum Mode {
        Fast,
        /// Slow and careful
        #[choice(value = "careful")]
        Slow,
    }

    fn derived(options: Value) -> Result<Derived, Failure> {
        let Value::Object(options) = options else { panic!("not an object") };
        OptionSet::read_all(Given::new(options))
    }

    #[test]
    fn derived_options_have_defaults_and_take_the_consoles_spellings() {
        let options = derived(serde_json::json!({"toHost": "h", "wait": "1.5", "mode": "careful"})).unwrap();
        let expected = Derived {
            times: 1,
            to_host: "h".into(),
            mode: Mode::Slow,
            wait: Some(Duration::from_millis(1500)),
            key: None,
            size: "s".into(),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_wrong_with_a_derived_option_is_said_with_its_name() {
        for (given, name, text) in [
            (serde_json::json!({}), "toHost", "option `toHost`: it is missing"),
            (serde_json::json!({"toHost": "h", "times": "300"}), "times", "\"300\" is not a usable number"),
            (serde_json::json!({"toHost": "h", "mode": "slow"}), "mode", "not one of fast, careful"),
            (serde_json::json!({"toHost": "h", "wait": "-1"}), "wait", "-1 seconds"),
        ] {
            let failure = derived(given).unwrap_err();
            assert_eq!(failure.kind(), &crate::FailureKind::InvalidOption(name.into()));
            assert!(failure.message().contains(text), "{failure}");
            assert_eq!(failure.exit_code(), 2);
        }
    }

    #[test]
    fn an_option_that_nobody_took_is_named_in_the_log() {
        let host = crate::testing::Host::new();
        derived(serde_json::json!({"toHost": "h", "tohost": "i"})).unwrap();
        assert_eq!(host.lines(), ["option `tohost` is not known and was not used"]);
    }

    #[test]
    fn the_description_has_the_servers_form() {
        let described: Value = serde_json::from_str(&Derived::describe()).unwrap();
        let expected = serde_json::json!([
            {"opt": "times", "name": "Times", "help": "How often", "type": "text", "required": false, "defaultValue": "1", "validate": ""},
            {"opt": "toHost", "name": "Target", "help": "Where to. May be a name.", "type": "text", "required": true, "defaultValue": "", "validate": ""},
            {"opt": "mode", "name": "Mode", "help": "How", "type": "select", "required": false, "defaultValue": "fast", "validate": "",
             "dataSource": {"dataList": [{"text": "Fast", "value": "fast"}, {"text": "Slow and careful", "value": "careful"}]}},
            {"opt": "wait", "name": "Wait", "help": "Longest wait in seconds", "type": "text", "required": false, "defaultValue": "", "validate": ""},
            {"opt": "key", "name": "Key", "help": "Key of the service", "type": "password", "required": false, "defaultValue": "", "validate": ["enchar"]},
            {"opt": "size", "name": "Size", "help": "Size", "type": "select", "required": false, "defaultValue": "s", "validate": "",
             "dataSource": {"dataList": [{"text": "Small", "value": "s"}, {"text": "Large", "value": "l"}]}},
        ]);
        assert_eq!(described, expected);
    }

    #[derive(Debug, PartialEq, crate::OptionGroup)]
    struct Account {
        /// Name of the account
        user: String,
        #[option(flatten)]
        proof: Proof,
    }

    #[derive(Debug, PartialEq, crate::OptionGroup)]
    struct Proof {
        /// Password of the account
        #[option(name = "pass")]
        password: Option<Secret>,
    }

    #[derive(Debug, PartialEq, crate::Options)]
    struct Grouped {
        /// First
        first: String,
        #[option(flatten)]
        account: Account,
        /// Last
        #[option(default = 7)]
        last: u8,
    }

    #[test]
    fn the_options_of_a_group_are_read_and_described_where_it_stands() {
        let Value::Object(given) =
            serde_json::json!({"last": "8", "pass": "ref", "user": "me", "first": "f"})
        else {
            panic!("not an object")
        };
        let read: Grouped = OptionSet::read_all(Given::new(given)).unwrap();
        let proof = Proof { password: Some(Secret("ref".into())) };
        let account = Account { user: "me".into(), proof };
        assert_eq!(read, Grouped { first: "f".into(), account, last: 8 });
        let described: Vec<Value> = serde_json::from_str(&Grouped::describe()).unwrap();
        let names: Vec<&str> = described.iter().filter_map(|option| option["opt"].as_str()).collect();
        assert_eq!(names, ["first", "user", "pass", "last"]);
        assert_eq!(
            (&described[1]["help"], &described[2]["type"]),
            (&"Name of the account".into(), &"password".into())
        );
    }

    #[test]
    fn what_is_wrong_with_an_option_of_a_group_and_what_is_left_over_are_said_as_ever() {
        let host = crate::testing::Host::new();
        let read = |given: Value| {
            let Value::Object(given) = given else { panic!("not an object") };
            <Grouped as OptionSet>::read_all(Given::new(given))
        };
        let failure = read(serde_json::json!({"first": "f"})).unwrap_err();
        assert_eq!(failure.message(), "option `user`: it is missing");
        read(serde_json::json!({"first": "f", "user": "me", "account": "me"})).unwrap();
        assert_eq!(host.lines(), ["option `account` is not known and was not used"]);
    }

    #[test]
    fn pieces_are_joined_at_compile_time() {
        const PIECES: &[&str] = &["[", "ab", "", "]"];
        static JOINED: [u8; crate::describe::length(PIECES)] = crate::describe::join(PIECES);
        assert_eq!(&JOINED, b"[ab]");
    }
}
