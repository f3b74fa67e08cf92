//! The shell on a target that does one line after another, and the lines that it is sent.
//!
//! What is the same for each line is part of the shell's own command: a shell reads a line byte by byte, at a system call
//! each.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::marker::Token;
use crate::login_scope;
use crate::shell::quote;

/// The shell's process group as another process of the shell sees it.
pub(super) const LOOKED_UP: &str = r#""$(($(ps -o pgid= -p $$)))""#;

/// Shell text that defines what [`word`] writes for line breaks.
pub(super) const LINE_BREAK: &str = "ae_n=$(printf '\\nx'); ae_n=${ae_n%x}; ";

/// The same, and the file mask, for the shell that stays, where it can be without a process: shells set `IFS` when they start,
/// and Linux tells the mask.
const KNOWN: &str = r#"ae_n=${IFS#??}; case $ae_n in ?) ;; *) LINE_BREAK ;; esac; ae_u=; [ "$ae_p" ] && while read -r ae_y ae_z; do [ "$ae_y" = Umask: ] && ae_u=$ae_z && break; done </proc/self/status; [ "$ae_u" ] || ae_u=$(umask); "#;

/// Writes a report for each pair of name and number, after those in `ae_h`, which wait for the next one: each packet
/// costs. `ae_t` is the token, which is made of hexadecimal digits.
pub(super) const REPORT: &str = r#"ae_r() { printf "\036$ae_t %s %s\036" $ae_h "$@"; ae_h=; }; "#;

/// Writes the reports that wait.
const REST: &str = r#"ae_rest() { [ ! "$ae_h" ] || ae_r; }; "#;

/// Reports the code of what has just failed, and ends the shell.
const FAILED: &str = r#"ae_q() { ae_r failed "$?"; exit 1; }; "#;

/// Goes into a directory, or ends the shell where there is no such directory.
const ENTER: &str = r#"ae_c() { cd "$1" 2>/dev/null || { ae_r nodir 0; exit 1; }; }; "#;

/// Sends the first of the files that has something in it, if the command succeeded and it is no larger than the first word. One that
/// cannot be read is announced as well, so that it is missed.
pub(super) const FILE: &str = r#"ae_f() { [ "$x" = 0 ] || return 0; ae_z=$1; shift; for f; do if [ -s "$f" ]; then z=$(2>/dev/null wc -c <"$f"); z=$((${z:-1})); if [ "$z" -le "$ae_z" ]; then ae_r file "$z"; cat "$f"; else ae_r file "$((ae_z+1))"; fi; ae_r end 0; break; fi; done; }; "#;

/// Removes the directory after a command that succeeded.
const CLEAN: &str = r#"ae_k() { [ "$x" = 0 ] && cd / && rm -rf "$1" 2>/dev/null && ae_h="removed 0"; }; "#;

/// Says in `ae_g` where /proc has the process that asks, where it is not the one of `ae_m`: some shells make no process for
/// a subshell before they have to.
const OWN: &str = r#"ae_o() { [ "$ae_p" ] && cd -P /proc/self 2>/dev/null && ae_g=$PWD && cd "$ae_w" && [ "$ae_g" != "$ae_m" ]; }; "#;

/// Becomes what the function `ae_x` becomes. The variables, which `ae_v` sets, come last: nothing of ours is looked up after them.
const GO: &str = r#"ae_go() { exec </dev/null 2>&1; ae_v; ae_x "$@"; }; "#;

/// A shell that tells its process group and then becomes the command, for where `ae_o` cannot tell it.
const NAMING: &str = r#"ae_b='ae_t=$AUTOEXEC_T; unset AUTOEXEC_T; ae_g=$$; [ "$1" ] || ae_g=LOOKED_UP; shift; printf "\036$ae_t group %s\036" "$ae_g"; exec "$@"'; ae_s() { ae_c "$ae_w"; ae_rest; AUTOEXEC_T=$ae_t; export AUTOEXEC_T; ae_y=$1; shift; ae_go "$@" /bin/sh -c "$ae_b" sh "$ae_y"; }; "#;

/// bash tells of signals only outside of its POSIX mode.
pub(super) const TELLING_SIGNALS: &str = "case ${BASH_VERSION-} in ?*) set +o posix ;; esac; ";

/// Becomes the command in a session of its own. Its group is told before: the process that will lead it looks itself up and becomes
/// `setsid`. The shell that waits hears of it as well.
const BECOME: &str = r#"ae_become() { ae_o || ae_g=; ae_g=${ae_g##*/}; printf %s "$ae_g"; exec >&7 7>&-; if [ "$ae_g" ]; then ae_r group "$ae_g"; ae_go setsid; fi; ae_s own setsid; }; "#;

/// Runs the command in a directory, and keeps its exit code in `x` and, in a shell that looks itself (`ae_looks`), its process
/// group in `ae_g`: a command substitution tells both without a process more. Where there is no `setsid`, job control makes a group.
const RUN: &str = r#"ae_a() { TELLING_SIGNALSae_c "$1"; ae_w=$PWD; ae_m=; ae_o && ae_m=$ae_g; ae_g=; if command -v setsid >/dev/null 2>&1; then { if [ "$ae_looks" ]; then ae_g=$(ae_become); x=$?; else ( ae_become ) >/dev/null; x=$?; fi; } 7>&1; else set -m 2>/dev/null; ( ae_s "" ) & ae_g=$!; wait "$ae_g"; x=$?; set +m 2>/dev/null; fi; ae_h=; }; "#;

/// Does a line, the function `ae_i`, so that no process that it leaves behind can write into the output of the next one. A shell that
/// looks itself ends unless the command's group is gone and the shell is alone in its login's scope; elsewhere all output goes
/// through a pipe, whose end is waited for. Stderr has the shell's own words alone, and ends with a report only after an exit code that
/// may mean a signal: each report is a packet more.
const LINE: &str = r#"ae_do() { if [ "$ae_looks" ]; then ae_i </dev/null; cd /; if [ "$ae_g" ] && ! LIVES && ae_alone; then ae_r over 0; SAYelse ae_r left 0; exit 0; fi; else { ae_i; ae_rest; SAYexit 0; } </dev/null | cat; ae_h=; ae_r over 0; fi; }; "#;
const SAY: &str = r#"[ "$x" -le NO_SIGNAL ] || ae_r over 0 >&2; "#;

/// Whether the login's scope has no process that it did not have when the shell began. A process does not leave it by making a session
/// of its own. logind makes such scopes (`systemd.scope(5)`); where there is none, nothing is known.
const ALONE: &str = r#"ae_alone() { [ "$ae_scope" ] || return 0; while read -r ae_y; do case $ae_first in *" $ae_y "*) ;; *) return 1 ;; esac; done <"$ae_scope"; }; "#;

/// What begins a line of a shell that stays.
const NEW: &str = r#"ae_new() { ae_l=; ae_t=$1; ae_h="start 0 shell $$"; }; "#;

/// Goes to where small files are written, for the account alone.
const INTO: &str = r#"ae_in() { umask 077; ae_c "$ae_d"; }; "#;

/// Makes directories: most often they are there, and a test starts no process.
const DIRECTORIES: &str =
    r#"ae_dir() { for ae_y; do [ -d "$ae_y" ] || { mkdir -p "$@"; return; }; done; }; "#;

/// Defines what writes a text: no command line may have it, and in some shells of the Korn family `printf` is another program.
pub(super) const SAYING: &str = r#"if command -v print >/dev/null 2>&1 && [ "$(command -v printf)" != printf ]; then ae_say() { print -rn -- "$1"; }; else ae_say() { printf %s "$1"; }; fi; "#;

/// Writes a file.
const PUT: &str = r#"ae_put() { ae_say "$2" >"$1"; }; "#;

/// Leaves nothing in a file that need not be there.
const EMPTY: &str = r#"ae_nil() { [ ! -s "$1" ] || : >"$1"; }; "#;

/// Lets files be executed. The script of an operation that has run before keeps its mode.
const EXECUTABLE: &str =
    r#"ae_exe() { for ae_y; do [ -x "$ae_y" ] || { chmod 700 "$@"; return; }; done; }; "#;

/// Ends what the account's login writes to stderr. Whether /proc tells processes by the numbers that the shell knows is
/// found out once. In a command substitution a ksh makes no process and bash does not tell of signals. The loop holds no directory of
/// the account busy.
const BEGIN: &str = r#"printf "\036ready\036" >&2; ae_p=; cd -P /proc/self 2>/dev/null && [ "$PWD" = "/proc/$$" ] && ae_p=1; cd /; ae_looks=; case ${BASH_VERSION-}${KSH_VERSION-} in "") ae_looks=$ae_p ;; esac; "#;

/// Finds the list of the scope's processes, and what is in it. The directories say first whether there are scopes at all.
const SCOPE: &str = r#"ae_scope=; ae_first=" "; if [ "$ae_looks" ] && { [ -d /sys/fs/cgroup/user.slice ] || [ -d /sys/fs/cgroup/systemd/user.slice ]; }; then FIND; [ "$ae_scope" ] && MEMBERS; fi; "#;

/// What a new shell writes to stderr before it does a line.
pub(super) const READY: &[u8] = b"\x1eready\x1e";

const LOOP: &str = r#"while IFS= read -r ae_l; do eval "$ae_l"; done"#;

/// What the shell does.
pub(super) fn script() -> String {
    let naming = NAMING.replace("LOOKED_UP", LOOKED_UP);
    let run = RUN.replace("TELLING_SIGNALS", TELLING_SIGNALS);
    let line = LINE
        .replace("LIVES", &group_lives("ae_g"))
        .replace("SAY", SAY)
        .replace("NO_SIGNAL", &NO_SIGNAL.to_string());
    let known = KNOWN.replace("LINE_BREAK", LINE_BREAK.trim_end());
    let functions = [
        REPORT,
        REST,
        FAILED,
        ENTER,
        FILE,
        CLEAN,
        OWN,
        GO,
        &naming,
        BECOME,
        &run,
        ALONE,
        &line,
        NEW,
        INTO,
        DIRECTORIES,
        SAYING,
        PUT,
        EMPTY,
        EXECUTABLE,
    ];
    let scope = SCOPE
        .replace("FIND", &login_scope::find("self"))
        .replace("MEMBERS", &login_scope::members("ae_first"));
    [&functions.concat(), BEGIN, &scope, &known, LOOP].concat()
}

/// A test whether the process group in a variable has a process that is not gone. Not all shells take `kill -s 0` or `--`.
pub(super) fn group_lives(variable: &str) -> String {
    format!("kill -0 \"-${variable}\" 2>/dev/null")
}

/// What login shells of any kind, csh and fish included, are asked to run. It is a shell of its own even where `/bin/sh` is the login
/// shell: what has run before may have set options and traps.
pub(super) fn command() -> &'static str {
    static COMMAND: LazyLock<String> = LazyLock::new(|| format!("exec /bin/sh -c {}", quote(&script())));
    &COMMAND
}

/// One word of a line, whatever the text holds (except NUL).
pub(super) fn word(text: &str) -> String {
    quote(text).replace('\n', "'\"$ae_n\"'")
}

/// What becomes of the shell when a line is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It ends, and with it the channel. What follows the line on the channel is input of the line's commands.
    Ends,
    /// It waits for another line. What the line does leaves nothing behind.
    Stays,
    /// It waits for another line if it is alone then, see [`LINE`], and ends otherwise.
    StaysAlone,
}

/// Tells what is to be told with the next report.
pub(super) const TELL: &str = "ae_r; ";

/// The largest exit code by which a shell does not mean a signal.
pub(super) const NO_SIGNAL: i32 = 128;

/// A line, with its end.
pub(super) struct Line {
    /// Definitions before it, which the shell keeps.
    shared: String,
    text: String,
    afterwards: Afterwards,
}

impl Line {
    /// The line that has a shell do `body`, which reports an exit code and may `exit`. The start is told with its first report;
    /// a body that has something to do before begins with [`TELL`].
    pub(super) fn new(token: &Token, body: &str, afterwards: Afterwards) -> Self {
        let mut text = String::with_capacity(body.len() + 256);
        let (token, over) = (token.text(), "ae_r over 0");
        let _ = match afterwards {
            Afterwards::Ends => writeln!(text, "ae_t={token}; ae_h=\"start 0\"; {body}ae_rest; exit 0"),
            Afterwards::Stays => {
                writeln!(
                    text,
                    "ae_new {token}; ( {body}ae_rest; exit 0 ) </dev/null; ae_h=; {over}; {over} >&2"
                )
            }
            Afterwards::StaysAlone => writeln!(text, "ae_new {token}; ae_i() {{ {body}}}; ae_do"),
        };
        Self { shared: String::new(), text, afterwards }
    }

    /// With definitions that the lines of a shell mostly have in common: they are sent when they change.
    pub(super) fn sharing(self, shared: String) -> Self {
        Self { shared, ..self }
    }

    /// The definitions that the shell has after the line, if they had to be `known` before it.
    pub(super) fn known_after(&self, known: String) -> String {
        if self.shared.is_empty() { known } else { self.shared.clone() }
    }

    /// What is sent to a shell that has the definitions `known`.
    pub(super) fn bytes(&self, known: &str) -> Vec<u8> {
        let shared = if self.shared == known { "" } else { &self.shared };
        [shared.as_bytes(), self.text.as_bytes()].concat()
    }

    pub(super) fn afterwards(&self) -> Afterwards {
        self.afterwards
    }
}

#[cfg(test)]
mod tests {
    use super::super::marker::{Filter, Part, Report};
    use super::super::task::RemoteCommand;
    use super::super::wrapper::Wrapper;
    use super::*;
    use crate::shell::shells_for_tests::{of, shells, strange_shells};

    fn line(command: &RemoteCommand, token: &Token, afterwards: Afterwards) -> Vec<u8> {
        line_after("", command, token, afterwards)
    }

    fn line_after(known: &str, command: &RemoteCommand, token: &Token, afterwards: Afterwards) -> Vec<u8> {
        let wrapper = Wrapper { command: Some(command), ..Wrapper::default() };
        Line::new(token, &wrapper.body(token), afterwards).sharing(wrapper.shared()).bytes(known)
    }

    const BOTH: [Afterwards; 2] = [Afterwards::StaysAlone, Afterwards::Ends];

    /// What a shell makes of lines: reports, output, and what it says itself.
    fn conversation(shell: &str, line: &[u8], token: &Token) -> (Vec<Report>, Vec<u8>, Vec<u8>) {
        conversation_with(shell, &script(), line, token)
    }

    fn conversation_with(
        shell: &str,
        script: &str,
        line: &[u8],
        token: &Token,
    ) -> (Vec<Report>, Vec<u8>, Vec<u8>) {
        use std::io::Write;
        let pipe = std::process::Stdio::piped;
        let mut child = of(shell).arg(script).stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(line).unwrap();
        let output = child.wait_with_output().unwrap();
        let (mut reports, mut data) = (Vec::new(), Vec::new());
        Filter::new(token).feed(&output.stdout, &mut |part| match part {
            Part::Data(bytes) => data.extend_from_slice(bytes),
            Part::Report(report) => reports.push(report),
        });
        (reports, data, output.stderr)
    }

    #[test]
    fn a_line_cut_off_anywhere_runs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("ran");
        let command =
            RemoteCommand { program_line: format!("touch {}", mark.display()), ..RemoteCommand::for_tests() };
        let token = Token::random().unwrap();
        let text = line(&command, &token, Afterwards::StaysAlone);
        for cut in (0..text.len() - 1).step_by(29) {
            conversation("/bin/dash", text.get(..cut).unwrap(), &token);
            assert!(!mark.exists(), "ran when cut at {cut}");
        }
        conversation("/bin/dash", &text, &token);
        assert!(mark.exists());
    }

    #[test]
    fn each_shell_runs_and_reports() {
        let program = "sh -c 'echo \"$A\"\nexit 42'".to_owned();
        let env = vec![("A".to_owned(), "it's\n\"two\" $lines".to_owned())];
        let command = RemoteCommand { program_line: program, env, ..RemoteCommand::for_tests() };
        for (shell, afterwards) in shells().into_iter().flat_map(|shell| BOTH.map(|then| (shell, then))) {
            let token = Token::random().unwrap();
            let (reports, said, stderr) = conversation(shell, &line(&command, &token, afterwards), &token);
            let group = reports.iter().find_map(|report| match report {
                Report::Group(group) => Some(*group),
                _ => None,
            });
            let group = Report::Group(group.filter(|group| *group > 1).unwrap());
            let want = match (afterwards, reports.get(1)) {
                (Afterwards::Ends, _) => vec![Report::Start, group, Report::Exit(42)],
                (_, Some(shell)) => vec![Report::Start, *shell, group, Report::Exit(42), Report::Over],
                (_, None) => vec![],
            };
            assert_eq!(reports, want, "{shell}: {said:?} {stderr:?}");
            assert_eq!(String::from_utf8_lossy(&said), "it's\n\"two\" $lines\n", "{shell}");
        }
    }

    #[test]
    fn any_login_shell_comes_to_the_lines() {
        let token = Token::random().unwrap();
        let line = line(&RemoteCommand::for_tests(), &token, Afterwards::StaysAlone);
        for shell in shells().into_iter().chain(strange_shells()) {
            let (reports, _, stderr) = conversation_with(shell, command(), &line, &token);
            assert_eq!(reports.last(), Some(&Report::Over), "{shell}: {reports:?}");
            assert_eq!(String::from_utf8_lossy(&stderr), String::from_utf8_lossy(READY), "{shell}");
        }
    }

    #[test]
    fn the_command_leads_the_group_that_was_told_before_with_and_without_proc() {
        let program = "sh -c 'read -r pid name state parent group session rest </proc/$$/stat; echo $pid $group $session'";
        let command = RemoteCommand { program_line: program.to_owned(), ..RemoteCommand::for_tests() };
        let with = script();
        let without = with.replace("ae_p=1", ":");
        assert_ne!(with, without);
        for (shell, script) in shells().into_iter().flat_map(|shell| [(shell, &with), (shell, &without)]) {
            let token = Token::random().unwrap();
            let line = line(&command, &token, Afterwards::StaysAlone);
            let (reports, said, stderr) = conversation_with(shell, script, &line, &token);
            let [Report::Start, Report::Shell(_), Report::Group(group), Report::Exit(0), Report::Over] =
                *reports
            else {
                panic!("{shell}: {reports:?} {said:?} {stderr:?}");
            };
            assert_eq!(String::from_utf8_lossy(&said), format!("{group} {group} {group}\n"), "{shell}");
        }
    }

    #[test]
    fn each_shell_does_one_line_after_another_and_knows_nothing_of_the_last() {
        let command = |program: &str| RemoteCommand {
            program_line: format!("sh -c '{program}'"),
            ..RemoteCommand::for_tests()
        };
        for shell in shells() {
            let (first, second) = (Token::random().unwrap(), Token::random().unwrap());
            // What reads its input would take the next line; what goes on would write into its output.
            let known = Wrapper { command: Some(&command("")), ..Wrapper::default() }.shared();
            let lines = [
                line(&command("cat; echo one; exit 3"), &first, Afterwards::StaysAlone),
                line_after(
                    &known,
                    &command("echo two $A ${AUTOEXEC_T-none}; exit 4"),
                    &second,
                    Afterwards::StaysAlone,
                ),
                b"not a line of ours that is whole".to_vec(),
            ];
            let (reports, ..) = conversation(shell, &lines.concat(), &first);
            assert!(reports.ends_with(&[Report::Exit(3), Report::Over]), "{shell}: {reports:?}");
            let (reports, said, stderr) = conversation(shell, &lines.concat(), &second);
            assert!(reports.ends_with(&[Report::Exit(4), Report::Over]), "{shell}: {reports:?}");
            assert_eq!(String::from_utf8_lossy(&said), "two 1 none\n", "{shell}");
            assert_eq!(stderr, READY, "{shell}: {stderr:?}");
        }
    }

    #[test]
    fn each_shell_tells_a_group_that_lives_from_one_that_is_gone() {
        use std::os::unix::process::CommandExt as _;
        for shell in shells() {
            let mut group = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
            let script =
                format!("g={}; if {}; then echo lives; else echo gone; fi", group.id(), group_lives("g"));
            let said = || String::from_utf8(of(shell).arg(&script).output().unwrap().stdout).unwrap();
            assert_eq!(said(), "lives\n", "{shell}");
            group.kill().unwrap();
            group.wait().unwrap();
            assert_eq!(said(), "gone\n", "{shell}");
        }
    }

    #[test]
    fn each_shell_tells_a_signal_from_an_exit_code() {
        for (shell, afterwards) in shells().into_iter().flat_map(|shell| BOTH.map(|then| (shell, then))) {
            for (script, signalled) in [("kill -TERM $$", true), ("kill -KILL $$", true), ("exit 143", false)]
            {
                let token = Token::random().unwrap();
                let command =
                    RemoteCommand { program_line: format!("sh -c '{script}'"), ..RemoteCommand::for_tests() };
                let (reports, _, stderr) = conversation(shell, &line(&command, &token, afterwards), &token);
                let code = reports.iter().find_map(|report| match report {
                    Report::Exit(code) => Some(code),
                    _ => None,
                });
                let Some(code) = code else { panic!("{shell}: {reports:?}") };
                let stderr = stderr.strip_prefix(READY).unwrap();
                let over = token.rendered("over", 0);
                let remark = match afterwards {
                    Afterwards::StaysAlone => stderr.strip_suffix(over.as_slice()).unwrap(),
                    _ => stderr,
                };
                let remark = remark.trim_ascii();
                assert_eq!(
                    *code > 256 || !remark.is_empty(),
                    signalled,
                    "{shell} {script}: {code} {stderr:?}"
                );
            }
        }
    }
}
