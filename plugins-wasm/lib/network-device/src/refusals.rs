/// What devices say when they do not take a command, at the begin of a line.
pub const USUAL_REFUSALS: [&str; 12] = [
    "% Invalid",
    "% Incomplete",
    "% Ambiguous",
    "% Unknown",
    "% Unrecognized",
    "% Bad ",
    "Error:",
    "%Error",
    "Unrecognized command",
    "Invalid input",
    "unknown command",
    "syntax error",
];

/// The first line of a command's output in which the device refuses it. Marks such as `^` and blanks in front of the text
/// do not count, nor does its case.
pub fn refusal<'o, 'p>(
    output: &'o str,
    patterns: impl IntoIterator<Item = &'p str> + Clone,
) -> Option<&'o str> {
    output.lines().map(str::trim).find(|line| {
        let bare = line.trim_start_matches(['^', ' ']).to_ascii_lowercase();
        patterns.clone().into_iter().any(|pattern| bare.starts_with(&pattern.trim().to_ascii_lowercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_found_where_a_line_begins_with_them() {
        let cisco = "show ver\n          ^\n% Invalid input detected at '^' marker.\n";
        assert_eq!(refusal(cisco, USUAL_REFUSALS), Some("% Invalid input detected at '^' marker."));
        let huawei = "        ^\nError: Unrecognized command found at '^' position.\n";
        assert!(refusal(huawei, USUAL_REFUSALS).is_some());
        assert_eq!(refusal("CRC errors: 0\nLast Error: none\n", USUAL_REFUSALS), None);
        assert_eq!(refusal("busy, try later", ["busy"]), Some("busy, try later"));
    }
}
