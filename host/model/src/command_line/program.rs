//! The program part of a remote command.

use super::{CommandLineError, unix, windows};
use crate::Interpreter;

/// A script on a target and how it is started.
#[derive(Debug, Clone, Copy)]
pub struct RemoteProgram<'a> {
    /// Directory of the script. The target agent replaces `$TMPDIR` in it before any shell reads it, quoted
    /// or not.
    pub directory: &'a str,
    /// File name within the directory.
    pub file: &'a str,
    /// What runs it; `None` starts the file itself (Unix) or by its extension (Windows).
    pub interpreter: Option<Interpreter>,
    /// Variables set in front of the interpreter (Unix over SSH). The target agent takes them in its request
    /// instead.
    pub environment: &'a [(&'a str, &'a str)],
}

impl RemoteProgram<'_> {
    /// `cd <dir> && NAME=value … <interpreter> <file>` for a Unix shell.
    pub fn unix_text(&self) -> Result<String, CommandLineError> {
        self.refuse_unusable()?;
        let directory = unix::bare_or_quoted(self.directory);
        let assignments = self.environment.iter().map(|(name, value)| {
            if is_variable_name(name) {
                Ok(format!("{name}={} ", unix::single_quoted(value)))
            } else {
                Err(CommandLineError::VariableName((*name).to_owned()))
            }
        });
        let assignments = assignments.collect::<Result<String, _>>()?;
        Ok(format!("cd {directory} && {assignments}{}", self.unix_start()))
    }

    /// `<interpreter> <file>` for a Unix shell that is in the script's directory already and has its
    /// environment.
    pub fn unix_command(&self) -> Result<String, CommandLineError> {
        self.refuse_unusable()?;
        Ok(self.unix_start())
    }

    fn unix_start(&self) -> String {
        // A file that starts with a dash would be read as an option; one without interpreter is not on PATH.
        let dotted = self.interpreter.is_none() || self.file.starts_with('-');
        let file = if dotted { format!("./{}", self.file) } else { self.file.to_owned() };
        let file = unix::bare_or_quoted(&file);
        match self.unix_interpreter() {
            "" => file,
            interpreter => format!("{interpreter} {file}"),
        }
    }

    /// The interpreter with what makes it read the login profile, where it can.
    fn unix_interpreter(&self) -> &'static str {
        match self.interpreter {
            Some(Interpreter::Sh) => "sh -l",
            Some(Interpreter::Bash) => "bash -l",
            Some(Interpreter::Csh) => "csh -l",
            Some(Interpreter::JavaScript) => "node",
            Some(other) => other.as_str(),
            None => "",
        }
    }

    /// `cd <dir> & <interpreter> <file>` for the Windows command processor. With `give_extension` the file is
    /// first copied to one with the interpreter's extension: built-in tools are stored without it, and
    /// Windows starts nothing without it.
    pub fn windows_text(&self, give_extension: bool) -> Result<String, CommandLineError> {
        self.refuse_unusable()?;
        let directory = windows::path(self.directory)?;
        let mut file = windows::path(self.file)?;
        let mut copy = String::new();
        let extension = self.interpreter.map_or("", Interpreter::script_extension);
        if give_extension && !extension.is_empty() && !self.file.ends_with(extension) {
            let named = windows::path(&format!("{}{extension}", self.file))?;
            copy = format!("copy /y {file} {named} >NUL & ");
            file = named;
        }
        Ok(format!("cd {directory} & {copy}{}", self.windows_start(&file)))
    }

    /// `file` is quoted already.
    fn windows_start(&self, file: &str) -> String {
        match self.interpreter {
            // behind `/c` a leading quote would take the last quote of the line with it
            Some(Interpreter::Cmd) if file.starts_with('"') => format!("cmd /c call {file}"),
            Some(Interpreter::Cmd) => format!("cmd /c {file}"),
            Some(Interpreter::VbScript) => format!("cscript {file}"),
            Some(Interpreter::JavaScript) => format!("node {file}"),
            Some(Interpreter::PowerShell) => {
                let policy = "powershell -Command \"Set-ExecutionPolicy -Force RemoteSigned\"";
                format!("{policy} & powershell -f {file}")
            }
            Some(other) => format!("{} {file}", other.as_str()),
            None => file.to_owned(),
        }
    }

    fn refuse_unusable(&self) -> Result<(), CommandLineError> {
        if self.interpreter == Some(Interpreter::Package) {
            return Err(CommandLineError::NotRunnable(self.file.to_owned()));
        }
        let texts = [self.directory, self.file].into_iter().chain(self.environment.iter().map(|(_, v)| *v));
        match texts.into_iter().find(|text| text.contains('\0')) {
            // not the text: a value of the environment may be a secret
            Some(_) => Err(CommandLineError::Nul(format!("the command of `{}`", self.file.escape_debug()))),
            None => Ok(()),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
