//! From a core module and `tool.toml` to one `.wasm` file that is the whole tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use autoexec_manifest::{Manifest, append_manifest, capability_of, read_outline};

use super::GuestCrate;
use crate::step::say;

/// Writes `<out>/<bundle>/<name>.wasm` unless it is newer than everything it is made from.
pub(super) fn component(guest: &GuestCrate, core: &Path, out: &Path) -> Result<()> {
    let manifest = read_manifest(&guest.tool_file())?;
    let path = out.join(format!("{}.wasm", manifest.name));
    if is_up_to_date(&path, &[core, &guest.tool_file(), &std::env::current_exe()?]) {
        return Ok(());
    }
    let core = fs::read(core).with_context(|| format!("reading {}", core.display()))?;
    let bytes = encode(&core, &manifest)?;
    write_whole(&path, &bytes)?;
    say(format_args!("{} ({} bytes)", path.display(), bytes.len()));
    Ok(())
}

/// Reads and checks a `tool.toml`.
fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let manifest: Manifest = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    manifest.checked().with_context(|| format!("in {}", path.display()))
}

/// The component with its manifest, checked to ask for exactly the capabilities that it uses.
fn encode(core: &[u8], manifest: &Manifest) -> Result<Vec<u8>> {
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true).module(core).context("the core module was not built with the SDK")?;
    let mut component = encoder.encode().context("making a component of the core module")?;
    append_manifest(&mut component, manifest);
    let outline = read_outline(&component)?;
    let used: Vec<&str> = outline.imports.iter().filter_map(capability_of).collect();
    if let Some(capability) = used.iter().find(|capability| manifest.requests(capability).is_none()) {
        bail!(
            "uses the capability `{capability}`, but tool.toml does not ask for it: add a [[capability]] with a reason"
        );
    }
    // References in options need the capability `secret` where they are exchanged, and no import.
    let unused = |interface: &str| !used.contains(&interface) && interface != "secret";
    if let Some(request) = manifest.capabilities.iter().find(|request| unused(&request.interface)) {
        bail!("asks for the capability `{}` in tool.toml, but does not use it: remove it", request.interface);
    }
    Ok(component)
}

fn is_up_to_date(path: &Path, inputs: &[&Path]) -> bool {
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

    #[test]
    fn a_wrong_tool_file_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool.toml");
        fs::write(&path, "name = \"demo/x\"\nnoname = 1\n").unwrap();
        let error = format!("{:#}", read_manifest(&path).unwrap_err());
        assert!(
            error.contains("tool.toml") && error.contains("noname") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_a_core_module_is_refused() {
        let manifest = toml::from_str(include_str!("../../../host/manifest/tests/minimal.toml")).unwrap();
        assert!(encode(b"\0asm\x01\0\0\0", &manifest).is_err());
    }
}
