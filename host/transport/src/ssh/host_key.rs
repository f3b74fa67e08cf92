//! Checking a server's host key, before anything else is sent to it.

use std::time::{SystemTime, UNIX_EPOCH};

use ssh2::{MethodType, Session};

use super::certificate::{Certificate, is_certificate};
use super::error::{HostKeyChange, SshErrorKind};
use super::hop::Hop;
use super::known_hosts::{HostKey, KnownHost, Verdict, remember};
use super::settings::{HostKeyPolicy, SshSettings, SshTarget};

/// What the known-hosts file says about a host; nothing where it is not to be looked at. In the run's process.
pub(super) fn recorded(settings: &SshSettings, target: &SshTarget) -> Result<KnownHost, SshErrorKind> {
    if settings.host_keys == HostKeyPolicy::AcceptAll {
        return Ok(KnownHost::default());
    }
    let file = &settings.known_hosts;
    KnownHost::load(file, &target.host, target.port).map_err(|source| SshErrorKind::KnownHosts {
        file: file.clone(),
        action: "read".into(),
        source,
    })
}

/// Asks for a certificate where the file names an authority for the host, and for key types that the file has for it,
/// so that a server that got a further type does not look like one whose key changed.
pub(super) fn prefer_known_types(
    session: &Session,
    known: &KnownHost,
    offered: &[&str],
) -> Result<(), SshErrorKind> {
    let ordered = order(&known.key_types(), known.has_authority(), offered);
    session.method_pref(MethodType::HostKey, &ordered).map_err(|error| SshErrorKind::Local {
        what: "the host key algorithms".into(),
        detail: error.message().to_owned(),
    })
}

/// The offered algorithms: certificates first or not at all, then those of known key types.
fn order(known: &[String], certificates: bool, offered: &[&str]) -> String {
    let plain = || offered.iter().filter(|name| !is_certificate(name));
    let is_known = |name: &&&str| known.iter().any(|key_type| key_type == key_type_of(name));
    let certified = offered.iter().filter(|name| certificates && is_certificate(name));
    let first = plain().filter(|name| is_known(name));
    let rest = plain().filter(|name| !is_known(name));
    certified.chain(first).chain(rest).copied().collect::<Vec<_>>().join(",")
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
    hop: &Hop,
) -> Result<(), SshErrorKind> {
    let Some((blob, _)) = session.host_key() else {
        return Err(SshErrorKind::Handshake { detail: "the server showed no host key".to_owned() });
    };
    if settings.host_keys == HostKeyPolicy::AcceptAll {
        return Ok(());
    }
    let mut key = HostKey::new(blob.to_vec());
    if is_certificate(key.key_type()) {
        match certified(blob, known, settings, hop.target())? {
            Certified::Yes => return Ok(()),
            Certified::ByStranger(plain) => key = plain,
        }
    }
    let verdict = match settings.host_keys {
        HostKeyPolicy::AcceptAll => return Ok(()),
        HostKeyPolicy::Strict => known.check(&key),
        HostKeyPolicy::TrustOnFirstUse => first_use(hop, &key, known)?,
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

enum Certified {
    Yes,
    /// An authority that the file does not have for this host signed it: what counts is the key inside.
    ByStranger(HostKey),
}

/// Judges a certificate.
fn certified(
    blob: &[u8],
    known: &KnownHost,
    settings: &SshSettings,
    target: &SshTarget,
) -> Result<Certified, SshErrorKind> {
    let refused = |problem: String| SshErrorKind::HostCertificate { problem };
    let certificate = Certificate::parse(blob).map_err(|problem| refused(problem.to_owned()))?;
    let authority = certificate.authority();
    for key in [&authority, certificate.key()] {
        if let Some(line) = known.revoked(key) {
            let file = settings.known_hosts.clone();
            return Err(SshErrorKind::HostKeyRevoked { file, line, fingerprint: key.fingerprint() });
        }
    }
    if !known.is_authority(&authority) {
        return Ok(Certified::ByStranger(certificate.key().clone()));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    certificate.verify(&target.host, now).map_err(refused)?;
    Ok(Certified::Yes)
}

/// Has a host recorded that is new.
fn first_use(hop: &Hop, key: &HostKey, known: &KnownHost) -> Result<Verdict, SshErrorKind> {
    let verdict = known.check(key);
    // A key without the certificate that is expected must not become the known one by being seen first.
    if verdict != Verdict::Unknown || known.has_authority() { Ok(verdict) } else { hop.record(key) }
}

/// Records the key of a host that is new, in the run's process, and tells so. One that is known takes no lock and needs no right to
/// write.
pub(super) fn record(
    settings: &SshSettings,
    target: &SshTarget,
    key: &HostKey,
    tell: impl FnOnce(String),
) -> Result<Verdict, SshErrorKind> {
    let known = recorded(settings, target)?;
    let verdict = known.check(key);
    // What asks may have been taken over by the host.
    if verdict != Verdict::Unknown || known.has_authority() {
        return Ok(verdict);
    }
    let file = &settings.known_hosts;
    let verdict = remember(file, &target.host, target.port, key).map_err(|source| {
        SshErrorKind::KnownHosts { file: file.clone(), action: "written".into(), source }
    })?;
    if verdict == Verdict::Unknown {
        let (fingerprint, file) = (key.fingerprint(), file.display());
        tracing::info!(%target, fingerprint, %file, "host key recorded on first use");
        tell(format!(
            "{}:{} shows the key {fingerprint}, which is in {file} from now on",
            target.host, target.port
        ));
        return Ok(Verdict::Known);
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_come_first_and_certificates_only_where_they_are_expected() {
        let offered = ["ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", "rsa-sha2-512", "ssh-rsa"];
        assert_eq!(order(&["ssh-rsa".to_owned()], false, &offered), "rsa-sha2-512,ssh-rsa,ssh-ed25519");
        assert_eq!(order(&[], false, &offered), "ssh-ed25519,rsa-sha2-512,ssh-rsa");
        assert!(order(&[], true, &offered).starts_with("ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,"));
    }
}
