//! A request as it is typed: `net-probe:host:port`, `step-outputs`.

use std::net::IpAddr;

use autoexec_grants::{Access, Capability};

/// Reads a request.
///
/// # Errors
/// What it should look like.
pub(super) fn parse(text: &str, address: Option<IpAddr>) -> Result<Access<'_>, String> {
    let (name, argument) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let capability = Capability::from_interface(name).ok_or_else(|| {
        let known = Capability::ALL.map(Capability::interface).join(", ");
        format!("`{name}` is no capability; there are: {known}")
    })?;
    match (capability, argument) {
        (capability, None) => Ok(Access::Interface(capability)),
        (Capability::NetProbe, Some(argument)) => {
            let port = argument.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            let (host, port) =
                port.filter(|(host, _)| !host.contains(':') || host.starts_with('[')).ok_or_else(|| {
                    format!(
                        "`{argument}` is not HOST:PORT with a port from 0 to 65535; IPv6 stands in brackets"
                    )
                })?;
            Ok(Access::NetProbe { host, port, address })
        }
        (Capability::StepOutputs, Some(argument)) => {
            let parts =
                argument.split_once('.').and_then(|(phase, rest)| Some((phase, rest.rsplit_once('.')?)));
            let (phase, (operation, output)) =
                parts.ok_or_else(|| format!("`{argument}` is not PHASE.OPERATION.OUTPUT"))?;
            Ok(Access::StepOutputs { phase, operation, output })
        }
        (capability, Some(_)) => Err(format!("`{capability}` takes no argument here")),
    }
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
        ] {
            assert_eq!(format!("{:?}", parse(text, None).unwrap()), expected);
        }
        for (text, expected) in [
            ("https:x", "there are: http, sockets, snmp, net-probe"),
            ("net-probe:x", "HOST:PORT"),
            ("net-probe:x:70000", "HOST:PORT"),
            ("net-probe:::1:22", "brackets"),
            ("step-outputs:x", "PHASE.OPERATION.OUTPUT"),
        ] {
            let error = parse(text, None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
