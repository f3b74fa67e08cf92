//! Quoting for the Windows command processor and the programs it starts.
//!
//! Two parsers read the text: the command processor, for which a `"` switches its own characters off and on
//! and a backslash means nothing, and the started program, which for most interpreters splits by the
//! Microsoft C rules (`\"` is a quote, backslashes before a quote are doubled) and for batch files and
//! Windows Script Host knows no escape at all.

use super::{CommandLineError, ShellExpansion};
use crate::Interpreter;
use crate::value::InputSource;

/// An option's name with its dashes or slash. It is never quoted, so it must not need it.
pub(super) fn name(text: &str) -> Result<String, CommandLineError> {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@#".contains(c);
    if text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(CommandLineError::Name(format!(
            "option `{}`",
            text.trim_start_matches(['-', '/']).trim_end_matches(':')
        )))
    }
}

/// A path in a program part: in double quotes when needed.
pub(super) fn path(text: &str) -> Result<String, CommandLineError> {
    if text.chars().any(|c| c == '"' || c == '%' || c.is_control()) {
        return Err(CommandLineError::Name(format!("path `{}`", text.escape_debug())));
    }
    let plain = |c: char| c.is_alphanumeric() || "_-./\\:$".contains(c);
    Ok(if text.chars().all(plain) { text.to_owned() } else { format!("\"{text}\"") })
}

/// A value in the quotes its interpreter needs.
pub(super) fn value(
    source: &InputSource,
    text: &str,
    interpreter: Option<Interpreter>,
    expansion: ShellExpansion,
) -> Result<String, CommandLineError> {
    let compatible = expansion == ShellExpansion::Compatible;
    match interpreter {
        Some(Interpreter::Cmd | Interpreter::VbScript) if text.contains('"') && !compatible => {
            let interpreter = interpreter.map_or("", Interpreter::as_str);
            Err(CommandLineError::DoubleQuote { input: source.to_string(), interpreter })
        }
        Some(Interpreter::Cmd) => Ok(batch_argument(text, compatible)),
        Some(Interpreter::VbScript) => Ok(format!("\"{}\"", text.replace('"', "\\\""))),
        _ if compatible => Ok(super::unix::double_quoted(text)),
        _ => Ok(program_argument(text)),
    }
}

/// Batch files keep the quotes in their parameters, so that they stand only where they are needed: round white
/// space (the contract), and round what would end or split the parameter or be a command.
fn batch_argument(text: &str, compatible: bool) -> String {
    let needs_quotes = |c: char| c.is_whitespace() || (!compatible && "&|<>^()!,;=%".contains(c));
    // an empty parameter without quotes would vanish and shift those after it
    if text.is_empty() || text.chars().any(needs_quotes) { format!("\"{text}\"") } else { text.to_owned() }
}

/// One argument by the Microsoft C rules. An inner quote would end the quoted state of the command processor,
/// so such an argument is written with every special character escaped for it instead.
fn program_argument(text: &str) -> String {
    let quoted = c_quoted(text);
    if !text.contains('"') {
        return quoted;
    }
    let special = |c: char| "\"^&|<>()%!".contains(c);
    quoted.chars().fold(String::with_capacity(quoted.len() * 2), |mut escaped, character| {
        if special(character) {
            escaped.push('^');
        }
        escaped.push(character);
        escaped
    })
}

fn c_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for character in text.chars() {
        if character == '"' {
            // those before a quote count double, and one more escapes the quote
            quoted.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if character == '\\' { backslashes + 1 } else { 0 };
        quoted.push(character);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('"');
    quoted
}
