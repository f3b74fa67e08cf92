//! The file name in a `Content-Disposition` header (RFC 6266), as a name that cannot leave its directory.

use percent_encoding::percent_decode_str;

/// Why the header gives no usable name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// The header is there and holds no file name.
    #[error("`Content-Disposition` holds no `filename`")]
    Missing,
    /// The last part of the name cannot be a file name.
    #[error("`Content-Disposition` names a file that is not a plain file name: {0:?}")]
    NotPlain(String),
}

/// The decoded name. `filename*` wins over `filename`; the server percent-encodes either of them.
pub(crate) fn file_name(header: &[u8]) -> Result<String, NameError> {
    let header = String::from_utf8_lossy(header);
    let mut plain = None;
    for (name, value) in parameters(&header) {
        match name.to_ascii_lowercase().as_str() {
            "filename*" => return checked(decode_extended(&value)),
            "filename" => plain = Some(percent_decode_str(&value).decode_utf8_lossy().into_owned()),
            _ => {}
        }
    }
    checked(plain.ok_or(NameError::Missing)?)
}

/// Only the last part counts, whichever system's separator stands in front of it (defect 69).
fn checked(name: String) -> Result<String, NameError> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let refused = last.is_empty()
        || last.len() > 255
        || last == "."
        || last == ".."
        || last.chars().any(char::is_control);
    if refused { Err(NameError::NotPlain(name)) } else { Ok(last.to_owned()) }
}

/// `charset'language'percent-encoded` (RFC 5987). Only UTF-8 and its subset are in use.
fn decode_extended(value: &str) -> String {
    let encoded = value.splitn(3, '\'').nth(2).unwrap_or(value);
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}

/// The `name=value` parts after the disposition type, quotes removed.
fn parameters(header: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, tail)) = rest.split_once('=') {
        let (value, after) = value_of(tail.trim_start());
        found.push((name.trim_matches(|c: char| c == ';' || c.is_whitespace()), value));
        rest = after;
    }
    found
}

/// A token or quoted text at the start of `text`, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded() {
        for (header, name) in [
            (r#"attachment; filename="a.txt""#, "a.txt"),
            ("attachment;filename=plain.tar.gz", "plain.tar.gz"),
            (r#"attachment; fileName="%E9%85%8D%E7%BD%AE.xml""#, "配置.xml"),
            (r#"attachment; filename="配置.xml""#, "配置.xml"),
            (r#"attachment; filename="100%.txt""#, "100%.txt"),
            (r#"attachment; filename="a;b=\"c\".txt"; size=5"#, r#"a;b="c".txt"#),
            ("attachment; filename=\"x\"; filename*=UTF-8''%e2%82%ac%20rates", "€ rates"),
            ("attachment; size=3; filename*=utf-8'en'a%27b ; x=y", "a'b"),
            (r#"attachment; filename="../../etc/passwd""#, "passwd"),
            (r#"attachment; filename="..%2F..%2Fetc%2Fpasswd""#, "passwd"),
            (r#"attachment; filename="C:\\temp\\a b.zip""#, "a b.zip"),
            ("attachment; filename*=UTF-8''%2e%2e%2fx", "x"),
        ] {
            assert_eq!(file_name(header.as_bytes()).as_deref(), Ok(name), "{header}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for header in [
            r#"attachment; filename="..""#,
            r#"attachment; filename="x/..""#,
            r#"attachment; filename="x/""#,
            r#"attachment; filename="""#,
            r#"attachment; filename="a%00b""#,
        ] {
            assert!(matches!(file_name(header.as_bytes()), Err(NameError::NotPlain(_))), "{header}");
        }
        for header in ["attachment", "", "attachment; name=x"] {
            assert_eq!(file_name(header.as_bytes()), Err(NameError::Missing), "{header}");
        }
    }
}
