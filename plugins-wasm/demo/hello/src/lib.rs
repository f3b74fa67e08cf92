//! Tool `demo/hello`: greets, and puts out what it said. The smallest complete tool.

use autoexec_sdk::output::Outputs as _;
use autoexec_sdk::{Call, Choice, Options, Outcome, Outputs, Tool, ToolResult, job, log};
use serde_json::{Value, json};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Whom to greet
    #[option(default = "world")]
    who: String,
    /// How often, 0 to 255
    #[option(default = 1)]
    times: u8,
    /// Language of the greeting
    #[option(default = "english")]
    language: Language,
}

/// Languages it knows.
#[derive(Debug, Clone, Copy, Choice)]
enum Language {
    English,
    French,
    German,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Greeted {
    /// What was said
    greeting: String,
    /// Number of characters of the greeting
    length: usize,
    /// Job, phase and user of this call
    #[output(name = "saidBy", label = "Said by")]
    said_by: Value,
}

struct Hello;

impl Tool for Hello {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { who, times, language } = call.options;
        let greeting = format!("{}, {who}!", hello(language));
        for _ in 0..times {
            log::plain(&greeting);
        }
        let context = job::context();
        Greeted {
            length: greeting.chars().count(),
            greeting,
            said_by: json!({"job": context.job_id, "phase": context.phase, "user": context.exec_user}),
        }
        .put();
        Ok(Outcome::with_message(format!("greeted {times} time(s)")))
    }
}

fn hello(language: Language) -> &'static str {
    match language {
        Language::English => "Hello",
        Language::French => "Bonjour",
        Language::German => "Hallo",
    }
}

autoexec_sdk::export_tool!(Hello);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    #[test]
    fn without_options_it_greets_the_world_once() {
        let host = Host::new();
        let outcome = host.run::<Hello>(json!({})).unwrap();
        assert_eq!(host.lines(), ["Hello, world!"]);
        assert_eq!(outcome.message.as_deref(), Some("greeted 1 time(s)"));
    }

    #[test]
    fn it_greets_in_the_language_asked_for_and_puts_out_what_it_said() {
        let host = Host::new();
        host.set_context(|context| context.exec_user = "zoe".into());
        host.run::<Hello>(json!({"who": "Zoë", "times": "2", "language": "french"})).unwrap();
        assert_eq!(host.lines(), ["Bonjour, Zoë!", "Bonjour, Zoë!"]);
        assert_eq!(host.output("length"), Some(json!(13)));
        assert_eq!(host.output("saidBy").unwrap()["user"], "zoe");
    }
}
