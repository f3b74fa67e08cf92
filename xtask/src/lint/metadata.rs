//! What cargo knows about the crates: who names whom, and who ends up being linked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{step, workspace};

/// A crate of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Crate {
    /// Its package name.
    pub(super) name: String,
    /// Its directory.
    pub(super) dir: PathBuf,
    /// What its manifest names for the program itself.
    pub(super) named: BTreeSet<String>,
    /// What its manifest names for tests only.
    pub(super) named_by_tests: BTreeSet<String>,
    /// Directories that its manifest names.
    pub(super) paths: Vec<PathBuf>,
    /// What is linked with it, directly or not. Empty where it was not asked for.
    pub(super) linked: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for the program itself.
    kind: Option<String>,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

/// The crates of the host, with what is linked with each.
pub(super) fn host(root: &Path) -> Result<Vec<Crate>> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    read(root, &["--filter-platform", &platform])
}

/// The crates that become guests, and the SDK they are written with.
pub(super) fn guests(root: &Path) -> Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for workspace in ["plugins-wasm", "sdk/rust", "tests/fixtures/guests", "tests/fixtures/foreign/rust"] {
        crates.extend(read(&root.join(workspace), &["--no-deps"])?);
    }
    Ok(crates)
}

fn read(workspace: &Path, arguments: &[&str]) -> Result<Vec<Crate>> {
    let mut cargo = workspace::cargo()?;
    cargo.args(["metadata", "--format-version", "1", "--manifest-path"]);
    cargo.arg(workspace.join("Cargo.toml")).args(arguments);
    parse(&step::output(&mut cargo)?).with_context(|| format!("cargo metadata of {}", workspace.display()))
}

fn parse(text: &str) -> Result<Vec<Crate>> {
    let metadata: Metadata = serde_json::from_str(text)?;
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let edges: BTreeMap<&str, Vec<&str>> = metadata
        .resolve
        .iter()
        .flat_map(|resolve| &resolve.nodes)
        .map(|node| (node.id.as_str(), linked_edges(node)))
        .collect();
    let members = metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id));
    Ok(members.map(|package| ours(package, &names, &edges)).collect())
}

/// Edges that end up in the program: not those of tests, and not those of build scripts.
fn linked_edges(node: &Node) -> Vec<&str> {
    let is_linked = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
    node.deps.iter().filter(is_linked).map(|edge| edge.pkg.as_str()).collect()
}

fn ours(package: &Package, names: &BTreeMap<&str, &str>, edges: &BTreeMap<&str, Vec<&str>>) -> Crate {
    let named = |tests: bool| {
        let chosen = package.dependencies.iter().filter(|d| (d.kind.as_deref() == Some("dev")) == tests);
        chosen.map(|dependency| dependency.name.clone()).collect()
    };
    let linked = reachable(&package.id, edges);
    Crate {
        name: package.name.clone(),
        dir: package.manifest_path.parent().map(Path::to_owned).unwrap_or_default(),
        named: named(false),
        named_by_tests: named(true),
        paths: package.dependencies.iter().filter_map(|dependency| dependency.path.clone()).collect(),
        linked: linked.into_iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect(),
    }
}

fn reachable<'a>(from: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        for next in edges.get(id).into_iter().flatten() {
            if found.insert(*next) {
                open.push(next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_and_build_scripts_use_is_not_linked() {
        let edge =
            |to: &str, kind: Option<&str>| serde_json::json!({"pkg": to, "dep_kinds": [{"kind": kind}]});
        let node = |id: &str, deps: Vec<serde_json::Value>| serde_json::json!({"id": id, "deps": deps});
        let package = |id: &str| serde_json::json!({"id": id, "name": id, "manifest_path": format!("/w/{id}/Cargo.toml"), "dependencies": []});
        let mut own = package("own");
        own["dependencies"] = serde_json::json!([
            {"name": "a", "kind": null, "path": null}, {"name": "t", "kind": "dev", "path": "/w/t"}]);
        let text = serde_json::json!({
            "packages": [own, package("a"), package("b"), package("c"), package("t")],
            "workspace_members": ["own"],
            "resolve": {"nodes": [
                node("own", vec![edge("a", None), edge("t", Some("dev")), edge("c", Some("build"))]),
                node("a", vec![edge("b", None)]), node("t", vec![edge("c", None)])]},
        });
        let crates = parse(&text.to_string()).unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(
            crates,
            [Crate {
                name: "own".to_owned(),
                dir: "/w/own".into(),
                named: set(&["a"]),
                named_by_tests: set(&["t"]),
                paths: vec!["/w/t".into()],
                linked: set(&["a", "b"]),
            }]
        );
    }
}
