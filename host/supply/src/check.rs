//! Whether a tool may be loaded: its signature against the trusted keys, its content against the lock.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use autoexec_manifest::Manifest;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::TrustedKeys;
use crate::lock::{Change, Lock, Pinned, Standing};
use crate::signature::{SIGNATURE_EXTENSION, SignatureError, Signer, verify};

/// Largest signature file that is read; real ones have about 400 bytes.
const MAX_SIGNATURE_FILE: u64 = 16 << 10;

/// What a site wants of signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// They are not looked at.
    Off,
    /// A component without a signature that holds is run, and the node's log says so. Nothing is said while the site
    /// trusts no key: no signature could hold then.
    #[default]
    Warn,
    /// A component without a signature that holds is not run.
    Require,
}

impl fmt::Display for Strictness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Require => "require",
        })
    }
}

/// What a site goes by.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What it wants of signatures.
    pub strictness: Strictness,
    /// Whose signatures count.
    pub trusted: TrustedKeys,
    /// What was approved; none for a site that keeps no lock.
    pub lock: Option<Lock>,
}

/// A component that is about to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// `bundle/name`, where it is installed.
    pub tool: &'a str,
    /// Its file's content.
    pub bytes: &'a [u8],
    /// SHA-256 of that.
    pub digest: Digest,
    /// The manifest inside.
    pub manifest: &'a Manifest,
    /// Text of the signature beside it.
    pub signature: Option<&'a str>,
}

/// What is known of a component's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureState {
    /// It holds.
    Holds(Signer),
    /// There is none.
    Missing,
    /// It does not hold.
    Broken(SignatureError),
}

/// What is known of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Its signature.
    pub signature: SignatureState,
    /// As it is installed, in the words of the lock.
    pub installed: Pinned,
    /// How that stands to the lock; none where there is no lock.
    pub standing: Option<Standing>,
}

/// Why a tool is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The site requires signatures and there is none.
    #[error(
        "tool {tool} has no signature, and this site requires one (`plugins.signatures = require`): get \
         {tool}.wasm.{SIGNATURE_EXTENSION} from its author, or sign it with `autoexec plugin sign`"
    )]
    Unsigned {
        /// The tool.
        tool: String,
    },
    /// The site requires signatures and this one does not hold.
    #[error("tool {tool}: {problem}")]
    Signature {
        /// The tool.
        tool: String,
        /// Why.
        problem: SignatureError,
    },
    /// The site keeps a lock and the tool is not in it.
    #[error(
        "tool {tool} is not in plugins.lock, so nobody approved it here{}. \
         Look at it with `autoexec tool show {tool}` and approve it with `autoexec tool lock {tool}`",
        asks(capabilities)
    )]
    NotLocked {
        /// The tool.
        tool: String,
        /// What it asks for.
        capabilities: Vec<String>,
    },
    /// The tool is not what was approved.
    #[error(
        "tool {tool} is not what plugins.lock approves:{}\n  approve it with `autoexec tool lock {tool}`, \
         or put back the file with SHA-256 {approved}",
        listed(changes)
    )]
    Changed {
        /// The tool.
        tool: String,
        /// The content that was approved.
        approved: Digest,
        /// What is new.
        changes: Vec<Change>,
    },
}

impl Refusal {
    /// Whether it is about the signature, not about the lock.
    pub fn is_signature(&self) -> bool {
        matches!(self, Self::Unsigned { .. } | Self::Signature { .. })
    }
}

impl Rules {
    /// Looks at everything, whatever the strictness.
    pub fn assess(&self, candidate: &Candidate<'_>) -> Assessment {
        let signature = self.signature(candidate);
        let key = match &signature {
            SignatureState::Holds(signer) => Some(signer.key),
            SignatureState::Missing | SignatureState::Broken(_) => None,
        };
        let installed = Pinned::component(candidate.manifest, candidate.digest, key);
        let standing = self.lock.as_ref().map(|lock| lock.standing(candidate.tool, &installed));
        Assessment { signature, installed, standing }
    }

    fn signature(&self, candidate: &Candidate<'_>) -> SignatureState {
        let Candidate { tool, bytes, digest, manifest, signature } = *candidate;
        let Some(text) = signature else { return SignatureState::Missing };
        let checked = verify(bytes, &digest, text, &self.trusted).and_then(|signer| {
            signer.is_for(tool, &manifest.version)?;
            signer.is_for(manifest.name.as_str(), &manifest.version)?;
            Ok(signer)
        });
        checked.map_or_else(SignatureState::Broken, SignatureState::Holds)
    }

    /// Whether a component may be loaded; what its user is to be told if so.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, candidate: &Candidate<'_>) -> Result<Option<String>, Refusal> {
        let assessment = self.assess(candidate);
        self.admit_locked(candidate.tool, &assessment.installed)?;
        let tool = candidate.tool.to_owned();
        match (self.strictness, assessment.signature) {
            (Strictness::Off, _) | (_, SignatureState::Holds(_)) => Ok(None),
            (Strictness::Require, SignatureState::Missing) => Err(Refusal::Unsigned { tool }),
            (Strictness::Require, SignatureState::Broken(problem)) => {
                Err(Refusal::Signature { tool, problem })
            }
            (Strictness::Warn, _) if self.trusted.is_empty() => Ok(None),
            (Strictness::Warn, SignatureState::Missing) => {
                Ok(Some(format!("The tool {tool} has no signature.")))
            }
            (Strictness::Warn, SignatureState::Broken(problem)) => {
                Ok(Some(format!("The tool {tool} is run although its signature does not hold: {problem}.")))
            }
        }
    }

    /// Whether the lock allows a component as it is installed.
    fn admit_locked(&self, tool: &str, installed: &Pinned) -> Result<(), Refusal> {
        let Some(lock) = &self.lock else { return Ok(()) };
        match lock.standing(tool, installed) {
            Standing::Approved => Ok(()),
            Standing::New => Err(Refusal::NotLocked {
                tool: tool.to_owned(),
                capabilities: installed.capabilities.iter().cloned().collect(),
            }),
            Standing::Changed(changes) => Err(Refusal::Changed {
                tool: tool.to_owned(),
                approved: lock.get(tool).map_or(installed.sha256, |approved| approved.sha256),
                changes,
            }),
        }
    }

    /// Whether the lock allows a native tool. One that is not in the lock is not held to it: most have no manifest, and
    /// the tools of a tree that was dropped in stay as they are.
    ///
    /// # Errors
    /// Why not.
    pub fn admit_native(&self, tool: &str, installed: &Pinned) -> Result<(), Refusal> {
        match self.lock.as_ref().and_then(|lock| lock.get(tool)) {
            Some(_) => self.admit_locked(tool, installed),
            None => Ok(()),
        }
    }
}

fn asks(capabilities: &[String]) -> String {
    if capabilities.is_empty() {
        String::new()
    } else {
        format!(" (it asks for {})", capabilities.join(", "))
    }
}

fn listed(changes: &[Change]) -> String {
    changes.iter().fold(String::new(), |list, change| format!("{list}\n  {change}"))
}

/// Where the signature of a component's file is.
pub fn signature_path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".");
    path.push(SIGNATURE_EXTENSION);
    path.into()
}

/// The text of the signature beside a component; none if there is no such file.
///
/// # Errors
/// A file that is there and can not be read, or is too large to be a signature.
pub fn read_signature(component: &Path) -> io::Result<Option<String>> {
    let path = signature_path(component);
    // Before it is opened: opening a pipe would wait for a writer.
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    fs::File::open(&path)?.take(MAX_SIGNATURE_FILE + 1).read_to_end(&mut bytes)?;
    // Not text, or too long: no signature of ours, and checking it says so.
    bytes.truncate(usize::try_from(MAX_SIGNATURE_FILE).unwrap_or(usize::MAX));
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use autoexec_manifest::read_outline;

    use super::*;
    use crate::lock::Kind;
    use crate::signing::{SigningKey, sign};
    use crate::tests::component;

    /// A component as it lies in a home.
    struct Installed {
        tool: &'static str,
        bytes: Vec<u8>,
        manifest: Manifest,
        signature: Option<String>,
    }

    impl Installed {
        fn new(tool: &'static str, version: &str) -> Self {
            Self::of(tool, component(tool, version))
        }

        fn of(tool: &'static str, bytes: Vec<u8>) -> Self {
            let manifest = read_outline(&bytes).unwrap().manifest;
            Self { tool, bytes, manifest, signature: None }
        }

        fn signed(self, key: &SigningKey) -> Self {
            Self { signature: Some(sign(&self.bytes, key).unwrap()), ..self }
        }

        fn candidate(&self) -> Candidate<'_> {
            Candidate {
                tool: self.tool,
                bytes: &self.bytes,
                digest: Digest::of(&self.bytes),
                manifest: &self.manifest,
                signature: self.signature.as_deref(),
            }
        }

        fn admit(&self, rules: &Rules) -> Result<Option<String>, Refusal> {
            rules.admit(&self.candidate())
        }
    }

    fn rules(strictness: Strictness, key: &SigningKey) -> Rules {
        let trusted = TrustedKeys::of([("build", key.public().unwrap().as_str())]).unwrap();
        Rules { strictness, trusted, lock: None }
    }

    fn locking(rules: Rules, tool: &Installed) -> Rules {
        let mut lock = Lock::default();
        lock.insert(tool.tool, rules.assess(&tool.candidate()).installed);
        Rules { lock: Some(lock), ..rules }
    }

    #[test]
    fn a_site_that_has_set_nothing_up_runs_everything_without_a_word() {
        let key = SigningKey::generate().unwrap();
        for tool in
            [Installed::new("demo/probe", "1.0.0"), Installed::new("demo/probe", "1.0.0").signed(&key)]
        {
            assert_eq!(tool.admit(&Rules::default()), Ok(None));
        }
    }

    #[test]
    fn each_strictness_does_what_it_says() {
        let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let unsigned = Installed::new("demo/probe", "1.0.0");
        let foreign = Installed::new("demo/probe", "1.0.0").signed(&stranger);
        let signed = Installed::new("demo/probe", "1.0.0").signed(&key);
        for strictness in [Strictness::Off, Strictness::Warn, Strictness::Require] {
            assert_eq!(signed.admit(&rules(strictness, &key)), Ok(None), "{strictness}");
        }
        let off = rules(Strictness::Off, &key);
        assert_eq!((unsigned.admit(&off), foreign.admit(&off)), (Ok(None), Ok(None)));
        let warn = rules(Strictness::Warn, &key);
        assert!(unsigned.admit(&warn).unwrap().unwrap().contains("has no signature"));
        assert!(foreign.admit(&warn).unwrap().unwrap().contains("is not trusted here"));
        let require = rules(Strictness::Require, &key);
        assert_eq!(unsigned.admit(&require), Err(Refusal::Unsigned { tool: "demo/probe".into() }));
        assert!(matches!(
            foreign.admit(&require),
            Err(Refusal::Signature { problem: SignatureError::UnknownKey(_), .. })
        ));
    }

    #[test]
    fn requiring_signatures_without_a_trusted_key_runs_nothing() {
        let key = SigningKey::generate().unwrap();
        let rules = Rules { strictness: Strictness::Require, ..Rules::default() };
        assert!(Installed::new("demo/probe", "1.0.0").signed(&key).admit(&rules).is_err());
    }

    #[test]
    fn a_signed_tool_does_not_run_under_another_tools_name() {
        let key = SigningKey::generate().unwrap();
        let replayed = Installed::of("demo/other", component("demo/probe", "1.0.0")).signed(&key);
        let Err(Refusal::Signature { problem, .. }) = replayed.admit(&rules(Strictness::Require, &key))
        else {
            panic!("it was admitted");
        };
        assert_eq!(problem, SignatureError::Tool { said: "demo/probe".into(), is: "demo/other".into() });
    }

    #[test]
    fn an_old_version_with_a_good_signature_is_refused_by_the_lock() {
        let key = SigningKey::generate().unwrap();
        let current = Installed::new("demo/probe", "1.1.0").signed(&key);
        let rules = locking(rules(Strictness::Require, &key), &current);
        assert_eq!(current.admit(&rules), Ok(None));
        let old = Installed::new("demo/probe", "1.0.0").signed(&key);
        let Err(Refusal::Changed { changes, .. }) = old.admit(&rules) else { panic!("it was admitted") };
        assert!(changes.iter().any(|change| matches!(change, Change::Downgrade { .. })), "{changes:?}");
    }

    #[test]
    fn an_update_that_asks_for_more_says_what_and_how_to_approve_it() {
        let key = SigningKey::generate().unwrap();
        let old = Installed::new("demo/probe", "1.0.0");
        let rules = locking(rules(Strictness::Off, &key), &old);
        let mut new = Installed::new("demo/probe", "1.1.0");
        new.manifest.capabilities.push(autoexec_manifest::CapabilityRequest {
            interface: "secret".into(),
            ..new.manifest.capabilities[0].clone()
        });
        let refusal = new.admit(&rules).unwrap_err();
        assert!(!refusal.is_signature());
        let text = refusal.to_string();
        for part in [
            "it also asks for `secret`",
            "version 1.0.0 became 1.1.0",
            "autoexec tool lock demo/probe",
            &Digest::of(&old.bytes).to_string(),
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_home_with_a_lock_runs_no_component_that_is_not_in_it() {
        let key = SigningKey::generate().unwrap();
        let rules = locking(rules(Strictness::Off, &key), &Installed::new("demo/probe", "1.0.0"));
        let text = Installed::new("demo/new", "1.0.0").admit(&rules).unwrap_err().to_string();
        assert!(text.contains("is not in plugins.lock") && text.contains("net-probe"), "{text}");
    }

    #[test]
    fn native_tools_are_held_to_the_lock_once_they_are_in_it() {
        let native = |content: &str| Pinned {
            kind: Kind::Native,
            version: semver::Version::new(1, 0, 0),
            sha256: Digest::of(content.as_bytes()),
            capabilities: ["read /etc".to_owned()].into(),
            key: None,
        };
        let mut lock = Lock::default();
        lock.insert("basic/backup", native("a"));
        let rules = Rules { lock: Some(lock), ..Rules::default() };
        assert_eq!(rules.admit_native("basic/backup", &native("a")), Ok(()));
        assert!(rules.admit_native("basic/backup", &native("b")).is_err());
        assert_eq!(rules.admit_native("basic/old", &native("x")), Ok(()));
    }

    #[test]
    fn signature_files_are_read_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let component = dir.path().join("hello.wasm");
        assert_eq!(read_signature(&component).unwrap(), None);
        let path = signature_path(&component);
        assert_eq!(path, dir.path().join("hello.wasm.minisig"));
        fs::write(&path, vec![0xff; 1 << 20]).unwrap();
        assert!(read_signature(&component).unwrap().unwrap().len() < 1 << 17);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(read_signature(&component).is_err());
    }
}
