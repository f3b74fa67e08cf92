//! The tools, read from what they are installed with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use autoexec_manifest::{
    ArgumentDescriptor, NativeManifest, OptionDescriptor, OutputDescriptor, Rerun, read_outline,
};
use serde::Deserialize;

use crate::guests;

/// What a tool puts out.
pub(super) type Outputs = Vec<OutputDescriptor>;

/// Where a tool's code is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On the runner, in the sandbox.
    Sandbox,
    /// On the runner, as a program.
    Runner,
    /// On the target, as a script that is sent there.
    Target,
}

/// One tool as the catalogue shows it.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) place: Place,
    /// `opType` as the server has it.
    pub(super) op_type: String,
    pub(super) category: String,
    pub(super) risk: String,
    pub(super) purpose: String,
    /// What it asks for and why, in the order of its manifest.
    pub(super) capabilities: Vec<(String, String)>,
    pub(super) rerun: Rerun,
    pub(super) checks: bool,
    /// Why it is no component; native tools only.
    pub(super) reason: Option<String>,
    pub(super) options: Vec<OptionDescriptor>,
    pub(super) argument: Option<ArgumentDescriptor>,
    pub(super) outputs: Outputs,
    /// Bytes of the component.
    pub(super) size: Option<usize>,
}

/// The keys of a native tool's descriptor that the catalogue shows (plugins-native/README.md). The server ignores ours, and
/// the catalogue ignores the server's others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NativeDescriptor {
    op_desc: Option<String>,
    op_type: String,
    type_name: String,
    risk_name: String,
    description: Option<String>,
    #[serde(default = "safe")]
    rerun: Rerun,
    reason: Option<String>,
    #[serde(default)]
    check: bool,
    #[serde(default)]
    option: Vec<OptionDescriptor>,
    argument: Option<ArgumentDescriptor>,
    #[serde(default)]
    output: Outputs,
}

fn safe() -> Rerun {
    Rerun::Safe
}

/// All tools, by place and name.
pub(super) fn all(root: &Path) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    for built in guests::tools()? {
        let path = &built.component;
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        tools.push(component(&bytes).with_context(|| path.display().to_string())?);
    }
    for (directory, place) in [("local", Place::Runner), ("remote", Place::Target)] {
        let directory = root.join("plugins-native").join(directory);
        for entry in walkdir::WalkDir::new(&directory).sort_by_file_name() {
            let entry = entry.with_context(|| format!("reading {}", directory.display()))?;
            let path = entry.path();
            // A descriptor stands beside a program of its name; other JSON files are data.
            if path.extension().is_some_and(|ext| ext == "json") && path.with_extension("").is_file() {
                tools.push(native(&directory, path, place).with_context(|| path.display().to_string())?);
            }
        }
    }
    tools.sort_by(|a, b| (a.place as u8, &a.name).cmp(&(b.place as u8, &b.name)));
    Ok(tools)
}

fn component(bytes: &[u8]) -> Result<Tool> {
    let outline = read_outline(bytes)?;
    let checks = outline.can_check();
    let manifest = outline.manifest;
    let descriptor = manifest.descriptor;
    let op_type = serde_json::to_value(descriptor.op_type)?;
    Ok(Tool {
        name: manifest.name.to_string(),
        place: Place::Sandbox,
        op_type: op_type.as_str().unwrap_or_default().to_owned(),
        category: descriptor.type_name,
        risk: descriptor.risk_name,
        purpose: manifest.description,
        capabilities: manifest
            .capabilities
            .into_iter()
            .map(|asked| (asked.interface, asked.reason))
            .collect(),
        rerun: manifest.rerun,
        checks,
        reason: None,
        options: descriptor.option,
        argument: descriptor.argument,
        outputs: descriptor.output,
        size: Some(bytes.len()),
    })
}

fn native(directory: &Path, path: &Path, place: Place) -> Result<Tool> {
    let program = path.with_extension("");
    let name = program.strip_prefix(directory)?.display().to_string();
    let descriptor: NativeDescriptor = serde_json::from_str(&fs::read_to_string(path)?)?;
    let capabilities = requests(&program, &name)?.into_iter().collect();
    let checks = descriptor.check || descriptor.option.iter().any(|option| option.opt == "check");
    Ok(Tool {
        name,
        place,
        op_type: descriptor.op_type,
        category: descriptor.type_name,
        risk: descriptor.risk_name,
        purpose: descriptor.description.or(descriptor.op_desc).unwrap_or_default(),
        capabilities,
        rerun: descriptor.rerun,
        checks,
        reason: descriptor.reason,
        options: descriptor.option,
        argument: descriptor.argument,
        outputs: descriptor.output,
        size: None,
    })
}

/// What the manifest beside a program asks for; nothing where there is none.
fn requests(program: &Path, name: &str) -> Result<BTreeMap<String, String>> {
    let path = NativeManifest::path_of(program);
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let manifest = NativeManifest::parse(&text, name).with_context(|| path.display().to_string())?;
    Ok(manifest.requests())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_tool_is_described_by_what_stands_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let bundle = root.path().join("db");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("dump"), "#!/bin/sh\n").unwrap();
        fs::write(
            bundle.join("dump.json"),
            r#"{"opType": "runner", "typeName": "BASIC", "riskName": "LOW", "description": "Dumps.", "rerun": "once",
                "reason": "It starts a program.", "check": true, "defaultProfile": null,
                "output": [{"opt": "file", "name": "File", "help": "Where it lies", "type": "text"}]}"#,
        )
        .unwrap();
        let tool = native(root.path(), &bundle.join("dump.json"), Place::Runner).unwrap();
        assert_eq!((tool.name.as_str(), tool.rerun, tool.checks), ("db/dump", Rerun::Once, true));
        assert_eq!(tool.reason.as_deref(), Some("It starts a program."));
        assert_eq!((tool.outputs[0].opt.as_str(), tool.size), ("file", None));
        assert!(tool.capabilities.is_empty());
    }
}
