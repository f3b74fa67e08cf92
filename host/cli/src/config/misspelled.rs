//! Keys that nobody reads although they can only be meant for us. Other programs have keys in the same file, so a key that
//! we do not know is no mistake by itself.

use std::collections::BTreeSet;
use std::fmt;

use ini::Ini;

/// What the keys of this program alone begin with, in section `autoexec`.
const OURS: [&str; 6] = ["outbox.", "plugins.", "rexec.", "setenv.", "shell.", "ssh."];

/// From which likeness on a known key is taken for the one that was meant; 1 is the same text.
const ALIKE: f64 = 0.7;

const SECTION: &str = "autoexec";

/// A key that has no effect, though it looks like one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MisspelledKey {
    path: String,
    section: Option<String>,
    key: String,
    meant: Meant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Meant {
    /// The key is right and its section is not.
    OtherSection,
    /// Probably this one.
    Key(&'static str),
    /// None of ours is alike; these begin the same way.
    Unclear(Vec<&'static str>),
}

impl fmt::Display for MisspelledKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, section, key, meant } = self;
        let key = key.escape_debug();
        match section {
            Some(section) => write!(f, "{path}: section [{section}]: `{key}`")?,
            None => write!(f, "{path}: before the first section: `{key}`")?,
        }
        match meant {
            Meant::OtherSection => write!(f, " has no effect here; it belongs into section [{SECTION}]"),
            Meant::Key(known) => write!(f, " is not known and has no effect; did you mean `{known}`?"),
            Meant::Unclear(known) => {
                write!(f, " is not known and has no effect; keys that begin like it: {}", known.join(", "))
            }
        }
    }
}

/// Looks for them; `known` are the keys of section `autoexec` that are read.
pub(super) fn find(ini: &Ini, path: &str, known: &BTreeSet<&'static str>) -> Vec<MisspelledKey> {
    let mut found = Vec::new();
    for section in [None, Some("server"), Some(SECTION)] {
        let keys = ini.section(section).into_iter().flat_map(ini::Properties::iter);
        // A key without a value counts as absent.
        for (key, _) in keys.filter(|(_, value)| !value.trim().is_empty()) {
            let lower = key.to_lowercase();
            let Some(prefix) = OURS.into_iter().find(|prefix| lower.starts_with(prefix)) else { continue };
            let meant = match (known.contains(key), section) {
                (true, Some(SECTION)) => continue,
                (true, _) => Meant::OtherSection,
                (false, _) => meant(&lower, prefix, known),
            };
            let section = section.map(str::to_owned);
            found.push(MisspelledKey { path: path.to_owned(), section, key: key.to_owned(), meant });
        }
    }
    found
}

fn meant(lower: &str, prefix: &str, known: &BTreeSet<&'static str>) -> Meant {
    let likeness =
        |known: &&'static str| (strsim::normalized_damerau_levenshtein(lower, &known.to_lowercase()), *known);
    let alike = known.iter().map(likeness).filter(|(alike, _)| *alike >= ALIKE);
    match alike.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((_, key)) => Meant::Key(key),
        None => Meant::Unclear(known.iter().copied().filter(|key| key.starts_with(prefix)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn told(text: &str) -> Vec<String> {
        let config = Config::parse(text, "config.ini").unwrap();
        config.misspelled.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_key_that_can_only_be_ours_is_told_with_the_one_that_was_meant() {
        for (line, expected) in [
            (
                "ssh.hostKeys = strict",
                "`ssh.hostKeys` is not known and has no effect; did you mean `ssh.hostkeys`?",
            ),
            ("ssh.host_keys = strict", "did you mean `ssh.hostkeys`?"),
            ("SSH.AGENT = 1", "did you mean `ssh.agent`?"),
            ("rexec.connectTimeOut = 5", "did you mean `rexec.connectTimeout`?"),
            ("rexec.connect.timeout = 5", "did you mean `rexec.connectTimeout`?"),
            ("rexec.fail.reserveDir = 1", "did you mean `rexec.fail.reservedir`?"),
            ("plugins.signature = require", "did you mean `plugins.signatures`?"),
            ("outbox.maxWait = 5", "did you mean `outbox.maxWaitSecs`?"),
            ("setenv.shel = 1", "did you mean `setenv.shell`?"),
            ("shell.expand = off", "did you mean `shell.expansion`?"),
            (
                "plugins.x = 1",
                "`plugins.x` is not known and has no effect; keys that begin like it: plugins.cafile, plugins.signatures",
            ),
        ] {
            let found = told(&format!("[autoexec]\n{line}\n"));
            let [text] = &found[..] else { panic!("{line}: {found:?}") };
            assert!(
                text.starts_with("config.ini: section [autoexec]: ") && text.contains(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_right_key_in_a_wrong_section_is_told() {
        assert_eq!(
            told("ssh.agent = 1\n[server]\nssh.hostkeys = strict\n"),
            [
                "config.ini: before the first section: `ssh.agent` has no effect here; it belongs into section [autoexec]",
                "config.ini: section [server]: `ssh.hostkeys` has no effect here; it belongs into section [autoexec]"
            ]
        );
    }

    #[test]
    fn keys_of_the_replaced_system_and_of_other_programs_are_left_alone() {
        let text = "[server]\nserver.baseurl = http://h\nserver.username = u\nserver.password = p\n\
            password.key = k\nserver.cafile = /ca\ntenant = t\nserver.other = 1\n\
            [autoexec]\nrexec.fail.reservedir = 1\njob.maxExecSecs = 5\nrexec.connectTimeout = 5\n\
            rexec.readTimeout = 5\nrexec.writeTimeout = 5\ndb.url = mongodb://h\ndb.name = n\ndb.username = u\n\
            db.password = p\ndb.maxPoolSize = 1\ndeploy.possibleEncodings = UTF-8\nlogging.level = DEBUG\n\
            ssh.hostkeys = strict\nssh.knownHosts = /k\nssh.identity = /i\nssh.agent = 0\nssh.maxConnections = 1\n\
            shell.expansion = off\nsetenv.shell = 0\nplugins.signatures = off\noutbox.maxWaitSecs = 1\n\
            job.other = 1\ndb.other = 1\nsshd.port = 22\nssh.hostKeys =\n[autodeploy]\nssh.port = 22\n";
        assert_eq!(told(text), [""; 0]);
    }
}
