use wildmatch::WildMatch;

/// Whether a part of a path stands for several names.
pub fn has_wildcard(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// Whether a name fits a pattern with `*` (any characters) and `?` (one character). As in a shell, a name that begins
/// with a dot is only meant by a pattern that does. Brackets and braces are characters of names, as they are in a path
/// without wildcards.
pub fn matches(pattern: &str, name: &str) -> bool {
    let is_hidden = name.starts_with('.') && !pattern.starts_with('.');
    !is_hidden && WildMatch::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name) in [
            ("*.log", "a.log"),
            ("a*b*c", "aXbYbZc"),
            ("?", "x"),
            ("?", "\u{4e2d}"),
            ("*", "x"),
            ("**", ""),
            (".*", ".x"),
            ("a[1]*", "a[1].log"),
            ("{a,b}?", "{a,b}c"),
            ("\\n*", "\\nx"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.log", "a.logs"),
            ("?", ""),
            ("??", "\u{4e2d}"),
            ("a*b", "a"),
            ("*", ".hidden"),
            ("", "x"),
            ("a[1]*", "a1.log"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
