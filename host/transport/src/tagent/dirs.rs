//! Private directories on a target, in the agent's folder for temporary files (`spec/plugin-contract.md` §8.5).

use std::fmt;
use std::time::Duration;

use super::client::{Agent, Turn};
use super::error::{TagentError, TagentErrorKind};
use super::handshake::AgentInfo;
use crate::shell::quote;
use crate::stop::StopToken;

const MAX_PREFIX: usize = 128;
/// Removing a large tree is silent work.
const REMOVE_LIMIT: Duration = Duration::from_mins(10);

/// A private directory on a target, made by [`Agent::make_private_dir`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDir {
    path: String,
    info: AgentInfo,
}

impl AgentDir {
    /// Its absolute path, in the form of its system.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The agent it is on.
    pub fn info(&self) -> &AgentInfo {
        &self.info
    }

    #[cfg(test)]
    pub(super) fn for_test(path: &str, info: AgentInfo) -> Self {
        Self { path: path.to_owned(), info }
    }

    /// A path below it; `relative` is separated by `/`.
    pub fn join(&self, relative: &str) -> String {
        if relative.is_empty() {
            self.path.clone()
        } else if self.info.is_windows() {
            format!("{}\\{}", self.path, relative.replace('/', "\\"))
        } else {
            format!("{}/{relative}", self.path)
        }
    }
}

impl fmt::Display for AgentDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Agent {
    /// Makes a directory of this name with a random suffix, for the account only.
    pub async fn make_private_dir(&self, prefix: &str, stop: &StopToken) -> Result<AgentDir, TagentError> {
        self.guarded(stop, self.make_dir(prefix)).await
    }

    async fn make_dir(&self, prefix: &str) -> Result<AgentDir, TagentErrorKind> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(usable) {
            let detail = format!("{prefix:?} must be 1 to {MAX_PREFIX} of A-Z a-z 0-9 . _ -");
            return Err(TagentErrorKind::Invalid { what: "remote directory prefix", detail });
        }
        let name = format!("{prefix}.{}", random_name()?);
        let limit = self.answer_limit();
        let (info, status, output) =
            self.quick_with(|info| make_command(info, &name), limit, Turn::Wait).await?;
        let said = info.charset.decode_lossy(&output).into_owned();
        // The last line, for a login profile may say something first.
        let path = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        if status != 0 || !path.ends_with(&name) {
            let action = format!("making a directory {name} in the agent's $TMPDIR");
            let said = super::answer::failure(&output, info.charset);
            return Err(TagentErrorKind::Failed { action, said: format!("status {status} {said}") });
        }
        if let Err(kind) = check_path(path, info.is_windows()) {
            // It is there, and nobody else could remove it. That it cannot be used is the error, whatever comes of this.
            let _ = self.quick(&unmake_command(&info, &name), limit, Turn::AtOnce).await;
            return Err(kind);
        }
        Ok(AgentDir { path: path.to_owned(), info })
    }

    /// A path that the agent takes for the file `path` and not for a pattern or variables: `path` itself, or on Unix,
    /// where needed, a link to it in `dir`.
    pub async fn plain_name(
        &self,
        dir: &AgentDir,
        path: &str,
        stop: &StopToken,
    ) -> Result<String, TagentError> {
        if dir.info.is_windows() || !path.contains(is_live) || path.contains('\0') {
            return Ok(path.to_owned());
        }
        let work = async {
            let link = dir.join(&format!("link-{}", random_name()?));
            // A link to nothing would be there: what is missing has to be missing under its other name too.
            let target = quote(path);
            let command = format!("[ ! -e {target} ] || ln -s {target} {}", quote(&link));
            let (status, output) = self.quick(&command, self.answer_limit(), Turn::Wait).await?;
            if status == 0 {
                return Ok(link);
            }
            let said = super::answer::failure(&output, dir.info.charset);
            Err(TagentErrorKind::Failed { action: format!("making a link to {path}"), said })
        };
        self.guarded(stop, work).await
    }

    /// Removes a directory with everything in it.
    pub async fn remove_dir(&self, dir: &AgentDir, stop: &StopToken) -> Result<(), TagentError> {
        let work = async {
            let command = remove_command(dir);
            let (status, output) = self.quick(&command, REMOVE_LIMIT, Turn::AtOnce).await?;
            if status == 0 {
                return Ok(());
            }
            let action = format!("removing the directory {dir}");
            let said = super::answer::failure(&output, dir.info.charset);
            Err(TagentErrorKind::Failed { action, said: format!("status {status} {said}") })
        };
        self.guarded(stop, work).await
    }
}

/// mkdir fails on anything that is there already, a planted link included; no name is ever reused. The agent replaces
/// `$TMPDIR` in a command by its own value, in a path of a file by the account's; so the command says which it was.
fn make_command(info: &AgentInfo, name: &str) -> String {
    if info.is_windows() {
        format!(r#"mkdir "%TMPDIR%\{name}" && cd /d "%TMPDIR%\{name}" && cd"#)
    } else {
        format!(r#"umask 077; mkdir -m 700 "$TMPDIR/{name}" && cd "$TMPDIR/{name}" && pwd"#)
    }
}

/// The same words again: they have to mean the same place.
fn unmake_command(info: &AgentInfo, name: &str) -> String {
    if info.is_windows() {
        format!(r#"rd /s /q "%TMPDIR%\{name}""#)
    } else {
        format!(r#"rmdir "$TMPDIR/{name}""#)
    }
}

fn remove_command(dir: &AgentDir) -> String {
    let path = dir.path();
    if dir.info.is_windows() {
        // It says nothing in its status when it fails.
        return format!(r#"rd /s /q "{path}" & if exist "{path}" exit 1"#);
    }
    let path = quote(path);
    // Members without the right to write would keep rm from removing their content.
    format!("cd / && {{ rm -rf {path} 2>/dev/null || {{ chmod -R u+rwx {path}; rm -rf {path}; }}; }}")
}

/// What Unix agents may expand in paths of files, or end them at: variables and patterns. There is no quote against it.
fn is_live(c: char) -> bool {
    c.is_whitespace() || "$%*?[]{}~\\'\"".contains(c)
}

/// What [`Agent::plain_name`] would need a link for is no place for links. A blank is usual in paths of Windows, where
/// there are none.
fn check_path(path: &str, windows: bool) -> Result<(), TagentErrorKind> {
    let drive = |path: &str| {
        let mut characters = path.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic()) && characters.next() == Some(':')
    };
    let absolute = if windows { drive(path) || path.starts_with(r"\\") } else { path.starts_with('/') };
    let live = |c: char| {
        let expanded = if windows { "$%*?[]{}\"'".contains(c) } else { is_live(c) };
        c.is_control() || expanded || "`|&<>;".contains(c)
    };
    if absolute && !path.contains(live) {
        return Ok(());
    }
    let detail = format!(
        "the agent's $TMPDIR leads to {path:?}, which it cannot address literally; configure another folder for it"
    );
    Err(TagentErrorKind::Invalid { what: "temporary folder", detail })
}

/// A name nobody can foresee.
pub(super) fn random_name() -> Result<String, TagentErrorKind> {
    let mut random = [0; 6];
    getrandom::fill(&mut random)
        .map_err(|error| TagentErrorKind::Local { what: "random numbers", detail: error.to_string() })?;
    Ok(hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::super::charset::Charset;
    use super::*;

    fn dir(os: &str, path: &str) -> AgentDir {
        let info = AgentInfo { os: os.to_owned(), charset: Charset::utf8(), encrypted: false };
        AgentDir::for_test(path, info)
    }

    #[test]
    fn paths_of_both_systems() {
        let (unix, windows) = (dir("AIX", "/var/t/x"), dir("Windows", r"C:\t\x"));
        assert_eq!(unix.join("a/b"), "/var/t/x/a/b");
        assert_eq!(unix.join(""), "/var/t/x");
        assert_eq!(windows.join("a/b"), r"C:\t\x\a\b");
        assert_eq!(remove_command(&windows), r#"rd /s /q "C:\t\x" & if exist "C:\t\x" exit 1"#);
        for (path, is_windows, good) in [
            ("/opt/tagent/tmp/autoexec-1-2-3.ab", false, true),
            ("/opt/t a/x", false, false),
            ("/opt/~t/x", false, false),
            (r"C:\Program Files\x", true, true),
            ("relative/x", false, false),
            ("/opt/$x/y", false, false),
            ("/opt/[x]/y", false, false),
            (r"C:\Users\ADMINI~1\x", true, true),
            (r"\\share\x", true, true),
            (r"\x", true, false),
            (r"C:\a%b%\x", true, false),
        ] {
            assert_eq!(check_path(path, is_windows).is_ok(), good, "{path}");
        }
    }
}
