//! Replaces what differs from run to run: times, process ids, ports and directories.

use anyhow::Result;
use regex::Regex;

/// A list of replacements, applied in order.
#[derive(Debug)]
pub struct Mask {
    texts: Vec<(String, String)>,
    patterns: Vec<(Regex, &'static str)>,
}

/// What the executor writes anew each time.
const PATTERNS: [(&str, &str); 6] = [
    // Time in front of every log line.
    (r"(?m)^\d\d:\d\d:\d\d ", "hh:mm:ss "),
    // Durations in log lines.
    (r"(duration: ?)\d+\.\d\d second", "${1}<s> second"),
    // Stamps of history files.
    (r"\b\d{8}-\d{6}\.", "<stamp>."),
    // Processes in status files.
    (r#""(pid|opPid|pidStart)": \d+"#, r#""$1": <n>"#),
    // Host keys.
    (r"SHA256:[A-Za-z0-9+/]{43}", "<fingerprint>"),
    // The private part of a directory on a target.
    (r"(/tmp/autoexec-\d+-\d+-\d+)[-.]\w+", "${1}<suffix>"),
];

impl Mask {
    /// Masks what is the same in every test.
    pub fn new() -> Result<Self> {
        let compile = |(pattern, replacement)| Ok((Regex::new(pattern)?, replacement));
        let patterns = PATTERNS.into_iter().map(compile).collect::<Result<_>>()?;
        Ok(Self { texts: Vec::new(), patterns })
    }

    /// Masks a fixed text too, such as a temporary directory.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>, replacement: &str) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.texts.push((text, replacement.to_owned()));
        }
        self
    }

    /// The text with everything masked.
    pub fn apply(&self, text: &str) -> String {
        let text = self.texts.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        self.patterns.iter().fold(text, |text, (pattern, to)| pattern.replace_all(&text, *to).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_masked_and_nothing_else() {
        let mask = Mask::new().unwrap().text("/tmp/x", "<home>");
        for (text, masked) in [
            ("22:13:20 at 22:13:20\n", "hh:mm:ss at 22:13:20\n"),
            ("complete -- duration: 0.10 second.", "complete -- duration: <s> second."),
            ("ended, duration:12.34 second ======", "ended, duration:<s> second ======"),
            ("20231114-221320.succeed.u-77.txt", "<stamp>.succeed.u-77.txt"),
            (
                r#"{"pid": 4711, "opPid": null, "warnCount": 1}"#,
                r#"{"pid": <n>, "opPid": null, "warnCount": 1}"#,
            ),
            (
                "in /tmp/x/bin, /tmp/autoexec-620-71-1.Ab3dEf/basic",
                "in <home>/bin, /tmp/autoexec-620-71-1<suffix>/basic",
            ),
        ] {
            assert_eq!(mask.apply(text), masked);
        }
    }
}
