//! Which algorithms are offered to a server.
//!
//! Offered is what the library has without what is weak: CBC ciphers, SHA-1, MD5, DSA, RC4. A rule may allow some of
//! these for some hosts; they come last, so that a host that has something better uses that.

use ssh2::{MethodType, Session};

use super::error::SshErrorKind;

const KINDS: [MethodType; 6] = [
    MethodType::Kex,
    MethodType::HostKey,
    MethodType::CryptCs,
    MethodType::CryptSc,
    MethodType::MacCs,
    MethodType::MacSc,
];

/// What needs a permission of its own.
fn is_weak(name: &str) -> bool {
    let sha1 = name.ends_with("-sha1") || name.starts_with("hmac-sha1") || name.starts_with("hmac-ripemd");
    let host_key = matches!(name, "ssh-rsa" | "ssh-dss" | "ssh-rsa-cert-v01@openssh.com");
    let cipher = name.contains("-cbc") || name.starts_with("arcfour");
    sha1 || host_key || cipher || name.starts_with("hmac-md5") || name == "none"
}

/// What is no algorithm: libssh2 adds these to any list itself.
fn is_extension(name: &str) -> bool {
    matches!(name, "ext-info-c" | "kex-strict-c-v00@openssh.com")
}

/// Sets what is offered for key exchange, ciphers and MACs, and returns the host key algorithms to choose from.
pub(super) fn offer(session: &Session, legacy: &[String]) -> Result<Vec<&'static str>, SshErrorKind> {
    let mut found = vec![false; legacy.len()];
    let mut host_keys = Vec::new();
    for kind in KINDS {
        let supported = session.supported_algs(kind).map_err(|error| missing(&error))?;
        for (name, found) in legacy.iter().zip(&mut found) {
            *found |= supported.contains(&name.as_str());
        }
        let mut offered = choose(&supported, legacy);
        if computes_aes() {
            gcm_first(&mut offered);
        }
        if matches!(kind, MethodType::HostKey) {
            host_keys = offered;
            continue;
        }
        // A list is left alone where it is what we want anyway.
        if !offered.iter().eq(supported.iter().filter(|name| !is_extension(name))) {
            session.method_pref(kind, &offered.join(",")).map_err(|error| missing(&error))?;
        }
    }
    match legacy.iter().zip(&found).find(|(_, found)| !**found) {
        None => Ok(host_keys),
        Some((name, _)) => Err(SshErrorKind::Invalid {
            what: "legacy algorithms".into(),
            detail: format!(
                "{name:?} is not in the libssh2 of this program; see docs/ssh.md for builds that have it"
            ),
        }),
    }
}

/// Of ciphers; no other algorithm has such a name.
fn gcm_first(names: &mut [&str]) {
    names.sort_by_key(|name| !name.contains("-gcm@"));
}

/// With instructions for AES the library encrypts AES-GCM several times faster than
/// `ChaCha20`; without them `ChaCha20` is faster.
fn computes_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

fn missing(error: &ssh2::Error) -> SshErrorKind {
    SshErrorKind::Local { what: "the algorithms".into(), detail: error.message().to_owned() }
}

fn choose(supported: &[&'static str], legacy: &[String]) -> Vec<&'static str> {
    let strong = supported.iter().filter(|name| !is_weak(name) && !is_extension(name));
    let allowed = supported.iter().filter(|name| is_weak(name) && legacy.iter().any(|word| word == *name));
    strong.chain(allowed).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_ones_need_a_permission_and_come_last() {
        let supported = ["aes256-cbc", "aes256-ctr", "3des-cbc"];
        assert_eq!(choose(&supported, &[]), ["aes256-ctr"]);
        assert_eq!(choose(&supported, &["3des-cbc".to_owned()]), ["aes256-ctr", "3des-cbc"]);
        for name in
            ["diffie-hellman-group14-sha1", "hmac-sha1-etm@openssh.com", "ssh-dss", "arcfour128", "hmac-md5"]
        {
            assert!(is_weak(name), "{name}");
        }
        for name in ["diffie-hellman-group14-sha256", "rsa-sha2-256", "hmac-sha2-256"] {
            assert!(!is_weak(name), "{name}");
        }
    }

    #[test]
    fn aes_gcm_comes_first_and_what_is_weak_stays_last() {
        let supported = Session::new().unwrap().supported_algs(MethodType::CryptCs).unwrap();
        let mut offered = choose(&supported, &["aes256-cbc".to_owned()]);
        gcm_first(&mut offered);
        assert!(offered[0].contains("-gcm@"), "{offered:?}");
        assert_eq!(offered.last(), Some(&"aes256-cbc"));
    }

    #[test]
    fn the_library_offers_nothing_weak_unless_told() {
        let session = Session::new().unwrap();
        let host_keys = offer(&session, &[]).unwrap();
        assert!(host_keys.contains(&"ssh-ed25519"));
        offer(&session, &["aes256-cbc".to_owned()]).unwrap();
        let text = offer(&session, &["no-such".to_owned()]).unwrap_err().to_string();
        assert!(text.contains("no-such") && text.contains("docs/ssh.md"), "{text}");
    }
}
