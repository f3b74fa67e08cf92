//! What holds for some hosts only: jump hosts, login shaping, old algorithms with an end date.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::SshErrorKind;
use super::isolation::plain;
use super::known_hosts::wildcard;
use super::settings::SshTarget;

/// Host patterns as in OpenSSH's `Host`: `*` and `?`, and `!` before one that takes hosts out again. Names are compared
/// without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPatterns(Vec<String>);

impl HostPatterns {
    /// These patterns; none of them matches no host.
    pub fn new<T: Into<String>>(patterns: impl IntoIterator<Item = T>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }

    /// True when one pattern matches and no negated one does.
    pub fn matches(&self, host: &str) -> bool {
        let mut matched = false;
        for pattern in &self.0 {
            match pattern.strip_prefix('!') {
                Some(negated) if wildcard(negated.as_bytes(), host.as_bytes()) => return false,
                Some(_) => {}
                None => matched |= wildcard(pattern.as_bytes(), host.as_bytes()),
            }
        }
        matched
    }
}

impl fmt::Display for HostPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Old algorithms that may be used, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legacy {
    /// Names as in the protocol, such as `ssh-rsa`, `diffie-hellman-group14-sha1`, `aes256-cbc`, `hmac-sha1`.
    pub algorithms: Vec<String>,
    /// From this moment on the host is refused.
    pub until: SystemTime,
    /// How an error names that moment.
    pub until_text: String,
}

/// A host that connections to others go through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JumpHost {
    /// Account on it.
    pub target: SshTarget,
    /// Most logins per second to hosts behind it.
    pub logins_per_second: Option<f64>,
}

/// Settings of the hosts that match. For each setting the first rule that matches and has it wins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRule {
    /// The hosts.
    pub hosts: HostPatterns,
    /// The jump hosts on the way, the first one first; empty means a direct connection.
    #[serde(with = "plain::jumps")]
    pub jumps: Option<Vec<Arc<JumpHost>>>,
    /// Most logins per second to all hosts of the rule together.
    pub logins_per_second: Option<f64>,
    /// Old algorithms.
    pub legacy: Option<Legacy>,
}

impl HostRule {
    /// A rule that says nothing yet.
    pub fn new(hosts: HostPatterns) -> Self {
        Self { hosts, jumps: None, logins_per_second: None, legacy: None }
    }
}

fn first<'a, T>(
    rules: &'a [HostRule],
    host: &str,
    setting: impl Fn(&'a HostRule) -> Option<T>,
) -> Option<(usize, T)> {
    let mut matching = rules.iter().enumerate().filter(|(_, rule)| rule.hosts.matches(host));
    matching.find_map(|(index, rule)| Some((index, setting(rule)?)))
}

/// The jump hosts on the way to a target.
pub(super) fn jumps_to<'a>(rules: &'a [HostRule], target: &'a SshTarget) -> &'a [Arc<JumpHost>] {
    let ruled =
        || first(rules, &target.host, |rule| rule.jumps.as_deref()).map_or(&[][..], |(_, jumps)| jumps);
    target.jumps.as_deref().unwrap_or_else(ruled)
}

/// Names a way by its jump hosts, the first one first.
pub(super) fn way<'a>(jumps: impl Iterator<Item = &'a JumpHost>) -> String {
    jumps.map(|jump| jump.target.to_string()).collect::<Vec<_>>().join(" ")
}

/// The rule that limits the logins to a host, and its limit.
pub(super) fn login_limit(rules: &[HostRule], host: &str) -> Option<(usize, f64)> {
    first(rules, host, |rule| rule.logins_per_second)
}

/// The old algorithms that a host may use now.
///
/// # Errors
/// Says so when the permission has ended.
pub(super) fn legacy_of<'a>(
    rules: &'a [HostRule],
    host: &str,
    now: SystemTime,
) -> Result<&'a [String], SshErrorKind> {
    match first(rules, host, |rule| rule.legacy.as_ref()) {
        None => Ok(&[]),
        Some((_, legacy)) if now < legacy.until => Ok(&legacy.algorithms),
        Some((index, legacy)) => Err(SshErrorKind::LegacyExpired {
            hosts: rules.get(index).map(|rule| rule.hosts.to_string()).unwrap_or_default(),
            algorithms: legacy.algorithms.join(", "),
            until: legacy.until_text.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn rule(hosts: &[&str]) -> HostRule {
        HostRule::new(HostPatterns::new(hosts.iter().copied()))
    }

    #[test]
    fn patterns_take_in_and_take_out() {
        let patterns = HostPatterns::new(["10.1.*", "!10.1.9.?", "Web?"]);
        for (host, want) in
            [("10.1.2.3", true), ("10.1.9.3", false), ("web1", true), ("web12", false), ("x", false)]
        {
            assert_eq!(patterns.matches(host), want, "{host}");
        }
        assert!(!HostPatterns::new(["!a"]).matches("b"), "a negated pattern alone matches nothing");
    }

    #[test]
    fn the_first_rule_that_has_a_setting_wins_for_it() {
        let limited = HostRule { logins_per_second: Some(2.0), ..rule(&["db*"]) };
        let direct = HostRule { jumps: Some(Vec::new()), logins_per_second: Some(9.0), ..rule(&["*"]) };
        let rules = [limited, direct];
        assert_eq!(login_limit(&rules, "db1"), Some((0, 2.0)));
        assert_eq!(login_limit(&rules, "web1"), Some((1, 9.0)));
        assert_eq!(login_limit(&rules[..1], "web1"), None);
    }

    #[test]
    fn a_way_of_the_targets_own_wins_over_those_of_its_host() {
        let target = |host: &str, jumps| SshTarget {
            host: host.to_owned(),
            port: 22,
            user: "u".to_owned(),
            auth: Vec::new(),
            jumps,
        };
        let through =
            |host| Some(vec![Arc::new(JumpHost { target: target(host, None), logins_per_second: None })]);
        let direct = HostRule { jumps: Some(Vec::new()), ..rule(&["db*"]) };
        let rules = [direct, HostRule { jumps: through("site"), ..rule(&["*"]) }];
        for (target, want) in [
            (target("a", through("own")), &["u@own:22"][..]),
            (target("a", through("other")), &["u@other:22"]),
            (target("a", Some(Vec::new())), &[]),
            (target("a", None), &["u@site:22"]),
            (target("db1", None), &[]),
        ] {
            let way: Vec<String> =
                jumps_to(&rules, &target).iter().map(|jump| jump.target.to_string()).collect();
            assert_eq!(way, want, "{target:?}");
        }
    }

    #[test]
    fn old_algorithms_end_on_their_day_and_the_error_says_what_to_do() {
        let until = UNIX_EPOCH + Duration::from_secs(1000);
        let legacy =
            Legacy { algorithms: vec!["ssh-rsa".to_owned()], until, until_text: "1970-01-01".to_owned() };
        let rules = [HostRule { legacy: Some(legacy), ..rule(&["old*"]) }];
        let before = until.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(legacy_of(&rules, "old1", before).unwrap(), ["ssh-rsa"]);
        assert!(legacy_of(&rules, "new1", until).unwrap().is_empty());
        let text = legacy_of(&rules, "old1", until).unwrap_err().to_string();
        assert!(text.contains("ssh-rsa") && text.contains("1970-01-01") && text.contains("old*"), "{text}");
    }
}
