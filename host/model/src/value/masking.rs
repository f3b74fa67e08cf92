//! Hiding credentials inside longer texts.

/// What stands for a secret in logs and files.
pub const MASK: &str = "******";

const MARKS: [&str; 5] = ["password=", "password:", "pwd=", "pwd:", "identified by "];

/// Masks what follows `password=`, `password:`, `pwd=`, `pwd:` or `identified by ` (any case) up to the next
/// line break or the two characters `\n`, which stand for one in a text area.
pub fn mask_credentials(text: &str) -> String {
    // ASCII lower case keeps every byte position
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut position = 0;
    while let Some(secret_start) = next_secret(&lower, position) {
        let rest = lower.get(secret_start..).unwrap_or_default();
        let length = rest.find('\n').into_iter().chain(rest.find("\\n")).min().unwrap_or(rest.len());
        masked.push_str(text.get(position..secret_start).unwrap_or_default());
        if length > 0 {
            masked.push_str(MASK);
        }
        position = secret_start + length;
    }
    masked.push_str(text.get(position..).unwrap_or_default());
    masked
}

/// Where the first secret at or after `position` starts.
fn next_secret(lower: &str, position: usize) -> Option<usize> {
    let rest = lower.get(position..)?;
    MARKS.iter().filter_map(|mark| rest.find(mark).map(|at| position + at + mark.len())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_script_are_hidden_up_to_the_end_of_their_line() {
        for (text, masked) in [
            ("plain text", "plain text"),
            ("password=abc", "password=******"),
            ("user=u\\npassword=abc def\\nhost=h", "user=u\\npassword=******\\nhost=h"),
            ("Pwd: abc\nnext", "Pwd:******\nnext"),
            ("alter user x IDENTIFIED BY abc;\\nexit", "alter user x IDENTIFIED BY ******\\nexit"),
            ("pwd=a\\nPASSWORD:b", "pwd=******\\nPASSWORD:******"),
            ("密码 password=值\\n后", "密码 password=******\\n后"),
            ("password=", "password="),
        ] {
            assert_eq!(mask_credentials(text), masked, "{text}");
        }
    }
}
