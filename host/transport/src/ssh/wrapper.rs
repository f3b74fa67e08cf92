//! The script that makes a target ready, runs a command there and sends back what it left, in one request.
//!
//! It is one line, because a shell reads a line from a pipe without touching what follows: an archive of files. A line
//! that is cut off is not run. Nothing of it is in the target's process list (defects 45, 46).

use std::fmt::Write as _;

use super::become_user::{self, Account, GroupReport, Method};
use super::inventory::Brought;
use super::kept;
use super::marker::Token;
use super::resident::{Afterwards, Line, TELL, TELLING_SIGNALS, group_lives, word};
use super::task::{RemoteCommand, RemoteTask, Wanted};

/// Seconds from the directory of a detached command to its process.
const STARTS_WITHIN: u32 = 10;
/// Code of a target without what a detached command needs.
pub(super) const NO_TOOLS: i32 = 96;

/// The last file of a stream that a command follows.
pub(super) const END: &str = ".autoexec-end";

/// A small text file that travels in the script itself.
pub(super) struct Inline {
    /// Path below the root.
    pub(super) dest: String,
    /// None: there may be no such file, and has nothing in it.
    pub(super) text: Option<String>,
    pub(super) mode: u32,
}

/// How the archive that follows the script is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

/// What is to be done about the root first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Making<'a> {
    /// It is there.
    #[default]
    Nothing,
    /// It is made anew.
    New,
    /// This directory becomes it.
    Over(&'a str),
}

/// What is to be done, in this order.
#[derive(Default)]
pub(super) struct Wrapper<'a> {
    pub(super) make: Making<'a>,
    /// The directory that files go into.
    pub(super) root: &'a str,
    pub(super) inline: &'a [Inline],
    pub(super) stream: Option<Packing>,
    /// List of digests below the root that has to hold.
    pub(super) check: Option<&'a str>,
    /// Files that are there under another name, once the list holds.
    pub(super) bring: &'a [Brought],
    /// What the last file of the stream, [`END`], has in it: without it the stream was cut off, which no `tar` minds between two files.
    pub(super) end: Option<&'a str>,
    pub(super) command: Option<&'a RemoteCommand>,
    /// Directory of a command that goes on without us.
    pub(super) detached: Option<&'a str>,
    pub(super) wanted: Option<&'a Wanted>,
    /// The root is removed after a command that succeeded.
    pub(super) remove: bool,
}

/// Makes the root, and directories below it; all are words. `mkdir` fails on anything that is there already, a planted link
/// included.
pub(super) fn make_root(root: &str, below: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = std::iter::once(root.to_owned()).chain(below).collect();
    format!("mkdir -m 700 {} || ae_q; ", all.join(" "))
}

impl Wrapper<'_> {
    /// What the shell is to do after the line. What follows the line as input ends with the input; a command that goes on
    /// without us, or as another user, leaves no shell behind that knows of it. After the last command there is nothing to keep
    /// one for.
    pub(super) fn afterwards(&self) -> Afterwards {
        let as_user = self.command.is_some_and(|command| command.account.is_some());
        if self.stream.is_some() || self.detached.is_some() || as_user || self.remove {
            Afterwards::Ends
        } else if self.command.is_some() {
            Afterwards::StaysAlone
        } else {
            Afterwards::Stays
        }
    }

    /// The line.
    pub(super) fn line(&self, token: &Token) -> Line {
        Line::new(token, &self.body(token), self.afterwards()).sharing(self.shared())
    }

    /// The root, and the variables of a command in a session of its own as a function `ae_v`: most operations of a node have the
    /// same.
    pub(super) fn shared(&self) -> String {
        let Some(command) = self.attached() else { return String::new() };
        format!("ae_v() {{ {}:; }}; {}", exports(command), self.named_root())
    }

    fn named_root(&self) -> String {
        if self.root.is_empty() { String::new() } else { format!("ae_d={}; ", word(self.root)) }
    }

    /// The command, where it runs as the account that logs in, and only as long as we listen.
    fn attached(&self) -> Option<&RemoteCommand> {
        self.command.filter(|command| self.detached.is_none() && command.account.is_none())
    }

    /// What the line has the shell do.
    pub(super) fn body(&self, token: &Token) -> String {
        let mut line = String::new();
        if !self.starts_at_once() {
            line.push_str(TELL);
        }
        self.prepare(&mut line);
        if let Some(command) = self.command {
            share(&mut line, command, self.root);
            if self.stream.is_some() {
                // `tar` may have had something to say about files that it did unpack.
                line.push_str("ae_r run 0 >&2; ");
            }
            match self.detached {
                Some(dir) => start_detached(&mut line, self.root, command, dir),
                None => run_attached(&mut line, self.root, command, token),
            }
            if let Some(dir) = self.detached {
                follow(&mut line, dir, 0);
            }
        } else {
            line.push_str("x=0; ");
        }
        let account = self.command.and_then(|command| command.account.as_ref());
        finish(&mut line, self.root, self.wanted.map(|wanted| (wanted, account, token)), self.remove);
        line
    }

    /// True where the start may be told together with the group: a few small files are made before, at most.
    fn starts_at_once(&self) -> bool {
        self.attached().is_some()
            && matches!(self.make, Making::Nothing | Making::New)
            && self.stream.is_none()
            && self.check.is_none()
            && self.bring.is_empty()
    }

    fn prepare(&self, line: &mut String) {
        let root = ROOT;
        if self.attached().is_none() {
            line.push_str(&self.named_root());
        }
        let parents = parents(self.inline);
        match self.make {
            Making::Nothing => {}
            Making::New => {
                line.push_str(&make_root(root, parents.iter().map(|dir| format!("{root}/{}", word(dir)))));
            }
            Making::Over(kept) => line.push_str(&kept::take_over(&word(kept), root)),
        }
        if self.inline.is_empty() && self.stream.is_none() && self.check.is_none() && self.bring.is_empty() {
            return;
        }
        line.push_str("ae_in; ");
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
        if self.make != Making::New && !parents.is_empty() {
            steps.push(format!("ae_dir {}", here(parents.iter().copied())));
        }
        steps.extend(self.bring.iter().map(kept::bring));
        for file in self.inline {
            let dest = word(&format!("./{}", file.dest));
            match &file.text {
                Some(text) => steps.push(format!("ae_put {dest} {}", word(text))),
                None if self.make == Making::New => {}
                None => steps.push(format!("ae_nil {dest}")),
            }
        }
        for (mode, files) in by_mode(self.inline) {
            let command = if mode == 0o700 { "ae_exe".to_owned() } else { format!("chmod {mode:o}") };
            steps.push(format!("{command} {}", here(files.into_iter())));
        }
        if let Some(packing) = self.stream {
            line.push_str("command -v tar >/dev/null 2>&1 || { ae_r notar 0; exit 9; }; ");
            if packing == Packing::Gzip {
                line.push_str("command -v gzip >/dev/null 2>&1 || { ae_r nogzip 0; exit 9; }; ");
            }
            // Modes are exact (-p); the owner is whoever extracts, for the headers say root and only root can obey.
            let unpack = if packing == Packing::Gzip { "gzip -dc | tar -xpf -" } else { "tar -xpf -" };
            steps.push(unpack.to_owned());
            if let Some(end) = self.end {
                steps.push(format!("read -r ae_y <./{END} && [ \"$ae_y\" = {} ]", word(end)));
            }
        }
        // What comes next is to find the mask as it was.
        let _ = write!(line, "{} || ae_q; umask \"$ae_u\"; ", steps.join(" && "));
    }
}

/// Words for paths below the directory where the shell is.
fn here<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    paths.map(|path| word(&format!("./{path}"))).collect::<Vec<_>>().join(" ")
}

/// The directories that the files are in, each after those it is in.
fn parents(files: &[Inline]) -> Vec<&str> {
    let mut parents: Vec<&str> = files
        .iter()
        .filter(|file| file.text.is_some())
        .flat_map(|file| file.dest.match_indices('/').filter_map(|(end, _)| file.dest.get(..end)))
        .collect();
    parents.sort_unstable();
    parents.dedup();
    parents
}

/// The files that do not have the mode they were made with.
fn by_mode(files: &[Inline]) -> Vec<(u32, Vec<&str>)> {
    let mut modes: Vec<(u32, Vec<&str>)> = Vec::new();
    for file in files.iter().filter(|file| file.mode != 0o600 && file.text.is_some()) {
        match modes.iter_mut().find(|(mode, _)| *mode == file.mode) {
            Some((_, paths)) => paths.push(&file.dest),
            None => modes.push((file.mode, vec![&file.dest])),
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

/// The root, as a word of the rest of the line.
const ROOT: &str = "\"$ae_d\"";

/// The word for a path, short where it is below the root.
fn below(root: &str, path: &str) -> String {
    match path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) if !root.is_empty() => format!("{ROOT}/{}", word(rest)),
        _ => word(path),
    }
}

/// Sets the command's variables.
fn exports(command: &RemoteCommand) -> String {
    let mut text = String::new();
    for (name, value) in &command.env {
        let _ = write!(text, "{} {name}={}", if text.is_empty() { "export" } else { "" }, word(value));
    }
    if !text.is_empty() {
        text.push_str("; ");
    }
    text
}

/// Becomes the command, by what the shell has as words for it. A line has no line breaks, so text that has some is a word.
fn executing(program_line: &str) -> String {
    if program_line.contains('\n') {
        return format!("eval \"exec \\\"\\$@\\\" \"{}", word(program_line));
    }
    format!("exec \"$@\" {program_line}")
}

/// Directory and variables of the command, as a function `ae_e`.
fn entering(root: &str, command: &RemoteCommand) -> String {
    format!("ae_e() {{ ae_c {}; {}}}; ", below(root, &command.dir), exports(command))
}

/// Runs the command in a session of its own, see [`super::resident`].
fn run_attached(line: &mut String, root: &str, command: &RemoteCommand, token: &Token) {
    if let Some(account) = &command.account {
        let inner = become_user::inner(command, Some(&GroupReport::Output(token)));
        let _ = write!(
            line,
            "{TELLING_SIGNALS}{}; ae_b | ( exec $(command -v setsid) {} 2>&1 ); x=$?; ",
            become_user::feeding(account, &inner),
            become_user::command(account)
        );
        return;
    }
    let dir = below(root, &command.dir);
    let _ = write!(line, "ae_x() {{ {}; }}; ae_a {dir}; ", executing(&command.program_line));
}

/// A keeper in a session of its own runs the command with its output in a file, and notes how it ended. The note has its
/// place on the disk before the command starts, which may fill it.
fn start_detached(line: &mut String, root: &str, command: &RemoteCommand, dir: &str) {
    let _ = write!(
        line,
        "d={}; ( umask 077; mkdir -m 700 \"$d\" && : >\"$d/out\" && echo unknown >\"$d/x\" ) || ae_q; ",
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
        let _ = write!(line, "{}; ae_e() {{ cd /; }}; ", become_user::feeding(account, &inner));
        ("ae_b |", become_user::command(account))
    } else {
        line.push_str(&entering(root, command));
        (":|", format!("( exec {} </dev/null )", command.program_line))
    };
    let keeper = format!(
        "trap '' HUP; {TELLING_SIGNALS}d=$AUTOEXEC_D; unset AUTOEXEC_D; \
         {program} >\"$d/out\" 2>&1 {named}; x=$?; echo \"$x\" 1<>\"$d/x\" && mv \"$d/x\" \"$d/exit\""
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
         if [ -z \"$g\" ] || ! {lives}; then \
         sleep 1; [ -f \"$d/exit\" ] || {lives} || {{ ae_r lost 0; exit 1; }}; continue; fi; \
         i=$((i+1)); if [ \"$i\" -lt 50 ]; then sleep 0.1 2>/dev/null || sleep 1; else sleep 1; fi; done; \
         read -r x <\"$d/exit\"; {{ echo x >\"$d/room\"; }} 2>/dev/null || ae_r cut 0; [ -s \"$d/say\" ] && ae_r signal 1; ",
        dir = word(dir),
        lives = group_lives("g"),
    );
}

/// Exit code, and the first wanted file that has something in it. Where the root is removed the exit code comes last, so that
/// nobody takes the time of the removal for that of a descendant that holds the output open.
fn finish(line: &mut String, root: &str, wanted: Option<(&Wanted, Option<&Account>, &Token)>, remove: bool) {
    let exit = "ae_h=\"$ae_h exit $x\"; ";
    if let Some((wanted, Some(account), token)) = wanted {
        // Nobody takes the time of becoming the user again for that of a descendant.
        line.push_str(&become_user::sending(account, token, wanted.max_bytes, &wanted.files));
    }
    if !remove {
        line.push_str(exit);
    }
    if let Some((wanted, None, _)) = wanted {
        let files: Vec<String> = wanted.files.iter().map(|file| below(root, file)).collect();
        let _ = write!(line, "ae_f {} {}; ", wanted.max_bytes, files.join(" "));
    }
    if remove {
        let _ = write!(line, "ae_k {ROOT}; {exit}");
    }
}

/// The line that goes on with a detached command. The line that starts it may not have come so far yet: whoever makes its directory
/// first is the one whose word holds, so a command is lost only where this line makes it.
pub(super) fn attach(token: &Token, dir: &str, offset: u64, task: &RemoteTask) -> Line {
    let root = dir.rsplit_once('/').map_or(".", |(root, _)| root);
    let mut line = String::new();
    let _ = write!(
        line,
        "d={}; if [ ! -s \"$d/pid\" ]; then \
         mkdir -m 700 {} 2>/dev/null; mkdir -m 700 \"$d\" 2>/dev/null && {{ ae_r lost 0; exit 1; }}; \
         i=0; while [ ! -s \"$d/pid\" ]; do [ \"$i\" -lt {STARTS_WITHIN} ] || exit 1; sleep 1; i=$((i+1)); done; fi; \
         if [ -s \"$d/group\" ]; then ae_r group \"$(cat \"$d/group\")\"; else ae_r group \"$(cat \"$d/pid\")\"; fi; ",
        word(dir),
        word(root),
    );
    follow(&mut line, dir, offset);
    let wanted = task.wanted.as_ref().map(|wanted| (wanted, task.command.account.as_ref(), token));
    finish(&mut line, "", wanted, false);
    Line::new(token, &line, Afterwards::Ends)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Stdio;

    use super::super::resident;
    use super::super::task::DetachedRun;
    use super::*;
    use crate::shell::shells_for_tests::{of, shells};

    /// What a shell says to a line and what follows it.
    fn said(shell: &str, line: &Line, rest: &[u8]) -> String {
        let mut child = of(shell)
            .arg(resident::script())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&line.bytes("")).unwrap();
        // A shell that refuses does not read it.
        let _ = input.write_all(rest);
        drop(input);
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    fn touching(mark: &std::path::Path) -> RemoteCommand {
        RemoteCommand { program_line: format!("touch {}", mark.display()), ..RemoteCommand::for_tests() }
    }

    #[test]
    fn no_shell_starts_a_command_after_an_archive_that_was_cut_off() {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, text) in [("one", "1\n"), ("two", "2\n"), (END, "the end\n")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(2 + u64::from(name == END) * 6);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let whole = archive.into_inner().unwrap();
        for shell in shells() {
            // A member is a block of 512 bytes and its content, which is filled up to another one.
            for (members, runs) in [(0, false), (1, false), (2, false), (3, true), (5, true)] {
                let place = tempfile::tempdir().unwrap();
                let (root, mark) = (place.path().join("root"), place.path().join("ran"));
                let command = touching(&mark);
                let wrapper = Wrapper {
                    make: Making::New,
                    root: root.to_str().unwrap(),
                    stream: Some(Packing::Plain),
                    end: Some("the end"),
                    command: Some(&command),
                    ..Wrapper::default()
                };
                let token = Token::random().unwrap();
                let sent = whole.get(..members * 1024).unwrap_or(&whole);
                let said = said(shell, &wrapper.line(&token), sent);
                assert_eq!(mark.exists(), runs, "{shell} {members}: {said:?}");
            }
        }
    }

    #[test]
    fn a_detached_command_that_was_said_to_be_lost_does_not_start_afterwards() {
        for shell in shells() {
            for there in [false, true] {
                let place = tempfile::tempdir().unwrap();
                let (root, mark) = (place.path().join("root"), place.path().join("ran"));
                if there {
                    std::fs::create_dir(&root).unwrap();
                }
                let root = root.to_str().unwrap();
                let command = touching(&mark);
                let dir = format!("{root}/detached1");
                let task = RemoteTask {
                    setup: None,
                    command: command.clone(),
                    wanted: None,
                    detached: None::<DetachedRun>,
                    removes_dir: false,
                };
                let token = Token::random().unwrap();
                let lost = said(shell, &attach(&token, &dir, 0, &task), b"");
                assert!(lost.contains(&format!("{} lost 0", token.text())), "{shell}: {lost:?}");
                let wrapper = Wrapper {
                    make: if there { Making::Nothing } else { Making::New },
                    root,
                    command: Some(&command),
                    detached: Some(&dir),
                    ..Wrapper::default()
                };
                let late = said(shell, &wrapper.line(&token), b"");
                assert!(late.contains(&format!("{} failed ", token.text())), "{shell}: {late:?}");
                assert!(!mark.exists(), "{shell}: {late:?}");
            }
        }
    }
}
