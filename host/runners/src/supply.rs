//! Where tools come from: what is asked before one is loaded or started (docs/supply-chain.md).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use autoexec_sandbox::Candidate;
use autoexec_supply::{Digest, Refusal, Rules, read_signature};

/// A verdict: what the node's log is to say of a tool that is run, or why it is not.
type Verdict = Result<Option<String>, String>;

/// What a site goes by, and what it said so far: a thousand nodes that start the same step check a signature once.
#[derive(Debug, Default)]
pub struct SiteSupply {
    rules: Rules,
    verdicts: Mutex<HashMap<(String, Digest), Verdict>>,
}

impl SiteSupply {
    /// A site with these rules.
    pub fn new(rules: Rules) -> Self {
        Self { rules, verdicts: Mutex::default() }
    }

    /// The rules.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether a component may be loaded as the tool of this name; what the node's log is to say if so.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, tool: &str, path: &Path, file: &Candidate<'_>) -> Verdict {
        let digest = Digest::from_bytes(file.digest);
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.entry((tool.to_owned(), digest));
        verdict.or_insert_with(|| self.judge(tool, path, file, digest)).clone()
    }

    fn judge(&self, tool: &str, path: &Path, file: &Candidate<'_>, digest: Digest) -> Verdict {
        let signature = read_signature(path)
            .map_err(|error| format!("The signature of tool {tool} can not be read: {error}"))?;
        let candidate = autoexec_supply::Candidate {
            tool,
            bytes: file.bytes,
            digest,
            manifest: file.manifest,
            signature: signature.as_deref(),
        };
        self.rules.admit(&candidate).map_err(|refusal| refused(&refusal, path))
    }
}

/// A refusal as the node's log has it.
pub(crate) fn refused(refusal: &Refusal, path: &Path) -> String {
    format!("{refusal}\n  ({})", path.display())
}

#[cfg(test)]
mod tests {
    use autoexec_manifest::{append_manifest, read_outline};
    use autoexec_supply::{SigningKey, Strictness, TrustedKeys, sign, signature_path};
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn a_verdict_is_for_a_name_and_a_content() {
        let manifest: autoexec_manifest::Manifest =
            toml::from_str(include_str!("../../manifest/tests/minimal.toml")).unwrap();
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        append_manifest(&mut bytes, &manifest);
        let key = SigningKey::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("probe.wasm");
        std::fs::write(signature_path(&path), sign(&bytes, &key).unwrap()).unwrap();
        let trusted = TrustedKeys::of([("build", key.public().unwrap().as_str())]).unwrap();
        let site = SiteSupply::new(Rules { strictness: Strictness::Require, trusted, lock: None });
        let manifest = read_outline(&bytes).unwrap().manifest;
        let digest = sha2::Sha256::digest(&bytes).into();
        let file = Candidate { bytes: &bytes, digest, manifest: &manifest };
        assert_eq!(site.admit("demo/probe", &path, &file), Ok(None));
        let replayed = site.admit("demo/other", &path, &file).unwrap_err();
        assert!(
            replayed.contains("for the tool demo/probe") && replayed.contains("probe.wasm"),
            "{replayed}"
        );
        // Checked once: the signature is gone, the verdict stays for this content and not for another.
        std::fs::remove_file(signature_path(&path)).unwrap();
        assert_eq!(site.admit("demo/probe", &path, &file), Ok(None));
        let other = Candidate { digest: [0; 32], ..file };
        assert!(site.admit("demo/probe", &path, &other).unwrap_err().contains("has no signature"));
    }
}
