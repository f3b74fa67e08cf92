//! The grammar of host patterns, and what each pattern reaches: name by name, address by address.

use std::net::IpAddr;

use autoexec_grants::{Access, Decision, Facts, HostPattern, Policy, Request};

const TOOL: &str = "basic/tcpcheck";

fn policy(hosts: &[&str], deny: &[&str]) -> Policy {
    let text = format!("[[grant]]\ntools = [\"*\"]\nnet-probe = {{ hosts = {hosts:?}, deny = {deny:?} }}\n");
    Policy::parse(&[("p.toml", text)]).unwrap_or_else(|error| panic!("{error}"))
}

fn ask(policy: &Policy, host: &str, port: u16, address: Option<&str>) -> Decision {
    let address: Option<IpAddr> = address.map(|address| address.parse().unwrap());
    let access = Access::NetProbe { host, port, address };
    let facts = Facts { node_host: Some("Node7.example.com"), ..Facts::default() };
    policy.decide(&Request { tool: TOOL, digest: None, access }, &facts)
}

/// Whether the connection would be made: by name, then with the address.
fn reaches(hosts: &[&str], deny: &[&str], host: &str, port: u16, address: &str) -> bool {
    let policy = policy(hosts, deny);
    ask(&policy, host, port, None).allowed() && ask(&policy, host, port, Some(address)).allowed()
}

#[test]
fn patterns_are_read_and_written_in_one_form() {
    for (text, expected) in [
        ("*", "*"),
        ("*:443", "*:443"),
        ("DB.Example.com.", "db.example.com"),
        ("*.Example.com:443", "*.example.com:443"),
        ("10.0.0.1:8000-8080", "10.0.0.1:8000-8080"),
        ("10.0.0.0/8:22", "10.0.0.0/8:22"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("[2001:db8::/32]:1-2", "[2001:db8::/32]:1-2"),
        ("${node.host}", "${node.host}"),
        ("${node.host}:22", "${node.host}:22"),
        ("a:22-22", "a:22"),
    ] {
        let pattern = HostPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(pattern.to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_the_reason() {
    for (text, expected) in [
        ("", "empty"),
        ("**", "`*` stands"),
        ("a.*", "`*` stands"),
        ("*a.b", "`*` stands"),
        ("*.", "labels"),
        ("*.10", "number that may be read"),
        ("*.*.b", "labels"),
        ("${job.dir}", "only variable"),
        ("${node.host", "only variable"),
        ("*.${node.host}", "only variable"),
        ("${node.host}x", "after the host"),
        ("x${node.host}", "only variable"),
        ("a:", "ports are"),
        ("a:0", "ports are"),
        ("a:65536", "ports are"),
        ("a:+1", "ports are"),
        ("a:5-4", "ports are"),
        ("a:1-", "ports are"),
        ("a: 1", "ports are"),
        ("[::1", "brackets"),
        ("[a]", "brackets"),
        ("[10.0.0.1]:1", "brackets"),
        ("[::1]x", "after the host"),
        ("10.0.0.0/33", "address/length"),
        ("a/8", "address/length"),
        ("http://a", "is a URL"),
        ("2001:db8::/32:443", "address/length"),
        ("10.1.2.3/8", "write it as 10.0.0.0/8"),
        ("::ffff:10.0.0.1", "IPv4-mapped"),
        ("::ffff:10.0.0.0/104", "IPv4-mapped"),
        ("2130706433", "number that may be read"),
        ("0x7f.1", "number that may be read"),
        ("010.0.0.1", "number that may be read"),
        ("user@a", "user information"),
        ("bücher.example", "xn--"),
        ("fe80::1%eth0", "zone"),
    ] {
        let error = HostPattern::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn names_match_without_regard_to_case_and_trailing_dot() {
    for (pattern, host, expected) in [
        ("db.example.com", "DB.example.COM.", true),
        ("db.example.com", "db.example.com.evil.example", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "badexample.com", false),
        ("*", "anything.example", true),
        ("${node.host}", "node7.EXAMPLE.com", true),
        ("${node.host}", "node8.example.com", false),
        // A network says nothing about names: a lookup alone would already tell somebody something.
        ("0.0.0.0/0", "a.example.com", false),
        ("93.184.0.0/16", "93.184.216.34", true),
        ("93.184.0.0/16", "::ffff:93.184.216.34", true),
    ] {
        assert_eq!(reaches(&[pattern], &[], host, 443, "93.184.216.34"), expected, "{pattern} {host}");
    }
}

#[test]
fn ports_bound_a_pattern() {
    for (pattern, port, expected) in [
        ("a.example:443", 443, true),
        ("a.example:443", 444, false),
        ("a.example:8000-8080", 8080, true),
        ("a.example:8000-8080", 8081, false),
        ("a.example", 1, true),
        ("*.example:443", 80, false),
        ("${node.host}:22", 22, false),
    ] {
        assert_eq!(
            reaches(&[pattern], &[], "a.example", port, "93.184.216.34"),
            expected,
            "{pattern} {port}"
        );
    }
}

/// A name that is allowed by a broad pattern must not lead inside, whoever runs its DNS.
#[test]
fn special_addresses_need_a_rule_of_their_own() {
    let inside = [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.0.1",
        "169.254.169.254",
        "fd00:ec2::254",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "224.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "::7f00:1",
    ];
    for address in inside {
        for broad in [&["*"][..], &["*.example"], &["*", "0.0.0.0/0", "::/0"], &["*.example", "8.0.0.0/5"]] {
            assert!(!reaches(broad, &[], "a.example", 80, address), "{broad:?} {address}");
        }
        assert!(reaches(&["a.example"], &[], "a.example", 80, address), "exact name, {address}");
        assert!(
            reaches(&["*.example", &address.replace("::ffff:", "")], &[], "a.example", 80, address),
            "{address}"
        );
        assert!(!reaches(&["*"], &[], address, 80, address), "as a literal, {address}");
    }
    assert!(reaches(&["*.example", "10.1.0.0/16:80"], &[], "a.example", 80, "10.1.2.3"));
    assert!(!reaches(&["*.example", "10.1.0.0/16:81"], &[], "a.example", 80, "10.1.2.3"), "another port");
    assert!(!reaches(&["*.example", "10.2.0.0/16"], &[], "a.example", 80, "10.1.2.3"), "another network");
    // The network around a metadata service does not hand it out; its address does.
    assert!(!reaches(&["*", "169.254.0.0/16"], &[], "169.254.169.254", 80, "169.254.169.254"));
    assert!(reaches(&["169.254.0.0/16"], &[], "169.254.1.1", 80, "169.254.1.1"));
    assert!(reaches(&["169.254.169.254"], &[], "169.254.169.254", 80, "169.254.169.254"));
}

#[test]
fn the_node_may_be_anywhere() {
    assert!(reaches(&["${node.host}"], &[], "node7.example.com", 22, "10.0.0.7"));
    let policy = policy(&["${node.host}"], &[]);
    let by_address = |node, host| {
        let access = Access::NetProbe { host, port: 22, address: None };
        let facts = Facts { node_host: node, ..Facts::default() };
        policy.decide(&Request { tool: TOOL, digest: None, access }, &facts).allowed()
    };
    assert!(by_address(Some("10.0.0.7"), "10.0.0.7"));
    assert!(by_address(Some("::ffff:10.0.0.7"), "10.0.0.7"));
    assert!(!by_address(Some("10.0.0.7"), "10.0.0.8"));
    assert!(!by_address(None, "10.0.0.7"));
    // A node file with a host in an odd form gives nothing away, not even to the same odd form.
    assert!(!by_address(Some("0x7f.1"), "0x7f.1"));
}

#[test]
fn denial_follows_a_host_through_its_forms() {
    for (deny, host, address) in [
        ("10.0.0.0/8", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("10.0.0.0/8", "a.example", "10.0.0.1"),
        ("10.0.0.0/8", "a.example", "64:ff9b::a00:1"),
        ("10.0.0.0/8", "a.example", "2002:a00:1::"),
        ("93.184.0.0/16", "a.example", "93.184.216.34"),
        ("0.0.0.0/0", "a.example", "93.184.216.34"),
        ("*.example", "a.example", "93.184.216.34"),
        ("a.example:80", "A.example.", "93.184.216.34"),
        ("*", "10.0.0.1", "10.0.0.1"),
        ("*:1-100", "a.example", "10.0.0.1"),
    ] {
        let hosts = ["a.example", "10.0.0.0/8"];
        assert!(reaches(&hosts, &[], host, 80, address), "{host} {address} without deny");
        assert!(!reaches(&hosts, &[deny], host, 80, address), "{host} {address} with {deny}");
    }
    assert!(reaches(
        &["a.example"],
        &["a.example:81", "b.example", "1.0.0.0/8"],
        "a.example",
        80,
        "93.184.216.34"
    ));
    assert!(!reaches(&["*"], &["${node.host}"], "node7.example.com", 80, "93.184.216.34"));
}
