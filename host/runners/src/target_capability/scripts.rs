//! The POSIX scripts behind the capability, and what they say.

use autoexec_sandbox::{TargetEntry, TargetError};

/// Status of a script that finds nothing at its path.
const NOT_FOUND: i32 = 83;

/// The account's login shell takes the line, as `ssh` would give it; a login shell that is none takes `sh`. `@USE@` is
/// the directory of the command's files.
pub(super) const START: &str = r#"d=$(pwd)/@USE@
line=$(cat "$d/line")
case ${SHELL##*/} in sh|bash|ksh|zsh|dash|csh|tcsh) shell=$SHELL ;; *) shell=/bin/sh ;; esac
cd "${HOME:-/}" 2>/dev/null || cd /
"#;

/// Prints `type|size|seconds|mode|name` and a NUL byte for a path; `stat` of GNU and of BSD, and perl where there is
/// neither (AIX, Solaris). Relative paths start at the home directory, as they do for `ssh`.
pub(super) const LOOK: &str = r#"case $p in /*) ;; *) p=${HOME:-}/$p ;; esac
[ -e "$p" ] || exit 83
look() {
  if [ -d "$1" ]; then t=d; elif [ -f "$1" ]; then t=f; else return 0; fi
  f=$(stat -L -c '%s|%Y|%a' "$1" 2>/dev/null) ||
  f=$(stat -L -f '%z|%m|%Lp' "$1" 2>/dev/null) ||
  f=$(perl -e '@s = stat shift or exit 1; printf "%d|%d|%o", $s[7], $s[9], $s[2] & 07777' "$1") || exit 1
  printf '%s|%s|%s\0' "$t" "$f" "${1##*/}"
}
list() {
  [ -d "$p" ] || { echo "not a directory" >&2; exit 1; }
  for e in "$p"/* "$p"/.[!.]* "$p"/..?*; do [ -e "$e" ] && look "$e"; done
  exit 0
}
"#;

/// Puts what was sent in its place: written beside and renamed.
pub(super) const PUT: &str = r#"case $to in /*) ;; *) to=${HOME:-}/$to ;; esac
one() { # source, destination
  if [ -d "$2" ]; then echo "$2 is a directory" >&2; exit 1; fi
  t=$2.autoexec-new-$$
  cp ${keep:-} "$1" "$t" && mv -f "$t" "$2" || { rm -f "$t"; exit 1; }
}
made() { mkdir -p "$to/$1" || exit 1; }
tree() {
  mkdir -p "$to" || exit 1
  [ -d "$d/content" ] || return 0
  export keep to d
  find "$d/content" -type f -exec sh -c '
    for f do
      r=${f#"$d/content/"}; b=$to/$r; t=$b.autoexec-new-$$
      case $r in */*) mkdir -p "$to/${r%/*}" || exit 1 ;; esac
      cp ${keep:-} "$f" "$t" && mv -f "$t" "$b" || { rm -f "$t"; echo "$b failed" >&2; exit 1; }
    done' sh {} + || exit 1
}
"#;

/// The error of one of our scripts.
pub(super) fn done(status: i32, said: &[u8], path: &str) -> Result<(), TargetError> {
    match status {
        0 => Ok(()),
        NOT_FOUND => Err(TargetError::NotFound(path.to_owned())),
        _ => {
            let said = String::from_utf8_lossy(said);
            let said: String =
                said.trim().chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect();
            Err(TargetError::Other(format!("{path}: {said}")))
        }
    }
}

pub(super) fn entries(said: &[u8]) -> impl Iterator<Item = TargetEntry> {
    said.split(|byte| *byte == 0).filter_map(|record| {
        let text = String::from_utf8_lossy(record).into_owned();
        let mut fields = text.splitn(5, '|');
        let is_directory = match fields.next()?.trim_start() {
            "d" => true,
            "f" => false,
            _ => return None,
        };
        let size = fields.next()?.parse().ok()?;
        let modified = fields.next()?.parse().ok()?;
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let name = fields.next()?.to_owned();
        Some(TargetEntry { name, is_directory, size: if is_directory { 0 } else { size }, modified, mode })
    })
}
