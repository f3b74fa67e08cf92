//! File names made from text that others chose.

use crate::StoreError;

/// The longest file name Linux file systems take, in bytes.
pub const MAX_FILE_NAME: usize = 255;

/// Makes `text` usable as a part of a file name: `/` and control characters become `_`.
///
/// Used for the executing user in history names (`spec/workdir.md` §5.4). Empty text becomes `anonymous`,
/// the default of the flag.
pub fn safe_component(text: &str) -> String {
    if text.is_empty() {
        return "anonymous".to_owned();
    }
    text.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect()
}

/// The last segment of a name that came over the network, safe to create in a directory of ours.
///
/// Both `/` and `\` separate, because the name may come from a Windows client.
pub fn base_name(text: &str) -> Result<String, StoreError> {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    check_file_name("a file name", last)?;
    Ok(last.to_owned())
}

/// Refuses what is not a single, plain file name.
pub(crate) fn check_file_name(what: &'static str, text: &str) -> Result<(), StoreError> {
    let plain = !text.is_empty()
        && text != "."
        && text != ".."
        && text.len() <= MAX_FILE_NAME
        && !text.chars().any(|c| c == '/' || c.is_control());
    if plain { Ok(()) } else { Err(StoreError::Name { what, text: text.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_cannot_leave_the_directory() {
        assert_eq!(safe_component("../../a\nb"), ".._.._a_b");
        assert_eq!(safe_component("张三"), "张三");
        assert_eq!(safe_component(""), "anonymous");
    }

    #[test]
    fn only_the_last_segment_of_a_received_name_counts() {
        assert_eq!(base_name("../../etc/passwd").unwrap(), "passwd");
        assert_eq!(base_name(r"C:\temp\a b.zip").unwrap(), "a b.zip");
        for bad in ["", "a/", "..", "x\u{0}", &"n".repeat(256)] {
            assert!(base_name(bad).is_err(), "{bad:?}");
        }
    }
}
