//! Where the home is.

use std::path::{Path, PathBuf};

use autoexec_store::Home;

use crate::CliError;

/// `AUTOEXEC_HOME`, else the folder above the one that holds the resolved executable (`spec/cli.md` §1.1).
pub(crate) fn find() -> Result<Home, CliError> {
    if let Some(home) = std::env::var_os("AUTOEXEC_HOME").filter(|home| !home.is_empty()) {
        return std::path::absolute(&home)
            .map(Home::new)
            .map_err(|error| CliError::files(format!("AUTOEXEC_HOME {}: {error}", home.display())));
    }
    let executable = std::env::current_exe()
        .map_err(|error| CliError::files(format!("can not find out where autoexec is installed: {error}")))?;
    let home = above_bin(&executable).ok_or_else(|| {
        CliError::files(format!("{} is not inside a home", executable.display()))
            .hint("install it as <home>/bin/autoexec, or set AUTOEXEC_HOME")
    })?;
    Ok(Home::new(home))
}

fn above_bin(executable: &Path) -> Option<PathBuf> {
    executable.parent()?.parent().map(Path::to_owned)
}
