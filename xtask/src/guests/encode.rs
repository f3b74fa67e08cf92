//! Writes a tool's file where it is out of date.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use autoexec_packaging::{Description, of_component, of_core_module, read_tool_file};

use super::GuestCrate;
use crate::step::say;

/// Writes `<out>/<bundle>/<name>.wasm` unless it is newer than everything it is made from.
pub(super) fn component(guest: &GuestCrate, core: &Path, out: &Path) -> Result<()> {
    let manifest = read_tool_file(&guest.tool_file())?;
    let path = out.join(format!("{}.wasm", manifest.name));
    if is_up_to_date(&path, &[core, &guest.tool_file(), &std::env::current_exe()?]) {
        return Ok(());
    }
    let core = fs::read(core).with_context(|| format!("reading {}", core.display()))?;
    let packed = of_core_module(&core, manifest)?;
    write_whole(&path, &packed.bytes)?;
    say(format_args!("{} ({} bytes)", path.display(), packed.bytes.len()));
    Ok(())
}

/// Puts a manifest into a component that another tool chain has made.
pub(super) fn with_manifest(component: &Path, tool_file: &Path, out: &Path) -> Result<()> {
    let manifest = read_tool_file(tool_file)?;
    let path = out.join(format!("{}.wasm", manifest.name));
    if is_up_to_date(&path, &[component, tool_file, &std::env::current_exe()?]) {
        return Ok(());
    }
    let component = fs::read(component).with_context(|| format!("reading {}", component.display()))?;
    let packed = of_component(component, Description::default(), manifest)?;
    write_whole(&path, &packed.bytes)?;
    say(format_args!("{} ({} bytes)", path.display(), packed.bytes.len()));
    Ok(())
}

/// Whether a file is there and newer than all of these.
pub(super) fn is_up_to_date(path: &Path, inputs: &[&Path]) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let newest: Option<Vec<SystemTime>> = inputs.iter().map(|input| modified(input)).collect();
    match (modified(path), newest.and_then(|times| times.into_iter().max())) {
        (Some(made), Some(newest)) => made > newest,
        _ => false,
    }
}

/// Replaces the file in one step: a running executor may be reading it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir: PathBuf = path.parent().context("the output file has no directory")?.to_owned();
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let temporary = path.with_extension("wasm.tmp");
    fs::write(&temporary, bytes).with_context(|| format!("writing {}", temporary.display()))?;
    fs::rename(&temporary, path).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_up_to_date_when_it_is_newer_than_all_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, seconds: u64| {
            let path = dir.path().join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
            path
        };
        let (old, new, newest) = (file("a", 1), file("b", 2), file("c", 3));
        assert!(is_up_to_date(&newest, &[&old, &new]));
        assert!(!is_up_to_date(&new, &[&old, &newest]));
        assert!(!is_up_to_date(&dir.path().join("missing"), &[&old]));
        assert!(!is_up_to_date(&new, &[&dir.path().join("missing")]));
    }
}
