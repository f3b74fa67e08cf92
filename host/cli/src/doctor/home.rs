//! The installation's files: who may read and change them.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use autoexec_events::ExitCode;
use autoexec_store::Home;
use nix::unistd::{AccessFlags, access, geteuid};

use super::check::Check;
use crate::config::Config;

/// Bits of a mode with which others than the owner's group can write.
const OTHERS_WRITE: u32 = 0o002;
const GROUP_OR_OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

pub(super) fn checks(home: &Home) -> Vec<Check> {
    vec![layout(home), writable(home), guarded(home), secrets(home), compiled(home)]
}

fn layout(home: &Home) -> Check {
    let name = "home";
    let root = home.root();
    let missing: Vec<&str> = ["conf", "data", "logs", "plugins"]
        .into_iter()
        .filter(|directory| !root.join(directory).is_dir())
        .collect();
    if missing.len() == 4 {
        return Check::failed(
            name,
            ExitCode::Files,
            format!(
                "{} does not look like a home: it has none of conf, data, logs and plugins",
                root.display()
            ),
            "set AUTOEXEC_HOME, give --home, or install the program as <home>/bin/autoexec",
        );
    }
    if missing.is_empty() {
        Check::ok(name, root.display().to_string())
    } else {
        Check::warning(
            name,
            format!("{} has no {}", root.display(), missing.join(", ")),
            "create what is missing; data and logs are made by the first run, if it may",
        )
    }
}

fn writable(home: &Home) -> Check {
    let name = "writable";
    let directories = [home.jobs(), home.cache(), home.logs()];
    let refused: Vec<String> = directories
        .iter()
        .filter_map(|directory| {
            // What is not there is made inside the first directory above it that is.
            let existing = directory.ancestors().find(|path| path.exists())?;
            let flags = AccessFlags::W_OK | AccessFlags::X_OK;
            access(existing, flags).err().map(|error| format!("{}: {error}", existing.display()))
        })
        .collect();
    if refused.is_empty() {
        return Check::ok(name, "jobs, cache and logs can be written");
    }
    let user = geteuid();
    Check::failed(
        name,
        ExitCode::Files,
        format!("this user ({user}) can not write\n{}", refused.join("\n")),
        "give the directories to the account that runs jobs (chown), or run as that account",
    )
}

/// Whoever can change these decides what is run, and with which rights.
fn guarded(home: &Home) -> Check {
    let name = "guarded";
    let root = home.root();
    let program = std::env::current_exe().unwrap_or_else(|_| root.join("bin/autoexec"));
    let guarded = [
        root.to_owned(),
        root.join("bin"),
        program,
        root.join("conf"),
        home.config_file(),
        home.policy(),
        home.trust(),
        home.plugins_lock(),
        home.wasm_plugins(),
        home.local_plugins(),
        home.remote_plugins(),
        root.join("data"),
    ];
    let mut open = Vec::new();
    for path in &guarded {
        match fs::metadata(path) {
            Ok(metadata) => open.extend(trouble(&metadata).map(|text| format!("{}: {text}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => open.push(format!("{}: {error}", path.display())),
        }
    }
    for directory in [home.wasm_plugins(), home.local_plugins(), home.remote_plugins(), home.policy()] {
        open.extend(first_open_below(&directory));
    }
    if open.is_empty() {
        return Check::ok(name, "only this account and root can change program, configuration and tools");
    }
    Check::failed(
        name,
        ExitCode::Files,
        open.join("\n"),
        "whoever can change these decides what is run: chmod o-w, and chown to the account of the executor or root",
    )
}

fn trouble(metadata: &Metadata) -> Option<String> {
    let (mode, owner) = (metadata.mode(), metadata.uid());
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Some(format!("everybody can change it (mode {:04o})", mode & 0o7777));
    }
    let own = geteuid().as_raw();
    (owner != 0 && owner != own).then(|| format!("it belongs to user {owner}, who can change it"))
}

/// One example is enough for people, and a tree of plugins may have thousands.
fn first_open_below(directory: &Path) -> Option<String> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).ok()?.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_symlink() {
                continue;
            }
            if let Some(text) = trouble(&metadata) {
                return Some(format!("{}: {text}", entry.path().display()));
            }
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    None
}

fn secrets(home: &Home) -> Check {
    let name = "secrets";
    let readable = |path: &Path| {
        let mode = fs::metadata(path).ok()?.mode();
        (mode & GROUP_OR_OTHERS != 0).then(|| format!("{} (mode {:04o})", path.display(), mode & 0o7777))
    };
    match readable(&home.config_file()) {
        None => Check::ok(name, "the configuration can be read by this account only"),
        Some(open) => Check::warning(
            name,
            format!("others can read {open}, which holds the keys of all secrets"),
            format!("chmod 600 {}", home.config_file().display()),
        ),
    }
}

fn compiled(home: &Home) -> Check {
    let name = "compiled";
    let directory = home.compiled_tools();
    let metadata = match fs::symlink_metadata(&directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(name, "no tool was compiled yet; the first run of one makes the cache");
        }
        Err(error) => {
            return Check::warning(
                name,
                format!("{}: {error}", directory.display()),
                "tools are compiled at every start until it can be read",
            );
        }
    };
    let own =
        |metadata: &Metadata| metadata.uid() == geteuid().as_raw() && metadata.mode() & GROUP_OR_OTHERS == 0;
    let key = fs::symlink_metadata(directory.join("key"));
    let problem = if !metadata.is_dir() || !own(&metadata) {
        Some("it is not a directory of this account with mode 0700")
    } else if key.as_ref().is_ok_and(|key| !key.is_file() || !own(key)) {
        Some("its key is not a file of this account with mode 0600")
    } else {
        None
    };
    match problem {
        None => Check::ok(name, format!("the cache of compiled tools {} is private", directory.display())),
        Some(problem) => Check::warning(
            name,
            format!("the cache of compiled tools {} is not used: {problem}", directory.display()),
            format!("remove it (rm -r {}); the next run makes it anew", directory.display()),
        ),
    }
}

/// Reads the configuration as runs do, without rewriting it.
pub(super) fn configuration(home: &Home) -> (Option<Config>, Check) {
    let name = "configuration";
    let path = home.config_file();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no {}; jobs from files run without", path.display());
            return (Some(Config::without_file()), Check::ok(name, text));
        }
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            return (None, Check::failed(name, ExitCode::Files, text, "let this account read it"));
        }
    };
    match Config::parse(&text, &path.display().to_string()) {
        Ok(config) if config.misspelled.is_empty() => {
            let text = format!("{} can be used", path.display());
            (Some(config), Check::ok(name, text))
        }
        Ok(config) => {
            let keys: Vec<String> = config.misspelled.iter().map(ToString::to_string).collect();
            let advice = "write the key as it is meant, or take it out; docs/configuration.md has every key";
            let check = Check::warning(name, keys.join("\n"), advice);
            (Some(config), check)
        }
        Err(error) => {
            let advice = "correct it; docs/configuration.md has every key";
            (None, Check::failed(name, ExitCode::BadInput, error.to_string(), advice))
        }
    }
}
