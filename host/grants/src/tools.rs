//! Which tools a grant is for.

use std::fmt;

/// `bundle/name`, `bundle/*` or `*`. Tools are known by where they are installed, not by what they say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    All,
    /// With its slash at the end.
    Below(String),
    One(String),
}

impl ToolPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, ToolPatternError> {
        if text == "*" {
            return Ok(Self(Kind::All));
        }
        let below = text.strip_suffix("/*");
        let name = below.unwrap_or(text);
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control())
        };
        if !name.split('/').all(is_plain) || (below.is_none() && !name.contains('/')) {
            return Err(ToolPatternError);
        }
        Ok(Self(if below.is_some() { Kind::Below(format!("{name}/")) } else { Kind::One(name.to_owned()) }))
    }

    /// Whether the tool is meant.
    pub fn matches(&self, tool: &str) -> bool {
        match &self.0 {
            Kind::All => true,
            Kind::Below(bundle) => tool.starts_with(bundle.as_str()),
            Kind::One(name) => tool == name,
        }
    }

    /// Whether all tools are meant.
    pub(crate) fn is_all(&self) -> bool {
        self.0 == Kind::All
    }

    /// Whether every tool that `other` means is meant by this one too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::All, _) => true,
            (_, Kind::One(name)) => self.matches(name),
            (Kind::Below(own), Kind::Below(other)) => other.starts_with(own.as_str()),
            (Kind::Below(_) | Kind::One(_), Kind::All) | (Kind::One(_), Kind::Below(_)) => false,
        }
    }
}

impl fmt::Display for ToolPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::All => f.write_str("*"),
            Kind::Below(bundle) => write!(f, "{bundle}*"),
            Kind::One(name) => f.write_str(name),
        }
    }
}

/// Not a tool pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tool is `bundle/name`, `bundle/*` for all below a bundle, or `*` for all tools")]
pub struct ToolPatternError;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ToolPattern {
        ToolPattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_mean_one_tool_a_bundle_or_all() {
        assert!(pattern("*").matches("demo/hello"));
        assert!(pattern("demo/*").matches("demo/hello") && pattern("demo/*").matches("demo/deep/er"));
        assert!(!pattern("demo/*").matches("demonic/hello") && !pattern("demo/*").matches("demo"));
        assert!(pattern("demo/hello").matches("demo/hello") && !pattern("demo/hello").matches("demo/hello2"));
        for bad in ["", "demo", "/x", "x/", "de*/x", "*/x", "a/**", "../x", "a b/c", "*/*", "a//b"] {
            assert_eq!(ToolPattern::parse(bad), Err(ToolPatternError), "{bad}");
        }
    }

    #[test]
    fn covering_follows_from_matching() {
        for (wide, narrow, expected) in [
            ("*", "a/*", true),
            ("*", "*", true),
            ("a/*", "a/b", true),
            ("a/*", "a/b/*", true),
            ("a/b/*", "a/*", false),
            ("a/b", "a/*", false),
            ("a/b", "a/b", true),
            ("a/*", "*", false),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
        }
    }
}
