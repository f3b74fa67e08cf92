//! The control group that `logind` makes for each login (`systemd.scope(5)`): a process does not leave it by making a session of its
//! own, nor when its parents end.

/// Shell text that sets `ae_scope` to the file with the scope's processes; it does nothing where there is no scope. `process` is a
/// number, or `self`.
pub(crate) fn find(process: &str) -> String {
    format!(
        "while IFS=: read -r ae_x ae_y ae_z; do case $ae_y$ae_z in /*/session-*.scope) ae_x=$ae_z ;; \
         name=systemd/*/session-*.scope) ae_x=/systemd$ae_z ;; *) continue ;; esac; ae_x=/sys/fs/cgroup$ae_x/cgroup.procs; \
         [ -r \"$ae_x\" ] && ae_scope=$ae_x; done </proc/{process}/cgroup"
    )
}

/// Shell text that adds the numbers of the processes in that file to a variable, each with a space behind it.
pub(crate) fn members(variable: &str) -> String {
    format!("while read -r ae_y; do {variable}=\"${variable}$ae_y \"; done <\"$ae_scope\"")
}
