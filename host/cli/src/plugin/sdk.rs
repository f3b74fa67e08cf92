//! The sources of the SDK inside this program, so that a new tool needs nothing but it and a compiler.

use std::path::Path;

use crate::CliError;

include!(concat!(env!("OUT_DIR"), "/sdk_files.rs"));

/// Writes the SDK and the interfaces below a directory, as `sdk/…` and `wit/…`.
pub(super) fn unpack(dir: &Path) -> Result<(), CliError> {
    for (name, content) in FILES {
        let path = dir.join(name);
        let failed = |error| CliError::files(format!("can not write {}: {error}", path.display()));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path, content).map_err(failed)?;
    }
    Ok(())
}

/// The files below a directory, by their names there.
pub(super) fn below(dir: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(name, content)| Some((name.strip_prefix(dir)?, *content)))
}

/// One file of it.
pub(super) fn file(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(own, _)| *own == name).map(|(_, content)| *content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_build_needs_is_inside() {
        let needed = [
            "sdk/rust/Cargo.toml",
            "sdk/rust/Cargo.lock",
            "sdk/rust/src/lib.rs",
            "sdk/rust/src/http/wasi.rs",
            "sdk/rust/derive/src/lib.rs",
            "wit/autoexec-tool/world.wit",
            "wit/autoexec-tool/deps/http.wit",
        ];
        for name in needed {
            assert!(file(name).is_some_and(|content| !content.is_empty()), "{name}");
        }
        assert!(FILES.iter().all(|(name, _)| !name.contains("/target/") && !name.contains("node_modules")));
    }
}
