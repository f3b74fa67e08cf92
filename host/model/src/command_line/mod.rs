//! Command lines: options and arguments in the form a tool's interpreter expects, as an argument vector or as
//! text for the shell of a target (`spec/plugin-contract.md` §8.2).
//!
//! Values are quoted so that no shell interprets them. The replaced executor put most values in double
//! quotes, where `$`, backquotes and backslashes are live (defect 65); jobs that rely on it ask for
//! [`ShellExpansion::Compatible`].

mod program;
mod unix;
mod windows;

pub use program::RemoteProgram;

use crate::Interpreter;
use crate::value::{InputSource, Inputs, MASK, Recipient, ResolvedValue};

/// Whether a shell sees what stands in text values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShellExpansion {
    /// Every value reaches the tool as it is.
    #[default]
    Off,
    /// The old contract: `$NAME`, `$(command)`, backquotes and backslashes in text values are live.
    Compatible,
}

/// Why a command line cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// No process can get a NUL character in an argument.
    #[error("{0} holds a NUL character, which cannot be passed to a program")]
    Nul(String),
    /// The Windows command processor ends a command at a line break.
    #[error(
        "{0} holds a line break, which cannot be passed to a program on Windows; use a text area or a file"
    )]
    LineBreak(String),
    /// Scripts of this interpreter have no way to receive a double quote.
    #[error(
        "{input} holds a double quote, which a {interpreter} script cannot receive safely; remove it, pass a file, or switch shell expansion to compatible"
    )]
    DoubleQuote {
        /// The option or argument.
        input: String,
        /// The interpreter.
        interpreter: &'static str,
    },
    /// A name with characters that would be commands.
    #[error("{0} cannot be part of a command: it holds a quote, `%` or a control character")]
    Name(String),
    /// There is nothing to run.
    #[error("`{0}` has the interpreter `package`: an archive is a library, it cannot be run")]
    NotRunnable(String),
    /// An assignment in front of the command needs a proper variable name.
    #[error("`{0}` is not the name of an environment variable")]
    VariableName(String),
}

/// What a tool is started for. Only a tool that says it understands is started for anything but [`Self::Run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To do its work.
    #[default]
    Run,
    /// To say whether an earlier run, which was cut off, took effect.
    Probe,
    /// To say what it would change.
    Check,
}

impl Purpose {
    /// The option that tells a tool, with the value 1, as tools of the contract take all their options. A tool that does
    /// not know the option refuses it, where an environment variable would be overlooked and the work be done.
    fn option(self) -> Option<&'static str> {
        match self {
            Self::Run => None,
            Self::Probe => Some("probe"),
            Self::Check => Some("check"),
        }
    }
}

/// Options and arguments of one call.
#[derive(Debug, Clone, Copy)]
pub struct CommandLine<'a> {
    inputs: &'a Inputs,
    interpreter: Option<Interpreter>,
    purpose: Purpose,
}

/// An input as it stands on a command line.
struct Word<'a> {
    source: InputSource,
    /// A word of its own in front of the value: `--name`.
    before: Option<String>,
    /// The start of the value's own word: `/name:`.
    glued: String,
    value: &'a ResolvedValue,
}

impl<'a> CommandLine<'a> {
    /// `interpreter` decides the form of options; `None` is the default form.
    pub fn new(inputs: &'a Inputs, interpreter: Option<Interpreter>) -> Self {
        Self { inputs, interpreter, purpose: Purpose::Run }
    }

    /// The same for another purpose.
    #[must_use]
    pub fn to(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// The words in front of all options that say what the tool is started for. No shell sees anything in them.
    fn purpose_words(&self) -> Vec<String> {
        let Some(option) = self.purpose.option() else { return Vec::new() };
        let (before, glued) = option_form(self.interpreter, option);
        before.into_iter().chain([glued + "1"]).collect()
    }

    /// These words as text, with a blank in front of each.
    fn purpose_text(&self) -> String {
        self.purpose_words().iter().fold(String::new(), |text, word| text + " " + word)
    }

    /// Options, then arguments; empty options are left out, arguments never.
    fn words(&self) -> impl Iterator<Item = Word<'a>> {
        let interpreter = self.interpreter;
        // What the tool is asked for is no matter of the job's own value.
        let reserved = self.purpose.option();
        let options = self.inputs.options.iter();
        let options =
            options.filter(move |(name, value)| !value.is_empty() && Some(name.as_str()) != reserved);
        let options = options.map(move |(name, value)| {
            let (before, glued) = option_form(interpreter, name);
            Word { source: InputSource::Option(name.clone()), before, glued, value }
        });
        let arguments = self.inputs.arguments.iter().enumerate().map(|(position, value)| Word {
            source: InputSource::Argument(position),
            before: None,
            glued: String::new(),
            value,
        });
        options.chain(arguments)
    }

    /// The argument vector of a local run, without the program. No shell is involved.
    pub fn local_argv(&self) -> Result<Vec<String>, CommandLineError> {
        self.local_argv_with(&mut |value| value.text(Recipient::Runner))
    }

    /// As [`Self::local_argv`], with `text` in the place of each value: a tool may take its secrets from files.
    pub fn local_argv_with(
        &self,
        text: &mut dyn FnMut(&ResolvedValue) -> String,
    ) -> Result<Vec<String>, CommandLineError> {
        let mut argv = self.purpose_words();
        for word in self.words() {
            argv.extend(word.before);
            argv.push(format!("{}{}", word.glued, text(word.value)));
            refuse_nul(&word.source, argv.iter().rev().take(2))?;
        }
        Ok(argv)
    }

    /// Options and arguments as text for a Unix shell, with a blank in front of each word. For a local run
    /// with live shell expansion `recipient` is the runner.
    pub fn unix_text(
        &self,
        recipient: Recipient,
        expansion: ShellExpansion,
    ) -> Result<String, CommandLineError> {
        let mut text = self.purpose_text();
        for word in self.words() {
            let value = word.value.text(recipient);
            refuse_nul(&word.source, word.before.iter().chain([&word.glued, &value]))?;
            if let Some(before) = &word.before {
                text.push(' ');
                text.push_str(&unix::bare_or_quoted(before));
            }
            text.push(' ');
            if !word.glued.is_empty() {
                text.push_str(&unix::bare_or_quoted(&word.glued));
            }
            let live = expansion == ShellExpansion::Compatible
                && !word.value.is_literal()
                && self.interpreter != Some(Interpreter::Cmd);
            text.push_str(&if live { unix::double_quoted(&value) } else { unix::single_quoted(&value) });
        }
        Ok(text)
    }

    /// Options and arguments as text for the command processor of a Windows target, with a blank in front of
    /// each word. `%NAME%` is live in any case: the command processor has no quote for it.
    pub fn windows_text(&self, expansion: ShellExpansion) -> Result<String, CommandLineError> {
        let mut text = self.purpose_text();
        for word in self.words() {
            let value = word.value.text(Recipient::Target);
            refuse_nul(&word.source, word.before.iter().chain([&word.glued, &value]))?;
            if value.contains(['\n', '\r']) {
                return Err(CommandLineError::LineBreak(word.source.to_string()));
            }
            if let Some(before) = &word.before {
                text.push(' ');
                text.push_str(&windows::name(before)?);
            }
            text.push(' ');
            text.push_str(&windows::name(&word.glued)?);
            text.push_str(&windows::value(&word.source, &value, self.interpreter, expansion)?);
        }
        Ok(text)
    }

    /// The command line for logs: `program` as given (bundle/name, or the file name of a remote run), secrets
    /// as `******`. In the contract's quotes, because people compare it with older logs.
    pub fn display(&self, program: &str, recipient: Recipient) -> String {
        let mut text = program.to_owned() + &self.purpose_text();
        for word in self.words() {
            if let Some(before) = &word.before {
                text.push(' ');
                text.push_str(before);
            }
            text.push(' ');
            text.push_str(&word.glued);
            let shown = word.value.display(recipient);
            let literal = word.value.is_literal() || shown == MASK;
            text.push_str(&if literal { unix::single_quoted(&shown) } else { unix::double_quoted(&shown) });
        }
        text
    }
}

/// The word before the value and the start of the value's word.
fn option_form(interpreter: Option<Interpreter>, name: &str) -> (Option<String>, String) {
    match interpreter {
        Some(Interpreter::Cmd | Interpreter::VbScript) => (None, format!("/{name}:")),
        Some(Interpreter::PowerShell) => (Some(format!("-{name}")), String::new()),
        _ if name.chars().count() == 1 => (Some(format!("-{name}")), String::new()),
        _ => (Some(format!("--{name}")), String::new()),
    }
}

fn refuse_nul<'a>(
    source: &InputSource,
    mut texts: impl Iterator<Item = &'a String>,
) -> Result<(), CommandLineError> {
    if texts.any(|text| text.contains('\0')) {
        Err(CommandLineError::Nul(source.to_string()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
