//! What stands behind the key of a capability.

use std::collections::BTreeSet;

use autoexec_model::value::is_refused_environment_name;

use super::problem::{PolicyError, PolicyProblem};
use super::reader::{File, Item, Table, Text};
use super::{Programs, Scope};
use crate::access::Direction;
use crate::capability::Capability;
use crate::path::{AbsolutePath, PathPattern};
use crate::pattern::HostPattern;
use crate::rule::{CommandMatcher, Effect, Matcher, Rule, Scheme, SecretPlace, Way};
use crate::text::NamePattern;
use crate::words::WordsPattern;

const SWITCH: &str = "`true` or `false`";
const LIST: &str = "a list of texts";
const TABLE: &str = "a table, or `false`";

/// Reads the rules of one capability.
pub(super) fn read(
    capability: Capability,
    item: Item<'_>,
    scope: Scope,
    programs: &mut Programs,
    rules: &mut Vec<Rule>,
) -> Result<(), PolicyError> {
    use Capability::{
        Documents, Filesystem, Http, Interact, JobNodes, Lock, NetProbe, Program, Secret, Server, Snmp,
        Sockets, StepOutputs, Target,
    };
    let mut section = Section { capability, scope, rules };
    let scoped = !matches!(capability, StepOutputs | JobNodes | Interact);
    if let Some(on) = item.boolean() {
        if on && scoped && scope == Scope::Grant {
            return Err(item.error(PolicyProblem::Unscoped(capability)));
        }
        section.switch(&item, on);
        return Ok(());
    }
    if !scoped {
        return Err(item.wrong(SWITCH));
    }
    let mut table = item.table(format!("`{capability}`"), TABLE)?;
    match capability {
        Http => section.http(&mut table)?,
        Sockets => {
            section.hosts(&mut table)?;
            section.unverified(&mut table)?;
        }
        Snmp | NetProbe => section.hosts(&mut table)?,
        Secret => section.secrets(&mut table)?,
        Target => section.target(&mut table)?,
        Filesystem => section.paths(&mut table)?,
        Server => section.names(&mut table, "calls")?,
        Lock => section.names(&mut table, "names")?,
        Documents => section.collections(&mut table)?,
        Program => section.programs(&mut table, programs)?,
        StepOutputs | JobNodes | Interact => {}
    }
    table.finish()
}

/// The rules of one capability being read.
struct Section<'r> {
    capability: Capability,
    scope: Scope,
    rules: &'r mut Vec<Rule>,
}

/// The keys that give something, and which way.
const WAYS: [(&str, Effect, Way); 3] = [
    ("read", Effect::Allow, Way::One(Direction::Read)),
    ("write", Effect::Allow, Way::One(Direction::Write)),
    ("deny", Effect::Deny, Way::Both),
];

type MakePlace = fn(HostPattern) -> SecretPlace;

/// The keys of places of a secret that are hosts.
const SECRET_HOSTS: [(&str, MakePlace); 4] = [
    ("https", |host| SecretPlace::Http(Scheme::Https, host)),
    ("http", |host| SecretPlace::Http(Scheme::Http, host)),
    ("connections", SecretPlace::Connection),
    ("snmp", SecretPlace::Snmp),
];

impl Section<'_> {
    fn add(&mut self, file: File<'_>, at: &Text, what: &str, effect: Effect, matcher: Matcher) {
        let text = format!("{}{} {what}", self.scope.prefix(), self.capability);
        let at = file.rule_ref(&at.at, text);
        self.rules.push(Rule { capability: self.capability, effect, matcher, at });
    }

    /// `true` or `false` for the capability as a whole.
    fn switch(&mut self, item: &Item<'_>, on: bool) {
        let at = Text { text: String::new(), at: item.at.clone() };
        self.add(item.file, &at, &format!("= {on}"), effect(on), Matcher::Whole);
    }

    fn hosts(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        for (key, effect) in [("hosts", Effect::Allow), ("deny", Effect::Deny)] {
            for (file, text) in texts(table, key)? {
                let pattern = host(file, &text)?;
                self.add(file, &text, &format!("{key} \"{}\"", text.text), effect, Matcher::Host(pattern));
            }
        }
        Ok(())
    }

    fn unverified(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        for (file, text) in texts(table, "unverified-tls")? {
            let matcher = Matcher::UnverifiedTls(host(file, &text)?);
            self.add(file, &text, &format!("unverified-tls \"{}\"", text.text), Effect::Allow, matcher);
        }
        Ok(())
    }

    fn http(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        let methods = match table.take("methods") {
            None => None,
            Some(item) => {
                let file = item.file;
                let methods = item.texts(LIST)?.into_iter().map(|text| method(file, text));
                Some(methods.collect::<Result<BTreeSet<String>, _>>()?)
            }
        };
        let schemes = match table.take("schemes") {
            None => BTreeSet::from([Scheme::Https]),
            Some(item) => {
                let file = item.file;
                let scheme = |text: Text| {
                    let scheme = Scheme::from_text(&text.text);
                    scheme.ok_or_else(|| file.error(&text.at, PolicyProblem::Scheme(text.text)))
                };
                item.texts(LIST)?.into_iter().map(scheme).collect::<Result<_, _>>()?
            }
        };
        for (file, text) in texts(table, "hosts")? {
            let matcher = Matcher::Http {
                host: host(file, &text)?,
                methods: methods.clone(),
                schemes: schemes.clone(),
            };
            let ways = methods.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
            let ways = if methods.is_some() { format!(" ({ways})") } else { String::new() };
            self.add(file, &text, &format!("hosts \"{}\"{ways}", text.text), Effect::Allow, matcher);
        }
        for (file, text) in texts(table, "deny")? {
            let matcher = Matcher::Host(host(file, &text)?);
            self.add(file, &text, &format!("deny \"{}\"", text.text), Effect::Deny, matcher);
        }
        self.unverified(table)
    }

    fn secrets(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        for (key, item) in table.take_all() {
            let file = item.file;
            let name = name(file, &key)?;
            if item.boolean() == Some(false) {
                let matcher = Matcher::Secret { name, place: SecretPlace::Anywhere };
                self.add(file, &key, &format!("\"{}\" = false", key.text), Effect::Deny, matcher);
                continue;
            }
            let expected = "a table of places where it may go, or `false`";
            let mut places = item.table(format!("the secret `{}`", key.text), expected)?;
            for (place_key, make) in SECRET_HOSTS {
                for (file, text) in texts(&mut places, place_key)? {
                    let matcher = Matcher::Secret { name: name.clone(), place: make(host(file, &text)?) };
                    let what = format!("\"{}\" to {place_key} \"{}\"", key.text, text.text);
                    self.add(file, &text, &what, Effect::Allow, matcher);
                }
            }
            if let Some(item) = places.take("target") {
                let on = item.boolean().ok_or_else(|| item.wrong(SWITCH))?;
                let at = Text { text: String::new(), at: item.at };
                let matcher = Matcher::Secret { name: name.clone(), place: SecretPlace::Target };
                self.add(file, &at, &format!("\"{}\" to target = {on}", key.text), effect(on), matcher);
            }
            for (file, text) in texts(&mut places, "programs")? {
                let place = SecretPlace::Program(self::name(file, &text)?);
                let what = format!("\"{}\" to program \"{}\"", key.text, text.text);
                self.add(file, &text, &what, Effect::Allow, Matcher::Secret { name: name.clone(), place });
            }
            places.finish()?;
        }
        Ok(())
    }

    fn target(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        let expected = "a list of texts, `true` or `false`";
        if let Some(item) = table.take("commands") {
            let (file, at) = (item.file, Text { text: String::new(), at: item.at.clone() });
            if let Some(on) = item.boolean() {
                let matcher = Matcher::Command(CommandMatcher::Any);
                self.add(file, &at, &format!("commands = {on}"), effect(on), matcher);
            } else {
                for text in item.texts(expected)? {
                    let matcher = Matcher::Command(CommandMatcher::Line(words(file, &text)?));
                    self.add(file, &text, &format!("commands \"{}\"", text.text), Effect::Allow, matcher);
                }
            }
        }
        if let Some(item) = table.take("session") {
            let on = item.boolean().ok_or_else(|| item.wrong(SWITCH))?;
            let at = Text { text: String::new(), at: item.at };
            self.add(item.file, &at, &format!("session = {on}"), effect(on), Matcher::Session);
        }
        for (key, allow, way) in WAYS {
            let Some(item) = table.take(key) else { continue };
            let (file, at) = (item.file, Text { text: String::new(), at: item.at.clone() });
            if let (Some(on), Effect::Allow) = (item.boolean(), allow) {
                let matcher = Matcher::NodeFile { path: None, way };
                self.add(file, &at, &format!("{key} = {on}"), effect(on), matcher);
                continue;
            }
            for text in item.texts(if allow == Effect::Allow { expected } else { LIST })? {
                let path = PathPattern::parse_on_node(&text.text);
                let path = path.map_err(|problem| path_error(file, &text, problem))?;
                let matcher = Matcher::NodeFile { path: Some(path), way };
                self.add(file, &text, &format!("{key} \"{}\"", text.text), allow, matcher);
            }
        }
        Ok(())
    }

    fn paths(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        for (key, effect, way) in WAYS {
            for (file, text) in texts(table, key)? {
                let path = PathPattern::parse(&text.text);
                let path = path.map_err(|problem| path_error(file, &text, problem))?;
                let what = format!("{key} \"{}\"", text.text);
                self.add(file, &text, &what, effect, Matcher::File { path, way });
            }
        }
        Ok(())
    }

    fn names(&mut self, table: &mut Table<'_>, allow: &'static str) -> Result<(), PolicyError> {
        for (key, effect) in [(allow, Effect::Allow), ("deny", Effect::Deny)] {
            for (file, text) in texts(table, key)? {
                let what = format!("{key} \"{}\"", text.text);
                self.add(file, &text, &what, effect, Matcher::Name(name(file, &text)?));
            }
        }
        Ok(())
    }

    fn collections(&mut self, table: &mut Table<'_>) -> Result<(), PolicyError> {
        for (key, effect, way) in WAYS {
            for (file, text) in texts(table, key)? {
                let what = format!("{key} \"{}\"", text.text);
                let matcher = Matcher::Collection { name: name(file, &text)?, way };
                self.add(file, &text, &what, effect, matcher);
            }
        }
        Ok(())
    }

    fn programs(&mut self, table: &mut Table<'_>, programs: &mut Programs) -> Result<(), PolicyError> {
        for (key, item) in table.take_all() {
            let file = item.file;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if !key.text.chars().all(plain) || !key.text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                return Err(file.error(&key.at, PolicyProblem::Program(key.text)));
            }
            if item.boolean() == Some(false) {
                let name = key.text.clone();
                let matcher = Matcher::Program { name, path: None, arguments: None, environment: None };
                self.add(file, &key, &format!("{} = false", key.text), Effect::Deny, matcher);
                continue;
            }
            let expected = "a path, a table with `path`, `arguments` and `environment`, or `false`";
            let (path, arguments, variables) = if item.value.is_str() {
                (item.text(expected)?, None, Vec::new())
            } else {
                let mut table = item.table(format!("the program `{}`", key.text), expected)?;
                let path = table.need("path")?.text("a text")?;
                let arguments = table.take("arguments").map(|item| item.texts(LIST)).transpose()?;
                let variables = texts(&mut table, "environment")?.into_iter().map(|(_, text)| text);
                let variables = variables.collect();
                table.finish()?;
                (path, arguments, variables)
            };
            let setting = setting(&variables);
            let environment =
                variables.iter().map(|text| variable(file, text)).collect::<Result<Vec<_>, _>>()?;
            let program = |path, arguments| {
                let environment = Some(environment.clone());
                Matcher::Program { name: key.text.clone(), path: Some(path), arguments, environment }
            };
            let absolute =
                AbsolutePath::parse(&path.text).map_err(|problem| path_error(file, &path, problem))?;
            let absolute = absolute.to_string();
            let at = file.rule_ref(&path.at, String::new());
            let (first, first_at) = programs.entry(key.text.clone()).or_insert((absolute.clone(), at));
            if *first != absolute {
                let problem = PolicyProblem::ProgramTwice {
                    name: key.text,
                    path: first.clone(),
                    file: first_at.file.clone(),
                    line: first_at.line,
                };
                return Err(file.error(&path.at, problem));
            }
            match arguments {
                None => {
                    let what = format!("{} = \"{}\"{setting}", key.text, path.text);
                    self.add(file, &path, &what, Effect::Allow, program(absolute, None));
                }
                Some(patterns) => {
                    for text in patterns {
                        let what =
                            format!("{} = \"{}\" with \"{}\"{setting}", key.text, path.text, text.text);
                        let matcher = program(absolute.clone(), Some(words(file, &text)?));
                        self.add(file, &text, &what, Effect::Allow, matcher);
                    }
                }
            }
        }
        Ok(())
    }
}

fn effect(on: bool) -> Effect {
    if on { Effect::Allow } else { Effect::Deny }
}

/// The texts of a list, each with its file; none when the key is not there.
fn texts<'a>(table: &mut Table<'a>, key: &'static str) -> Result<Vec<(File<'a>, Text)>, PolicyError> {
    let Some(item) = table.take(key) else { return Ok(Vec::new()) };
    let file = item.file;
    Ok(item.texts(LIST)?.into_iter().map(|text| (file, text)).collect())
}

fn host(file: File<'_>, text: &Text) -> Result<HostPattern, PolicyError> {
    HostPattern::parse(&text.text)
        .map_err(|problem| file.error(&text.at, PolicyProblem::Host { pattern: text.text.clone(), problem }))
}

fn name(file: File<'_>, text: &Text) -> Result<NamePattern, PolicyError> {
    NamePattern::parse(&text.text)
        .map_err(|problem| file.error(&text.at, PolicyProblem::Name { pattern: text.text.clone(), problem }))
}

/// Names of variables of a program.
fn variable(file: File<'_>, text: &Text) -> Result<NamePattern, PolicyError> {
    if is_refused_environment_name(&text.text) {
        return Err(file.error(&text.at, PolicyProblem::Variable(text.text.clone())));
    }
    name(file, text)
}

fn setting(variables: &[Text]) -> String {
    if variables.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = variables.iter().map(|text| text.text.as_str()).collect();
    format!(" setting {}", names.join(", "))
}

fn words(file: File<'_>, text: &Text) -> Result<WordsPattern, PolicyError> {
    WordsPattern::parse(&text.text)
        .map_err(|problem| file.error(&text.at, PolicyProblem::Words { pattern: text.text.clone(), problem }))
}

fn path_error(file: File<'_>, text: &Text, problem: crate::path::PathError) -> PolicyError {
    file.error(&text.at, PolicyProblem::Path { path: text.text.clone(), problem })
}

/// A token of RFC 9110 in capitals: methods have case.
fn method(file: File<'_>, text: Text) -> Result<String, PolicyError> {
    let token =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_!#$%&'*+.^`|~".contains(&byte);
    if !text.text.is_empty() && text.text.bytes().all(token) {
        Ok(text.text)
    } else {
        Err(file.error(&text.at, PolicyProblem::Method(text.text)))
    }
}
