//! Quoting for POSIX shells. In csh an exclamation mark is live even in single quotes; a target whose login shell
//! is csh has to be given the text through `sh`.

/// In single quotes: nothing in it is live.
pub(super) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// In double quotes, the form of the contract: an inner `"` gets a backslash unless it has one already; `$`,
/// backquotes and backslashes are live. A backslash that would escape the closing quote is escaped itself.
pub(super) fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    // Whether the next character stands behind a backslash that is not itself escaped.
    let mut escaped = false;
    for character in text.chars() {
        if character == '"' && !escaped {
            quoted.push('\\');
        }
        quoted.push(character);
        escaped = character == '\\' && !escaped;
    }
    if escaped {
        quoted.push('\\');
    }
    quoted.push('"');
    quoted
}

/// As it is when no shell sees anything special in it, else in single quotes.
pub(super) fn bare_or_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@,+=%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { single_quoted(text) }
}
