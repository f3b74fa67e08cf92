//! What holds for every policy: taking away never gives.

use std::net::IpAddr;

use autoexec_grants::{Access, Direction, Facts, Host, HostPattern, Policy, Request, diff};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const TOOLS: [&str; 4] = ["*", "a/*", "a/b", "c/d"];

const PATTERNS: [&str; 22] = [
    "*",
    "*:80",
    "*.example",
    "*.x.example:1-90",
    "x.example",
    "y.x.example:80",
    "${node.host}",
    "${node.host}:22",
    "10.0.0.0/8",
    "10.1.0.0/16:80",
    "10.1.2.3",
    "0.0.0.0/0",
    "0.0.0.0/0:22",
    "169.254.0.0/16",
    "169.254.169.254",
    "127.0.0.0/8",
    "::/0",
    "::1",
    "[2001:db8::/32]:80",
    "93.184.0.0/16",
    "93.184.216.34:80",
    "64:ff9b::/96",
];

const HOSTS: [&str; 13] = [
    "x.example",
    "y.x.example",
    "X.example.",
    "node.test",
    "other.test",
    "10.1.2.3",
    "10.2.0.1",
    "127.0.0.1",
    "::ffff:10.1.2.3",
    "169.254.169.254",
    "93.184.216.34",
    "[::1]",
    "2130706433",
];

const ADDRESSES: [&str; 9] = [
    "10.1.2.3",
    "10.2.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "93.184.216.34",
    "::1",
    "64:ff9b::a01:203",
    "2001:db8::1",
    "::ffff:10.1.2.3",
];

/// What stands in a grant or in the ceiling.
#[derive(Debug, Clone, PartialEq)]
struct Rules {
    hosts: Vec<&'static str>,
    deny: Vec<&'static str>,
    step_outputs: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
struct Spec {
    ceiling: Option<Rules>,
    grants: Vec<(Vec<&'static str>, Rules)>,
}

impl Rules {
    fn toml(&self) -> String {
        let switch = self.step_outputs.map(|on| format!("step-outputs = {on}\n")).unwrap_or_default();
        format!("net-probe = {{ hosts = {:?}, deny = {:?} }}\n{switch}", self.hosts, self.deny)
    }

    fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.deny.is_empty() && self.step_outputs.is_none()
    }
}

impl Spec {
    fn texts(&self) -> Vec<String> {
        let ceiling = self.ceiling.iter().map(|rules| format!("[ceiling]\n{}", rules.toml()));
        let grants = self.grants.iter().filter(|(_, rules)| !rules.is_empty());
        ceiling
            .chain(grants.map(|(tools, rules)| format!("[[grant]]\ntools = {tools:?}\n{}", rules.toml())))
            .collect()
    }

    fn policy(&self) -> Policy {
        Policy::parse(&[("one.toml", self.texts().join("\n"))]).unwrap()
    }

    fn all_rules(&mut self) -> Vec<&mut Rules> {
        self.ceiling.iter_mut().chain(self.grants.iter_mut().map(|(_, rules)| rules)).collect()
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    (vec(select(&PATTERNS[..]), 0..4), vec(select(&PATTERNS[..]), 0..2), option::of(any::<bool>()))
        .prop_map(|(hosts, deny, step_outputs)| Rules { hosts, deny, step_outputs })
}

fn spec() -> impl Strategy<Value = Spec> {
    let grant = (vec(select(&TOOLS[..]), 1..3), rules());
    (option::weighted(0.3, rules()), vec(grant, 1..4)).prop_map(|(ceiling, grants)| Spec { ceiling, grants })
}

/// Every request that the properties are tried with: all hosts, addresses, ports and tools of the tables above.
fn widened(old: &Policy, new: &Policy) -> Option<String> {
    let facts = Facts { node_host: Some("node.test"), ..Facts::default() };
    let mut uses = vec![Access::StepOutputs { phase: "p", operation: "o", output: "x" }];
    let addresses: Vec<Option<IpAddr>> =
        std::iter::once(None).chain(ADDRESSES.iter().map(|text| text.parse().ok())).collect();
    for host in HOSTS {
        for address in &addresses {
            uses.extend([22, 80].map(|port| Access::NetProbe { host, port, address: *address }));
        }
    }
    for tool in ["a/b", "a/x", "c/d"] {
        for access in &uses {
            let request = Request { tool, digest: None, access: *access };
            if new.decide(&request, &facts).allowed() && !old.decide(&request, &facts).allowed() {
                return Some(format!("{request:?}"));
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(super::config(160))]

    #[test]
    fn adding_a_deny_never_widens(old in spec(), which in any::<Index>(), pattern in select(&PATTERNS[..])) {
        let mut new = old.clone();
        let mut rules = new.all_rules();
        let count = rules.len();
        rules[which.index(count)].deny.push(pattern);
        prop_assert_eq!(widened(&old.policy(), &new.policy()), None);
    }

    #[test]
    fn removing_an_allow_never_widens(old in spec(), which in any::<Index>(), host in any::<Index>()) {
        let mut new = old.clone();
        let mut rules = new.all_rules();
        let count = rules.len();
        let rules = &mut *rules[which.index(count)];
        if !rules.hosts.is_empty() {
            rules.hosts.remove(host.index(rules.hosts.len()));
        }
        rules.step_outputs = rules.step_outputs.filter(|on| !on);
        prop_assert_eq!(widened(&old.policy(), &new.policy()), None);
    }

    #[test]
    fn a_ceiling_never_widens(old in spec(), ceiling in rules()) {
        let old = Spec { ceiling: None, ..old };
        let new = Spec { ceiling: Some(ceiling), ..old.clone() };
        prop_assert_eq!(widened(&old.policy(), &new.policy()), None);
    }

    #[test]
    fn the_order_of_files_does_not_matter(spec in spec()) {
        let texts = spec.texts();
        let named = |reverse: bool| -> Policy {
            let number = |index: usize| if reverse { 99 - index } else { index };
            let files: Vec<(String, &String)> =
                texts.iter().enumerate().map(|(index, text)| (format!("{:02}.toml", number(index)), text)).collect();
            Policy::parse(&files).unwrap()
        };
        let (forward, backward) = (named(false), named(true));
        prop_assert_eq!(widened(&forward, &backward), None);
        prop_assert_eq!(widened(&backward, &forward), None);
    }

    #[test]
    fn a_change_that_widens_is_marked(old in spec(), new in spec()) {
        let (old, new) = (old.policy(), new.policy());
        if let Some(request) = widened(&old, &new) {
            let changes = diff(&old, &new);
            prop_assert!(changes.iter().any(|change| change.direction == Direction::Widen), "{} {:?}", request, changes);
        }
    }

    /// Close policies: a pattern is exchanged for another, where a wrong "covers" would go unmarked.
    #[test]
    fn an_exchange_that_widens_is_marked(old in spec(), which in any::<Index>(), pattern in select(&PATTERNS[..]), deny in any::<bool>()) {
        let mut new = old.clone();
        let mut rules = new.all_rules();
        let count = rules.len();
        let rules = &mut *rules[which.index(count)];
        let list = if deny { &mut rules.deny } else { &mut rules.hosts };
        list.pop();
        list.push(pattern);
        let (old, new) = (old.policy(), new.policy());
        if let Some(request) = widened(&old, &new) {
            let changes = diff(&old, &new);
            prop_assert!(changes.iter().any(|change| change.direction == Direction::Widen), "{} {:?}", request, changes);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), shaped in "[\\[\\]*.:/$@%{}a-f0-9x-]{0,24}") {
        for text in [&text, &shaped] {
            let _ = Policy::parse(&[("x", text)]);
            let read_again = |host: &Host| Host::parse(&host.to_string());
            if let Ok(host) = Host::parse(text) {
                prop_assert_eq!(read_again(&host), Ok(host));
            }
            if let Ok(pattern) = HostPattern::parse(text) {
                prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
            }
        }
    }
}
