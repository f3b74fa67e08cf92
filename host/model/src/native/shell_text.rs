//! Whether a `setenv` value asks a shell for a part of it.

/// What a value of `native/setenv` asks of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellText {
    /// Nothing: the value is the text.
    None,
    /// It holds `$( … )`, and nothing in it looks as if it changed files.
    Harmless,
    /// It holds `$( … )` together with the words `rm` or `cp` or a `>`. Never evaluated.
    Refused,
}

impl ShellText {
    /// Looks at a value. This is the contract's word list, not a sandbox: whoever allows evaluation trusts
    /// the authors of jobs.
    pub fn of(value: &str) -> Self {
        let asks = value.split_once("$(").is_some_and(|(_, rest)| rest.contains(')'));
        if !asks {
            return Self::None;
        }
        let mut words = value.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if value.contains('>') || words.any(|word| matches!(word, "rm" | "cp")) {
            Self::Refused
        } else {
            Self::Harmless
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_substitution_asks_the_shell() {
        for (value, expected) in [
            ("plain", ShellText::None),
            ("$(", ShellText::None),
            ("cost > $5", ShellText::None),
            ("$(date +%F)", ShellText::Harmless),
            ("x-$(rpm -q bash)", ShellText::Harmless),
            ("$(rm -rf /)", ShellText::Refused),
            ("$(/bin/cp a b)", ShellText::Refused),
            ("$(date >x)", ShellText::Refused),
        ] {
            assert_eq!(ShellText::of(value), expected, "{value}");
        }
    }
}
