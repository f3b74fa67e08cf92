//! What keyboard-interactive is answered: ours is one password, whatever a server asks for.

use ssh2::{KeyboardInteractivePrompt, Prompt};

use super::error::excerpt;
use crate::secret::Secret;

/// A server may ask as often as it likes.
const MAX_ROUNDS: u32 = 8;
/// So many prompts are shown in an error.
const MAX_SHOWN: usize = 4;
/// Characters of each, from its end, where the question is.
const MAX_LENGTH: usize = 160;
/// What PAM asks when a password has to be changed, in English and Chinese. Whoever answers that changes the password, or
/// makes the old one count as a new one.
const CHANGES: [&str; 9] = [
    "new password",
    "new unix password",
    "retype",
    "current password",
    "current unix password",
    "(current)",
    "\u{65b0}\u{7684}\u{5bc6}\u{7801}",
    "\u{65b0}\u{5bc6}\u{7801}",
    "\u{5f53}\u{524d}",
];
/// What a second factor is asked for by, in English and Chinese. Its server may log what it takes for a code.
const CODES: [&str; 11] = [
    "code",
    "token",
    "otp",
    "one-time",
    "one time",
    "second factor",
    "yubikey",
    "\u{9a8c}\u{8bc1}\u{7801}",
    "\u{52a8}\u{6001}",
    "\u{4ee4}\u{724c}",
    "\u{4e00}\u{6b21}\u{6027}",
];

/// Answers hidden prompts with the password, and shown ones and those that want something else with nothing.
pub(super) struct Answers<'a> {
    password: &'a Secret,
    rounds: u32,
    asked: Vec<String>,
    /// The password is to be changed: from then on nothing is answered.
    expired: bool,
    /// Something else than the password was asked for.
    withheld: bool,
}

impl<'a> Answers<'a> {
    pub(super) fn new(password: &'a Secret) -> Self {
        Self { password, rounds: 0, asked: Vec::new(), expired: false, withheld: false }
    }

    /// What a person has to know of the questions, with a space in front.
    pub(super) fn remark(&self) -> String {
        let expired = if self.expired {
            " [the account's password has expired and has to be changed there: the server asks for a new one]"
        } else {
            ""
        };
        // One question is the usual one.
        let asked = match self.asked.as_slice() {
            [] => String::new(),
            [_] if !self.withheld => String::new(),
            asked => format!(" [it asked: {}]", asked.join(", ")),
        };
        format!("{expired}{asked}")
    }

    fn answer(&mut self, prompt: &Prompt<'_>) -> String {
        let text = question(&prompt.text);
        let asks = |words: &[&str]| words.iter().any(|word| text.contains(word));
        self.expired |= asks(&CHANGES);
        if self.asked.len() < MAX_SHOWN {
            // A server may repeat what it was given.
            let masked = match self.password.expose() {
                "" => prompt.text.to_string(),
                password => prompt.text.replace(password, "***"),
            };
            let text = excerpt(masked.as_bytes());
            let before = text.chars().count().saturating_sub(MAX_LENGTH);
            let shown: String = text.chars().skip(before).collect();
            self.asked.push(format!("{shown:?}"));
        }
        if prompt.echo || self.expired || self.rounds > MAX_ROUNDS || asks(&CODES) {
            self.withheld = true;
            return String::new();
        }
        self.password.expose().to_owned()
    }
}

/// What is asked for, in small letters, without the account and the host that it is asked for: their names may be anything.
fn question(prompt: &str) -> String {
    let text = prompt.to_lowercase();
    let text = match text.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((account, rest)) if account.contains('@') => rest,
        _ => &text,
    };
    match text.split_once("password for ") {
        // A name is one word: "for your token" is a question.
        Some((before, name)) if !name.trim_end().contains(' ') => format!("{before}password"),
        _ => text.to_owned(),
    }
}

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'_>]) -> Vec<String> {
        self.rounds = self.rounds.saturating_add(1);
        prompts.iter().map(|prompt| self.answer(prompt)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(answers: &mut Answers<'_>, prompts: &[(&str, bool)]) -> Vec<String> {
        let prompts: Vec<Prompt<'_>> =
            prompts.iter().map(|(text, echo)| Prompt { text: (*text).into(), echo: *echo }).collect();
        answers.prompt("u", "", &prompts)
    }

    #[test]
    fn only_hidden_prompts_get_the_password() {
        let password = Secret::new("pw".to_owned());
        let mut answers = Answers::new(&password);
        assert_eq!(answers.remark(), "");
        assert_eq!(ask(&mut answers, &[("Password: ", false), ("Host: ", true)]), ["pw", ""]);
        assert_eq!(answers.remark(), " [it asked: \"Password:\", \"Host:\"]");
        ask(&mut answers, &[("not pw: ", true)]);
        assert!(
            answers.remark().contains("not ***:") && !answers.remark().contains("pw"),
            "{}",
            answers.remark()
        );
        answers.rounds = MAX_ROUNDS;
        assert_eq!(ask(&mut answers, &[("Password: ", false)]), [""]);
    }

    #[test]
    fn a_second_factor_does_not_get_the_password_and_is_named() {
        let password = Secret::new("pw".to_owned());
        let mut answers = Answers::new(&password);
        assert_eq!(ask(&mut answers, &[("(u@h) Password: ", false)]), ["pw"]);
        assert_eq!(answers.remark(), "");
        assert_eq!(
            ask(&mut answers, &[("Verification code: ", false), ("\u{9a8c}\u{8bc1}\u{7801}\u{ff1a}", false)]),
            ["", ""]
        );
        assert!(answers.remark().contains("Verification code:"), "{}", answers.remark());
    }

    #[test]
    fn names_of_accounts_and_hosts_are_no_questions() {
        let password = Secret::new("pw".to_owned());
        for (asks, answer) in [
            ("Password for bob@token.example:", "pw"),
            ("(otp@codes) Password:", "pw"),
            ("LDAP Password: ", "pw"),
            ("One-time password (OATH) for `bob': ", ""),
            ("One-time password for bob:", ""),
            ("Password for your token: ", ""),
            ("Response for token 17: ", ""),
            ("YubiKey for `bob': ", ""),
            ("Second Factor (optional): ", ""),
            ("(bob@host) Enter PASSCODE: ", ""),
            ("\u{52a8}\u{6001}\u{53e3}\u{4ee4}: ", ""),
        ] {
            let mut answers = Answers::new(&password);
            assert_eq!(ask(&mut answers, &[(asks, false)]), [answer], "{asks}");
            assert_eq!(answers.remark().is_empty(), !answer.is_empty(), "{asks}: {}", answers.remark());
        }
    }

    #[test]
    fn a_password_is_not_changed_whoever_asks() {
        let password = Secret::new("pw".to_owned());
        for asks in [
            "Current password: ",
            "New password: ",
            "(current) UNIX password: ",
            "\u{65b0}\u{7684}\u{5bc6}\u{7801}\u{ff1a}",
        ] {
            let mut answers = Answers::new(&password);
            assert_eq!(ask(&mut answers, &[("Password: ", false)]), ["pw"]);
            assert_eq!(ask(&mut answers, &[(asks, false)]), [""]);
            assert_eq!(ask(&mut answers, &[("Password: ", false)]), [""], "nothing from then on");
            assert!(answers.remark().contains("has expired"), "{}", answers.remark());
        }
    }

    #[test]
    fn what_is_shown_of_hostile_questions_is_bounded() {
        let password = Secret::new("pw".to_owned());
        let mut answers = Answers::new(&password);
        for _ in 0..100 {
            ask(&mut answers, &[(&"\u{1b}[2J".repeat(1000), true)]);
        }
        assert!(answers.remark().len() < 800 && !answers.remark().contains('\u{1b}'), "{}", answers.remark());
    }
}
