//! The nodes of a stand-alone run: a readable inventory, or a node file of a server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use autoexec_model::{Node, NodeLine, Protocol, ResourceId, RunnerId};
use autoexec_transport::ssh::{JumpHost, SshAuth};
use indexmap::{IndexMap, IndexSet};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::source::{At, FileError, Source};
use super::vault::{SecretSource, Vault, from_directory};
use crate::CliError;

/// The one runner of a stand-alone run.
pub(super) const RUNNER: RunnerId = RunnerId(1);

const SSH_PORT: u16 = 22;
/// Port of the target agent.
const TAGENT_PORT: u16 = 3939;

/// OpenSSH's server ends a connection after six tries to log in.
const MAX_KEYS: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InventoryFile {
    #[serde(default)]
    defaults: Defaults,
    nodes: Vec<Spanned<NodeEntry>>,
}

/// What holds for nodes that do not say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    user: Option<String>,
    password: Option<SecretSource>,
    /// Private key file.
    key: Option<PathBuf>,
    key_passphrase: Option<SecretSource>,
    /// Use the keys of the agent.
    #[serde(default)]
    agent: bool,
    port: Option<u16>,
    protocol: Option<String>,
    protocol_port: Option<u16>,
    #[serde(default)]
    service_ports: IndexMap<String, u16>,
    r#type: Option<String>,
    jump: Option<Jump>,
}

/// Jump hosts on the way, the first one first; `[]` for a direct connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Jump {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    host: String,
    name: Option<String>,
    id: Option<i64>,
    user: Option<String>,
    password: Option<SecretSource>,
    /// Private key file.
    key: Option<PathBuf>,
    port: Option<u16>,
    protocol: Option<String>,
    protocol_port: Option<u16>,
    #[serde(default)]
    service_ports: IndexMap<String, u16>,
    r#type: Option<String>,
    jump: Option<Jump>,
    /// Names that `--limit` takes.
    #[serde(default)]
    groups: Vec<String>,
}

/// A node and the names by which it can be selected.
#[derive(Debug)]
pub(super) struct InventoryNode {
    /// The node.
    pub(super) node: Node,
    object: Map<String, Value>,
    groups: Vec<String>,
}

/// The nodes of a run.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// The nodes, in the order of the file.
    pub(super) nodes: Vec<InventoryNode>,
    /// Ways to log in to nodes without a password.
    pub(super) keys: Vec<SshAuth>,
    /// The jump hosts on the way to each node that the file says it of. By node and not by host: equal addresses behind two
    /// bastions are two machines.
    pub(super) ways: HashMap<ResourceId, Vec<Arc<JumpHost>>>,
}

impl Inventory {
    /// Reads an inventory or a node file.
    pub(super) fn read(source: &Source, vault: &Vault) -> Result<Self, CliError> {
        let inventory =
            if is_node_file(source) { node_file(source, vault)? } else { readable(source, vault)? };
        if inventory.nodes.is_empty() {
            return Err(source.root().complain("there is no node in it").into());
        }
        Ok(inventory)
    }

    /// The node file for the job directory. Without nodes it still lets local phases run, which a total of 0 would
    /// skip (`spec/nodes.md` §3.4).
    pub(super) fn to_node_file(&self) -> String {
        let header = json!({
            "totalCount": self.nodes.len().max(1), "localRunnerId": RUNNER.0, "jobRunnerIds": [RUNNER.0]});
        let mut text = format!("{header}\n");
        for node in &self.nodes {
            text.push_str(&Value::Object(node.object.clone()).to_string());
            text.push('\n');
        }
        text
    }

    /// The ids of the nodes whose name, host or group is listed.
    ///
    /// # Errors
    /// Names a word that selects nothing.
    pub(super) fn select(&self, words: &[String]) -> Result<Vec<ResourceId>, String> {
        let mut selected = IndexSet::new();
        for word in words {
            let matching = self.nodes.iter().filter(|node| node.is_called(word));
            let matching: Vec<ResourceId> = matching.map(|node| node.node.resource).collect();
            if matching.is_empty() {
                let names: IndexSet<&str> = self.nodes.iter().flat_map(InventoryNode::names).collect();
                let names: Vec<&str> = names.into_iter().take(30).collect();
                return Err(format!(
                    "`{word}` selects no node; names, hosts and groups are: {}",
                    names.join(", ")
                ));
            }
            selected.extend(matching);
        }
        Ok(selected.into_iter().collect())
    }
}

impl InventoryNode {
    fn is_called(&self, word: &str) -> bool {
        self.names().any(|name| name == word)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [self.node.name.as_str(), self.node.host.as_str()]
            .into_iter()
            .chain(self.groups.iter().map(String::as_str))
    }
}

fn readable(source: &Source, vault: &Vault) -> Result<Inventory, FileError> {
    let file: InventoryFile = source.parse()?;
    let at = source.root();
    let mut ids = Ids::of(&at.field("nodes"), &file.nodes)?;
    let keys = keys(&at, &file)?;
    let ways = Ways::new(&at, &file.defaults, &keys);
    let mut inventory = Inventory::default();
    for (index, entry) in file.nodes.iter().enumerate() {
        let at = at.field("nodes").index(index).of(entry);
        let id = entry.value.id.unwrap_or_else(|| ids.next());
        let object = node_object(&at, &entry.value, &file.defaults, id, vault)?;
        let node = Node::from_object(object.clone()).map_err(|error| at.complain(error))?;
        if let Some(way) = ways.to(&at, entry.value.jump.as_ref(), &node)? {
            inventory.ways.insert(node.resource, way);
        }
        inventory.nodes.push(InventoryNode { node, object, groups: entry.value.groups.clone() });
    }
    inventory.keys = keys;
    Ok(inventory)
}

/// Ids for nodes that have none: 1, 2, 3 in the order of the file, without those that are given.
struct Ids {
    given: IndexSet<i64>,
    last: i64,
}

impl Ids {
    fn of(at: &At<'_>, nodes: &[Spanned<NodeEntry>]) -> Result<Self, FileError> {
        let mut given = IndexSet::new();
        for (index, node) in nodes.iter().enumerate() {
            let Some(id) = node.value.id else { continue };
            let at = at.index(index).of(node).field("id");
            if id < 1 {
                return Err(at.complain(format_args!("{id} is not usable: ids start at 1")));
            }
            if !given.insert(id) {
                return Err(at.complain(format_args!("another node has the id {id}")));
            }
        }
        Ok(Self { given, last: 0 })
    }

    fn next(&mut self) -> i64 {
        loop {
            self.last += 1;
            if !self.given.contains(&self.last) {
                return self.last;
            }
        }
    }
}

fn node_object(
    at: &At<'_>,
    entry: &NodeEntry,
    defaults: &Defaults,
    id: i64,
    vault: &Vault,
) -> Result<Map<String, Value>, FileError> {
    let first = |own: &Option<String>, default: &Option<String>| own.clone().or_else(|| default.clone());
    let protocol = first(&entry.protocol, &defaults.protocol).unwrap_or_else(|| "ssh".to_owned());
    let port = entry.port.or(defaults.port);
    let mut service_ports = defaults.service_ports.clone();
    service_ports.extend(entry.service_ports.clone());
    let default_port = match protocol.as_str() {
        "ssh" if port.is_none() => Some(SSH_PORT),
        "tagent" if port.is_none() => Some(TAGENT_PORT),
        _ => port,
    };
    let protocol_port = entry.protocol_port.or(defaults.protocol_port).or(default_port);
    let password = password(at, entry.password.as_ref().or(defaults.password.as_ref()), vault)?;
    let members = [
        ("resourceId", Some(id.into())),
        ("host", Some(entry.host.clone().into())),
        ("port", port.map(Value::from)),
        ("nodeName", Some(entry.name.clone().unwrap_or_else(|| entry.host.clone()).into())),
        ("nodeType", first(&entry.r#type, &defaults.r#type).map(Value::from)),
        ("protocol", Some(protocol.into())),
        ("protocolPort", protocol_port.map(Value::from)),
        ("servicePorts", (!service_ports.is_empty()).then(|| json!(service_ports))),
        ("username", first(&entry.user, &defaults.user).map(Value::from)),
        ("password", password.map(Value::from)),
        ("runnerId", Some(RUNNER.0.into())),
    ];
    Ok(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn password(at: &At<'_>, source: Option<&SecretSource>, vault: &Vault) -> Result<Option<String>, FileError> {
    let Some(source) = source else { return Ok(None) };
    let at = at.field("password");
    let secret = source.reveal(at.source().directory()).map_err(|problem| at.complain(problem))?;
    if autoexec_model::is_encrypted(secret.expose()) {
        vault.admit(secret.expose()).map_err(|problem| at.complain(problem))?;
        return Ok(Some(secret.expose().to_owned()));
    }
    Ok(Some(vault.keep(&secret)))
}

/// All keys of the file, in its order. Each is tried on every node that has no password of its own, as the agent's are.
fn keys(at: &At<'_>, file: &InventoryFile) -> Result<Vec<SshAuth>, FileError> {
    let at_defaults = at.field("defaults");
    let passphrase = passphrase(&at_defaults, &file.defaults)?;
    let mut paths = IndexSet::new();
    if let Some(path) = &file.defaults.key {
        paths.insert(key_file(&at_defaults, path)?);
    }
    for (index, node) in file.nodes.iter().enumerate() {
        let Some(path) = &node.value.key else { continue };
        let at = at.field("nodes").index(index).of(node);
        paths.insert(key_file(&at, path)?);
        if paths.len() > MAX_KEYS {
            let problem = format!(
                "more than {MAX_KEYS} different keys; servers refuse a login after some tries, put them into the agent or into several inventories"
            );
            return Err(at.field("key").complain(problem));
        }
    }
    let file_of = |path| SshAuth::KeyFile { path, passphrase: passphrase.clone() };
    Ok(paths.into_iter().map(file_of).chain(file.defaults.agent.then_some(SshAuth::Agent)).collect())
}

/// The ways to the nodes. The keys of the file log in to the jump hosts.
struct Ways<'a> {
    at: &'a At<'a>,
    default: Option<&'a Jump>,
    keys: &'a [SshAuth],
}

impl<'a> Ways<'a> {
    fn new(at: &'a At<'a>, defaults: &'a Defaults, keys: &'a [SshAuth]) -> Self {
        Self { at, default: defaults.jump.as_ref(), keys }
    }

    /// The way to a node, whose own `jump` this is; none where neither it nor the defaults say one.
    fn to(
        &self,
        at_node: &At<'_>,
        own: Option<&Jump>,
        node: &Node,
    ) -> Result<Option<Vec<Arc<JumpHost>>>, FileError> {
        let at_default = self.at.field("defaults");
        let (at, jump) = match (own, self.default) {
            (Some(jump), _) => (at_node.field("jump"), jump),
            (None, Some(jump)) => (at_default.field("jump"), jump),
            (None, None) => return Ok(None),
        };
        let addresses = match jump {
            Jump::One(address) => std::slice::from_ref(address),
            Jump::Several(addresses) => addresses,
        };
        if addresses.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if own.is_some() && node.protocol != Protocol::Ssh {
            let protocol = node.protocol.as_str();
            return Err(at.complain(format_args!(
                "jump hosts lead to nodes with the protocol `ssh`, and this one has `{protocol}`: it would be called directly"
            )));
        }
        if self.keys.is_empty() {
            return Err(at.complain("jump hosts are logged in to by `key` or `agent`, and there is neither"));
        }
        let jump = |address: &String| {
            let target = crate::ssh_file::address(address, self.keys.to_vec())
                .map_err(|problem| at.complain(problem))?;
            Ok(Arc::new(JumpHost { target, logins_per_second: None }))
        };
        addresses.iter().map(jump).collect::<Result<_, _>>().map(Some)
    }
}

fn key_file(at: &At<'_>, path: &Path) -> Result<PathBuf, FileError> {
    let path = from_directory(at.source().directory(), path);
    if !path.is_file() {
        return Err(at.field("key").complain(format_args!("{}: there is no such file", path.display())));
    }
    // The run may work in another directory.
    Ok(std::path::absolute(&path).unwrap_or(path))
}

fn passphrase(at: &At<'_>, defaults: &Defaults) -> Result<Option<autoexec_transport::Secret>, FileError> {
    let Some(source) = &defaults.key_passphrase else { return Ok(None) };
    let at = at.field("key_passphrase");
    if defaults.key.is_none() {
        return Err(at.complain("there is no `key` beside it that it opens"));
    }
    let secret = source.reveal(at.source().directory()).map_err(|problem| at.complain(problem))?;
    Ok(Some(autoexec_transport::Secret::new(secret.expose().to_owned())))
}

/// The first line of a server's file is a JSON object of one line, with the members of a header or a node.
fn is_node_file(source: &Source) -> bool {
    let first = source.text().lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    match serde_json::from_str::<Map<String, Value>>(first) {
        Ok(object) => object.contains_key("totalCount") || object.contains_key("resourceId"),
        Err(_) => false,
    }
}

/// All nodes of the file are ours here: there is no other runner.
fn node_file(source: &Source, vault: &Vault) -> Result<Inventory, FileError> {
    let mut inventory = Inventory::default();
    let mut ids = IndexSet::new();
    for (index, text) in source.text().lines().enumerate() {
        let at = source.line(index + 1);
        let line = NodeLine::parse(text).map_err(|error| at.complain(error))?;
        let Some(NodeLine::Node(_)) = line else { continue };
        let mut object: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| at.complain("not a JSON object"))?;
        let password = object.get("password").and_then(Value::as_str).unwrap_or_default();
        vault.admit(password).map_err(|problem| at.field("password").complain(problem))?;
        object.insert("runnerId".to_owned(), RUNNER.0.into());
        let node = Node::from_object(object.clone()).map_err(|error| at.complain(error))?;
        if !ids.insert(node.resource) {
            return Err(at.complain(format_args!("another node has the resource id {}", node.resource)));
        }
        inventory.nodes.push(InventoryNode { node, object, groups: Vec::new() });
    }
    Ok(inventory)
}

/// Whether a readable inventory is well-formed, without looking for the files and variables it names.
#[cfg(test)]
pub(super) fn check_form(source: &Source) -> Result<(), FileError> {
    source.parse::<InventoryFile>().map(drop)
}

#[cfg(test)]
mod tests;
