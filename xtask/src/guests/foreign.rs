//! The tools that the tests run and that are not made with our SDK for Rust: JavaScript and Python, made components by the tool
//! chains that `autoexec plugin build` installs and uses, too, and Rust with the library of WASI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use autoexec_packaging::{Interpreters, Toolchain, read_tool_file};

use super::encode;
use crate::step;

/// Where the tool chains are, unless `AUTOEXEC_TOOLCHAINS` names another place. The end-to-end tests of tools in these languages look
/// here as well.
const TOOL_CHAINS: &str = "target/toolchains";

/// What Rust is compiled for when its library is that of WASI.
const WASI_TARGET: &str = "wasm32-wasip2";

/// Builds what is out of date into `<out>/foreign`.
pub(super) fn build(root: &Path, out: &Path) -> Result<()> {
    let foreign = Foreign {
        source: root.join("tests/fixtures/foreign"),
        work: root.join("target/foreign"),
        chains: Interpreters::named().unwrap_or_else(|| Interpreters::at(root.join(TOOL_CHAINS))),
        wit: root.join("wit/autoexec-tool"),
        out: out.to_owned(),
    };
    fs::create_dir_all(&foreign.work).with_context(|| format!("making {}", foreign.work.display()))?;
    foreign.javascript()?;
    foreign.python()?;
    foreign.rust()
}

struct Foreign {
    source: PathBuf,
    /// Intermediate files.
    work: PathBuf,
    chains: Interpreters,
    wit: PathBuf,
    out: PathBuf,
}

impl Foreign {
    fn javascript(&self) -> Result<()> {
        let dir = self.source.join("javascript");
        let core = self.work.join("javascript.wasm");
        let inputs = self.inputs(&[dir.join("tool.js"), dir.join("build.mjs")])?;
        if !encode::is_up_to_date(&core, &borrowed(&inputs)) {
            let modules = self.chains.javascript(|text| step::say(text))?;
            step::say("making a component of JavaScript");
            let mut node = Command::new("node");
            node.arg(dir.join("build.mjs")).arg(modules).arg(dir.join("tool.js"));
            node.arg(self.staged_wit()?).arg(&core);
            step::run(&mut node)?;
        }
        encode::with_manifest(&core, &dir.join("tool.toml"), &self.out)
    }

    fn python(&self) -> Result<()> {
        let dir = self.source.join("python");
        let core = self.work.join("python.wasm");
        let inputs = self.inputs(&[dir.join("app.py")])?;
        if !encode::is_up_to_date(&core, &borrowed(&inputs)) {
            let python = self.chains.python(|text| step::say(text))?;
            step::say("making a component of Python");
            let mut make = Command::new(python.with_file_name("componentize-py"));
            make.arg("-d").arg(self.staged_wit()?).args(["-w", "foreign", "componentize", "-p"]).arg(&dir);
            step::run(make.args(["app", "-o"]).arg(&core))?;
        }
        encode::with_manifest(&core, &dir.join("tool.toml"), &self.out)
    }

    /// What the compiler makes is a component already. Debian has no library for its target, so where rustup can not fetch it there is no
    /// such tool, and the test of it says so.
    fn rust(&self) -> Result<()> {
        let dir = self.source.join("rust");
        let component = self.work.join("rust").join(WASI_TARGET).join("release/foreign_rust.wasm");
        let own = ["Cargo.toml", "Cargo.lock", "src/lib.rs"].map(|file| dir.join(file));
        if !encode::is_up_to_date(&component, &borrowed(&self.inputs(&own)?)) {
            if !Toolchain::is_installed_for(WASI_TARGET) {
                step::say(format_args!("trying `rustup target add {WASI_TARGET}`"));
                if let Err(error) = step::run(Command::new("rustup").args(["target", "add", WASI_TARGET])) {
                    let name = read_tool_file(&dir.join("tool.toml"))?.name;
                    step::say(format_args!("{error:#}: {name} is NOT built, and its test will not run"));
                    return Ok(());
                }
            }
            step::say(format_args!("making a component of Rust ({WASI_TARGET})"));
            let mut cargo = Toolchain::Installed.cargo_build_for(WASI_TARGET);
            cargo.arg("--manifest-path").arg(dir.join("Cargo.toml"));
            step::run(cargo.arg("--target-dir").arg(self.work.join("rust")))?;
        }
        encode::with_manifest(&component, &dir.join("tool.toml"), &self.out)
    }

    /// The files of a tool, and all WIT files.
    fn inputs(&self, own: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut inputs = own.to_vec();
        inputs.push(self.source.join("wit/world.wit"));
        inputs.extend(wit_files(&self.wit)?);
        inputs.extend(wit_files(&self.wit.join("deps"))?);
        Ok(inputs)
    }

    /// The world of the tools with the packages it needs, each in a directory of its own below `deps`.
    fn staged_wit(&self) -> Result<PathBuf> {
        let staged = self.work.join("wit");
        copy(&self.source.join("wit/world.wit"), &staged.join("world.wit"))?;
        for file in wit_files(&self.wit)? {
            copy(&file, &staged.join("deps/autoexec-tool").join(file.file_name().unwrap_or_default()))?;
        }
        for file in wit_files(&self.wit.join("deps"))? {
            let package = staged.join("deps").join(file.file_stem().unwrap_or_default());
            copy(&file, &package.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(staged)
    }
}

fn borrowed(paths: &[PathBuf]) -> Vec<&Path> {
    paths.iter().map(PathBuf::as_path).collect()
}

fn wit_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let dir = to.parent().context("a file has no directory")?;
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}
