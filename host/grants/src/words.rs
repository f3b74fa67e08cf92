//! Patterns for what is run: command lines on a node, arguments of a program.

use std::fmt;

use crate::text::{glob, glob_covers};

/// The longest command that is compared, in words: longer ones fit nothing but "any command".
const MOST_WORDS: usize = 256;

/// The longest word in which a star is looked for, in bytes.
const LONGEST_WORD: usize = 4096;

/// Words with one blank between them. In a word `*` stands for characters, the word `**` for any words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordsPattern(Vec<Word>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// `**`
    Rest,
    /// As written; stars stand for characters.
    One(String),
}

/// Who reads the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A shell: what a star stands for must mean nothing to it.
    Shell,
    /// The program itself.
    Program,
}

impl WordsPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, WordsPatternError> {
        if text.trim().is_empty() {
            return Err(WordsPatternError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(WordsPatternError::Control);
        }
        let words: Vec<Word> = text
            .split(' ')
            .map(|word| match word {
                "**" => Ok(Word::Rest),
                word if word.contains("**") => Err(WordsPatternError::Stars),
                word if word.len() > LONGEST_WORD => Err(WordsPatternError::TooLong),
                word => Ok(Word::One(word.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        if words.len() > MOST_WORDS {
            return Err(WordsPatternError::TooLong);
        }
        if words.windows(2).any(|pair| pair == [Word::Rest, Word::Rest]) {
            return Err(WordsPatternError::Stars);
        }
        Ok(Self(words))
    }

    /// Whether a shell's command line is meant.
    pub(crate) fn matches_line(&self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').take(MOST_WORDS + 1).collect();
        self.matches(&words, Reader::Shell)
    }

    /// Whether a program's arguments are meant.
    pub(crate) fn matches_arguments(&self, arguments: &[String]) -> bool {
        let words: Vec<&str> = arguments.iter().take(MOST_WORDS + 1).map(String::as_str).collect();
        self.matches(&words, Reader::Program)
    }

    /// The same way as [`glob`], with words for characters.
    fn matches(&self, words: &[&str], reader: Reader) -> bool {
        if words.len() > MOST_WORDS {
            return false;
        }
        let (mut rest, mut left) = (self.0.as_slice(), words);
        let mut last: Option<(&[Word], &[&str])> = None;
        loop {
            match (rest.split_first(), left.split_first()) {
                (None, None) => return true,
                (Some((Word::Rest, after)), _) => {
                    last = Some((after, left));
                    rest = after;
                }
                (Some((Word::One(pattern), after)), Some((word, others))) if fits(pattern, word, reader) => {
                    (rest, left) = (after, others);
                }
                _ => {
                    let Some((after, from)) = last else { return false };
                    match from.split_first() {
                        Some((taken, others)) if word_is_plain(taken, reader) => {
                            last = Some((after, others));
                            (rest, left) = (after, others);
                        }
                        _ => return false,
                    }
                }
            }
        }
    }

    /// Whether its first word can be any.
    pub(crate) fn is_open(&self) -> bool {
        match self.0.first() {
            Some(Word::One(text)) => text.starts_with('*'),
            Some(Word::Rest) | None => true,
        }
    }

    /// Whether everything that `other` means is meant by this one too. Says no where it is not sure.
    pub(crate) fn covers(&self, other: &Self, reader: Reader) -> bool {
        if self == other {
            return true;
        }
        // `a **` covers `a b **` and `a b*` when the rest could take what stands there.
        if let Some((Word::Rest, fixed)) = self.0.split_last() {
            let (same, rest) = other.0.split_at(fixed.len().min(other.0.len()));
            let taken = |word: &Word| match word {
                Word::Rest => true,
                Word::One(text) => word_is_plain(text, reader),
            };
            return same == fixed && rest.iter().all(taken);
        }
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|pair| match pair {
                (Word::One(own), Word::One(other)) => word_covers(own, other, reader),
                (own, other) => own == other,
            })
    }
}

/// Whether a word fits. The pattern's own text does, also with stars that a shell is to read. Where a star stands for
/// something, the word must not lead up (`..`), and where it comes first the word must not look like an option.
fn fits(pattern: &str, word: &str, reader: Reader) -> bool {
    if pattern == word || !pattern.contains('*') {
        return pattern == word;
    }
    let climbs = word.contains("..") && !pattern.contains("..");
    let option = pattern.starts_with('*') && word.starts_with('-');
    !climbs && !option && word.len() <= LONGEST_WORD && glob(pattern, word, |c| is_plain(c, reader))
}

fn word_covers(own: &str, other: &str, reader: Reader) -> bool {
    if own == other {
        return true;
    }
    if !other.contains('*') {
        return fits(own, other, reader);
    }
    // What `other` says literally must not be what `fits` refuses of a star; a star itself is such a thing for a shell.
    let safe = !other.contains("..") && (!own.starts_with('*') || !other.starts_with('-'));
    own.contains('*') && safe && is_plain('*', reader) && glob_covers(own, other, |c| is_plain(c, reader))
}

fn word_is_plain(word: &str, reader: Reader) -> bool {
    word.chars().all(|c| is_plain(c, reader))
}

/// Whether a star may stand for the character.
fn is_plain(c: char, reader: Reader) -> bool {
    match reader {
        Reader::Program => true,
        // No quoting, no expansion, no globs, no comments, no variables of Windows.
        Reader::Shell => c.is_alphanumeric() || "-_./,:=@+".contains(c),
    }
}

impl fmt::Display for WordsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            let blank = if index > 0 { " " } else { "" };
            match word {
                Word::Rest => write!(f, "{blank}**"),
                Word::One(text) => write!(f, "{blank}{text}"),
            }?;
        }
        Ok(())
    }
}

/// Not a pattern for words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsPatternError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// More than is ever compared.
    #[error("it has more than {MOST_WORDS} words or one of more than {LONGEST_WORD} bytes")]
    TooLong,
    /// Line breaks and the like.
    #[error("it has control characters; give each line a pattern of its own")]
    Control,
    /// `a**`, `** **`.
    #[error(
        "`**` stands alone between blanks, once for any number of words; `*` stands for characters of one word"
    )]
    Stars,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> WordsPattern {
        WordsPattern::parse(text).unwrap()
    }

    #[test]
    fn stars_in_a_command_line_take_nothing_that_a_shell_reads() {
        for (text, line, expected) in [
            ("uptime", "uptime", true),
            ("uptime", "uptime ", false),
            ("uptime", "uptime; id", false),
            ("systemctl status *", "systemctl status sshd", true),
            ("systemctl status *", "systemctl status sshd nginx", false),
            ("systemctl status *", "systemctl status sshd;id", false),
            ("systemctl status *", "systemctl status $(id)", false),
            ("systemctl status *", "systemctl status `id`", false),
            ("systemctl status *", "systemctl status sshd\nid", false),
            ("systemctl status *", "systemctl status sshd\tid", false),
            ("systemctl status *", "systemctl status sshd&id", false),
            ("systemctl status *", "systemctl status sshd|id", false),
            ("systemctl status *", "systemctl status sshd>x", false),
            ("systemctl status *", "systemctl status 'x'", false),
            ("systemctl status *", "systemctl status \"x\"", false),
            ("systemctl status *", "systemctl status x\\", false),
            ("systemctl status *", "systemctl status {a,b}", false),
            ("systemctl status *", "systemctl status ~root", false),
            ("systemctl status *", "systemctl status x#y", false),
            ("systemctl status *", "systemctl status [a]", false),
            ("systemctl status *", "systemctl status x?", false),
            ("systemctl status *", "systemctl status %PATH%", false),
            ("systemctl status *", "systemctl status ^x", false),
            ("systemctl status *", "systemctl status !x", false),
            ("systemctl status *", "systemctl status --root=/x", false),
            ("systemctl status --n=*", "systemctl status --n=5", true),
            ("cat /var/log/*", "cat /var/log/messages", true),
            ("cat /var/log/*", "cat /var/log/../shadow", false),
            ("cat ../*", "cat ../x", true),
            ("cat ../*", "cat ../../x", true),
            ("ls **", "ls", true),
            ("ls **", "ls -l /x ..", true),
            ("ls **", "ls -l;id", false),
            ("ls ** /x", "ls -l -a /x", true),
            ("ls ** /x", "ls -l /x /y", false),
            ("ls ** /x ** y", "ls /x /x a y", true),
            ("ps aux | grep *", "ps aux | grep java", true),
            ("ps aux | grep *", "ps aux | grep java | sh", false),
            ("*", "reboot", true),
            ("*", "re boot", false),
            ("ü*", "übung", true),
            ("ls *.log", "ls *.log", true),
            ("ls *.log", "ls a*.log", false),
        ] {
            assert_eq!(pattern(text).matches_line(line), expected, "{text:?} {line:?}");
        }
    }

    #[test]
    fn arguments_of_a_program_may_hold_anything_where_a_star_stands() {
        let matches = |text: &str, arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            pattern(text).matches_arguments(&arguments)
        };
        assert!(matches("get *", &["get", "a b;c$d"]));
        assert!(!matches("get *", &["get", "a", "b"]));
        assert!(!matches("get *", &["get", "--kubeconfig=x"]));
        assert!(!matches("get a/*", &["get", "a/../../b"]));
        assert!(matches("get **", &["get"]) && matches("get **", &["get", "-A", "x y"]));
        assert!(!matches("get **", &["delete"]));
        assert!(!matches("get", &[]) && matches("**", &[]));
    }

    #[test]
    fn what_is_too_long_fits_nothing() {
        let long = "x ".repeat(MOST_WORDS) + "x";
        assert!(!pattern("**").matches_line(&long));
        assert!(pattern("**").matches_line(&"x ".repeat(MOST_WORDS - 1)));
        assert!(!pattern("*").matches_line(&"x".repeat(LONGEST_WORD + 1)));
        assert!(pattern("*").matches_line(&"x".repeat(LONGEST_WORD)));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, expected) in [
            ("", WordsPatternError::Empty),
            ("  ", WordsPatternError::Empty),
            ("a\nb", WordsPatternError::Control),
            ("a**", WordsPatternError::Stars),
            ("** **", WordsPatternError::Stars),
        ] {
            assert_eq!(WordsPattern::parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(WordsPattern::parse(&"x ".repeat(MOST_WORDS)), Err(WordsPatternError::TooLong));
        assert_eq!(WordsPattern::parse(&"x".repeat(LONGEST_WORD + 1)), Err(WordsPatternError::TooLong));
        assert_eq!(pattern("a ** b*").to_string(), "a ** b*");
    }

    #[test]
    fn covering_is_seen_where_it_is_plain() {
        for (own, other, expected) in [
            ("a *", "a *", true),
            ("a *", "a b", true),
            ("a *", "a b*", false),
            ("a *", "a -b*", false),
            ("a *", "a -b", false),
            ("a *", "a **", false),
            ("a *", "a ..*", false),
            ("a x*", "a x;*", false),
            ("a **", "a", true),
            ("a **", "a b **", true),
            ("a **", "a b; c", false),
            ("a **", "a b*", false),
            ("a **", "b", false),
            ("**", "a -b ..", true),
            ("a b", "a", false),
        ] {
            assert_eq!(pattern(own).covers(&pattern(other), Reader::Shell), expected, "{own} {other}");
        }
        for (own, other, expected) in [
            ("a *", "a b*", true),
            ("a *", "a b;*", true),
            ("a *", "a -b*", false),
            ("a *", "a ..*", false),
            ("a b*", "a b*c", true),
            ("a **", "a b* **", true),
            ("a b", "a b*", false),
        ] {
            assert_eq!(pattern(own).covers(&pattern(other), Reader::Program), expected, "{own} {other}");
        }
    }
}
