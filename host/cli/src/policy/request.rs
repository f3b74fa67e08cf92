//! A request as it is typed, `net-probe:host:port`: the capability, and the argument as the decision log has it.

use std::net::IpAddr;

use autoexec_grants::{Capability, ParsedAccess};

/// Reads a request.
///
/// # Errors
/// What it should look like.
pub(super) fn parse(text: &str, address: Option<IpAddr>) -> Result<ParsedAccess<'_>, String> {
    let (name, argument) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let capability = Capability::from_interface(name).ok_or_else(|| {
        let known = Capability::ALL.map(Capability::interface).join(", ");
        format!("`{name}` is no capability; there are: {known}")
    })?;
    ParsedAccess::parse(capability, argument, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        for (text, expected) in [
            ("net-probe", "Interface(NetProbe)"),
            ("net-probe:a.example:443", "NetProbe { host: \"a.example\", port: 443, address: None }"),
            ("net-probe:[::1]:22", "NetProbe { host: \"[::1]\", port: 22, address: None }"),
            ("step-outputs:p.a/b_1.x", "StepOutputs { phase: \"p\", operation: \"a/b_1\", output: \"x\" }"),
            ("filesystem:read /data/x", "Filesystem { path: \"/data/x\", direction: Read }"),
            ("target:run uptime", "Target(Command { line: \"uptime\" })"),
            (
                "program:kubectl get pods",
                "Program { name: \"kubectl\", arguments: [\"get\", \"pods\"], environment: [] }",
            ),
            (
                "program:KUBECONFIG= kubectl version",
                "Program { name: \"kubectl\", arguments: [\"version\"], environment: [\"KUBECONFIG\"] }",
            ),
        ] {
            assert_eq!(format!("{:?}", parse(text, None).unwrap().access()), expected);
        }
        for (text, expected) in [
            ("https:x", "there are: http, sockets, snmp, net-probe"),
            ("net-probe:x", "HOST:PORT"),
            ("step-outputs:x", "PHASE.OPERATION.OUTPUT"),
        ] {
            let error = parse(text, None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
