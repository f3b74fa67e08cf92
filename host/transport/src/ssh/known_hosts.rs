//! OpenSSH's known-hosts file: which keys a host may show, and adding one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::isolation::plain;

/// Far more than any host key has.
const LONGEST: usize = 64 * 1024;

/// A host key as servers show it and files record it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostKey {
    #[serde(with = "plain::bytes")]
    blob: Vec<u8>,
}

impl HostKey {
    pub(super) fn new(blob: Vec<u8>) -> Self {
        Self { blob }
    }

    /// Whether it can be recorded: it has a type, and the size of a key.
    pub(super) fn is_recordable(&self) -> bool {
        self.blob.len() <= LONGEST && self.key_type() != "?"
    }

    /// The type the key itself names, such as `ssh-ed25519`; a question mark when it names none.
    pub(super) fn key_type(&self) -> &str {
        let name = self
            .blob
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
        name.and_then(|name| std::str::from_utf8(name).ok())
            .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
            .unwrap_or("?")
    }

    /// `SHA256:…`, as OpenSSH prints it.
    pub(super) fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }
}

/// What the file says about a key a host shows.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// It is recorded.
    Known,
    /// The host has no recorded key at all.
    Unknown,
    /// The host has another recorded key (of the same type, if there is one).
    Changed { line: usize, known: HostKey },
    /// The key is revoked.
    Revoked { line: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Marker {
    None,
    Revoked,
    /// The key signs certificates of hosts.
    Authority,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    line: usize,
    marker: Marker,
    /// The line names the host with the port it is reached by, not only without.
    with_port: bool,
    key: HostKey,
}

/// What the file says about one host. Only its own lines are decoded: with thousands of hosts each connection reads
/// a file with thousands of lines.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct KnownHost(Vec<Entry>);

impl KnownHost {
    /// Reads the file; a missing one has no lines.
    pub(super) fn load(file: &Path, host: &str, port: u16) -> io::Result<Self> {
        match std::fs::read(file) {
            Ok(bytes) => Ok(Self::parse(&bytes, file, host, port)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Lines that cannot be used are passed over with a log line, as OpenSSH does: one bad line must not lock out
    /// every host.
    fn parse(bytes: &[u8], file: &Path, host: &str, port: u16) -> Self {
        let names = Names { full: name_of(host, port), plain: host.to_ascii_lowercase() };
        let text = String::from_utf8_lossy(bytes);
        let mut entries = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            match parse_line(text, &names) {
                Ok(Some((marker, with_port, key))) => entries.push(Entry { line, marker, with_port, key }),
                Ok(None) => {}
                Err(reason) => {
                    tracing::debug!(file = %file.display(), line, reason, "known-hosts line passed over");
                }
            }
        }
        Self(entries)
    }

    /// The types of the recorded keys, without repetition, in the order of the file.
    pub(super) fn key_types(&self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for entry in self.recorded() {
            if !types.iter().any(|known| known == entry.key.key_type()) {
                types.push(entry.key.key_type().to_owned());
            }
        }
        types
    }

    /// Judges the key that the host shows.
    pub(super) fn check(&self, key: &HostKey) -> Verdict {
        if let Some(line) = self.revoked(key) {
            return Verdict::Revoked { line };
        }
        // As OpenSSH: on another port a line without a port vouches for the same key, but accuses no other one.
        if self.0.iter().any(|entry| entry.marker == Marker::None && entry.key == *key) {
            return Verdict::Known;
        }
        let same_type = self.recorded().find(|entry| entry.key.key_type() == key.key_type());
        match same_type.or_else(|| self.recorded().next()) {
            // A host that shows a type we have no key of, although we asked for the type we have, is not new.
            Some(entry) => Verdict::Changed { line: entry.line, known: entry.key.clone() },
            None => Verdict::Unknown,
        }
    }

    /// True when the host is expected to show a certificate.
    pub(super) fn has_authority(&self) -> bool {
        self.0.iter().any(|entry| entry.marker == Marker::Authority)
    }

    /// Whether a key is one that signs certificates for the host.
    pub(super) fn is_authority(&self, key: &HostKey) -> bool {
        self.0.iter().any(|entry| entry.marker == Marker::Authority && entry.key == *key)
    }

    /// The line that revokes a key.
    pub(super) fn revoked(&self, key: &HostKey) -> Option<usize> {
        self.0
            .iter()
            .find(|entry| entry.marker == Marker::Revoked && entry.key == *key)
            .map(|entry| entry.line)
    }

    fn recorded(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(|entry| entry.marker == Marker::None && entry.with_port)
    }
}

struct Names {
    full: String,
    plain: String,
}

/// The name a host has in the file: with its port unless it is 22.
fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// A line's marker, whether it names the host with its port, and its key; none for a line about others.
fn parse_line(text: &str, names: &Names) -> Result<Option<(Marker, bool, HostKey)>, &'static str> {
    let mut fields = text.split_ascii_whitespace().peekable();
    let marker = match fields.peek() {
        None => return Ok(None),
        Some(first) if first.starts_with('#') => return Ok(None),
        Some(&"@revoked") => Marker::Revoked,
        Some(&"@cert-authority") => Marker::Authority,
        Some(first) if first.starts_with('@') => return Err("unknown marker"),
        Some(_) => Marker::None,
    };
    if marker != Marker::None {
        fields.next();
    }
    let (Some(field), Some(key_type), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("expected host names, key type and key");
    };
    let with_port = matches(field, &names.full);
    if !with_port && !matches(field, &names.plain) {
        return Ok(None);
    }
    let key = HostKey::new(STANDARD.decode(key).map_err(|_| "the key is not base64")?);
    if key.key_type() != key_type {
        return Err("the key is of another type than the line says");
    }
    Ok(Some((marker, with_port, key)))
}

/// True when a line's name field means `name`: hashed, or patterns of which one matches and no negated one does.
fn matches(field: &str, name: &str) -> bool {
    if field.starts_with('|') {
        return hash_matches(field, name).unwrap_or(false);
    }
    let mut matched = false;
    for pattern in field.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if wildcard(negated.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= wildcard(pattern.as_bytes(), name.as_bytes()),
        }
    }
    matched
}

/// `|1|salt|hash` with hash = HMAC-SHA1(salt, name).
fn hash_matches(field: &str, name: &str) -> Option<bool> {
    let (salt, hash) = field.strip_prefix("|1|")?.split_once('|')?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(hash).ok()?).is_ok())
}

/// `*` and `?` patterns, letters of any case, in linear space and without recursion.
pub(super) fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, at)) => {
                    p = after_star;
                    t = at + 1;
                    retry = Some((after_star, t));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Records a host's key, unless the file has come to know the host meanwhile. The look and the write happen under a
/// lock of the file, so that connections made side by side neither damage it nor record a host twice.
pub(super) fn remember(file: &Path, host: &str, port: u16, key: &HostKey) -> io::Result<Verdict> {
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut options = OpenOptions::new();
    let mut opened: File = options.read(true).append(true).create(true).mode(0o600).open(file)?;
    opened.lock()?;
    let mut bytes = Vec::new();
    opened.seek(SeekFrom::Start(0))?;
    opened.read_to_end(&mut bytes)?;
    let verdict = KnownHost::parse(&bytes, file, host, port).check(key);
    if verdict == Verdict::Unknown {
        let cut_off = bytes.last().is_some_and(|byte| *byte != b'\n');
        let start = if cut_off { "\n" } else { "" };
        let name = name_of(host, port);
        let line = format!("{start}{name} {} {}\n", key.key_type(), STANDARD.encode(&key.blob));
        opened.write_all(line.as_bytes())?;
        opened.sync_data()?;
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, body: u8) -> HostKey {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend_from_slice(&[body; 8]);
        HostKey::new(blob)
    }

    fn line(names: &str, key: &HostKey) -> String {
        format!("{names} {} {} comment\n", key.key_type(), STANDARD.encode(&key.blob))
    }

    struct Text(String);

    impl Text {
        fn host(&self, host: &str, port: u16) -> KnownHost {
            KnownHost::parse(self.0.as_bytes(), Path::new("kh"), host, port)
        }

        fn check(&self, host: &str, port: u16, key: &HostKey) -> Verdict {
            self.host(host, port).check(key)
        }
    }

    fn file(lines: &[String]) -> Text {
        Text(lines.concat())
    }

    #[test]
    fn same_other_and_no_key() {
        let (a, b) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
        let known = file(&["# c\n\n".into(), line("h1,10.0.0.1", &a)]);
        assert_eq!(known.check("H1", 22, &a), Verdict::Known);
        assert_eq!(known.check("10.0.0.1", 22, &b), Verdict::Changed { line: 3, known: a.clone() });
        assert_eq!(known.check("h2", 22, &b), Verdict::Unknown);
    }

    #[test]
    fn another_type_alone_is_a_changed_key_and_the_same_type_is_named_first() {
        let (ed, rsa, rsa2) = (key("ssh-ed25519", 1), key("ssh-rsa", 1), key("ssh-rsa", 2));
        let known = file(&[line("h", &ed), line("h", &rsa)]);
        assert_eq!(known.check("h", 22, &rsa2), Verdict::Changed { line: 2, known: rsa.clone() });
        assert_eq!(
            file(&[line("h", &ed)]).check("h", 22, &rsa2),
            Verdict::Changed { line: 1, known: ed.clone() }
        );
        assert_eq!(known.host("h", 22).key_types(), ["ssh-ed25519", "ssh-rsa"]);
    }

    #[test]
    fn ports() {
        let (a, b) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
        let known = file(&[line("[h]:2222", &a), line("h", &b)]);
        assert_eq!(known.check("h", 2222, &a), Verdict::Known);
        assert_eq!(known.check("h", 2222, &b), Verdict::Known);
        assert_eq!(known.check("h", 2223, &b), Verdict::Known);
        assert_eq!(known.check("h", 2223, &a), Verdict::Unknown);
        assert_eq!(known.check("h", 22, &a), Verdict::Changed { line: 2, known: b.clone() });
    }

    #[test]
    fn patterns_and_negation() {
        let a = key("ssh-ed25519", 1);
        let known = file(&[line("*.example.org,!bad.example.org,web?", &a)]);
        assert_eq!(known.check("x.example.org", 22, &a), Verdict::Known);
        assert_eq!(known.check("bad.example.org", 22, &a), Verdict::Unknown);
        assert_eq!(known.check("web1", 22, &a), Verdict::Known);
        assert_eq!(known.check("web12", 22, &a), Verdict::Unknown);
    }

    #[test]
    fn wildcards() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*ab", "aab", true),
            ("?", "", false),
            ("**x", "aax", true),
            ("", "a", false),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }

    #[test]
    fn revoked_beats_known() {
        let a = key("ssh-ed25519", 1);
        let known = file(&[line("h", &a), line("@revoked *", &a)]);
        assert_eq!(known.check("h", 22, &a), Verdict::Revoked { line: 2 });
        assert_eq!(known.check("h", 2222, &a), Verdict::Revoked { line: 2 });
    }

    #[test]
    fn unusable_lines_are_passed_over() {
        let a = key("ssh-ed25519", 1);
        let known = file(&[
            "h\n".into(),
            "h ssh-rsa !!!\n".into(),
            "@odd h ssh-rsa AAAA\n".into(),
            format!("h ssh-rsa {}\n", STANDARD.encode(&a.blob)),
            line("@cert-authority h", &a),
        ]);
        assert_eq!(known.check("h", 22, &a), Verdict::Unknown);
    }

    #[test]
    fn an_authority_is_no_key_of_the_host() {
        let (a, b) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
        let known = file(&[line("@cert-authority *.x", &a), line("@revoked *", &b)]);
        let host = known.host("h.x", 22);
        assert!(host.has_authority() && host.is_authority(&a) && !host.is_authority(&b));
        assert_eq!((host.revoked(&b), host.check(&a)), (Some(2), Verdict::Unknown));
        assert!(!known.host("h.y", 22).has_authority());
        assert!(known.host("h.x", 2222).has_authority());
    }

    #[test]
    fn recording_is_private_repairs_a_cut_off_line_and_does_not_repeat() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/known_hosts");
        let a = key("ssh-ed25519", 1);
        assert_eq!(remember(&path, "h", 2222, &a).unwrap(), Verdict::Unknown);
        assert_eq!(remember(&path, "h", 2222, &a).unwrap(), Verdict::Known);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.trim_end()).unwrap();
        assert_eq!(remember(&path, "g", 22, &a).unwrap(), Verdict::Unknown);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("[h]:2222 ssh-ed25519 ") && text.contains("\ng ssh-ed25519 "));
    }

    #[test]
    fn a_key_of_nonsense_has_no_type() {
        for blob in [vec![], vec![0, 0, 0, 200, b'x'], vec![0xff; 9], vec![0, 0, 0, 1, b' ']] {
            assert_eq!(HostKey::new(blob).key_type(), "?");
        }
    }
}
