//! Checking a server's host key, before anything else is sent to it.

use ssh2::{MethodType, Session};

use super::error::{HostKeyChange, SshErrorKind};
use super::known_hosts::{HostKey, KnownHost, Verdict, remember};
use super::settings::{HostKeyPolicy, SshSettings, SshTarget};

/// What the known-hosts file says about the target; nothing where it is not to be looked at.
pub(super) fn recorded(settings: &SshSettings, target: &SshTarget) -> Result<KnownHost, SshErrorKind> {
    if settings.host_keys == HostKeyPolicy::AcceptAll {
        return Ok(KnownHost::default());
    }
    let file = &settings.known_hosts;
    KnownHost::load(file, &target.host, target.port).map_err(|source| SshErrorKind::KnownHosts {
        file: file.clone(),
        action: "read",
        source,
    })
}

/// Asks for key types that the file has for this host, so that a server that got a further type does not look like
/// one whose key changed.
pub(super) fn prefer_known_types(session: &Session, known: &KnownHost) {
    let supported = session.supported_algs(MethodType::HostKey).unwrap_or_default();
    let ordered = order(&known.key_types(), &supported);
    if let Err(error) = session.method_pref(MethodType::HostKey, &ordered) {
        tracing::debug!(%error, "host key types keep their default order");
    }
}

/// The supported algorithms, those of known key types first, host certificates left out.
fn order(known: &[String], supported: &[&str]) -> String {
    let usable = || supported.iter().filter(|name| !name.contains("-cert-"));
    let is_known = |name: &&&str| known.iter().any(|key_type| key_type == key_type_of(name));
    let first = usable().filter(|name| is_known(name));
    let rest = usable().filter(|name| !is_known(name));
    first.chain(rest).copied().collect::<Vec<_>>().join(",")
}

fn key_type_of(algorithm: &str) -> &str {
    match algorithm {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}

/// Judges the key the server proved to own in the key exchange.
pub(super) fn check(
    session: &Session,
    known: &KnownHost,
    settings: &SshSettings,
    target: &SshTarget,
) -> Result<(), SshErrorKind> {
    let Some((blob, _)) = session.host_key() else {
        return Err(SshErrorKind::Handshake { detail: "the server showed no host key".to_owned() });
    };
    let key = HostKey::new(blob.to_vec());
    let verdict = match settings.host_keys {
        HostKeyPolicy::AcceptAll => return Ok(()),
        HostKeyPolicy::Strict => known.check(&key),
        HostKeyPolicy::TrustOnFirstUse => first_use(settings, target, &key, known.check(&key))?,
    };
    let file = settings.known_hosts.clone();
    let fingerprint = key.fingerprint();
    match verdict {
        Verdict::Known => Ok(()),
        Verdict::Unknown => {
            Err(SshErrorKind::HostKeyUnknown { file, key_type: key.key_type().to_owned(), fingerprint })
        }
        Verdict::Revoked { line } => Err(SshErrorKind::HostKeyRevoked { file, line, fingerprint }),
        Verdict::Changed { line, known } => Err(SshErrorKind::HostKeyChanged(Box::new(HostKeyChange {
            file,
            line,
            known_type: known.key_type().to_owned(),
            known: known.fingerprint(),
            key_type: key.key_type().to_owned(),
            fingerprint,
        }))),
    }
}

/// Records a host that is new. One that is known takes no lock and needs no right to write.
fn first_use(
    settings: &SshSettings,
    target: &SshTarget,
    key: &HostKey,
    verdict: Verdict,
) -> Result<Verdict, SshErrorKind> {
    if verdict != Verdict::Unknown {
        return Ok(verdict);
    }
    let file = &settings.known_hosts;
    let verdict = remember(file, &target.host, target.port, key)
        .map_err(|source| SshErrorKind::KnownHosts { file: file.clone(), action: "written", source })?;
    if verdict == Verdict::Unknown {
        tracing::info!(%target, fingerprint = key.fingerprint(), file = %file.display(), "host key recorded on first use");
        return Ok(Verdict::Known);
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_come_first_and_certificates_go() {
        let supported = ["ssh-ed25519", "ssh-rsa-cert-v01@openssh.com", "rsa-sha2-512", "ssh-rsa"];
        assert_eq!(order(&["ssh-rsa".to_owned()], &supported), "rsa-sha2-512,ssh-rsa,ssh-ed25519");
        assert_eq!(order(&[], &supported), "ssh-ed25519,rsa-sha2-512,ssh-rsa");
    }
}
