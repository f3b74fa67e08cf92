//! Components made of WebAssembly text, for what no compiler makes.

use std::path::Path;

use autoexec_manifest::{Manifest, append_manifest};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// A manifest with limits that are reached soon.
pub(crate) fn manifest(name: &str) -> Manifest {
    serde_json::from_value(serde_json::json!({
        "name": name, "version": "0.1.0", "wit": "1.0.0", "description": "Made by hand.", "rerun": "safe",
        "limits": {"time-seconds": 1, "memory-mib": 16},
        "descriptor": {"opType": "runner", "typeName": "BASIC", "riskName": "LOW", "interpreter": "python"},
    }))
    .unwrap()
}

/// The component with a manifest for this name.
pub(crate) fn named(name: &str, mut component: Vec<u8>) -> Vec<u8> {
    append_manifest(&mut component, &manifest(name));
    component
}

/// A tool around a core module. `parts` stand beside the memory, `cabi_realloc` and `run`.
pub(crate) struct Core<'a> {
    pub(crate) imports: &'a str,
    pub(crate) memory: &'a str,
    pub(crate) realloc: &'a str,
    pub(crate) parts: &'a str,
    pub(crate) run: &'a str,
    /// Further exports of the world, as WIT.
    pub(crate) exports: &'a str,
}

/// Answers "succeeded" from memory that holds zeros.
pub(crate) const SUCCEED: &str = "i32.const 2048";

impl Default for Core<'_> {
    fn default() -> Self {
        Self {
            imports: "",
            memory: "(memory (export \"memory\") 1)",
            realloc: "i32.const 1024",
            parts: "",
            run: SUCCEED,
            exports: "",
        }
    }
}

impl Core<'_> {
    /// The component, named and with limits.
    pub(crate) fn tool(&self, name: &str) -> Vec<u8> {
        named(name, self.component())
    }

    /// The component without a manifest.
    pub(crate) fn component(&self) -> Vec<u8> {
        let Self { imports, memory, realloc, parts, run, exports } = self;
        let text = format!(
            "(module {imports} {memory} {parts}
                (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {realloc})
                (func (export \"autoexec:tool/tool@1.0.0#run\") (param i32 i32 i32 i32) (result i32) {run}))"
        );
        let mut resolve = wit_parser::Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/autoexec-tool");
        let (package, _) = resolve.push_path(&wit).unwrap();
        let world = if exports.is_empty() {
            resolve.select_world(&[package], Some("plugin")).unwrap()
        } else {
            let own = format!(
                "package hostile:tool;\nworld hostile {{ include autoexec:tool/plugin@1.0.0; {exports} }}"
            );
            let package = resolve.push_str("hostile.wit", &own).unwrap();
            resolve.select_world(&[package], Some("hostile")).unwrap()
        };
        let mut module = wat::parse_str(&text).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        let mut encoder = ComponentEncoder::default();
        // What is wrong with it is the sandbox's to find.
        encoder.validate(false).module(&module).unwrap();
        encoder.encode().unwrap()
    }
}

/// Section ids of the binary format.
pub(crate) const CUSTOM: u8 = 0;
pub(crate) const CORE_INSTANCE: u8 = 2;
pub(crate) const COMPONENT: u8 = 4;

/// These bytes and a section.
pub(crate) fn section(before: &[u8], id: u8, body: &[u8]) -> Vec<u8> {
    [before, &[id], &leb128(body.len()), body].concat()
}

/// A number as the binary format has it.
pub(crate) fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}
