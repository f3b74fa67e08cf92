//! Components that `cargo xtask guests` built, and changed ones.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use autoexec_manifest::{Manifest, append_manifest, read_outline};

use crate::job::files_below;

/// The component `bundle/name`, of the tools or of the guests that only tests run.
pub fn guest(name: &str) -> Result<Vec<u8>> {
    let directories = directories();
    let found =
        directories.iter().find_map(|directory| std::fs::read(directory.join(format!("{name}.wasm"))).ok());
    found.with_context(|| {
        format!("guest {name} is not built: run `cargo xtask guests` (looked in {directories:?})")
    })
}

/// The names of all tools of the product that were built.
pub fn tools() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for directory in directories().iter().filter(|directory| directory.is_dir()) {
        for file in files_below(directory)? {
            let name = file.with_extension("").to_string_lossy().into_owned();
            let is_component = file.extension().is_some_and(|extension| extension == "wasm");
            if is_component && !["fixture/", "foreign/"].iter().any(|bundle| name.starts_with(bundle)) {
                names.push(name);
            }
        }
    }
    ensure!(!names.is_empty(), "no tool is built: run `cargo xtask guests`");
    Ok(names)
}

fn directories() -> Vec<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    match std::env::var_os("AUTOEXEC_GUESTS") {
        Some(directory) => vec![PathBuf::from(directory)],
        None => vec![target.join("plugins/wasm"), target.join("guests/wasm")],
    }
}

/// The component with another manifest; it works as before.
pub fn with_manifest(component: &[u8], change: impl FnOnce(&mut Manifest)) -> Result<Vec<u8>> {
    let mut manifest = read_outline(component)?.manifest;
    change(&mut manifest);
    let mut changed = without_manifest(component)?;
    append_manifest(&mut changed, &manifest);
    Ok(changed)
}

/// The component as the compiler made it: the manifest's section stands at its end, where the build appends it.
pub fn without_manifest(component: &[u8]) -> Result<Vec<u8>> {
    let mut section = Vec::new();
    append_manifest(&mut section, &read_outline(component)?.manifest);
    let bare = component.strip_suffix(section.as_slice());
    Ok(bare.context("the manifest is not the last section")?.to_vec())
}
