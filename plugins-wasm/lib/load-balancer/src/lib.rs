//! What the collectors of load balancers put out (spec/tools-behaviour/10-snmp-devices.md): one record of the device, and one
//! for each virtual server.

use autoexec_sdk::job::Node;
use serde_json::{Map, Value, json};

/// A virtual server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualServer {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u64,
    /// Where it sends what it gets.
    pub pool: Option<Pool>,
}

/// A pool of members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How members are chosen.
    pub mode: String,
    /// How it is seen whether they are there.
    pub monitor: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u64,
}

impl Member {
    fn record(&self) -> Value {
        json!({"NAME": self.name, "IP": self.ip, "PORT": self.port})
    }
}

impl Pool {
    fn record(&self) -> Value {
        let members: Vec<Value> = self.members.iter().map(Member::record).collect();
        json!({"NAME": self.name, "LB_MODE": self.mode, "MONITOR_RULE": self.monitor, "MEMBERS": members})
    }
}

/// A device of a product, `F5` or `A10`, with what it says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// The product.
    pub product: &'static str,
    /// Its own attributes, `SN` and `VERSION` among them.
    pub identity: Map<String, Value>,
    /// Its virtual servers.
    pub servers: Vec<VirtualServer>,
}

impl Device {
    /// The record of the device and those of its virtual servers.
    pub fn records(&self, node: &Node) -> Vec<Value> {
        let servers: Vec<Value> = self.servers.iter().map(server_record).collect();
        let mut device = json!({
            "_OBJ_CATEGORY": "LOADBALANCER",
            "_OBJ_TYPE": self.product,
            "_APP_TYPE": self.product,
            "PK": ["MGMT_IP", "SN"],
            "RESOURCE_ID": node.resource_id,
            "MGMT_IP": node.host,
            "VIRTUAL_SERVERS": servers,
        });
        if let Some(device) = device.as_object_mut() {
            device.extend(self.identity.clone());
        }
        let clusters = self.servers.iter().map(|server| self.cluster(server, node));
        std::iter::once(device).chain(clusters).collect()
    }

    fn cluster(&self, server: &VirtualServer, node: &Node) -> Value {
        let VirtualServer { name, ip, port, pool } = server;
        let peers: Vec<String> = pool
            .iter()
            .flat_map(|pool| &pool.members)
            .map(|member| format!("{}:{}", member.ip, member.port))
            .collect();
        json!({
            "_OBJ_CATEGORY": "CLUSTER",
            "_OBJ_TYPE": "LoadBalancer-VS",
            "PK": ["PRIMARY_IP", "PORT", "NAME"],
            "CLUSTER_MODE": "LoadBalance",
            "CLUSTER_SOFTWARE": self.product,
            "CLUSTER_VERSION": self.identity.get("VERSION"),
            "NAME": name,
            "VIP": ip,
            "PRIMARY_IP": ip,
            "PORT": port,
            "BIND": [format!("{ip}:{port}")],
            "UNIQUE_NAME": format!("{}:{ip}:{port}", self.product),
            "MEMBER_PEER": peers,
            "HOST_ON": [{
                "_OBJ_CATEGORY": "LOADBALANCER",
                "_OBJ_TYPE": self.product,
                "MGMT_IP": node.host,
                "SN": self.identity.get("SN"),
            }],
        })
    }
}

fn server_record(server: &VirtualServer) -> Value {
    let VirtualServer { name, ip, port, pool } = server;
    json!({"NAME": name, "IP": ip, "PORT": port, "POOL": pool.as_ref().map(Pool::record)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    #[test]
    fn a_virtual_server_is_a_cluster_on_the_device() {
        let host = Host::new();
        let node = autoexec_sdk::job::node();
        let member = Member { name: "web-1".into(), ip: "10.0.0.1".into(), port: 8080 };
        let pool =
            Pool { name: "web".into(), mode: "0".into(), monitor: "http".into(), members: vec![member] };
        let device = Device {
            product: "F5",
            identity: json!({"SN": "s", "VERSION": "13"}).as_object().cloned().unwrap(),
            servers: vec![VirtualServer {
                name: "vs".into(),
                ip: "10.1.1.1".into(),
                port: 443,
                pool: Some(pool),
            }],
        };
        let records = device.records(&node);
        assert_eq!(records[0]["VIRTUAL_SERVERS"][0]["POOL"]["MEMBERS"][0]["IP"], "10.0.0.1");
        assert_eq!(records[1]["UNIQUE_NAME"], "F5:10.1.1.1:443");
        assert_eq!(records[1]["MEMBER_PEER"], json!(["10.0.0.1:8080"]));
        assert_eq!(records[1]["HOST_ON"][0]["SN"], "s");
        assert_eq!(records[1]["CLUSTER_VERSION"], "13");
        drop(host);
    }
}
