//! Processes of this machine that what is tested has started.

use std::fmt::Display;

/// True while the process is there and not just a zombie: when init reaps it is not what is tested.
pub fn lives(pid: impl Display) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}
