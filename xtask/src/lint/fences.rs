//! Which crate may know which: the arrows of `docs/architecture.md`, and the fences around heavy libraries.

use std::path::Path;

use super::Finding;
use super::metadata::Crate;

/// Prefix of our package names.
const OURS: &str = "autoexec-";

/// A crate of the host and what it may name.
struct Arrows {
    from: &'static str,
    to: &'static [&'static str],
}

/// One line per crate. A new crate needs one, here and in `docs/architecture.md`.
const ARROWS: &[Arrows] = &[
    Arrows { from: "model", to: &[] },
    Arrows { from: "manifest", to: &[] },
    Arrows { from: "packaging", to: &["manifest"] },
    Arrows { from: "grants", to: &["model", "manifest"] },
    Arrows { from: "supply", to: &["manifest"] },
    Arrows { from: "confine", to: &[] },
    Arrows { from: "transport", to: &["confine"] },
    Arrows { from: "events", to: &["model", "grants"] },
    Arrows { from: "plan", to: &["model"] },
    Arrows { from: "store", to: &["model"] },
    Arrows { from: "store-mongo", to: &["model", "store"] },
    Arrows { from: "console", to: &["model"] },
    Arrows { from: "sandbox", to: &["manifest", "grants"] },
    Arrows { from: "engine", to: &["model", "events", "plan", "store"] },
    Arrows {
        from: "runners",
        to: &[
            "model",
            "events",
            "plan",
            "engine",
            "store",
            "manifest",
            "grants",
            "supply",
            "confine",
            "sandbox",
            "transport",
        ],
    },
    Arrows { from: "report", to: &["model", "events", "engine", "store", "console"] },
    Arrows { from: "control", to: &["model", "events", "engine", "store", "console"] },
];

/// Crates that wire the others, and may name any: the program and what only developers run.
const WIRING: [&str; 4] = ["autoexec-cli", "autoexec-e2e", "autoexec-test-support", "xtask"];

/// Libraries, by the start of their name, and the only crate that may name them.
const FENCES: &[(&str, &str)] = &[
    ("wasmtime", "sandbox"),
    ("cranelift", "sandbox"),
    ("ssh2", "transport"),
    ("libssh2-sys", "transport"),
    ("reqwest", "console"),
    ("mongodb", "store-mongo"),
    ("minisign", "supply"),
    ("landlock", "confine"),
];

/// Crates that compute and do nothing else, and what must not be linked with them.
const PURE: [&str; 5] = ["model", "manifest", "grants", "plan", "events"];
const IMPURE: [&str; 4] = ["tokio", "reqwest", "wasmtime", "libssh2-sys"];

/// Checks the crates of the host.
pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for own in crates {
        check_arrows(own, &mut findings);
        check_fences(own, &mut findings);
        check_purity(own, &mut findings);
    }
    findings
}

fn check_arrows(own: &Crate, findings: &mut Vec<Finding>) {
    if WIRING.contains(&own.name.as_str()) {
        return;
    }
    let Some(arrows) = ARROWS.iter().find(|arrows| short(own) == arrows.from) else {
        let problem =
            "has no line in xtask/src/lint/fences.rs: say there and in docs/architecture.md what it may know";
        findings.push(Finding::new(&own.name, problem));
        return;
    };
    for other in own.named.iter().filter_map(|name| name.strip_prefix(OURS)) {
        if !arrows.to.contains(&other) {
            let problem = format!("must not know {OURS}{other}: docs/architecture.md has no arrow from it");
            findings.push(Finding::new(&own.name, problem));
        }
    }
}

fn check_fences(own: &Crate, findings: &mut Vec<Finding>) {
    for name in own.named.union(&own.named_by_tests) {
        let fence = FENCES.iter().find(|(start, owner)| name.starts_with(start) && *owner != short(own));
        if let Some((_, owner)) = fence {
            findings.push(Finding::new(&own.name, format!("names {name}; only {OURS}{owner} may")));
        }
    }
}

fn check_purity(own: &Crate, findings: &mut Vec<Finding>) {
    if !PURE.contains(&short(own)) {
        return;
    }
    for name in IMPURE.iter().filter(|name| own.linked.contains(**name)) {
        findings.push(Finding::new(&own.name, format!("is linked with {name}, but is to do no I/O")));
    }
}

fn short(own: &Crate) -> &str {
    own.name.strip_prefix(OURS).unwrap_or(&own.name)
}

/// Checks the crates that become guests: nothing of the host gets into them.
pub(super) fn check_guests(crates: &[Crate], root: &Path) -> Vec<Finding> {
    let allowed = ["plugins-wasm", "sdk", "tests/fixtures"].map(|dir| root.join(dir));
    let is_foreign = |path: &&std::path::PathBuf| !allowed.iter().any(|dir| path.starts_with(dir));
    let foreign =
        crates.iter().flat_map(|own| own.paths.iter().filter(is_foreign).map(move |path| (own, path)));
    foreign
        .map(|(own, path)| {
            Finding::new(&own.name, format!("a guest must not depend on {}: use the SDK", path.display()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, named: &[&str]) -> Crate {
        let named = named.iter().map(|name| (*name).to_owned()).collect();
        Crate { name: name.to_owned(), named, ..Crate::default() }
    }

    fn texts(crates: &[Crate]) -> Vec<String> {
        check(crates).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_are_one_way() {
        assert_eq!(texts(&[named("autoexec-engine", &["autoexec-model", "serde"])]), [""; 0]);
        let found = texts(&[named("autoexec-model", &["autoexec-engine"])]);
        assert_eq!(
            found,
            ["autoexec-model: must not know autoexec-engine: docs/architecture.md has no arrow from it"]
        );
        assert_eq!(texts(&[named("autoexec-cli", &["autoexec-engine"])]), [""; 0]);
        assert!(
            texts(&[named("autoexec-misc", &[])])
                .concat()
                .contains("has no line in xtask/src/lint/fences.rs")
        );
    }

    #[test]
    fn the_arrows_have_no_circle() {
        // Each crate names only crates above it.
        for (position, arrows) in ARROWS.iter().enumerate() {
            for other in arrows.to {
                let above = ARROWS.iter().take(position).any(|line| line.from == *other);
                assert!(above, "{} → {other}", arrows.from);
            }
        }
    }

    #[test]
    fn heavy_libraries_stay_behind_their_fence_in_tests_too() {
        assert_eq!(texts(&[named("autoexec-sandbox", &["wasmtime", "wasmtime-wasi"])]), [""; 0]);
        assert_eq!(
            texts(&[named("autoexec-runners", &["wasmtime-wasi"])]),
            ["autoexec-runners: names wasmtime-wasi; only autoexec-sandbox may"]
        );
        let mut tests = named("autoexec-cli", &[]);
        tests.named_by_tests.insert("ssh2".to_owned());
        assert_eq!(texts(&[tests]), ["autoexec-cli: names ssh2; only autoexec-transport may"]);
    }

    #[test]
    fn a_pure_crate_links_no_runtime() {
        let mut own = named("autoexec-model", &[]);
        own.linked.insert("tokio".to_owned());
        assert_eq!(texts(&[own]), ["autoexec-model: is linked with tokio, but is to do no I/O"]);
    }

    #[test]
    fn guests_use_the_sdk_only() {
        let guest = |path: &str| Crate { name: "g".to_owned(), paths: vec![path.into()], ..Crate::default() };
        assert_eq!(check_guests(&[guest("/w/sdk/rust")], Path::new("/w")), []);
        assert_eq!(check_guests(&[guest("/w/host/model")], Path::new("/w")).len(), 1);
    }
}
