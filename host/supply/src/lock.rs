//! `plugins.lock`: which tool, in which version and content, asking for what, a person has approved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use autoexec_manifest::{Manifest, NativeManifest};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::KeyId;

/// Version of the file's format.
const FORMAT: u32 = 1;

const HEAD: &str = "\
# What was approved for this home, one table per tool. `autoexec tool lock` writes it and says what an update adds;
# a component that is not here as it stands here is not run. Keep it under version control. See docs/supply-chain.md.

";

/// How a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A WebAssembly component, in the sandbox.
    Component,
    /// A native program of this machine with a manifest beside it.
    Native,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "component",
            Self::Native => "native",
        })
    }
}

/// A tool as it is installed, or as it was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// How it runs.
    pub kind: Kind,
    /// The version in its manifest.
    pub version: Version,
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// What its manifest asks for, in words that can be compared: for a component the names of interfaces.
    pub capabilities: BTreeSet<String>,
    /// The key it is signed with; none if it has no signature that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

impl Pinned {
    /// A component with this manifest and content.
    pub fn component(manifest: &Manifest, sha256: Digest, key: Option<KeyId>) -> Self {
        let capabilities = manifest.capabilities.iter().map(|request| request.interface.clone()).collect();
        Self { kind: Kind::Component, version: manifest.version.clone(), sha256, capabilities, key }
    }
}

impl Pinned {
    /// A native program with this manifest beside it. It has no place for a signature.
    pub fn native(manifest: &NativeManifest, sha256: Digest) -> Self {
        let capabilities = manifest.requests().into_keys().collect();
        Self { kind: Kind::Native, version: manifest.version.clone(), sha256, capabilities, key: None }
    }
}

/// The tools that were approved, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<String, Pinned>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "tool")]
    tools: Vec<Entry>,
}

/// Name and [`Pinned`] in one table; written out, because a flattened struct neither refuses unknown keys nor knows lines.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: Kind,
    version: Version,
    sha256: Digest,
    capabilities: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
}

/// A lock file that can not be used. Nothing is run then: what was approved is not known.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LockError {
    /// No TOML, an unknown key, a value of the wrong kind.
    #[error("line {line}: {problem}")]
    Format {
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Written by a newer autoexec.
    #[error(
        "its format is version {0}, and this autoexec knows only {FORMAT}; use the autoexec that wrote it"
    )]
    Version(u32),
    /// The same tool twice.
    #[error("the tool {0} stands in it twice; which one was approved can not be told")]
    Twice(String),
}

impl Lock {
    /// Reads the text of a lock file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let problem = error.message().trim().replace('\n', ", ");
            LockError::Format { line: before.matches('\n').count() + 1, problem }
        })?;
        if document.version != FORMAT {
            return Err(LockError::Version(document.version));
        }
        let mut tools = BTreeMap::new();
        for Entry { name, kind, version, sha256, capabilities, key } in document.tools {
            let pinned = Pinned { kind, version, sha256, capabilities, key };
            if tools.insert(name.clone(), pinned).is_some() {
                return Err(LockError::Twice(name));
            }
        }
        Ok(Self(tools))
    }

    /// The text of the file: sorted, so that two are compared line by line.
    pub fn to_text(&self) -> String {
        let entry = |(name, pinned): (&String, &Pinned)| {
            let Pinned { kind, version, sha256, capabilities, key } = pinned.clone();
            Entry { name: name.clone(), kind, version, sha256, capabilities, key }
        };
        let document = Document { version: FORMAT, tools: self.0.iter().map(entry).collect() };
        // Plain structs with text keys always have a TOML form; an empty text would be refused on reading.
        HEAD.to_owned() + &toml::to_string(&document).unwrap_or_default()
    }

    /// What was approved for a tool.
    pub fn get(&self, tool: &str) -> Option<&Pinned> {
        self.0.get(tool)
    }

    /// All, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pinned)> {
        self.0.iter().map(|(name, pinned)| (name.as_str(), pinned))
    }

    /// Approves a tool as it is.
    pub fn insert(&mut self, tool: impl Into<String>, pinned: Pinned) {
        self.0.insert(tool.into(), pinned);
    }

    /// Forgets a tool. Whether it was there.
    pub fn remove(&mut self, tool: &str) -> bool {
        self.0.remove(tool).is_some()
    }

    /// How an installed tool stands to what was approved.
    pub fn standing(&self, tool: &str, installed: &Pinned) -> Standing {
        match self.get(tool) {
            None => Standing::New,
            Some(approved) if approved.sha256 == installed.sha256 && approved.kind == installed.kind => {
                // The content is the same, but what a native tool asks for stands in a file of its own.
                let added = added(approved, installed);
                if added.is_empty() { Standing::Approved } else { Standing::Changed(added) }
            }
            Some(approved) => Standing::Changed(changes(approved, installed)),
        }
    }
}

/// How an installed tool stands to the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// As it was approved.
    Approved,
    /// Not in the lock.
    New,
    /// Not what was approved; these are the differences that matter, of which there may be none beyond the content.
    Changed(Vec<Change>),
}

/// A difference to what was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// It asks for something more.
    Asks {
        /// What.
        capability: String,
    },
    /// It no longer asks for something.
    NoLongerAsks {
        /// What.
        capability: String,
    },
    /// A newer version.
    Update {
        /// Approved.
        from: Version,
        /// Installed.
        to: Version,
    },
    /// An older version: perhaps one with a known hole, put back by somebody.
    Downgrade {
        /// Approved.
        from: Version,
        /// Installed.
        to: Version,
    },
    /// Other content under the same version.
    SameVersion {
        /// Both.
        version: Version,
    },
    /// Signed by another key than before, or not any more.
    Signer {
        /// Before.
        from: Option<KeyId>,
        /// Now; none if it has no signature that holds.
        to: Option<KeyId>,
    },
    /// It runs in another way.
    Kind {
        /// Before.
        from: Kind,
        /// Now.
        to: Kind,
    },
}

impl Change {
    /// Whether a person has to approve it: the tool could do more, or it comes from somewhere else.
    pub fn widens(&self) -> bool {
        match self {
            Self::Asks { .. } | Self::Downgrade { .. } | Self::SameVersion { .. } | Self::Kind { .. } => true,
            // A first signature says more than none did.
            Self::Signer { from, .. } => from.is_some(),
            Self::NoLongerAsks { .. } | Self::Update { .. } => false,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key: &Option<KeyId>| key.map_or_else(|| "nobody".to_owned(), |key| format!("key {key}"));
        match self {
            Self::Asks { capability } => write!(f, "it also asks for `{capability}`"),
            Self::NoLongerAsks { capability } => write!(f, "it no longer asks for `{capability}`"),
            Self::Update { from, to } => write!(f, "version {from} became {to}"),
            Self::Downgrade { from, to } => write!(f, "version {from} was replaced by the older {to}"),
            Self::SameVersion { version } => write!(f, "other content under the same version {version}"),
            Self::Signer { from, to } => write!(f, "it was signed by {}, and now by {}", key(from), key(to)),
            Self::Kind { from, to } => write!(f, "it was a {from} tool, and now is a {to} tool"),
        }
    }
}

fn added(approved: &Pinned, installed: &Pinned) -> Vec<Change> {
    let more = installed.capabilities.difference(&approved.capabilities);
    more.map(|capability| Change::Asks { capability: capability.clone() }).collect()
}

fn changes(approved: &Pinned, installed: &Pinned) -> Vec<Change> {
    let mut changes = Vec::new();
    if approved.kind != installed.kind {
        changes.push(Change::Kind { from: approved.kind, to: installed.kind });
    }
    let (from, to) = (approved.version.clone(), installed.version.clone());
    changes.push(match from.cmp(&to) {
        std::cmp::Ordering::Less => Change::Update { from, to },
        std::cmp::Ordering::Equal => Change::SameVersion { version: to },
        std::cmp::Ordering::Greater => Change::Downgrade { from, to },
    });
    changes.extend(added(approved, installed));
    let less = approved.capabilities.difference(&installed.capabilities);
    changes.extend(less.map(|capability| Change::NoLongerAsks { capability: capability.clone() }));
    if approved.key != installed.key {
        changes.push(Change::Signer { from: approved.key, to: installed.key });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(version: &str, content: &str, capabilities: &[&str]) -> Pinned {
        Pinned {
            kind: Kind::Component,
            version: Version::parse(version).unwrap(),
            sha256: Digest::of(content.as_bytes()),
            capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
            key: Some("0123456789ABCDEF".parse().unwrap()),
        }
    }

    fn lock() -> Lock {
        let mut lock = Lock::default();
        lock.insert("demo/b", pinned("1.2.0", "b", &["http"]));
        lock.insert("demo/a", Pinned { key: None, ..pinned("0.1.0", "a", &[]) });
        lock
    }

    #[test]
    fn the_file_is_sorted_and_read_back() {
        let text = lock().to_text();
        assert_eq!(Lock::parse(&text).as_ref(), Ok(&lock()), "{text}");
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        assert_eq!(names, ["\"demo/a\"", "\"demo/b\""]);
        assert!(
            text.contains("key = \"0123456789ABCDEF\"") && text.contains("version = \"1.2.0\""),
            "{text}"
        );
        assert_eq!(Lock::parse("version = 1\n"), Ok(Lock::default()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let text = lock().to_text();
        let error = |text: &str| Lock::parse(text).unwrap_err().to_string();
        assert!(error(&text.replace("version = 1\n", "version = 2\n")).contains("version 2"));
        assert!(error(&text.replace("demo/b", "demo/a")).contains("demo/a stands in it twice"));
        for (from, to) in [
            ("sha256", "sha265"),
            ("[[tool]]", "[tool]"),
            ("kind = \"component\"", "kind = \"script\""),
            ("0123456789ABCDEF", "123"),
        ] {
            let error = error(&text.replacen(from, to, 1));
            assert!(error.starts_with("line "), "{from}: {error}");
        }
        assert!(error("").contains("version"), "an empty file is no lock");
    }

    #[test]
    fn the_same_content_is_approved_and_other_content_is_not() {
        let lock = lock();
        assert_eq!(lock.standing("demo/b", &pinned("1.2.0", "b", &["http"])), Standing::Approved);
        assert_eq!(lock.standing("demo/c", &pinned("1.2.0", "b", &["http"])), Standing::New);
        let update = lock.standing("demo/b", &pinned("1.3.0", "new", &["http"]));
        let Standing::Changed(changes) = update else { panic!("{update:?}") };
        assert!(!changes.iter().any(Change::widens), "{changes:?}");
    }

    #[test]
    fn what_widens_is_told_apart() {
        let widening = |installed: Pinned| match lock().standing("demo/b", &installed) {
            Standing::Changed(changes) => {
                let widening: Vec<String> =
                    changes.iter().filter(|change| change.widens()).map(ToString::to_string).collect();
                widening.join("; ")
            }
            other => panic!("{other:?}"),
        };
        let asks = widening(pinned("1.3.0", "new", &["http", "secret", "sockets"]));
        assert_eq!(asks, "it also asks for `secret`; it also asks for `sockets`");
        assert_eq!(widening(pinned("1.1.0", "old", &[])), "version 1.2.0 was replaced by the older 1.1.0");
        assert_eq!(widening(pinned("1.2.0", "new", &[])), "other content under the same version 1.2.0");
        let unsigned = Pinned { key: None, ..pinned("1.3.0", "new", &["http"]) };
        assert_eq!(widening(unsigned), "it was signed by key 0123456789ABCDEF, and now by nobody");
        let other = Pinned { key: Some("0000000000000001".parse().unwrap()), ..pinned("1.3.0", "new", &[]) };
        assert!(widening(other).ends_with("now by key 0000000000000001"));
        // A native tool's requests stand beside it and not in it.
        let native = |capabilities| Pinned { kind: Kind::Native, ..pinned("1.2.0", "b", capabilities) };
        let mut lock = lock();
        lock.insert("demo/b", native(&[]));
        assert_eq!(
            lock.standing("demo/b", &native(&["read /etc"])),
            Standing::Changed(vec![Change::Asks { capability: "read /etc".into() }])
        );
    }
}
