//! What is published of the interfaces of tools stays as it is: components that were built against it are in use elsewhere.
//! Comments may become better, everything else is a new version in a directory of its own (`wit/README.md`).

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Finding;

/// Files of `autoexec:tool@1.0.0`, and the digests of what is no comment in them.
const PUBLISHED: [(&str, &str); 4] = [
    ("wit/autoexec-tool/types.wit", "bd3d4d207bea470fd5b20f6b3752d078381a6be4e8d9563e3b52dc73516ff30f"),
    ("wit/autoexec-tool/world.wit", "05b094af42be9d16e40c6f49d34773aeb90107341ccce0ebb5d42075c84eaafb"),
    ("wit/autoexec-tool/always.wit", "64ea56da64a80cb0e5bc73d123ce93520641458d9bb3b2b7e9d2c25680850ade"),
    (
        "wit/autoexec-tool/capabilities.wit",
        "1e01e7527a7b8bf86764d8f28ab5aaa60821410616c33c553f3a9cd03c5d9a93",
    ),
];

/// Checks all published files.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (file, published) in PUBLISHED {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let digest = digest(&text);
        if digest != published {
            let problem = format!(
                "version 1.0.0 is published and may not change but for comments ({digest}): \
                 put what is new into a version of its own, as wit/README.md says"
            );
            findings.push(Finding::new(file, problem));
        }
    }
    Ok(findings)
}

/// The digest of the words that are no comment.
fn digest(text: &str) -> String {
    let mut hash = Sha256::new();
    let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    for word in code.flat_map(str::split_whitespace) {
        hash.update(word);
        hash.update(" ");
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_layout_may_change_and_nothing_else() {
        let one = "interface log {\n  /// Says it.\n  info: func(text: string); // now\n}\n";
        assert_eq!(
            digest(one),
            digest("interface log {\n\n  /// Puts it into the log.\n  info:  func(text: string);\n}")
        );
        assert_ne!(digest(one), digest(&one.replace("info", "warn")));
    }
}
