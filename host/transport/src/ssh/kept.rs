//! A directory that stays on a target for what comes after its user: what is left in it, and how it is taken over.
//!
//! Left are the files whose digests are known, and nothing else. What was sent for one operation only is put aside under
//! its digest: whoever needs the same content gets it from there, whoever does not cannot come across it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::connection::Worker;
use super::digests::FileDigest;
use super::error::{SshErrorKind, Step};
use super::files::{REMOVE_LIMIT, RemoteDir, removal};
use super::inventory::{Brought, Held, STORE, list_name, stored_name};
use super::patience::{Cancel, Patience};
use super::resident::word;
use super::script;
use crate::shell::quote;
use crate::stop::StopLevel;

/// Different sets of files that are looked through for an equal one.
const SHAPES: usize = 16;
/// What the script says when the directory is still there.
const KEPT: &[u8] = b"kept";

/// What stands in a directory that is kept.
#[derive(Debug, Clone)]
pub struct Stock {
    pub(super) held: Arc<BTreeMap<String, Held>>,
    pub(super) fickle: HashSet<String>,
    pub(super) lists: u32,
    pub(super) current: u32,
}

/// The sets of files in kept directories: the nodes of a phase have the same one, which is in memory once.
#[derive(Debug, Default)]
pub struct Stocks {
    shapes: Mutex<Vec<Arc<BTreeMap<String, Held>>>>,
}

impl Stocks {
    /// The one that is equal to this, or this.
    pub(super) fn shared(&self, held: BTreeMap<String, Held>) -> Arc<BTreeMap<String, Held>> {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = shapes.iter().find(|shape| ***shape == held) {
            return Arc::clone(shape);
        }
        let shape = Arc::new(held);
        if shapes.len() >= SHAPES {
            shapes.remove(0);
        }
        shapes.push(Arc::clone(&shape));
        shape
    }
}

/// What is to be done with the files of a directory that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keeping {
    /// Number of the list that stands there, and of the one that is to stand there.
    pub(super) list: u32,
    pub(super) next: u32,
    /// Files that are put aside.
    pub(super) aside: BTreeMap<String, FileDigest>,
}

/// Leaves in a directory what `keeping` knows of. False when that could not be done, and the directory is gone.
pub(super) fn keep(
    worker: &Worker,
    dir: &RemoteDir,
    keeping: &Keeping,
    cancel: &Cancel,
) -> Result<bool, SshErrorKind> {
    let body = format!("( {} ) 2>/dev/null && return 0; {}", keep_script(dir, keeping), removal(dir, &[]));
    let limit = worker.settings.write_timeout.max(REMOVE_LIMIT);
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate)).up_to(0);
    let mut said = Vec::new();
    let ran = script::run(&worker.link, &body, &mut patience, None, &mut |bytes| {
        if said.len() < KEPT.len() {
            said.extend_from_slice(bytes);
        }
    })?;
    ran.expect_success(|| format!("removing the directory {dir}"))?;
    Ok(said == KEPT)
}

/// Ends with 0 when all went well. Nothing is touched before it is certain that this is the directory and no link to another
/// one. What has a line break in its name goes first: lists of files are read line by line. `xargs` takes any byte that stands
/// behind a backslash as it is.
fn keep_script(dir: &RemoteDir, keeping: &Keeping) -> String {
    let list = list_name(keeping.next);
    let (parent, name) = dir.path().rsplit_once('/').unwrap_or_default();
    let mut text = format!(
        "for t in find awk sed xargs; do command -v \"$t\" >/dev/null || exit 1; done; \
         LC_ALL=C; export LC_ALL; umask 077; cd {parent} && p=$(pwd -P) && cd ./{name} && [ \"$(pwd -P)\" = \"$p/{name}\" ] && \
         [ -O . ] && [ -f ./{now} ] && chmod 700 . && ",
        now = list_name(keeping.list),
    );
    if keeping.next != keeping.list {
        text.push_str(&put_aside(keeping));
    }
    let found = format!("./{STORE}found");
    let _ = write!(
        text,
        "find . -depth ! -name . \\( -name {line_break} -o ! -type d ! -type f \\) -exec rm -rf {{}} + && \
         find . -type f >{found} && \
         awk 'BEGIN {{ k[\"./{list}\"] }} NR == FNR {{ k[\"./\" substr($0, 67)]; next }} !($0 in k)' ./{list} {found} | \
         sed 's/[^A-Za-z0-9]/\\\\&/g' | xargs rm -f -- && [ ! -e {found} ] && [ -f ./{list} ] && \
         {{ find . -depth -type d ! -name . -exec rmdir {{}} + || :; }} && printf kept",
        line_break = word("*\n*"),
    );
    text
}

/// Moves what is put aside, and writes the list of what stands there then.
fn put_aside(keeping: &Keeping) -> String {
    let mut text = format!("mkdir -p ./{STORE}files && ");
    let (mut without, mut with) = (String::new(), String::new());
    for (dest, digest) in &keeping.aside {
        let stored = stored_name(digest);
        let _ = write!(text, "mv -f {} ./{stored} && ", word(&format!("./{dest}")));
        let digest = hex::encode(digest);
        let _ = write!(without, " -e {}", word(&format!("{digest}  {dest}")));
        let _ = write!(with, " {}", word(&format!("{digest}  {stored}")));
    }
    // With nothing left grep fails, which is no failure here.
    let _ = write!(
        text,
        "{{ grep -vxF{without} ./{}; printf '%s\\n'{with}; }} >./{} && ",
        list_name(keeping.list),
        list_name(keeping.next)
    );
    text
}

/// Shell text that gives a file that was put aside its name and mode.
pub(super) fn bring(file: &Brought) -> String {
    let parent = file.dest.rsplit_once('/').map_or(String::new(), |(parent, _)| {
        let parent = word(&format!("./{parent}"));
        format!("{{ [ -d {parent} ] || mkdir -p {parent}; }} && ")
    });
    let (stored, dest) = (stored_name(&file.digest), word(&format!("./{}", file.dest)));
    format!("{parent}mv -f ./{stored} {dest} && chmod {:o} {dest}", file.mode & 0o7777)
}

/// Shell text that gives a kept directory its new name (both words), or does `otherwise` where it cannot be used.
///
/// It has to be a directory of this account that nobody else may enter. That is asked of the new name, which nobody knew
/// before, by one look that follows no link; the tests before it only spare what is not ours from being moved. What is ours and
/// cannot be used is removed.
fn take_over_or(kept: &str, root: &str, otherwise: &str) -> String {
    format!(
        "ae_own() {{ [ -d \"$1\" ] && [ ! -h \"$1\" ] && [ -O \"$1\" ]; }}; \
         ae_take() {{ ae_own \"$1\" && [ ! -e \"$2\" ] && mv \"$1\" \"$2\" && set -- $(LC_ALL=C ls -ldn \"$2\") && \
         case $1 in drwx------|drwx------[.@]) [ \"$3\" = \"$(id -u)\" ] ;; *) false ;; esac; }}; \
         ae_take {kept} {root} 2>/dev/null || {{ for ae_y in {kept} {root}; do ae_own \"$ae_y\" && rm -rf \"$ae_y\"; done 2>/dev/null; \
         {otherwise}; }}"
    )
}

/// The same before files and command.
pub(super) fn take_over(kept: &str, root: &str) -> String {
    take_over_or(kept, root, "ae_r gone 0; exit 9") + "; "
}

/// The same by itself. False when the directory could not be used.
pub(super) fn take_over_now(
    worker: &Worker,
    kept: &RemoteDir,
    dir: &RemoteDir,
    cancel: &Cancel,
) -> Result<bool, SshErrorKind> {
    let body = take_over_or(&quote(kept.path()), &quote(dir.path()), "return 9");
    let limit = worker.settings.write_timeout;
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate)).up_to(0);
    let ran = script::run(&worker.link, &body, &mut patience, None, &mut |_| {})?;
    Ok(ran.code == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Output;

    use sha2::{Digest as _, Sha256};

    use super::super::resident::LINE_BREAK;
    use super::*;
    use crate::shell::shells_for_tests::{of, shells};

    /// A directory under `/tmp` with a list of what is in it.
    struct Ground {
        dir: RemoteDir,
        files: BTreeMap<String, FileDigest>,
    }

    impl Drop for Ground {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.dir.path());
        }
    }

    impl Ground {
        fn new() -> Self {
            let dir = RemoteDir::new("autoexec-kept-test").unwrap();
            std::fs::create_dir(dir.path()).unwrap();
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
            let mut ground = Self { dir, files: BTreeMap::new() };
            for name in ["lib/a", "lib/ it's [*] \u{e9} ", "lib/-rf", "lib/$HOME \"x\"", "b/file/data"] {
                ground.write(name);
                ground.files.insert(name.to_owned(), Sha256::digest(name).into());
            }
            let lines =
                ground.files.iter().map(|(name, digest)| format!("{}  {name}\n", hex::encode(digest)));
            std::fs::write(ground.at(&list_name(3)), lines.collect::<String>()).unwrap();
            ground
        }

        fn at(&self, name: &str) -> std::path::PathBuf {
            Path::new(self.dir.path()).join(name)
        }

        fn write(&self, name: &str) {
            let path = self.at(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }

        fn found(&self) -> Vec<String> {
            let root = Path::new(self.dir.path());
            let found = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter();
            let name = |entry: walkdir::DirEntry| {
                entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned()
            };
            found.map(|entry| name(entry.unwrap())).collect()
        }
    }

    fn run(shell: &str, tools: Option<&Path>, script: &str) -> Output {
        let mut command = of(shell);
        if let Some(tools) = tools {
            command.env("PATH", tools);
        }
        command.arg(format!("{LINE_BREAK}ae_r() {{ echo \"$1\"; }}; {script}")).output().unwrap()
    }

    /// Each shell with the tools that are here, and busybox with its own.
    fn places(applets: &Path) -> Vec<(&'static str, Option<&Path>)> {
        let mut places: Vec<_> = shells().into_iter().map(|shell| (shell, None)).collect();
        if places.iter().any(|(shell, _)| shell.ends_with("busybox")) {
            let mut install = std::process::Command::new("/bin/busybox");
            assert!(install.args(["--install", "-s"]).arg(applets).status().unwrap().success());
            places.push(("/bin/busybox", Some(applets)));
        }
        places
    }

    #[test]
    fn each_shell_leaves_what_is_known_and_nothing_else() {
        let applets = tempfile::tempdir().unwrap();
        for (shell, tools) in places(applets.path()) {
            let ground = Ground::new();
            let kept = ["b/file/data"].map(|name| (name.to_owned(), ground.files[name]));
            let keeping = Keeping { list: 3, next: 4, aside: BTreeMap::from(kept.clone()) };
            for name in
                ["lib/x", "-e", "b/out put\\ '\" $x", "lib\n/lib/a", "lib/a\nlib/-rf", ".hidden/.f", "\u{fc}"]
            {
                ground.write(name);
            }
            std::os::unix::fs::symlink("/etc", ground.at("lib/link")).unwrap();
            std::os::unix::fs::symlink("a", ground.at("lib/link to a")).unwrap();
            std::fs::create_dir_all(ground.at("empty/in empty")).unwrap();
            let output = run(shell, tools, &keep_script(&ground.dir, &keeping));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "kept", "{shell} {tools:?}: {output:?}");
            let stored = stored_name(&kept[0].1);
            let mut want: Vec<&str> =
                ground.files.keys().map(String::as_str).filter(|name| name.starts_with("lib/")).collect();
            let list = list_name(4);
            want.extend(["lib", &stored, stored.rsplit_once('/').unwrap().0, &list]);
            want.sort_unstable();
            let mut found = ground.found();
            found.sort_unstable();
            assert_eq!(found, want, "{shell} {tools:?}");
            // The list is what stands there.
            let check = run("/bin/dash", None, &format!("cd {} && sha256sum -c ./{list}", ground.dir.path()));
            let said = String::from_utf8_lossy(&check.stdout).into_owned();
            assert!(check.status.success() && said.lines().count() == 5, "{shell} {tools:?}: {said}");
        }
    }

    #[test]
    fn no_shell_touches_what_is_no_kept_directory() {
        let applets = tempfile::tempdir().unwrap();
        for (shell, tools) in places(applets.path()) {
            let (ground, other) = (Ground::new(), Ground::new());
            std::fs::remove_dir_all(ground.dir.path()).unwrap();
            std::os::unix::fs::symlink(other.dir.path(), ground.dir.path()).unwrap();
            other.write("theirs");
            let before = other.found();
            let keeping = Keeping { list: 3, next: 3, aside: BTreeMap::new() };
            let output = run(shell, tools, &keep_script(&ground.dir, &keeping));
            assert!(!output.status.success() && output.stdout.is_empty(), "{shell} {tools:?}: {output:?}");
            let new = RemoteDir::new("autoexec-kept-test").unwrap();
            let output = run(shell, tools, &take_over(ground.dir.path(), new.path()));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "gone\n", "{shell} {tools:?}: {output:?}");
            assert_eq!(output.status.code(), Some(9), "{shell} {tools:?}");
            assert!(!Path::new(new.path()).exists(), "{shell} {tools:?}");
            assert_eq!(other.found(), before, "{shell} {tools:?}");
            std::fs::remove_file(ground.dir.path()).unwrap();
            // A directory in the place of the new one does not get the old one into it.
            std::fs::create_dir(new.path()).unwrap();
            let output = run(shell, tools, &take_over(other.dir.path(), new.path()));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "gone\n", "{shell} {tools:?}: {output:?}");
            let _ = std::fs::remove_dir(new.path());
        }
    }

    #[test]
    fn each_shell_takes_a_kept_directory_over() {
        let applets = tempfile::tempdir().unwrap();
        for (shell, tools) in places(applets.path()) {
            let mut ground = Ground::new();
            let before = ground.found();
            let new = RemoteDir::new("autoexec-kept-test").unwrap();
            let output = run(shell, tools, &(take_over(ground.dir.path(), new.path()) + "echo on"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "on\n", "{shell} {tools:?}: {output:?}");
            assert!(!Path::new(ground.dir.path()).exists());
            ground.dir = new;
            assert_eq!(ground.found(), before, "{shell} {tools:?}");
        }
    }
}
