//! The script that makes a target ready, runs a command there and sends back what it left, in one request.
//!
//! It is one line, because a shell reads a line from a pipe without touching what follows: an archive of files. A line
//! that is cut off is not run. Nothing of it is in the target's process list (defects 45, 46).

use std::fmt::Write as _;

use super::become_user::{self, GroupReport, Method};
use super::marker::Token;
use super::task::{RemoteCommand, Wanted};
use crate::shell::quote;

/// What login shells of any kind, csh included, are asked to run: a shell that does one line after another.
pub(super) const SHELL: &str = r#"exec /bin/sh -c 'while IFS= read -r ae_l; do eval "$ae_l"; done'"#;

/// Code of a target without what a detached command needs.
pub(super) const NO_TOOLS: i32 = 96;

/// A small text file that travels in the script itself.
pub(super) struct Inline {
    /// Path below the root.
    pub(super) dest: String,
    pub(super) text: String,
    pub(super) mode: u32,
}

/// How the archive that follows the script is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

/// What is to be done, in this order.
#[derive(Default)]
pub(super) struct Wrapper<'a> {
    /// Make the root anew.
    pub(super) make: bool,
    /// The directory that files go into.
    pub(super) root: &'a str,
    pub(super) inline: &'a [Inline],
    pub(super) stream: Option<Packing>,
    /// List of digests below the root that has to hold.
    pub(super) check: Option<&'a str>,
    /// The last file of the stream: without it the stream was cut off.
    pub(super) last: Option<&'a str>,
    pub(super) command: Option<&'a RemoteCommand>,
    /// Directory of a command that goes on without us.
    pub(super) detached: Option<&'a str>,
    pub(super) wanted: Option<&'a Wanted>,
}

/// Shell text that defines what [`word`] writes for line breaks.
pub(super) const LINE_BREAK: &str = "ae_n=$(printf '\\nx'); ae_n=${ae_n%x}; ";

/// One word of the line, whatever the text holds (except NUL).
pub(super) fn word(text: &str) -> String {
    quote(text).replace('\n', "'\"$ae_n\"'")
}

/// Shell text that reports need.
fn prelude(token: &Token) -> String {
    format!(
        "ae_t={}; ae_r() {{ printf '\\036%s %s %s\\036' \"$ae_t\" \"$1\" \"$2\"; }}; ae_r start 0; ",
        token.text()
    )
}

/// What becomes of the shell when a line is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It ends, and with it the channel. What follows the line on the channel is input of the line's commands.
    Ends,
    /// It waits for another line. What the line does leaves nothing behind.
    Stays,
    /// It waits for another line once nothing is left that could still write: all output goes through a pipe, and its end
    /// is waited for. A process that a command left behind cannot get into the output of the next one.
    StaysAlone,
}

/// The line that has a shell do `body`, which reports an exit code and may `exit`.
pub(super) fn line(token: &Token, body: &str, afterwards: Afterwards) -> String {
    let prelude = prelude(token);
    let over = "ae_r over 0; ae_r over 0 >&2\n";
    let line = match afterwards {
        Afterwards::Ends => format!("{prelude}{body}exit 0\n"),
        Afterwards::Stays => {
            format!("ae_l=; {prelude}ae_r shell \"$$\"; ( {body}exit 0 ) </dev/null; {over}")
        }
        Afterwards::StaysAlone => {
            format!("ae_l=; {prelude}ae_r shell \"$$\"; {{ {body}exit 0; }} </dev/null | cat; {over}")
        }
    };
    complete(&line)
}

/// The whole line. What [`word`] writes for line breaks is defined only where there are some: on a target each `$()` is
/// a process more.
fn complete(line: &str) -> String {
    if line.contains("$ae_n") {
        return format!("{LINE_BREAK}{line}");
    }
    line.to_owned()
}

/// Makes the root (a word), and directories below it. `mkdir` fails on anything that is there already, a planted link
/// included.
pub(super) fn make_root(root: &str, below: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = std::iter::once(root.to_owned()).chain(below.map(|dir| word(&dir))).collect();
    format!("mkdir -m 700 {} || {{ ae_r failed \"$?\"; exit 1; }}; ", all.join(" "))
}

impl Wrapper<'_> {
    /// What the shell is to do after the line. What follows the line as input ends with the input; a command that goes on
    /// without us, or as another user, leaves no shell behind that knows of it.
    pub(super) fn afterwards(&self) -> Afterwards {
        let as_user = self.command.is_some_and(|command| command.account.is_some());
        if self.stream.is_some() || self.detached.is_some() || as_user {
            Afterwards::Ends
        } else if self.command.is_some() {
            Afterwards::StaysAlone
        } else {
            Afterwards::Stays
        }
    }

    /// The line, with its end.
    pub(super) fn line(&self, token: &Token) -> String {
        line(token, &self.body(token), self.afterwards())
    }

    /// What the line has the shell do.
    pub(super) fn body(&self, token: &Token) -> String {
        let mut line = String::new();
        self.prepare(&mut line);
        if let Some(command) = self.command {
            share(&mut line, command, self.root);
            match self.detached {
                Some(dir) => start_detached(&mut line, command, dir),
                None => run_attached(&mut line, command, token),
            }
            if let Some(dir) = self.detached {
                follow(&mut line, dir, 0);
            }
        } else {
            line.push_str("x=0; ");
        }
        finish(&mut line, self.wanted);
        line
    }

    fn prepare(&self, line: &mut String) {
        let root = word(self.root);
        let parents = parents(self.inline);
        if self.make {
            line.push_str(&make_root(&root, parents.iter().map(|dir| format!("{}/{dir}", self.root))));
        }
        if self.inline.is_empty() && self.stream.is_none() && self.check.is_none() {
            return;
        }
        // A shell that stays does it in the process that does the line, another one in a process of its own: what comes
        // next is to find directory and mask as they were.
        let own = self.afterwards() == Afterwards::Ends;
        line.push_str(if own { "( " } else { ": \"${ae_u:=$(umask)}\"; " });
        let _ = write!(line, "umask 077; cd {root} 2>/dev/null || {{ ae_r nodir 0; exit 9; }}; ");
        if let Some(check) = self.check {
            let _ = write!(
                line,
                "command -v sha256sum >/dev/null 2>&1 || {{ ae_r nosums 0; exit 9; }}; \
                 ae_s=$(LC_ALL=C sha256sum -c {} 2>/dev/null) || \
                 {{ ae_r list 0; printf %s \"$ae_s\"; ae_r end 0; ae_r stale 0; exit 9; }}; ",
                word(&format!("./{check}"))
            );
        }
        let mut steps = vec![":".to_owned()];
        if !self.make && !parents.is_empty() {
            let parents: Vec<String> = parents.iter().map(|dir| word(&format!("./{dir}"))).collect();
            // Most often they are there, and a test starts no process.
            steps.push(format!("{{ {} || mkdir -p {}; }}", each("-d", &parents), parents.join(" ")));
        }
        for file in self.inline {
            steps.push(format!("printf %s {} >{}", word(&file.text), word(&format!("./{}", file.dest))));
        }
        for (mode, files) in by_mode(self.inline) {
            let change = format!("chmod {mode:o} {}", files.join(" "));
            // The script of an operation that has run before keeps its mode.
            let kept = mode == 0o700;
            steps.push(if kept { format!("{{ {} || {change}; }}", each("-x", &files)) } else { change });
        }
        if let Some(packing) = self.stream {
            line.push_str("command -v tar >/dev/null 2>&1 || { ae_r notar 0; exit 9; }; ");
            if packing == Packing::Gzip {
                line.push_str("command -v gzip >/dev/null 2>&1 || { ae_r nogzip 0; exit 9; }; ");
            }
            // Modes are exact (-p); the owner is whoever extracts, for the headers say root and only root can obey.
            let unpack = if packing == Packing::Gzip { "gzip -dc | tar -xpf -" } else { "tar -xpf -" };
            steps.push(unpack.to_owned());
            if let Some(last) = self.last {
                steps.push(format!("[ -f {} ]", word(&format!("./{last}"))));
            }
        }
        let end = if own { " )" } else { "" };
        let _ = write!(line, "{}{end} || {{ ae_r failed \"$?\"; exit 1; }}; ", steps.join(" && "));
        if !own {
            line.push_str("umask \"$ae_u\"; ");
        }
    }
}

/// A test that holds when it does for each of the words.
fn each(test: &str, words: &[String]) -> String {
    let tests: Vec<String> = words.iter().map(|word| format!("[ {test} {word} ]")).collect();
    tests.join(" && ")
}

/// The directories that the files are in, each after those it is in.
fn parents(files: &[Inline]) -> Vec<&str> {
    let mut parents: Vec<&str> = files
        .iter()
        .flat_map(|file| file.dest.match_indices('/').filter_map(|(end, _)| file.dest.get(..end)))
        .collect();
    parents.sort_unstable();
    parents.dedup();
    parents
}

/// Words of the files that do not have the mode they were made with.
fn by_mode(files: &[Inline]) -> Vec<(u32, Vec<String>)> {
    let mut modes: Vec<(u32, Vec<String>)> = Vec::new();
    for file in files.iter().filter(|file| file.mode != 0o600) {
        let name = word(&format!("./{}", file.dest));
        match modes.iter_mut().find(|(mode, _)| *mode == file.mode) {
            Some((_, names)) => names.push(name),
            None => modes.push((file.mode, vec![name])),
        }
    }
    modes
}

/// Lets another account into the root.
fn share(line: &mut String, command: &RemoteCommand, root: &str) {
    if let Some(account) = &command.account
        && account.user != "root"
        && !root.is_empty()
    {
        let _ = write!(
            line,
            "{} || {{ ae_r failed {}; exit 1; }}; ",
            become_user::share(account, &word(root)),
            become_user::NOT_SHARED
        );
    }
}

/// Goes into the command's directory, or ends the shell where there is no such directory.
fn enter(command: &RemoteCommand) -> String {
    format!("cd {} 2>/dev/null || {{ ae_r nodir 0; exit 1; }}", word(&command.dir))
}

/// Directory and variables of the command, as a function `ae_e`.
fn entering(command: &RemoteCommand) -> String {
    let mut text = format!("ae_e() {{ {}; ", enter(command));
    for (name, value) in &command.env {
        let _ = write!(text, "{name}={}; export {name}; ", word(value));
    }
    text.push_str("}; ");
    text
}

/// What a shell becomes the command with: it names its process group first, which is its own where it is told so.
fn becoming(command: &RemoteCommand) -> String {
    format!(
        "exec </dev/null 2>&1; ae_t=$AUTOEXEC_T; unset AUTOEXEC_T; ae_g=$$; [ \"$1\" ] || ae_g={LOOKED_UP}; \
         printf '\\036%s group %s\\036' \"$ae_t\" \"$ae_g\"; exec {}",
        command.program_line
    )
}

/// The group of a shell that did not make one itself.
pub(super) const LOOKED_UP: &str = r#""$(($(ps -o pgid= -p $$)))""#;

/// The command gets a session of its own; where there is no `setsid`, job control gives it a group. bash tells of
/// signals only outside of its POSIX mode.
fn run_attached(line: &mut String, command: &RemoteCommand, token: &Token) {
    line.push_str("case ${BASH_VERSION-} in ?*) set +o posix ;; esac; ");
    line.push_str("printf '\\036%s run 0\\036' \"$ae_t\" >&2; ");
    if let Some(account) = &command.account {
        let inner = become_user::inner(command, Some(&GroupReport::Output(token)));
        let _ = write!(
            line,
            "{}; ae_b | ( exec $(command -v setsid) {} 2>&1 ); x=$?; ",
            become_user::feeding(account, &inner),
            become_user::command(account)
        );
        return;
    }
    let mut env = String::new();
    for (name, value) in &command.env {
        let _ = write!(env, "{name}={} ", word(value));
    }
    // Variables stand before the command, so that a shell can start it without a process in between. Redirections do not:
    // a shell that is there still would say in their place what ended the command.
    let _ = write!(
        line,
        "{}; ae_p={}; ae_x() {{ {env}AUTOEXEC_T=$ae_t \"$@\"; }}; \
         if command -v setsid >/dev/null 2>&1; then ae_x setsid /bin/sh -c \"$ae_p\" sh own; x=$?; \
         else set -m 2>/dev/null; ae_x /bin/sh -c \"$ae_p\" sh & wait \"$!\"; x=$?; set +m 2>/dev/null; fi; ",
        enter(command),
        word(&becoming(command))
    );
}

/// A keeper in a session of its own runs the command with its output in a file, and notes how it ended.
fn start_detached(line: &mut String, command: &RemoteCommand, dir: &str) {
    let _ = write!(
        line,
        "d={}; ( umask 077; mkdir -m 700 \"$d\" && : >\"$d/out\" ) || {{ ae_r failed \"$?\"; exit 1; }}; ",
        word(dir)
    );
    // `su` makes a session of its own, whose group only the command itself can name.
    let mut named = "";
    let (feed, program) = if let Some(account) = &command.account {
        let group = match account.method {
            Method::Su => {
                named = "3>\"$d/group\"";
                Some(GroupReport::Descriptor)
            }
            Method::Sudo => None,
        };
        let inner = become_user::inner(command, group.as_ref());
        let _ = write!(line, "{}; ae_e() {{ :; }}; ", become_user::feeding(account, &inner));
        ("ae_b |", become_user::command(account))
    } else {
        line.push_str(&entering(command));
        (":|", format!("( exec {} </dev/null )", command.program_line))
    };
    let keeper = format!(
        "trap '' HUP; case ${{BASH_VERSION-}} in ?*) set +o posix ;; esac; d=$AUTOEXEC_D; unset AUTOEXEC_D; \
         {program} >\"$d/out\" 2>&1 {named}; x=$?; echo \"$x\" >\"$d/x\"; mv \"$d/x\" \"$d/exit\""
    );
    let keeper = word(&keeper);
    let _ = write!(
        line,
        "command -v setsid >/dev/null 2>&1 && head -c 1 </dev/null >/dev/null 2>&1 || {{ ae_r failed {NO_TOOLS}; exit 1; }}; \
         {feed} ( ae_e; AUTOEXEC_D=$d; export AUTOEXEC_D; exec setsid /bin/sh -c {keeper} >/dev/null 2>\"$d/say\" ) & g=$!; \
         echo \"$g\" >\"$d/pid\"; "
    );
    if named.is_empty() {
        line.push_str("ae_r group \"$g\"; ");
    } else {
        line.push_str(
            "while [ ! -s \"$d/group\" ] && kill -s 0 \"$g\" 2>/dev/null; do sleep 0.05 2>/dev/null || sleep 1; done; \
             [ -s \"$d/group\" ] && ae_r group \"$(cat \"$d/group\")\"; ",
        );
    }
}

/// Shows the output file from an offset on, until the exit code is there. The file is only read up to a size that was
/// looked at before, so that the offset is exact whenever the connection breaks.
fn follow(line: &mut String, dir: &str, offset: u64) {
    let _ = write!(
        line,
        "d={dir}; g=$(cat \"$d/pid\" 2>/dev/null); o={offset}; i=0; \
         while :; do q=; [ -f \"$d/exit\" ] && q=1; z=$(($(wc -c <\"$d/out\"))); \
         if [ \"$z\" -gt \"$o\" ]; then tail -c \"+$((o+1))\" \"$d/out\" | head -c \"$((z-o))\"; o=$z; i=0; fi; \
         [ -n \"$q\" ] && break; \
         if [ -z \"$g\" ] || ! kill -s 0 -- \"-$g\" 2>/dev/null; then \
         sleep 1; [ -f \"$d/exit\" ] || kill -s 0 -- \"-$g\" 2>/dev/null || {{ ae_r lost 0; exit 1; }}; continue; fi; \
         i=$((i+1)); if [ \"$i\" -lt 50 ]; then sleep 0.1 2>/dev/null || sleep 1; else sleep 1; fi; done; \
         x=$(cat \"$d/exit\"); [ -s \"$d/say\" ] && ae_r signal 1; ",
        dir = word(dir)
    );
}

/// Exit code, and the first wanted file that has something in it.
fn finish(line: &mut String, wanted: Option<&Wanted>) {
    line.push_str("ae_r exit \"$x\"; ");
    if let Some(wanted) = wanted {
        let files: Vec<String> = wanted.files.iter().map(|file| word(file)).collect();
        let max = wanted.max_bytes;
        let _ = write!(
            line,
            "if [ \"$x\" = 0 ]; then for f in {}; do if [ -s \"$f\" ]; then z=$(($(wc -c <\"$f\"))); \
             if [ \"$z\" -le {max} ]; then ae_r file \"$z\"; cat \"$f\"; else ae_r file {}; fi; ae_r end 0; break; fi; done; fi; ",
            files.join(" "),
            max.saturating_add(1)
        );
    }
}

/// The line that goes on with a detached command.
pub(super) fn attach(token: &Token, dir: &str, offset: u64, wanted: Option<&Wanted>) -> String {
    let mut line = String::new();
    let _ = write!(
        line,
        "d={}; [ -f \"$d/pid\" ] || {{ ae_r lost 0; exit 1; }}; if [ -s \"$d/group\" ]; then ae_r group \"$(cat \"$d/group\")\"; \
         else ae_r group \"$(cat \"$d/pid\")\"; fi; ",
        word(dir)
    );
    follow(&mut line, dir, offset);
    finish(&mut line, wanted);
    self::line(token, &line, Afterwards::Ends)
}

#[cfg(test)]
pub(super) mod shells_for_tests {
    pub(in super::super) fn shells() -> Vec<&'static str> {
        let (found, missing): (Vec<_>, Vec<_>) =
            ["/bin/dash", "/bin/bash", "/bin/ksh", "/bin/busybox", "/bin/mksh"]
                .into_iter()
                .partition(|shell| std::path::Path::new(shell).exists());
        println!("SKIPPED, not installed: {missing:?}");
        found
    }

    /// `shell -c`, of busybox too.
    pub(in super::super) fn of(shell: &str) -> std::process::Command {
        let mut command = std::process::Command::new(shell);
        command.args(if shell.ends_with("busybox") { &["sh", "-c"][..] } else { &["-c"] });
        command
    }
}
