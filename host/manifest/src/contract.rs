//! Names of the WIT contract that both the build and the host go by.

/// Our WIT package.
pub const TOOL_PACKAGE: &str = "autoexec:tool";

/// Interfaces of [`TOOL_PACKAGE`] that every tool gets. All others are capabilities, which a manifest must ask for.
pub const ALWAYS_LINKED: [&str; 5] = ["types", "log", "output", "job", "local-time"];

/// The export that makes a component a tool.
pub const TOOL_EXPORT: &str = "autoexec:tool/tool";

/// The export of a tool that can say what it would change.
pub const CHECK_EXPORT: &str = "autoexec:tool/dry-run";

/// The export of a tool that can say whether an interrupted run took effect.
pub const PROBE_EXPORT: &str = "autoexec:tool/effect-probe";

/// WASI packages whose interfaces stand for a capability, and its name.
const WASI_CAPABILITIES: [(&str, &str); 3] =
    [("wasi:http/", "http"), ("wasi:sockets/", "sockets"), ("wasi:filesystem/", "filesystem")];

/// The capability behind an import: the short name of an interface of ours that is not linked always, or what a WASI
/// package reaches outside.
pub fn capability_of(import: &crate::InterfaceName) -> Option<&str> {
    let name = import.unversioned();
    if let Some((_, capability)) = WASI_CAPABILITIES.iter().find(|(package, _)| name.starts_with(package)) {
        return Some(capability);
    }
    match name.strip_prefix(TOOL_PACKAGE)?.strip_prefix('/')? {
        name if ALWAYS_LINKED.contains(&name) => None,
        // Another way to the same thing as `wasi:sockets`.
        "connection" => Some("sockets"),
        name => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InterfaceName;

    #[test]
    fn capabilities_are_our_interfaces_that_are_not_always_there() {
        let of = |name: &str| capability_of(&InterfaceName::new(name)).map(str::to_owned);
        assert_eq!(of("autoexec:tool/net-probe@1.0.0").as_deref(), Some("net-probe"));
        assert_eq!(of("autoexec:tool/log@1.0.0"), None);
        assert_eq!(of("wasi:clocks/wall-clock@0.2.12"), None);
        assert_eq!(of("autoexec:toolbox/net-probe"), None);
        assert_eq!(of("wasi:http/outgoing-handler@0.2.12").as_deref(), Some("http"));
        assert_eq!(of("wasi:sockets/tcp@0.2.3").as_deref(), Some("sockets"));
        assert_eq!(of("autoexec:tool/connection@1.0.0").as_deref(), Some("sockets"));
    }
}
