//! What must hold for any policy and any pattern. Used by the fuzz targets and by the property tests of `autoexec-grants`.

use autoexec_grants::{
    Access, Capability, DataDirection, Direction, Facts, Host, HostPattern, NamePattern, ParsedAccess,
    Policy, Request, SecretDestination, TargetUse, ToolPattern, WordsPattern, diff,
};

/// Uses that a policy is asked about.
fn uses() -> Vec<Access<'static>> {
    let mut uses: Vec<Access<'static>> = Capability::ALL.map(Access::Interface).to_vec();
    for host in ["a.example", "10.0.0.1", "169.254.169.254", "[::1]", "0x7f.1"] {
        uses.push(Access::NetProbe { host, port: 443, address: None });
        uses.push(Access::Http { method: "GET", scheme: "https", host, port: 443, address: None });
        let destination = Some(SecretDestination::Connection { host, port: 443 });
        uses.push(Access::Secret { name: "option:x", destination });
    }
    uses.push(Access::Target(TargetUse::Command { line: "id; id" }));
    uses.push(Access::Server { call: "a/../b" });
    uses.push(Access::Program { name: "x", arguments: &[], environment: &[] });
    for direction in [DataDirection::Read, DataDirection::Write] {
        for path in ["/opt/ax/conf/config.ini", "/opt/ax/data/job/1/params.json", "/data/x", "/a/../b"] {
            uses.push(Access::Filesystem { path, direction });
        }
        uses.push(Access::Documents { collection: "_autoexec_env", direction });
    }
    uses
}

/// A policy that can be read is the same read twice, never gives out the executor's own files, and allows nothing more with a
/// ceiling that gives nothing.
pub(crate) fn policy(text: &str) {
    let policy = match Policy::parse(&[("p.toml", text)]) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1, "{error}");
            return;
        }
    };
    assert_eq!(diff(&policy, &policy), []);
    let facts =
        Facts { node_host: Some("10.0.0.7"), job_dir: Some("/opt/ax/data/job/1"), home: Some("/opt/ax") };
    let nothing = Policy::parse(&[("p.toml", text), ("ceiling.toml", "[ceiling]\n")]).ok();
    for access in uses() {
        let decision = policy.decide(&Request { tool: "a/b", digest: None, access }, &facts);
        if let Access::Filesystem { path, .. } = access
            && path != "/data/x"
        {
            assert!(!decision.allowed(), "{decision}");
        }
        let bounded = nothing
            .as_ref()
            .map(|policy| policy.decide(&Request { tool: "a/b", digest: None, access }, &facts).reason);
        assert_ne!(bounded, Some(autoexec_grants::Reason::Granted), "a ceiling of nothing gives {access:?}");
    }
    if let Some(nothing) = &nothing {
        let widens = diff(&policy, nothing).iter().any(|change| change.direction == Direction::Widen);
        assert!(!widens, "a ceiling is said to widen");
    }
}

/// What is read as a pattern is written so that it is read as the same one; nothing panics.
pub(crate) fn pattern(text: &str) {
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Ok(host));
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
    }
    if let Ok(pattern) = NamePattern::parse(text) {
        assert_eq!(NamePattern::parse(&pattern.to_string()), Ok(pattern.clone()));
        assert!(pattern.matches(text), "{text:?} does not fit itself");
    }
    if let Ok(pattern) = WordsPattern::parse(text) {
        assert_eq!(WordsPattern::parse(&pattern.to_string()), Ok(pattern));
    }
    if let Ok(pattern) = ToolPattern::parse(text) {
        assert_eq!(ToolPattern::parse(&pattern.to_string()), Ok(pattern));
    }
    for capability in Capability::ALL {
        if let Ok(parsed) = ParsedAccess::parse(capability, Some(text), None) {
            assert_eq!(parsed.access().capability(), capability);
            let _ = parsed.access().argument();
        }
    }
}
