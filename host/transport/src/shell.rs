//! Text for a POSIX shell: quoting, and names that need none.

/// `text` in single quotes: one word for a POSIX shell, whatever it holds (except NUL, which no shell takes).
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for (index, part) in text.split('\'').enumerate() {
        if index > 0 {
            quoted.push_str(r"'\''");
        }
        quoted.push_str(part);
    }
    quoted.push('\'');
    quoted
}

/// True for a name that a shell can export.
pub fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
pub(crate) mod shells_for_tests {
    /// The shells that may be `/bin/sh` on a target.
    pub(crate) fn shells() -> Vec<&'static str> {
        installed(&["/bin/dash", "/bin/bash", "/bin/ksh", "/bin/busybox", "/bin/mksh"])
    }

    /// Shells that are no `/bin/sh` anywhere, and that accounts may have all the same.
    pub(crate) fn strange_shells() -> Vec<&'static str> {
        installed(&["/usr/bin/tcsh", "/usr/bin/fish", "/usr/bin/zsh"])
    }

    fn installed(shells: &[&'static str]) -> Vec<&'static str> {
        let (found, missing): (Vec<_>, Vec<_>) =
            shells.iter().copied().partition(|shell| std::path::Path::new(shell).exists());
        if !missing.is_empty() {
            autoexec_test_support::skip::skipped(format_args!("{missing:?}"));
        }
        found
    }

    /// `shell -c`, of busybox too.
    pub(crate) fn of(shell: &str) -> std::process::Command {
        let mut command = std::process::Command::new(shell);
        command.args(if shell.ends_with("busybox") { &["sh", "-c"][..] } else { &["-c"] });
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in ["", "a b", "it's", "''", "$HOME `id` \\ \" !x", "two\nlines", "ends in \\", "*?[é]"] {
            let script = format!("printf %s {}", quote(text));
            let output = Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn variable_names() {
        assert!(is_variable_name("_A1"));
        for bad in ["", "1A", "A-B", "A=B", "é", "A B"] {
            assert!(!is_variable_name(bad), "{bad}");
        }
    }
}
