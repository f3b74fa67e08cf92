//! Compares what a component imports with what may be linked, before anything is compiled.
//!
//! wasmtime would name one interface, and not always one that the reader recognises; here all missing ones are named,
//! each with what to do.

use std::fmt;

use autoexec_manifest::{ComponentOutline, InterfaceName, TOOL_EXPORT, TOOL_PACKAGE, capability_of};
use semver::Version;

use autoexec_grants::Capability;

use crate::grants::Grants;

/// The WIT version of our own package that this host links.
const OWN_VERSION: Version = Version::new(1, 0, 0);

/// The WASI version that is linked.
const WASI_VERSION: Version = Version::new(0, 2, 12);

/// WASI packages that every tool gets: time, randomness, streams, and a command line with nothing on it. None of them reaches
/// the outside.
const WASI_ALWAYS: [&str; 4] = ["wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/"];

/// An import that can not be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImport {
    /// The interface as the component names it.
    pub interface: String,
    /// Why it is missing.
    pub reason: MissingReason,
}

/// Why an import can not be linked, and with it what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingReason {
    /// It is in the manifest, but policy does not grant it.
    NotGranted(Capability),
    /// The component uses it, but its manifest does not ask for it.
    NotRequested(Capability),
    /// A WASI interface that tools do not get.
    AmbientWasi,
    /// Our interface or WASI's, in a version this host does not have.
    Version(Version),
    /// Nothing this host knows.
    Unknown,
}

impl fmt::Display for MissingImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.interface)?;
        match &self.reason {
            MissingReason::NotGranted(capability) => {
                write!(f, "is not granted: allow `{capability}` for this tool in the policy")
            }
            MissingReason::NotRequested(capability) => {
                write!(
                    f,
                    "is not in the tool's manifest: its author must ask for `{capability}` with a reason"
                )
            }
            MissingReason::AmbientWasi => f.write_str(
                "is a WASI interface that tools do not get: build for wasm32-unknown-unknown, \
                 or switch the feature off in the tool chain that pulls it in",
            ),
            MissingReason::Version(version) => {
                write!(
                    f,
                    "has a version this autoexec does not have (it has {version}): upgrade autoexec or build the tool against {version}"
                )
            }
            MissingReason::Unknown => {
                f.write_str("is not known to this autoexec: remove the import, or upgrade autoexec")
            }
        }
    }
}

/// All imports that can not be linked under these grants.
pub(crate) fn missing_imports(outline: &ComponentOutline, grants: &Grants) -> Vec<MissingImport> {
    outline
        .imports
        .iter()
        .filter_map(|import| {
            let reason = why_missing(import, outline, grants)?;
            Some(MissingImport { interface: import.to_string(), reason })
        })
        .collect()
}

/// Whether the component exports the tool interface in a version this host can call.
pub(crate) fn exports_tool(outline: &ComponentOutline) -> bool {
    outline
        .exports
        .iter()
        .any(|export| export.unversioned() == TOOL_EXPORT && is_served_by(export, &OWN_VERSION).is_none())
}

fn why_missing(import: &InterfaceName, outline: &ComponentOutline, grants: &Grants) -> Option<MissingReason> {
    let name = import.unversioned();
    let version = match package_of(name) {
        Some(Package::Own) => OWN_VERSION,
        Some(Package::Wasi) => WASI_VERSION,
        None => return Some(MissingReason::Unknown),
    };
    let Some(wanted) = capability_of(import) else {
        let known = package_of(name) == Some(Package::Own)
            || WASI_ALWAYS.iter().any(|package| name.starts_with(package));
        return if known { is_served_by(import, &version) } else { Some(MissingReason::AmbientWasi) };
    };
    let Some(capability) = Capability::from_interface(wanted) else { return Some(MissingReason::Unknown) };
    if outline.manifest.requests(wanted).is_none() {
        // Linked with nothing behind it.
        if package_of(name) == Some(Package::Wasi) && outline.brings_all_of_wasi() {
            return is_served_by(import, &version);
        }
        Some(MissingReason::NotRequested(capability))
    } else if grants.has(capability) {
        is_served_by(import, &version)
    } else {
        Some(MissingReason::NotGranted(capability))
    }
}

/// Whose interface it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Package {
    Own,
    Wasi,
}

fn package_of(name: &str) -> Option<Package> {
    let package = name.split_once('/').map_or(name, |(package, _)| package);
    if package == TOOL_PACKAGE {
        Some(Package::Own)
    } else if package.starts_with("wasi:") {
        Some(Package::Wasi)
    } else {
        None
    }
}

/// None when a host with `offered` serves the import: the same compatibility track, and not newer.
fn is_served_by(import: &InterfaceName, offered: &Version) -> Option<MissingReason> {
    let served = import.version().is_some_and(|wanted| {
        let same_track = if offered.major > 0 {
            wanted.major == offered.major
        } else {
            (wanted.major, wanted.minor) == (0, offered.minor)
        };
        same_track && wanted <= *offered
    });
    (!served).then(|| MissingReason::Version(offered.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(imports: &[&str], requested: &str) -> ComponentOutline {
        let manifest = format!(
            "name = \"t/t\"\nversion = \"1.0.0\"\nwit = \"1.0.0\"\ndescription = \"d\"\nrerun = \"safe\"\n{requested}\n\
             [descriptor]\nopType = \"runner\"\ntypeName = \"BASIC\"\nriskName = \"LOW\"\ninterpreter = \"python\"\n"
        );
        ComponentOutline {
            manifest: toml::from_str(&manifest).unwrap(),
            imports: imports.iter().copied().map(InterfaceName::new).collect(),
            exports: vec![],
        }
    }

    const ASKS: &str = "[[capability]]\ninterface = \"net-probe\"\nreason = \"r\"";
    const PROBE: &str = "autoexec:tool/net-probe@1.0.0";

    #[test]
    fn what_every_tool_gets_is_not_missing() {
        let all = [
            "autoexec:tool/log@1.0.0",
            "autoexec:tool/types@1.0.0",
            "wasi:clocks/wall-clock@0.2.3",
            "wasi:io/poll@0.2.12",
        ];
        assert_eq!(missing_imports(&outline(&all, ""), &Grants::none()), []);
    }

    #[test]
    fn a_capability_must_be_asked_for_and_granted() {
        let reasons = |requested, grants: &Grants| {
            missing_imports(&outline(&[PROBE], requested), grants)
                .into_iter()
                .map(|m| m.reason)
                .collect::<Vec<_>>()
        };
        let granted: Grants = [Capability::NetProbe].into_iter().collect();
        assert_eq!(reasons("", &granted), [MissingReason::NotRequested(Capability::NetProbe)]);
        assert_eq!(reasons(ASKS, &Grants::none()), [MissingReason::NotGranted(Capability::NetProbe)]);
        assert_eq!(reasons(ASKS, &granted), []);
    }

    #[test]
    fn wasi_and_connection_count_under_their_capabilities() {
        let imports = [
            "wasi:http/types@0.2.0",
            "wasi:sockets/tcp@0.2.3",
            "autoexec:tool/connection@1.0.0",
            "wasi:filesystem/types@0.2.12",
        ];
        let reasons: Vec<MissingReason> =
            missing_imports(&outline(&imports, ""), &Grants::none()).into_iter().map(|m| m.reason).collect();
        let capabilities =
            [Capability::Http, Capability::Sockets, Capability::Sockets, Capability::Filesystem];
        assert_eq!(reasons, capabilities.map(MissingReason::NotRequested));
    }

    #[test]
    fn a_tool_chain_that_brings_all_of_wasi_along_needs_no_request_for_what_is_empty() {
        let imports = [
            "wasi:cli/environment@0.2.3",
            "wasi:sockets/tcp@0.2.3",
            "wasi:filesystem/types@0.2.3",
            "wasi:http/types@0.2.3",
            "autoexec:tool/connection@1.0.0",
        ];
        let missing = missing_imports(&outline(&imports, ""), &Grants::none());
        let names: Vec<&str> = missing.iter().map(|m| m.interface.as_str()).collect();
        assert_eq!(names, ["autoexec:tool/connection@1.0.0"]);
    }

    #[test]
    fn every_missing_one_is_named() {
        let imports = [
            "wasi:nn/graph@0.2.0",
            "acme:magic/wand",
            "autoexec:tool/log@0.2.0",
            "wasi:clocks/wall-clock@0.3.0",
            "autoexec:tool/log@0.1.1",
        ];
        let missing = missing_imports(&outline(&imports, ""), &Grants::none());
        let names: Vec<&str> = missing.iter().map(|m| m.interface.as_str()).collect();
        assert_eq!(names, imports);
        assert_eq!(missing[0].reason, MissingReason::AmbientWasi);
        assert_eq!(missing[1].reason, MissingReason::Unknown);
        assert!(missing[2..].iter().all(|m| matches!(m.reason, MissingReason::Version(_))));
    }
}
