//! Processes of this machine that what is tested has started.

use std::fmt::Display;

use nix::unistd::Pid;

/// True while the process is there and not just a zombie: when init reaps it is not what is tested.
pub fn lives(pid: impl Display) -> bool {
    field(pid, STATE).is_some_and(|state| state != "Z" && state != "X")
}

/// The processes that are there now.
pub fn all() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

/// Those that this one has started.
pub fn children_of(parent: Pid) -> Vec<Pid> {
    all_with(PARENT, parent)
}

/// Live processes of a session.
pub fn session(leader: Pid) -> Vec<Pid> {
    let mut members = all_with(SESSION, leader);
    members.retain(|member| lives(member));
    members
}

/// A process and all it has started, directly or not, as far as they are there now.
pub fn tree(root: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, String)> = all().filter_map(|pid| Some((pid, field(pid, PARENT)?))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).map(ToString::to_string) {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    tree
}

/// Positions behind the name in `stat`.
const STATE: usize = 0;
const PARENT: usize = 1;
const SESSION: usize = 3;

fn field(pid: impl Display, position: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(position).map(str::to_owned)
}

fn all_with(position: usize, value: Pid) -> Vec<Pid> {
    let value = value.to_string();
    all().filter(|pid| field(pid, position).as_deref() == Some(value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_has_the_children_of_children() {
        let mut shell = Command::new("sh")
            .args(["-c", "sh -c 'echo; read x'; :"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let tree = tree(Pid::from_raw(shell.id().cast_signed()));
        assert_eq!(tree.len(), 2, "{tree:?}");
        assert!(tree.iter().all(lives));
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(!tree.iter().any(lives));
    }
}
