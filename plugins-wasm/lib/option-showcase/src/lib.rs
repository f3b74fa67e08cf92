//! What `demo/local` and `demo/localremote` share (spec/tools-behaviour/14-demo.md): every type of option and output. They are
//! the smoke test of an installation, so they ask for no capability.

use std::time::Duration;

use autoexec_sdk::options::{OptionValue, Secret};
use autoexec_sdk::serde_json::{Value, json};
use autoexec_sdk::{Options, Outcome, Outputs, ToolResult, clock, log, output::Outputs as _};

/// Rounds of the loop that shows how output comes while a tool runs.
const ROUNDS: u32 = 3;

/// Time between two rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// What a job may set: one option of each type.
#[derive(Debug, Options)]
pub struct Showcase {
    /// A text
    #[option(label = "Text")]
    tinput: String,
    /// A JSON document
    #[option(label = "JSON")]
    tjson: Value,
    /// One of several
    #[option(label = "Select", choices = "sel1, sel2", default = "sel1", required = true)]
    tselect: String,
    /// Some of several
    #[option(label = "Multiple select", default = "[\"sel1\", \"sel2\"]", required = true)]
    tmultiselect: Several,
    /// A password
    #[option(label = "Password")]
    tpassword: Option<Secret>,
    /// A file
    #[option(label = "File", kind = "file")]
    tfile: Option<String>,
    /// A node
    #[option(label = "Node", kind = "node")]
    tnode: Option<String>,
    /// A day
    #[option(label = "Date", kind = "date")]
    tdate: Option<String>,
    /// A time of day
    #[option(label = "Time", kind = "time")]
    ttime: Option<String>,
    /// A day with a time
    #[option(label = "Date and time", kind = "datetime")]
    tdatetime: Option<String>,
}

/// Some of several entries of a list.
#[derive(Debug)]
struct Several(Vec<String>);

impl OptionValue for Several {
    const KIND: &'static str = concat!(
        r#""type":"multiselect","dataSource":{"dataList":[{"text":"sel1","value":"sel1"},"#,
        r#"{"text":"sel2","value":"sel2"},{"text":"sel3","value":"sel3"}]}"#
    );

    fn read(value: &Value) -> Result<Self, String> {
        let chosen = Vec::read(value)?;
        let unknown = chosen.iter().find(|one: &&String| !matches!(one.as_str(), "sel1" | "sel2" | "sel3"));
        match unknown {
            Some(unknown) => Err(format!("{unknown} is not one of sel1, sel2, sel3")),
            None => Ok(Self(chosen)),
        }
    }
}

/// What they put out: one output of each type.
#[derive(Debug, Outputs)]
struct Shown {
    /// A text
    outtext: String,
    /// A file; nothing, because a tool without capabilities can not write one
    #[output(kind = "file")]
    outfile: Option<String>,
    /// A list
    outjsonlist: Vec<Value>,
    /// An object
    outjsonobj: Value,
    /// A table in CSV
    outcsv: String,
    /// A password, encrypted
    #[output(kind = "password")]
    outpassword: String,
}

/// Shows the options and arguments, and puts out one output of each type.
pub fn show(options: &Showcase, arguments: impl Iterator<Item = String>) -> ToolResult {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    for (name, value) in [
        ("tinput", options.tinput.clone()),
        ("tjson", options.tjson.to_string()),
        ("tselect", options.tselect.clone()),
        ("tmultiselect", json!(options.tmultiselect.0).to_string()),
        // The tool holds a reference only, and not even that is worth a line.
        ("tpassword", if options.tpassword.is_some() { "******".into() } else { String::new() }),
        ("tfile", text(&options.tfile)),
        ("tnode", text(&options.tnode)),
        ("tdate", text(&options.tdate)),
        ("ttime", text(&options.ttime)),
        ("tdatetime", text(&options.tdatetime)),
    ] {
        log::plain(format_args!("{name}:{value}"));
    }
    for argument in arguments {
        log::plain(format_args!("argument:{argument}"));
    }
    for round in 1..=ROUNDS {
        log::plain(format_args!("Loop:{round}"));
        clock::sleep(PAUSE);
    }
    let row = |number: u32| json!({"key1": format!("value{number}1"), "key2": {"inner": format!("value{number}2")}});
    Shown {
        outtext: "this is the text out value".into(),
        outfile: None,
        outjsonlist: vec![row(1), row(2)],
        outjsonobj: json!({"list": [row(1)]}),
        outcsv: "name,sex,age\nzhangsan,male,35\nlisi,female,33\n".into(),
        outpassword: "{RC4}7dd0b3f8a2".into(),
    }
    .put();
    Ok(Outcome::with_message("The outputs are written."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use autoexec_sdk::{Call, Tool};

    struct Demo;

    impl Tool for Demo {
        type Options = Showcase;

        fn run(call: Call<Showcase>) -> ToolResult {
            show(&call.options, call.text_arguments())
        }
    }

    #[test]
    fn every_type_is_shown_and_put_out() {
        let host = Host::new();
        let options =
            json!({"tinput": "a", "tjson": "{\"a\": [1]}", "tpassword": "the-ref", "tdate": "2026-01-31"});
        host.run_with_arguments::<Demo>(options, [json!("one"), json!("two words")]).unwrap();
        let log = host.lines();
        for line in [
            "tinput:a",
            "tjson:{\"a\":[1]}",
            "tselect:sel1",
            "tmultiselect:[\"sel1\",\"sel2\"]",
            "tpassword:******",
            "tdate:2026-01-31",
            "tnode:",
            "argument:two words",
            "Loop:3",
        ] {
            assert!(log.contains(&line.to_owned()), "{line}: {log:?}");
        }
        assert!(!log.iter().any(|line| line.contains("the-ref")));
        assert_eq!(host.output("outjsonlist").unwrap()[1]["key2"]["inner"], "value22");
        assert_eq!(host.output("outfile"), Some(Value::Null));
        assert!(host.output("outpassword").unwrap().as_str().unwrap().starts_with("{RC4}"));
    }

    #[test]
    fn what_is_required_is_said() {
        let host = Host::new();
        let failure = host.run::<Demo>(json!({"tinput": "a"})).unwrap_err();
        assert_eq!(failure.message(), "option `tjson`: it is missing");
        assert!(host.run::<Demo>(json!({"tinput": "a", "tjson": "{"})).is_err());
    }
}
