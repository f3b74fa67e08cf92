//! Which compiler builds guests: rustup's target, or Debian's `rustc-web` with a standard library built from source.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The only target tools are built for: its standard library imports nothing by itself.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Packages of Debian that together build the target.
pub const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "lld-22"];

/// A way to build for [`TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The compiler in use has the target's standard library.
    Installed,
    /// Another compiler, whose standard library is built from its sources.
    BuildStd {
        /// The compiler.
        rustc: PathBuf,
        /// The linker, where the compiler has none of its own.
        linker: Option<PathBuf>,
    },
}

impl Toolchain {
    /// The first way that works here.
    pub fn find() -> Option<Self> {
        if Self::is_installed_for(TARGET) {
            return Some(Self::Installed);
        }
        let rustc =
            std::env::var_os("PLUGIN_RUSTC").map_or_else(|| PathBuf::from("/usr/bin/rustc"), PathBuf::from);
        let sysroot = sysroot_with_sources(&rustc)?;
        let linker = if has_own_linker(&sysroot) { None } else { Some(wasm_ld()?) };
        Some(Self::BuildStd { rustc, linker })
    }

    /// Whether the compiler in use has the standard library of a target, so that [`Toolchain::Installed`] builds for it.
    pub fn is_installed_for(target: &str) -> bool {
        target_libdir(target).is_some_and(|dir| dir.is_dir())
    }

    /// A `cargo build` for [`TARGET`] that uses this way. The caller adds workspace and target directory.
    pub fn cargo_build(&self) -> Command {
        self.cargo_build_for(TARGET)
    }

    /// The same for another target, which [`Toolchain::Installed`] alone builds for.
    pub fn cargo_build_for(&self, target: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Flags meant for the host, and the wrapper cargo put us under, must not reach the guests.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(name);
        }
        cargo.args(["build", "--release", "--quiet", "--target", target]);
        if let Self::BuildStd { rustc, linker } = self {
            // -Zbuild-std is the only unstable switch used, and only where no ready-made library exists.
            cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
            if let Some(linker) = linker {
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        cargo
    }
}

/// Where the compiler in use would keep the target's library; it answers even when there is none.
fn target_libdir(target: &str) -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// The compiler's own directory, if the sources of the standard library are in it.
fn sysroot_with_sources(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let sources = sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml");
    (output.status.success() && sources.is_file()).then_some(sysroot)
}

/// Whether rustc finds the linker it asks for by default. Debian's compiler leaves it out.
fn has_own_linker(sysroot: &Path) -> bool {
    let host = Path::new("lib/rustlib").join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    sysroot.join(host).join("bin/rust-lld").is_file() || in_path(|name| name == "rust-lld").is_some()
}

/// LLVM's WebAssembly linker, which Debian installs with the version in its name.
fn wasm_ld() -> Option<PathBuf> {
    let is_versioned = |name: &str| {
        name.strip_prefix("wasm-ld-")
            .is_some_and(|version| version.bytes().all(|digit| digit.is_ascii_digit()))
    };
    in_path(|name| name == "wasm-ld").or_else(|| in_path(is_versioned))
}

/// The first file in a directory of `PATH` with such a name; the last by name where several fit.
fn in_path(fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|dir| {
        let files = std::fs::read_dir(dir).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        files.filter(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(&fits)).max()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_std_is_asked_for_only_where_it_is_needed() {
        let arguments = |toolchain: &Toolchain| format!("{:?}", toolchain.cargo_build());
        assert!(!arguments(&Toolchain::Installed).contains("build-std"));
        let debian = arguments(&Toolchain::BuildStd {
            rustc: "/usr/bin/rustc".into(),
            linker: Some("/usr/bin/wasm-ld-22".into()),
        });
        assert!(debian.contains("LINKER=\"/usr/bin/wasm-ld-22\""), "{debian}");
        assert!(
            debian.contains("-Zbuild-std=std,panic_abort") && debian.contains("RUSTC=\"/usr/bin/rustc\""),
            "{debian}"
        );
    }

    #[test]
    fn a_compiler_without_sources_is_not_taken() {
        assert_eq!(sysroot_with_sources(Path::new("/nonexistent/rustc")), None);
        assert_eq!(sysroot_with_sources(Path::new("/bin/echo")), None);
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(in_path(|name| name == "sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(in_path(|name| name == "no such program"), None);
    }
}
