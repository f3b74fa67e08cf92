//! `autoexec plugin pack`: one archive that is unpacked in a home.

use std::path::Path;

use autoexec_events::ExitCode;
use autoexec_store::atomic;
use autoexec_supply::signature_path;
use serde_json::json;

use super::args::ProjectArgs;
use super::project::Project;
use super::tell;
use crate::CliError;

/// Mode of the archive and of what is in it.
const READABLE: u32 = 0o644;

/// Packs it.
pub(super) fn run(arguments: &ProjectArgs) -> Result<ExitCode, CliError> {
    let project = Project::find(arguments)?;
    let built = project.built()?;
    let name = &project.manifest.name;
    let place = format!("plugins/wasm/{name}.wasm");
    let signature = signature_path(&built);
    let mut files = vec![(place.clone(), built.clone())];
    if signature.is_file() {
        files.push((signature_path(Path::new(&place)).display().to_string(), signature.clone()));
    }
    let readme = project.dir.join("README.md");
    if readme.is_file() {
        files.push((format!("plugins/wasm/{name}.md"), readme));
    }
    let archive = archive(&files)?;
    let file = format!("{}-{}-{}.tar", name.bundle(), name.base(), project.manifest.version);
    let path = project.dir.join("dist").join(file);
    atomic::write(&path, &archive, READABLE)
        .map_err(|error| CliError::files(format!("can not write {}: {error}", path.display())))?;
    let signed = if signature.is_file() { "signed" } else { "NOT signed" };
    let text = format!(
        "packed {} ({signed}, {} bytes)\ninstall it: tar xf {0} -C $AUTOEXEC_HOME\n",
        path.display(),
        archive.len()
    );
    let names: Vec<&String> = files.iter().map(|(name, _)| name).collect();
    let document = json!({"file": path.display().to_string(), "signed": signature.is_file(), "files": names});
    tell(arguments.output, &text, &document)
}

/// The same bytes for the same files: no times, no owners.
fn archive(files: &[(String, std::path::PathBuf)]) -> Result<Vec<u8>, CliError> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, path) in files {
        let failed = |error| CliError::files(format!("can not pack {}: {error}", path.display()));
        let content = std::fs::read(path).map_err(failed)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(READABLE);
        header.set_mtime(0);
        archive.append_data(&mut header, name, content.as_slice()).map_err(failed)?;
    }
    archive.into_inner().map_err(CliError::files)
}
