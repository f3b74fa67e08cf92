//! What can be wrong with a policy.

use crate::capability::Capability;
use crate::path::PathError;
use crate::pattern::PatternError;
use crate::text::NamePatternError;
use crate::tools::ToolPatternError;
use crate::words::WordsPatternError;

/// A policy that can not be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}, column {column}: {problem}")]
pub struct PolicyError {
    /// The file, as its reader named it.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: Box<PolicyProblem>,
}

/// What is wrong at some place of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// No TOML.
    #[error("{0}")]
    Format(String),
    /// A key that does not exist there.
    #[error("there is no key `{key}` in {place}{}; see docs/policy.md for every key", known_keys(nearest.as_deref(), known))]
    UnknownKey {
        /// As written.
        key: String,
        /// Where it stands, such as `[[grant]]`.
        place: String,
        /// The key it may be meant to be.
        nearest: Option<String>,
        /// All keys that exist there.
        known: Vec<&'static str>,
    },
    /// A key that must be there.
    #[error("{place} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// Where it is missing.
        place: String,
    },
    /// A value of the wrong kind.
    #[error("`{key}` is {found}, but must be {expected}")]
    Kind {
        /// The key, or `mode`.
        key: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// Not a host pattern.
    #[error("`{pattern}` is no host pattern: {problem}")]
    Host {
        /// As written.
        pattern: String,
        /// Why.
        problem: PatternError,
    },
    /// Not a tool pattern.
    #[error("`{pattern}` is no tool pattern: {problem}")]
    Tool {
        /// As written.
        pattern: String,
        /// Why.
        problem: ToolPatternError,
    },
    /// Not a path.
    #[error("`{path}` can not be used: {problem}")]
    Path {
        /// As written.
        path: String,
        /// Why.
        problem: PathError,
    },
    /// Not a path for native tools.
    #[error(
        "`{0}` can not bound native tools: a path is absolute or begins with ${{job.dir}}, ${{output.dir}} or ${{home}}, \
         has no `.`, `..` and empty parts, and is not the root of all files"
    )]
    NativePath(String),
    /// Not a pattern for names.
    #[error("`{pattern}` is no name pattern: {problem}")]
    Name {
        /// As written.
        pattern: String,
        /// Why.
        problem: NamePatternError,
    },
    /// Not a pattern for commands or arguments.
    #[error("`{pattern}` is no pattern for words: {problem}")]
    Words {
        /// As written.
        pattern: String,
        /// Why.
        problem: WordsPatternError,
    },
    /// Not a method of HTTP.
    #[error("`{0}` is no method; methods are written as in `GET`, in capital letters")]
    Method(String),
    /// Not a scheme.
    #[error("`{0}` is no scheme; there are `https` and `http`")]
    Scheme(String),
    /// Not a name for a program.
    #[error(
        "`{0}` is no name for a program: it holds letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
    )]
    Program(String),
    /// One name for two programs.
    #[error(
        "the program `{name}` has the path {path} already in {file} line {line}, and a name has one path; give one of them another name"
    )]
    ProgramTwice {
        /// The name.
        name: String,
        /// The first path.
        path: String,
        /// Where that stands.
        file: String,
        /// Its line.
        line: usize,
    },
    /// A variable that no policy gives out.
    #[error(
        "`{0}` can not be given to a program: it is no name of a variable, or it decides which code programs run; \
         name others, where `*` stands for any characters"
    )]
    Variable(String),
    /// `http = true` in a grant.
    #[error(
        "`{0} = true` would give all of it, which only a ceiling can say; name what is granted, see docs/policy.md"
    )]
    Unscoped(Capability),
    /// `tools = []`.
    #[error("`tools` is empty, so this is for no tool; name tools, or remove the table")]
    NoTools,
    /// A grant or a limit that says nothing.
    #[error(
        "this table says for which tools, but nothing about them; add a capability or a limit, or remove it"
    )]
    Empty,
    /// Something that one policy can have only once.
    #[error(
        "`{what}` is set a second time; it stands already in {file} line {line}, and a policy has only one"
    )]
    Twice {
        /// The key.
        what: &'static str,
        /// Where the first one stands.
        file: String,
        /// Its line.
        line: usize,
    },
    /// A limit of 0.
    #[error("`{0}` is 0, so the tool could never run")]
    Zero(&'static str),
}

fn known_keys(nearest: Option<&str>, known: &[&'static str]) -> String {
    match nearest {
        Some(key) => format!("; did you mean `{key}`?"),
        None => format!(", which has: {}", known.join(", ")),
    }
}
