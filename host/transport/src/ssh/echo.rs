//! What a login says instead of running our line may be that line: a menu that repeats what it was given, a `cat` in a profile. The
//! values in it are secrets as often as not, so they are taken out of what is shown.

/// From so many bytes on, what stands in one of our values and in an account's output counts as a part of the value.
const PART: usize = 12;
/// A shorter value is taken out as a whole, from this length on.
const SHORTEST: usize = 4;
const MASK: &[u8] = b"******";

/// `said` without the values, that is the quoted words, of `line`.
pub(super) fn without_values(said: &[u8], line: &[u8]) -> Vec<u8> {
    let values = quoted(line);
    let mut shown = Vec::with_capacity(said.len());
    let mut rest = said;
    while let Some((first, others)) = rest.split_first() {
        let length = values.iter().map(|value| common(rest, value)).max().unwrap_or(0);
        if length == 0 {
            shown.push(*first);
            rest = others;
        } else {
            shown.extend_from_slice(MASK);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    shown
}

/// The texts in single quotes; outside of them a backslash takes away the meaning of the next byte.
fn quoted(line: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((first, others)) = rest.split_first() {
        rest = match first {
            b'\\' => others.get(1..).unwrap_or_default(),
            b'\'' => {
                let end = others.iter().position(|byte| *byte == b'\'').unwrap_or(others.len());
                found.extend(others.get(..end).filter(|value| value.len() >= SHORTEST));
                others.get(end + 1..).unwrap_or_default()
            }
            _ => others,
        };
    }
    found
}

/// How much of the beginning of `said` is in `value`; 0 where that is too little to mean anything.
fn common(said: &[u8], value: &[u8]) -> usize {
    if value.len() < PART {
        return if said.starts_with(value) { value.len() } else { 0 };
    }
    let Some(begin) = said.get(..PART) else { return 0 };
    let alike = |at: usize| {
        said.iter().zip(value.get(at..).unwrap_or_default()).take_while(|(one, other)| one == other).count()
    };
    let places = value.windows(PART).enumerate().filter(|(_, window)| *window == begin);
    places.map(|(at, _)| alike(at)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_whole_and_in_parts() {
        let line = b"ae_new 12ab; ae_v() { export TOKEN='hunterSECRET99' A='b' P='pass'; }; exec \"$@\" sh -l 's.sh' 'it'\\''s another secret'";
        let shown = |said: &str| String::from_utf8(without_values(said.as_bytes(), line)).unwrap();
        assert_eq!(
            shown("unknown: TOKEN='hunterSECRET99' A='b' P='pass';"),
            "unknown: TOKEN='******' A='b' P='******';"
        );
        assert_eq!(shown("cut off: unterSECRET99"), "cut off: ******");
        assert_eq!(shown("it's another secret!"), "it'******!");
        assert_eq!(shown("sh: 1: another secret: not found"), "sh: 1:******: not found");
        for other in ["This account is currently not available.", "", "hunter", "menu: 1) b"] {
            assert_eq!(shown(other), other);
        }
    }
}
