//! Interfaces under another name while a component is made.
//!
//! `componentize-py --stub-wasi` keeps Python's own library from importing files, sockets and the environment: it replaces
//! every import of the namespace `wasi` by one that traps. Clocks, random numbers and HTTP, which a tool may import, would
//! go the same way. So the world of a tool in Python has them under a namespace of the same length, and the finished
//! component gets the right one.

use wasmparser::{Parser, Payload};

use crate::PackagingError;

/// The namespace that a finished component imports.
const WASI: &str = "wasi:";

/// The namespace that stands for it while a component is made.
const STAND_IN: &str = "wasx:";

/// A text of WIT with the namespace `wasi` under its other name.
pub fn without_wasi(wit: &str) -> String {
    wit.replace(WASI, STAND_IN)
}

/// A component with the right name of what it imports; nothing else in it is changed.
pub fn with_wasi(mut component: Vec<u8>) -> Result<Vec<u8>, PackagingError> {
    for at in stand_ins(&component)? {
        component[at..at + WASI.len()].copy_from_slice(WASI.as_bytes());
    }
    Ok(component)
}

/// Where the names of such imports begin: those of the component itself, not of what is inside it.
fn stand_ins(component: &[u8]) -> Result<Vec<usize>, PackagingError> {
    let malformed = |error: wasmparser::BinaryReaderError| PackagingError::Core(error.to_string());
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports.into_iter_with_offsets() {
                    let (offset, import) = import.map_err(malformed)?;
                    let name = import.name.name;
                    let begin = component.get(offset..).and_then(|rest| {
                        rest.windows(name.len()).position(|window| window == name.as_bytes())
                    });
                    found.extend(begin.filter(|_| name.starts_with(STAND_IN)).map(|begin| offset + begin));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
        NestedComponentSection,
    };

    use super::*;

    /// A component that imports empty instances of these names, around another that does.
    fn importing(names: &[&str], inner: Option<&Component>) -> Component {
        let mut types = ComponentTypeSection::new();
        types.instance(&InstanceType::new());
        let mut imports = ComponentImportSection::new();
        for name in names {
            imports.import(*name, ComponentTypeRef::Instance(0));
        }
        let mut component = Component::new();
        component.section(&types).section(&imports);
        if let Some(inner) = inner {
            component.section(&NestedComponentSection(inner));
        }
        component
    }

    #[test]
    fn imports_get_their_names_back_and_nothing_else_changes() {
        let inner = importing(&["wasx:io/poll@0.2.12"], None);
        let names = ["wasx:io/poll@0.2.12", "autoexec:tool/log@1.0.0", "wasx:clocks/wall-clock@0.2.12"];
        let made = importing(&names, Some(&inner)).finish();
        let expected =
            importing(&["wasi:io/poll@0.2.12", names[1], "wasi:clocks/wall-clock@0.2.12"], Some(&inner))
                .finish();
        assert_eq!(with_wasi(made).unwrap(), expected);
        assert_eq!(with_wasi(expected.clone()).unwrap(), expected);
        assert!(with_wasi(b"no component".to_vec()).is_err());
    }

    #[test]
    fn a_world_has_other_names_of_the_same_length() {
        assert_eq!(without_wasi("import wasi:io/poll@0.2.12;"), "import wasx:io/poll@0.2.12;");
        assert_eq!(WASI.len(), STAND_IN.len());
    }
}
