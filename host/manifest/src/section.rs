//! The outside of a component, read without compiling it: manifest section, imports, exports.

use std::fmt;

use wasmparser::{Encoding, Parser, Payload};

use crate::{Manifest, ManifestError};

/// Name of the custom section that holds the manifest as JSON.
pub const MANIFEST_SECTION: &str = "autoexec:manifest";

/// Id of a custom section in the binary format.
const CUSTOM_SECTION_ID: u8 = 0;

/// What a component shows without being compiled.
#[derive(Debug, Clone)]
pub struct ComponentOutline {
    /// The manifest from the section [`MANIFEST_SECTION`].
    pub manifest: Manifest,
    /// Everything it imports, in the order of the file.
    pub imports: Vec<InterfaceName>,
    /// Everything it exports, in the order of the file. Tool chains may add exports of their own.
    pub exports: Vec<InterfaceName>,
}

impl ComponentOutline {
    /// Whether it can say what it would change.
    pub fn can_check(&self) -> bool {
        self.exports_interface(crate::CHECK_EXPORT)
    }

    /// Whether it can say what an interrupted run did.
    pub fn can_probe(&self) -> bool {
        self.exports_interface(crate::PROBE_EXPORT)
    }

    /// Whether its tool chain imports WASI whether the tool uses it or not: `wasm32-wasip2`, JavaScript and Python do. What such a
    /// component imports of WASI says nothing of what it does, so what it does not ask for is linked with nothing behind it.
    pub fn brings_all_of_wasi(&self) -> bool {
        self.imports.iter().any(|import| import.unversioned().starts_with("wasi:cli/"))
    }

    fn exports_interface(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export.unversioned() == name)
    }
}

/// Name of an imported or exported item, such as `wasi:clocks/wall-clock@0.2.12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Takes the name as the component spells it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as the component spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Package and interface without the version: `wasi:clocks/wall-clock`.
    pub fn unversioned(&self) -> &str {
        self.0.split_once('@').map_or(self.as_str(), |(name, _)| name)
    }

    /// The version after the `@`, when there is one and it is a version.
    pub fn version(&self) -> Option<semver::Version> {
        self.0.split_once('@').and_then(|(_, version)| semver::Version::parse(version).ok())
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that is not a tool component.
#[derive(Debug, thiserror::Error)]
pub enum SectionError {
    /// The bytes are not WebAssembly, or are damaged.
    #[error("not a readable WebAssembly component: {0}")]
    Malformed(String),
    /// It is a core module: the step that makes a component of it is missing.
    #[error("this is a WebAssembly core module, not a component; build it with `cargo xtask guests`")]
    CoreModule,
    /// It is a component, but not one of our tools.
    #[error(
        "the component has no `{MANIFEST_SECTION}` section, so it is not an autoexec tool; \
         build it with `cargo xtask guests`, which adds the section from tool.toml"
    )]
    NoManifest,
    /// Two manifests: which one was approved can not be told.
    #[error("the component has more than one `{MANIFEST_SECTION}` section; build it again")]
    TwoManifests,
    /// The manifest itself is wrong.
    #[error("in the `{MANIFEST_SECTION}` section: {0}")]
    Manifest(#[from] ManifestError),
}

impl From<wasmparser::BinaryReaderError> for SectionError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Reads the outline of a component. Nested components and modules are not looked into.
pub fn read_outline(component: &[u8]) -> Result<ComponentOutline, SectionError> {
    let mut scan = Scan::default();
    for payload in Parser::new(0).parse_all(component) {
        scan.take(payload?)?;
    }
    let manifest = scan.manifest.ok_or(SectionError::NoManifest)?;
    Ok(ComponentOutline {
        manifest: Manifest::from_json(manifest)?,
        imports: scan.imports,
        exports: scan.exports,
    })
}

/// Adds the manifest section to the end of a component. The bytes in front stay as they are.
pub fn append_manifest(component: &mut Vec<u8>, manifest: &Manifest) {
    let json = manifest.to_json();
    let name = MANIFEST_SECTION.as_bytes();
    let mut body = Vec::with_capacity(json.len() + name.len() + 1);
    push_leb128(&mut body, name.len());
    body.extend_from_slice(name);
    body.extend_from_slice(json.as_bytes());
    component.push(CUSTOM_SECTION_ID);
    push_leb128(component, body.len());
    component.extend_from_slice(&body);
}

/// What the scan has seen so far; `depth` counts the nested modules and components it is inside of.
#[derive(Default)]
struct Scan<'a> {
    depth: usize,
    manifest: Option<&'a [u8]>,
    imports: Vec<InterfaceName>,
    exports: Vec<InterfaceName>,
}

impl<'a> Scan<'a> {
    fn take(&mut self, payload: Payload<'a>) -> Result<(), SectionError> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if self.depth == 0 => {
                return Err(SectionError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.depth += 1,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            _ if self.depth > 0 => {}
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    self.imports.push(InterfaceName::new(import?.name.name));
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.exports.push(InterfaceName::new(export?.name.name));
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                return self.take_manifest(section.data());
            }
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Scan<'a> {
    fn take_manifest(&mut self, json: &'a [u8]) -> Result<(), SectionError> {
        match self.manifest.replace(json) {
            None => Ok(()),
            Some(_) => Err(SectionError::TwoManifests),
        }
    }
}

/// Unsigned LEB128, the number format of WebAssembly.
fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component: magic, version 13, layer 1.
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn manifest() -> Manifest {
        let manifest: Manifest = toml::from_str(include_str!("../tests/minimal.toml")).unwrap();
        manifest.checked().unwrap()
    }

    #[test]
    fn an_appended_manifest_is_read_back() {
        let mut bytes = EMPTY_COMPONENT.to_vec();
        append_manifest(&mut bytes, &manifest());
        let outline = read_outline(&bytes).unwrap();
        assert_eq!(outline.manifest, manifest());
        assert!(outline.imports.is_empty() && outline.exports.is_empty());
    }

    #[test]
    fn what_is_not_a_tool_says_why() {
        let without = read_outline(EMPTY_COMPONENT).unwrap_err();
        assert!(matches!(without, SectionError::NoManifest), "{without}");
        assert!(matches!(read_outline(EMPTY_MODULE), Err(SectionError::CoreModule)));
        assert!(matches!(read_outline(b"#!/bin/sh\n"), Err(SectionError::Malformed(_))));
        assert!(matches!(read_outline(b""), Err(SectionError::Malformed(_) | SectionError::NoManifest)));
    }

    #[test]
    fn a_second_manifest_is_refused() {
        let mut bytes = EMPTY_COMPONENT.to_vec();
        append_manifest(&mut bytes, &manifest());
        append_manifest(&mut bytes, &manifest());
        assert!(matches!(read_outline(&bytes), Err(SectionError::TwoManifests)));
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let mut bytes = EMPTY_COMPONENT.to_vec();
        append_manifest(&mut bytes, &manifest());
        for end in 0..bytes.len() {
            assert!(read_outline(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn names_are_split_at_the_version() {
        let name = InterfaceName::new("wasi:clocks/wall-clock@0.2.12");
        assert_eq!(name.unversioned(), "wasi:clocks/wall-clock");
        assert_eq!(name.version(), Some(semver::Version::new(0, 2, 12)));
        assert_eq!(InterfaceName::new("plain").version(), None);
    }
}
