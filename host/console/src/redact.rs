//! Makes a text of the server fit to be shown: without secrets, without control characters, not too long.

use percent_encoding::utf8_percent_encode;

use crate::http::QUERY;

/// Longest message of the server that is repeated, in characters. Proxies answer with whole pages.
const LONGEST: usize = 1000;

/// What stands for a secret.
const MASK: &str = "******";

/// `text` in one line with every one of `secrets` masked, also in the forms in which requests carry them.
pub(crate) fn redact<'a>(text: &str, secrets: impl Iterator<Item = &'a str>) -> String {
    let mut shown = text.to_owned();
    for secret in secrets.filter(|secret| !secret.is_empty()) {
        for form in [secret, &in_query(secret), &in_json(secret)] {
            if shown.contains(form) {
                shown = shown.replace(form, MASK);
            }
        }
    }
    shorten(&shown)
}

fn in_query(secret: &str) -> String {
    utf8_percent_encode(secret, QUERY).to_string()
}

fn in_json(secret: &str) -> String {
    serde_json::Value::from(secret).to_string().trim_matches('"').to_owned()
}

fn shorten(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_flattens_and_cuts() {
        let shown = redact("no\r\n\u{1b}[1m token abc-123 \u{0}here", ["abc-123", ""].into_iter());
        assert_eq!(shown, "no [1m token ****** here");
        let shown = redact(r#"at a%2Fb%22c or a/b\"c or a/b"c"#, std::iter::once(r#"a/b"c"#));
        assert_eq!(shown, "at ****** or ****** or ******", "as in a query and in JSON");
        let long = redact(&"é".repeat(5000), std::iter::empty());
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
