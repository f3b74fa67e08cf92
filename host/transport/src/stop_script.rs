//! The script that ends a process group on a POSIX target and looks whether anything is left.

use std::time::Duration;

use crate::login_scope;

/// TERM each second for the grace time, then KILL, and a look each 0.2 s. It returns 0 when nothing is left alive.
///
/// `ps` tells zombies from live processes, and finds what has left the group: members of the command's session, and
/// descendants in sessions of their own, which are remembered with their group and session for when their parents are gone.
/// What has no parent of ours any more at the first look is a daemon. It is not ended; where the login has a scope, it is seen
/// there as what has no parent in the scope and is no older than the command, and the return code is 1.
///
/// A target without a usable `ps` is asked by signal 0, where "not permitted" means alive. A process that has the group's number
/// and is in no such group is about to make it, so it is waited for; it may also be another one that got the number later, so it
/// is not signalled.
pub(crate) fn stop_script(group: &str, grace: Duration) -> String {
    format!(
        r#"g={group}; n={ticks}; kin=
LC_ALL=C; export LC_ALL
members() {{
  ps -A -o pid= -o ppid= -o pgid= -o sid= -o stat= 2>/dev/null ||
  ps -A -o pid= -o ppid= -o pgid= -o pgid= -o stat= 2>/dev/null ||
  ps -A -o pid= -o ppid= -o pgid= -o pgid= -o s= 2>/dev/null
}}
more() {{
  printf '%s\n' "$all" | while read -r p u q s t; do
    case $t in Z*|X*) continue ;; esac
    case "$live " in *" $p "*) continue ;; esac
    if [ "$q" = "$g" ] || [ "$s" = "$g" ]; then printf ' %s' "$p"; continue; fi
    if [ "$p" = "$g" ]; then
      case "$live " in *" coming "*) ;; *) printf ' coming' ;; esac
      continue
    fi
    case "$kin $live " in *" $p:$q:$s "*|*" $u "*) printf ' %s' "$p" ;; esac
  done
}}
alive() {{
  all=$(members)
  live=
  if [ -n "$all" ]; then
    while m=$(more) && [ -n "$m" ]; do live=$live$m; done
    kin=$kin$(printf '%s\n' "$all" | while read -r p u q s t; do
      case "$live " in *" $p "*) ;; *) continue ;; esac
      case "$kin " in *" $p:$q:$s "*) ;; *) printf ' %s' "$p:$q:$s" ;; esac
    done)
    [ -n "$live" ]
    return
  fi
  for p in "-$g" "$g"; do
    e=$(kill -0 "$p" 2>&1) && return 0
    case $e in *[Nn]"o such process"*) ;; *) return 0 ;; esac
  done
  return 1
}}
signal() {{
  kill "-$1" "-$g" 2>/dev/null
  for p in $live; do [ "$p" = coming ] || kill -s "$1" "$p" 2>/dev/null; done
}}
look() {{ read -r l 2>/dev/null <"/proc/$1/stat" && l=${{l##*") "}} && set -- $l && state=$1 parent=$2 start=${{20}}; }}
daemons() {{
  [ "$ae_scope" ] || return 1
  there=' '
  {{ {members}; }} 2>/dev/null
  for p in $there; do
    look "$p" || continue
    case "$state $there" in Z*|X*|*" $parent "*) continue ;; esac
    [ "$start" -ge "$began" ] 2>/dev/null && return 0
  done
  return 1
}}
pause() {{ sleep 0.2 2>/dev/null || {{ sleep 1; i=$((i + 4)); }}; i=$((i + 1)); }}
ae_scope=
if look "$g"; then began=$start; {find_scope}; fi
i=0; next=0
while [ "$i" -lt "$n" ] && alive; do
  if [ "$i" -ge "$next" ]; then signal TERM; next=$((next + 5)); fi
  pause
done
i=0
while alive; do
  [ "$i" -lt 25 ] || return 1
  signal KILL
  pause
done
! daemons"#,
        ticks = grace.as_millis() / 200,
        find_scope = login_scope::find("$g"),
        members = login_scope::members("there"),
    )
}
