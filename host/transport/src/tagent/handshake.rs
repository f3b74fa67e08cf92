//! Greeting, challenge and verdict (spec §3). Pure: payloads in, payloads out.

use super::charset::Charset;
use super::cipher::Cipher;
use super::error::TagentErrorKind;

const PLAIN: &str = "Tagent1.1";
const ENCRYPTED: &str = "Tagent1.1s";
const SUCCEED: &[u8] = b"auth succeed";
const FAILED: &[u8] = b"auth failed";
/// A factor of the challenge is not larger.
const MAX_FACTOR: u64 = 65535;
/// Longest part of a peer's text that is repeated in an error.
const EXCERPT: usize = 200;

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentInfo {
    /// Kernel name, or `windows`; as sent.
    pub os: String,
    /// Charset of texts on that machine.
    pub charset: Charset,
    /// Whether all that follows the greeting is encrypted.
    pub encrypted: bool,
}

impl AgentInfo {
    /// Whether command lines are for the Windows command processor.
    pub fn is_windows(&self) -> bool {
        self.os.eq_ignore_ascii_case("windows")
    }
}

/// The greeting, its challenge not yet looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Who speaks.
    pub info: AgentInfo,
    challenge: String,
}

impl Greeting {
    /// Reads `ostype|charset|challenge|version`.
    pub fn parse(payload: &[u8]) -> Result<Self, TagentErrorKind> {
        let not_an_agent = || TagentErrorKind::NotAnAgent { said: excerpt(payload) };
        let text = std::str::from_utf8(payload).map_err(|_| not_an_agent())?;
        let mut fields = text.split('|');
        let (Some(os), Some(charset), Some(challenge), Some(version), None) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(not_an_agent());
        };
        let encrypted = match version {
            PLAIN => false,
            ENCRYPTED => true,
            other => return Err(TagentErrorKind::Version { version: excerpt(other.as_bytes()) }),
        };
        let charset = Charset::for_label(charset)
            .ok_or_else(|| TagentErrorKind::Charset { charset: excerpt(charset.as_bytes()) })?;
        let os: String = os.chars().take(EXCERPT).filter(|c| !c.is_control()).collect();
        Ok(Self { info: AgentInfo { os, charset, encrypted }, challenge: challenge.to_owned() })
    }

    /// The answer to the challenge; `clock` in seconds since 1970 is used where the agent sends no time of its own.
    pub fn answer(&self, cipher: &Cipher, clock: u64) -> Result<String, TagentErrorKind> {
        let opened = cipher
            .open(self.challenge.as_bytes())
            .ok_or(TagentErrorKind::NotAnAgent { said: "a challenge that is not hexadecimal".to_owned() })?;
        let (first, second, time) = numbers(&opened).ok_or(TagentErrorKind::Credential)?;
        // Both are at most 16 bits wide.
        let product = first.saturating_mul(second);
        let time = if time == 0 { clock } else { time };
        Ok(cipher.seal(&format!("{product},{time}")))
    }
}

/// `F1,F2[,T]`. A wrong credential gives noise instead.
fn numbers(text: &[u8]) -> Option<(u64, u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut fields = text.split(',').map(decimal);
    let first = fields.next()??;
    let second = fields.next()??;
    let time = fields.next().map_or(Some(0), |time| time)?;
    let fits = (1..=MAX_FACTOR).contains(&first) && (1..=MAX_FACTOR).contains(&second);
    (fits && fields.next().is_none()).then_some((first, second, time))
}

fn decimal(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Reads the verdict, decrypted.
pub fn verdict(payload: &[u8]) -> Result<(), TagentErrorKind> {
    match payload {
        SUCCEED => Ok(()),
        FAILED => Err(TagentErrorKind::Refused),
        other => Err(TagentErrorKind::Handshake { said: excerpt(other) }),
    }
}

/// A peer's text fit for one error line: bounded, control characters replaced.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let head = bytes.get(..EXCERPT).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn cipher() -> Cipher {
        Cipher::new(&Secret::new("demo-Secret-01".to_owned())).unwrap()
    }

    #[test]
    fn the_worked_example() {
        let greeting =
            Greeting::parse(b"Linux|UTF-8|736898b0eb566b7810ba4df665482bc1f3bd20bb|Tagent1.1").unwrap();
        assert!(!greeting.info.encrypted && !greeting.info.is_windows());
        let answer = greeting.answer(&cipher(), 5).unwrap();
        assert_eq!(answer, "7a699dbde74b6d6319a14cf165482bc1f3bd");
        let mut twice = answer.into_bytes();
        cipher().apply(&mut twice);
        assert_eq!(
            hex::encode(twice),
            "753b9dbde71e3f2b4da148a3631c2dc2f2b471ba94ebc8f4555a28e90e9727844d0c026e"
        );
    }

    fn answered(challenge: &str) -> Option<String> {
        let text = format!("windows|cp936|{}|Tagent1.1s", cipher().seal(challenge));
        let greeting = Greeting::parse(text.as_bytes()).unwrap();
        assert!(greeting.info.encrypted && greeting.info.is_windows());
        let answer = greeting.answer(&cipher(), 77).ok()?;
        Some(String::from_utf8(cipher().open(answer.as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn challenges() {
        assert_eq!(answered("65531,65531,9").as_deref(), Some("4294311961,9"));
        assert_eq!(answered("2,3").as_deref(), Some("6,77"), "an agent without a clock gets ours");
        assert_eq!(answered("2,3,0").as_deref(), Some("6,77"));
        for noise in ["", "5", "2,", "2,x,3", "2,3,4,5", "0,3,4", "2,65536,4", "2,-3,4", "2,+3,4", "2, 3,4"] {
            assert_eq!(answered(noise), None, "{noise}");
        }
    }

    #[test]
    fn a_wrong_credential_is_seen_before_anything_is_sent() {
        let greeting =
            Greeting::parse(b"Linux|UTF-8|736898b0eb566b7810ba4df665482bc1f3bd20bb|Tagent1.1").unwrap();
        let wrong = Cipher::new(&Secret::new("wrong".to_owned())).unwrap();
        assert!(matches!(greeting.answer(&wrong, 5), Err(TagentErrorKind::Credential)));
    }

    #[test]
    fn other_peers_and_versions_are_refused() {
        let kind = |payload: &[u8]| Greeting::parse(payload).unwrap_err().to_string();
        assert!(kind(b"SSH-2.0-OpenSSH_9.2").contains("SSH-2.0-OpenSSH_9.2"));
        assert!(kind(b"Linux|UTF-8|00|Tagent2.0").contains("Tagent2.0"));
        assert!(kind(b"Linux|martian|00|Tagent1.1").contains("martian"));
        assert!(kind(b"a|b|c|d|e").contains("not an agent"));
        assert!(matches!(verdict(b"auth failed"), Err(TagentErrorKind::Refused)));
        assert!(verdict(b"read auth data failed:x").unwrap_err().to_string().contains("read auth data"));
        assert!(verdict(b"auth succeed").is_ok());
    }
}
