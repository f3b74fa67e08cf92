//! What "covers" promises, tried with many patterns over few letters: whatever fits the covered pattern fits the other.

use proptest::prelude::*;

use crate::access::Direction;
use crate::path::{AbsolutePath, PathPattern};
use crate::text::NamePattern;
use crate::words::{Reader, WordsPattern};

/// Whether a text fits a pattern, in the way in which it is defined.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| fits(rest, &text[taken..])),
        Some((first, rest)) => text.first() == Some(first) && fits(rest, &text[1..]),
    }
}

proptest! {
    #![proptest_config(crate::outside::config(2000))]

    #[test]
    fn names(own in "[ab*]{1,5}", other in "[ab*]{1,5}", text in "[ab]{0,6}") {
        let (one, two) = (NamePattern::parse(&own).unwrap(), NamePattern::parse(&other).unwrap());
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(one.matches(&text), fits(&letters(&own), &letters(&text)), "{} {}", own, text);
        if one.covers(&two) && two.matches(&text) {
            prop_assert!(one.matches(&text), "{} covers {}, but not {}", own, other, text);
        }
    }

    #[test]
    fn words(
        own in "(\\*\\* )?[a;*.-]{1,2}( \\*\\*)?( [a;*.-]{1,2})?",
        other in "(\\*\\* )?[a;*.-]{1,2}( \\*\\*)?( [a;*.-]{1,2})?",
        line in "[a;*.-]{0,3}( [a;*.-]{0,3}){0,3}",
    ) {
        let (Ok(one), Ok(two)) = (WordsPattern::parse(&own), WordsPattern::parse(&other)) else { return Ok(()) };
        if one.covers(&two, Reader::Shell) && two.matches_line(&line) {
            prop_assert!(one.matches_line(&line), "{} covers {}, but not {}", own, other, line);
        }
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if one.covers(&two, Reader::Program) && two.matches_arguments(&arguments) {
            prop_assert!(one.matches_arguments(&arguments), "{} covers {}, but not {:?}", own, other, arguments);
        }
    }

    /// A line that fits a pattern with stars holds nothing that the pattern does not hold literally and a shell reads.
    #[test]
    fn stars_never_take_what_a_shell_reads(pattern in "[a*]{1,3}( [a*]{1,3}){0,2}", line in "[a;|&$`'\" \\\\<>()\n-]{0,8}") {
        let Ok(pattern) = WordsPattern::parse(&pattern) else { return Ok(()) };
        if pattern.matches_line(&line) {
            prop_assert!(line.chars().all(|c| matches!(c, 'a' | ' ' | '-' | '*')), "{} takes {:?}", pattern, line);
        }
    }

    #[test]
    fn paths(own in "(/[ab.]{1,2}){1,3}", other in "(/[ab.]{1,2}){1,3}", path in "(/[ab./]{0,2}){1,4}") {
        let (Ok(one), Ok(two)) = (PathPattern::parse(&own), PathPattern::parse(&other)) else { return Ok(()) };
        let Ok(path) = AbsolutePath::parse(&path) else { return Ok(()) };
        if one.covers(&two) && two.holds(&path, None) {
            prop_assert!(one.holds(&path, None), "{} covers {}, but not {}", own, other, path);
        }
        prop_assert!(!path.to_string().split('/').any(|part| part == "..") && !path.to_string().contains("//"));
    }
}

#[test]
fn directions_have_the_keys_of_policies() {
    assert_eq!(
        (Direction::Read.to_string(), Direction::Write.to_string()),
        ("read".to_owned(), "write".to_owned())
    );
}
