//! The component with its manifest, checked to ask for exactly the capabilities that it uses.

use std::path::{Path, PathBuf};

use autoexec_manifest::{
    Manifest, ManifestError, SectionError, TOOL_EXPORT, append_manifest, capability_of, read_outline,
};

use crate::description::Description;

/// The capabilities of the interfaces of tools (`wit/autoexec-tool/world.wit`), by the names that `tool.toml` uses.
const CAPABILITIES: [&str; 14] = [
    "net-probe",
    "step-outputs",
    "job-nodes",
    "secret",
    "target",
    "filesystem",
    "server",
    "documents",
    "lock",
    "interact",
    "program",
    "sockets",
    "snmp",
    "http",
];

/// A tool that is complete.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The bytes of its `.wasm` file.
    pub bytes: Vec<u8>,
    /// The manifest in it.
    pub manifest: Manifest,
}

/// Why code and `tool.toml` do not become a tool.
#[derive(Debug, thiserror::Error)]
pub enum PackagingError {
    /// The file can not be read.
    #[error("{}: can not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML, or a key or value that does not belong there. The text names the line.
    #[error("{}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where in the file, and what.
        message: String,
    },
    /// A rule of manifests is broken.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The rule.
        source: ManifestError,
    },
    /// A capability that no host has.
    #[error(
        "{}:{line}: there is no capability `{name}`; there are {}",
        path.display(),
        CAPABILITIES.join(", ")
    )]
    UnknownCapability {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        line: usize,
        /// What is asked for.
        name: String,
    },
    /// Options or outputs both in the code and in `tool.toml`.
    #[error("{0} are described in the code and again in tool.toml: remove `[[descriptor.{1}]]` there")]
    DescribedTwice(&'static str, &'static str),
    /// Two types of one crate derive the same.
    #[error("two types derive `{0}`, but a tool has one: remove one of them")]
    TwoDescriptions(&'static str),
    /// A description that the derive macro got wrong.
    #[error("what `#[derive({derive})]` describes can not be read: {source}; this is a defect of the SDK")]
    Description {
        /// The derive.
        derive: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The manifest with what the code describes breaks a rule.
    #[error("{0}")]
    Rule(#[from] ManifestError),
    /// Not a core module of the SDK.
    #[error("the compiled code is not a module that was built with the SDK: {0}")]
    Core(String),
    /// The component that came out can not be read.
    #[error("{0}")]
    Component(#[from] SectionError),
    /// It uses a capability and does not ask for it.
    #[error(
        "uses the capability `{0}`, but tool.toml does not ask for it: add a [[capability]] with `interface = \"{0}\"` and \
         a reason"
    )]
    NotAskedFor(String),
    /// It asks for a capability and does not use it.
    #[error("asks for the capability `{0}` in tool.toml, but does not use it: remove it")]
    NotUsed(String),
}

/// Reads and checks a `tool.toml`.
pub fn read_tool_file(path: &Path) -> Result<Manifest, PackagingError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| PackagingError::Read { path: path.to_owned(), source })?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|error| PackagingError::Toml { path: path.to_owned(), message: error.to_string() })?;
    let manifest =
        manifest.checked().map_err(|source| PackagingError::Manifest { path: path.to_owned(), source })?;
    let mut names = manifest.capabilities.iter().map(|request| request.interface.as_str());
    match names.find(|name| !CAPABILITIES.contains(name)) {
        None => Ok(manifest),
        Some(name) => {
            let is_there = |line: &str| line.contains("interface") && line.contains(name);
            let line = text.lines().position(is_there).map_or(1, |at| at + 1);
            Err(PackagingError::UnknownCapability { path: path.to_owned(), line, name: name.to_owned() })
        }
    }
}

/// Makes the tool of a core module that was built with the SDK for Rust.
pub fn of_core_module(core: &[u8], manifest: Manifest) -> Result<Packed, PackagingError> {
    let (description, core) = Description::take_from(core)?;
    let mut encoder = wit_component::ComponentEncoder::default();
    let mut encoder = encoder
        .validate(true)
        .module(&core)
        .map_err(|error| PackagingError::Core(format!("{error:#}")))
        .map(std::mem::take)?;
    let component = encoder.encode().map_err(|error| PackagingError::Core(format!("{error:#}")))?;
    let packed = of_component(component, description, manifest)?;
    // A module without the SDK's export becomes a component as well, one that nobody can call.
    let exports = read_outline(&packed.bytes)?.exports;
    if exports.iter().any(|export| export.unversioned() == TOOL_EXPORT) {
        Ok(packed)
    } else {
        Err(PackagingError::Core("it has no `export_tool!`".into()))
    }
}

/// Makes the tool of a component without a manifest, such as those from Python and JavaScript.
pub fn of_component(
    mut component: Vec<u8>,
    description: Description,
    manifest: Manifest,
) -> Result<Packed, PackagingError> {
    let manifest = completed(manifest, description)?;
    append_manifest(&mut component, &manifest);
    let outline = read_outline(&component)?;
    let used: Vec<&str> = outline.imports.iter().filter_map(capability_of).collect();
    let unasked = outline.imports.iter().find(|import| {
        let asked = capability_of(import).is_none_or(|capability| manifest.requests(capability).is_some());
        let unasked_for = outline.brings_all_of_wasi() && import.as_str().starts_with("wasi:");
        !(asked || unasked_for)
    });
    if let Some(capability) = unasked.and_then(capability_of) {
        return Err(PackagingError::NotAskedFor(capability.to_owned()));
    }
    // References in options need the capability `secret` where they are exchanged, and no import.
    let is_unused = |interface: &str| !used.contains(&interface) && interface != "secret";
    let unused = manifest.capabilities.iter().find(|request| is_unused(&request.interface));
    if let Some(request) = unused {
        return Err(PackagingError::NotUsed(request.interface.clone()));
    }
    Ok(Packed { bytes: component, manifest })
}

fn completed(mut manifest: Manifest, description: Description) -> Result<Manifest, PackagingError> {
    let descriptor = &mut manifest.descriptor;
    if let Some(options) = description.options {
        if !descriptor.option.is_empty() {
            return Err(PackagingError::DescribedTwice("options", "option"));
        }
        descriptor.option = options;
    }
    if let Some(argument) = description.argument {
        if descriptor.argument.is_some() {
            return Err(PackagingError::DescribedTwice("free arguments", "argument"));
        }
        descriptor.argument = Some(argument);
    }
    if let Some(outputs) = description.outputs {
        if !descriptor.output.is_empty() {
            return Err(PackagingError::DescribedTwice("outputs", "output"));
        }
        descriptor.output = outputs;
    }
    Ok(manifest.checked()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = include_str!("../../manifest/tests/minimal.toml");
    /// An empty component: magic, version 13, layer 1.
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn manifest(text: &str) -> Manifest {
        toml::from_str(text).unwrap()
    }

    fn option(name: &str) -> Description {
        let json = format!(
            r#"{{"options":[{{"opt":"{name}","name":"","help":"","type":"text","required":true}}]}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn capabilities_are_those_of_the_interfaces() {
        let world = include_str!("../../../wit/autoexec-tool/world.wit");
        let (_, world) = world.split_once("world plugin {").unwrap();
        let imports = world.lines().map_while(|line| (line != "}").then_some(line.trim()));
        let names = imports.filter_map(|line| line.strip_prefix("import ")?.strip_suffix(';'));
        let mut named: Vec<String> = names
            .map(|name| if name.contains(':') { name.to_owned() } else { format!("autoexec:tool/{name}") })
            .filter_map(|name| capability_of(&autoexec_manifest::InterfaceName::new(name)).map(str::to_owned))
            .collect();
        named.sort();
        let mut known = CAPABILITIES.to_vec();
        known.sort_unstable();
        assert_eq!(named, known);
    }

    #[test]
    fn a_wrong_tool_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool.toml");
        std::fs::write(&path, "name = \"demo/x\"\nnoname = 1\n").unwrap();
        let error = read_tool_file(&path).unwrap_err().to_string();
        assert!(
            error.contains("tool.toml") && error.contains("noname") && error.contains("line 2"),
            "{error}"
        );
        std::fs::write(&path, MINIMAL.replace("net-probe", "net-prob")).unwrap();
        let error = read_tool_file(&path).unwrap_err().to_string();
        assert!(
            error.contains("tool.toml:11: there is no capability `net-prob`; there are net-probe, "),
            "{error}"
        );
        let error = read_tool_file(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none: can not be read"), "{error}");
    }

    #[test]
    fn what_is_not_a_core_module_is_refused() {
        let mut bare = manifest(MINIMAL);
        bare.capabilities.clear();
        for bytes in [b"\0asm\x01\0\0\0".as_slice(), EMPTY_COMPONENT, b"#!/bin/sh"] {
            let error = of_core_module(bytes, bare.clone()).unwrap_err();
            assert!(matches!(error, PackagingError::Core(_)), "{error}");
        }
    }

    #[test]
    fn options_of_the_code_become_part_of_the_manifest() {
        let mut bare = manifest(MINIMAL);
        bare.capabilities.clear();
        bare.descriptor.option.clear();
        let packed = of_component(EMPTY_COMPONENT.to_vec(), option("x"), bare).unwrap();
        assert_eq!(packed.manifest.descriptor.option[0].opt, "x");
        assert_eq!(read_outline(&packed.bytes).unwrap().manifest, packed.manifest);
    }

    #[test]
    fn what_is_described_twice_or_wrongly_is_refused() {
        let twice = of_component(EMPTY_COMPONENT.to_vec(), option("x"), manifest(MINIMAL)).unwrap_err();
        assert!(matches!(twice, PackagingError::DescribedTwice("options", "option")), "{twice}");
        let mut bare = manifest(MINIMAL);
        bare.descriptor.option.clear();
        let wrong = of_component(EMPTY_COMPONENT.to_vec(), option("a b"), bare).unwrap_err();
        assert!(wrong.to_string().contains("option name \"a b\" is not usable"), "{wrong}");
    }

    #[test]
    fn a_capability_that_is_not_used_is_refused() {
        let unused =
            of_component(EMPTY_COMPONENT.to_vec(), Description::default(), manifest(MINIMAL)).unwrap_err();
        assert!(matches!(&unused, PackagingError::NotUsed(name) if name == "net-probe"), "{unused}");
    }
}
