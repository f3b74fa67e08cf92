use super::*;
use crate::config::Config;

fn vault(key: &str) -> Vault {
    Vault::new(&Config::parse(&format!("[server]\npassword.key = {key}\n"), "config.ini").unwrap()).unwrap()
}

fn read(name: &str, text: &str) -> Result<Inventory, String> {
    let source = Source::new(Path::new(name), text.to_owned());
    Inventory::read(&source, &vault("k")).map_err(|error| error.to_string())
}

const HOSTS: &str = "\
defaults:
  user: app
  password: 's3cret'
  type: Linux
nodes:
  - host: 10.0.0.1
    name: web1
    groups: [web]
  - {host: 10.0.0.2, groups: [web, canary], port: 2222, user: root}
  - {host: 10.0.0.3, id: 2, protocol: mysql, port: 3306, protocol_port: 3307, service_ports: {ssh: 23}, password: '{RC4}00'}
";

#[test]
fn an_inventory_becomes_a_node_file() {
    let inventory = read("hosts.yaml", HOSTS).unwrap();
    let kept = vault("k").keep(&autoexec_model::Secret::new("s3cret"));
    let text = inventory.to_node_file();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"totalCount": 3, "localRunnerId": 1, "jobRunnerIds": [1]}));
    assert_eq!(
        lines[1],
        json!({"resourceId": 1, "host": "10.0.0.1", "nodeName": "web1", "nodeType": "Linux", "protocol": "ssh",
               "protocolPort": 22, "username": "app", "password": kept, "runnerId": 1})
    );
    assert_eq!((&lines[2]["resourceId"], &lines[2]["protocolPort"]), (&json!(3), &json!(2222)));
    assert_eq!((&lines[2]["nodeName"], &lines[2]["username"]), (&json!("10.0.0.2"), &json!("root")));
    assert_eq!((&lines[3]["resourceId"], &lines[3]["protocolPort"]), (&json!(2), &json!(3307)));
    assert_eq!((&lines[3]["password"], &lines[3]["servicePorts"]), (&json!("{RC4}00"), &json!({"ssh": 23})));
    assert!(!text.contains("s3cret"));
}

#[test]
fn nodes_are_selected_by_name_host_and_group() {
    let inventory = read("hosts.yaml", HOSTS).unwrap();
    let select =
        |words: &[&str]| inventory.select(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(select(&["web"]).unwrap(), [ResourceId(1), ResourceId(3)]);
    assert_eq!(
        select(&["canary", "10.0.0.3", "web1"]).unwrap(),
        [ResourceId(3), ResourceId(2), ResourceId(1)]
    );
    assert!(
        select(&["web", "db"])
            .unwrap_err()
            .starts_with("`db` selects no node; names, hosts and groups are: web1, 10.0.0.1, web")
    );
}

#[test]
fn a_server_node_file_is_taken_with_all_its_nodes() {
    let text = "{\"totalCount\":9,\"localRunnerId\":3,\"jobRunnerIds\":[3,4]}\n\n{\"resourceId\":71,\"host\":\"a\",\"runnerId\":4,\"extra\":1}\n";
    let inventory = read("nodes.json", text).unwrap();
    let written = inventory.to_node_file();
    let node: Value = serde_json::from_str(written.lines().nth(1).unwrap()).unwrap();
    assert_eq!(node, json!({"resourceId": 71, "host": "a", "runnerId": 1, "extra": 1}));
    assert!(written.starts_with("{\"totalCount\":1,"));
}

#[test]
fn keys_are_collected_once_each_and_not_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let read = |nodes: &[usize]| {
        let mut lines = vec!["defaults: {key: k0, agent: true}\nnodes:".to_owned()];
        for key in nodes {
            std::fs::write(dir.path().join(format!("k{key}")), "").unwrap();
            lines.push(format!("  - {{host: a, key: k{key}}}"));
        }
        let text = lines.join("\n");
        let source = Source::new(&dir.path().join("h.yaml"), text);
        Inventory::read(&source, &vault("k")).map_err(|error| error.to_string())
    };
    let keys = read(&[1, 0, 1]).unwrap().keys;
    let paths = keys.iter().map(|key| match key {
        SshAuth::KeyFile { path, .. } => path.file_name().unwrap().to_str().unwrap().to_owned(),
        SshAuth::Agent => "agent".to_owned(),
        SshAuth::Password(_) => "password".to_owned(),
    });
    assert_eq!(paths.collect::<Vec<_>>(), ["k0", "k1", "agent"]);
    assert!(read(&[0, 1, 2, 3, 4, 5]).unwrap_err().contains("nodes[5].key: more than 5 different keys"));
}

#[test]
fn without_nodes_local_phases_still_run() {
    assert_eq!(
        Inventory::default().to_node_file(),
        "{\"totalCount\":1,\"localRunnerId\":1,\"jobRunnerIds\":[1]}\n"
    );
}

#[test]
fn complaints_name_line_and_field_and_no_secret() {
    for (name, text, expected) in [
        ("h.yaml", "nodes:\n  - hots: a\n", "h.yaml, line 2, column 5: unknown field `hots`"),
        ("h.yaml", "nodes:\n  - {host: a, port: 70000}\n", "h.yaml, line 2"),
        (
            "h.yaml",
            "nodes:\n  - {host: a, id: 1}\n  - {host: b, id: 1}\n",
            "h.yaml, line 3, column 5: nodes[1].id: another node has the id 1",
        ),
        ("h.yaml", "nodes:\n  - {host: ''}\n", "line 2, column 5: nodes[0]: member `host`: missing or empty"),
        ("h.yaml", "nodes: []\n", "h.yaml: there is no node in it"),
        (
            "h.yaml",
            "defaults: {key: none.pem}\nnodes: [{host: a}]\n",
            "defaults.key: none.pem: there is no such file",
        ),
        ("h.yaml", "defaults: {user: [hunter2]}\nnodes: [{host: a}]\n", "line 1"),
        ("h.yaml", "nodes: [{host: a, password: 4711}]\n", "a secret of digits must stand in quotes"),
        (
            "h.yaml",
            "nodes: [{host: a, password: {env: AUTOEXEC_NO_SUCH}}]\n",
            "nodes[0].password: the environment variable AUTOEXEC_NO_SUCH is not set",
        ),
        (
            "n.json",
            "{\"totalCount\":1}\n{\"resourceId\":1,\"host\":\"a\",\"password\":\"hunter2\"\n",
            "n.json, line 2, column 1: not JSON",
        ),
        (
            "n.json",
            "{\"resourceId\":1,\"host\":\"a\"}\n{\"resourceId\":1,\"host\":\"b\"}\n",
            "n.json, line 2, column 1: another node has the resource id 1",
        ),
    ] {
        let error = read(name, text).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter2") && !error.contains("4711"), "{error}");
    }
    let source = Source::new(Path::new("h.yaml"), HOSTS.to_owned());
    let error =
        Inventory::read(&source, &Vault::new(&Config::without_file()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("nodes[2].password: the value is encrypted"), "{error}");
}

/// An inventory with a key.
fn with_key(text: &str) -> Result<Inventory, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "k").unwrap();
    let source = Source::new(&dir.path().join("hosts.yaml"), text.to_owned());
    Inventory::read(&source, &vault("k")).map_err(|error| error.to_string())
}

#[test]
fn the_way_of_a_node_is_its_own_and_not_its_hosts() {
    let text = "defaults: {user: a, key: key, jump: 'ops@b1'}\nnodes:\n  - {host: h, id: 7}\n  \
                - {host: h, jump: ['ops@b1', 'ops@b2:2222']}\n  - {host: h, jump: []}\n  - {host: '*', jump: 'ops@b3'}\n";
    let inventory = with_key(text).unwrap();
    let way = |node: &InventoryNode| {
        let jumps = &inventory.ways[&node.node.resource];
        jumps.iter().map(|jump| jump.target.to_string()).collect::<Vec<_>>()
    };
    let ways: Vec<_> = inventory.nodes.iter().map(|node| (node.node.resource.0, way(node))).collect();
    let expected =
        [(7, vec!["ops@b1:22"]), (1, vec!["ops@b1:22", "ops@b2:2222"]), (2, vec![]), (3, vec!["ops@b3:22"])];
    assert_eq!(ways, expected.map(|(id, way)| (id, way.into_iter().map(str::to_owned).collect())));
    let none = with_key("defaults: {key: key}\nnodes: [{host: h}]\n").unwrap();
    assert!(none.ways.is_empty(), "that is left to the rules of the home");
}

#[test]
fn a_way_that_cannot_be_taken_is_refused() {
    for (text, expected) in [
        ("defaults: {key: key}\nnodes:\n  - {host: h, jump: b1}\n", "nodes[0].jump: \"b1\" is not user@host"),
        ("defaults: {key: key, jump: b1}\nnodes:\n  - {host: h}\n", "defaults.jump: \"b1\" is not user@host"),
        ("nodes:\n  - {host: h, jump: 'a@b1'}\n", "`key` or `agent`"),
        (
            "defaults: {key: key}\nnodes:\n  - {host: h, jump: 'a@b1', protocol: tagent, password: x}\n",
            "and this one has `tagent`",
        ),
    ] {
        let error = with_key(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let agent = "defaults: {key: key, jump: 'a@b1'}\nnodes:\n  - {host: h, protocol: tagent, password: x}\n";
    assert!(with_key(agent).is_ok(), "defaults hold where they can");
}
