//! Tool `demo/hello`: greets, and puts out what it said. The smallest complete tool.

use autoexec_sdk::{Call, Outcome, Tool, ToolResult, job, log, options, output};
use serde::Deserialize;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Whom to greet.
    #[serde(default = "world")]
    who: String,
    /// How often.
    #[serde(default = "once", deserialize_with = "options::number")]
    times: u8,
    /// In which language.
    #[serde(default)]
    language: Language,
}

/// Languages it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Language {
    #[default]
    English,
    French,
    German,
}

fn world() -> String {
    "world".into()
}

fn once() -> u8 {
    1
}

struct Hello;

impl Tool for Hello {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let greeting = greeting(call.options.language, &call.options.who);
        for _ in 0..call.options.times {
            log::plain(&greeting);
        }
        let context = job::context();
        output::set("greeting", &greeting);
        output::set("length", &greeting.chars().count());
        output::set(
            "saidBy",
            &serde_json::json!({"job": context.job_id, "phase": context.phase, "user": context.exec_user}),
        );
        Ok(Outcome::with_message(format!("greeted {} time(s)", call.options.times)))
    }
}

fn greeting(language: Language, who: &str) -> String {
    let hello = match language {
        Language::English => "Hello",
        Language::French => "Bonjour",
        Language::German => "Hallo",
    };
    format!("{hello}, {who}!")
}

autoexec_sdk::export_tool!(Hello);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_defaults_and_the_consoles_spellings() {
        let options: Options = serde_json::from_str("{}").unwrap();
        assert_eq!((options.who.as_str(), options.times, options.language), ("world", 1, Language::English));
        let options: Options = serde_json::from_str(r#"{"times": "3", "language": "german"}"#).unwrap();
        assert_eq!((options.times, options.language), (3, Language::German));
    }

    #[test]
    fn it_greets_in_the_language_asked_for() {
        assert_eq!(greeting(Language::French, "Zoë"), "Bonjour, Zoë!");
    }
}
