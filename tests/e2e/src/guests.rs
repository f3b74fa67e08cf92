//! Components that `cargo xtask guests` built, and changed ones.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use autoexec_manifest::{Manifest, append_manifest, read_outline};

/// The component `bundle/name`, of the tools or of the guests that only tests run.
pub fn guest(name: &str) -> Result<Vec<u8>> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let directories = match std::env::var_os("AUTOEXEC_GUESTS") {
        Some(directory) => vec![PathBuf::from(directory)],
        None => vec![target.join("plugins/wasm"), target.join("guests/wasm")],
    };
    let found =
        directories.iter().find_map(|directory| std::fs::read(directory.join(format!("{name}.wasm"))).ok());
    found.with_context(|| {
        format!("guest {name} is not built: run `cargo xtask guests` (looked in {directories:?})")
    })
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
