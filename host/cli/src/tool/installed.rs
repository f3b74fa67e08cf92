//! The tools of a home as they are installed: components, and native tools with a manifest beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use autoexec_manifest::{
    InterfaceName, Manifest, NATIVE_MANIFEST_SUFFIX, NativeManifest, NativeManifestError, SectionError,
    read_outline,
};
use autoexec_store::Home;
use autoexec_supply::{
    Assessment, Candidate, Digest, Kind, Pinned, Rules, SignatureState, Standing, read_signature,
};

use crate::CliError;

/// A tool's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// `bundle/name`.
    pub(crate) name: String,
    /// How it runs.
    pub(crate) kind: Kind,
    /// The component or program.
    pub(super) path: PathBuf,
}

/// A tool and what is known of it.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(super) place: Place,
    pub(crate) description: Description,
    /// Interfaces that a component imports.
    pub(crate) imports: Vec<InterfaceName>,
    /// As the lock would have it.
    pub(super) pinned: Pinned,
    /// Its signature; none for a native tool, which has no place for one.
    pub(crate) signature: Option<SignatureState>,
    /// How it stands to the lock; none if there is no lock.
    pub(super) standing: Option<Standing>,
}

/// The manifest.
#[derive(Debug)]
pub(crate) enum Description {
    Component(Box<Manifest>),
    Native(NativeManifest),
}

impl Description {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Component(manifest) => &manifest.description,
            Self::Native(manifest) => &manifest.description,
        }
    }

    /// What it asks for, and why.
    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        match self {
            Self::Component(manifest) => {
                let requests = manifest.capabilities.iter();
                requests.map(|request| (request.interface.clone(), request.reason.clone())).collect()
            }
            Self::Native(manifest) => manifest.requests().into_iter().collect(),
        }
    }
}

/// A tool that can not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolProblem {
    #[error("{}: {problem}", path.display())]
    Read { path: PathBuf, problem: io::Error },
    #[error("tool {}: {problem}", path.display())]
    Component { path: PathBuf, problem: SectionError },
    #[error("{}: {problem}", path.display())]
    Manifest { path: PathBuf, problem: NativeManifestError },
    #[error("there is no tool {name}: neither {} nor {} is there", component.display(), manifest.display())]
    Missing { name: String, component: PathBuf, manifest: PathBuf },
}

impl From<ToolProblem> for CliError {
    fn from(problem: ToolProblem) -> Self {
        match problem {
            ToolProblem::Read { .. } => Self::files(problem),
            _ => Self::bad_input(problem),
        }
    }
}

/// All tools that can be looked at, sorted by name.
pub(crate) fn find_all(home: &Home) -> Result<Vec<Place>, ToolProblem> {
    let mut found = Vec::new();
    walk(&home.wasm_plugins(), "", &mut |name, path| {
        if let Some(name) = name.strip_suffix(".wasm") {
            found.push(Place { name: name.to_owned(), kind: Kind::Component, path });
        }
    })?;
    walk(&home.local_plugins(), "", &mut |name, path| {
        let program = name.strip_suffix(NATIVE_MANIFEST_SUFFIX);
        if let Some((name, path)) = program.zip(program_of(&path)) {
            found.push(Place { name: name.to_owned(), kind: Kind::Native, path });
        }
    })?;
    // A component wins over a native tool of its name, so that one never runs.
    found.sort();
    found.dedup_by(|later, earlier| later.name == earlier.name);
    Ok(found)
}

/// The tool of a name.
pub(super) fn find(home: &Home, name: &str) -> Result<Place, ToolProblem> {
    let component = home.wasm_plugins().join(format!("{name}.wasm"));
    let program = home.local_plugins().join(name);
    let manifest = NativeManifest::path_of(&program);
    let is_plain = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let place = |kind, path| Place { name: name.to_owned(), kind, path };
    match (is_plain && component.is_file(), is_plain && manifest.is_file()) {
        (true, _) => Ok(place(Kind::Component, component)),
        (false, true) => Ok(place(Kind::Native, program)),
        (false, false) => Err(ToolProblem::Missing { name: name.to_owned(), component, manifest }),
    }
}

/// The tools that were named, or all.
pub(super) fn chosen(home: &Home, names: &[String]) -> Result<Vec<Place>, ToolProblem> {
    if names.is_empty() {
        return find_all(home);
    }
    let mut places: Vec<Place> = names.iter().map(|name| find(home, name)).collect::<Result<_, _>>()?;
    places.sort();
    places.dedup();
    Ok(places)
}

fn walk(directory: &Path, prefix: &str, take: &mut dyn FnMut(&str, PathBuf)) -> Result<(), ToolProblem> {
    let unreadable = |problem| ToolProblem::Read { path: directory.to_owned(), problem };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let (path, name) = (entry.path(), format!("{prefix}{name}"));
        // A link to a directory is not gone into: it could lead back.
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&path, &format!("{name}/"), take)?;
        } else if !prefix.is_empty() && path.is_file() {
            take(&name, path);
        }
    }
    Ok(())
}

fn program_of(manifest: &Path) -> Option<PathBuf> {
    let name = manifest.file_name()?.to_str()?.strip_suffix(NATIVE_MANIFEST_SUFFIX)?;
    Some(manifest.with_file_name(name))
}

/// Reads a tool and judges it by the site's rules.
pub(crate) fn look_at(place: Place, rules: &Rules) -> Result<Installed, ToolProblem> {
    match place.kind {
        Kind::Component => component(place, rules),
        Kind::Native => native(place, rules),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ToolProblem> {
    fs::read(path).map_err(|problem| ToolProblem::Read { path: path.to_owned(), problem })
}

fn component(place: Place, rules: &Rules) -> Result<Installed, ToolProblem> {
    let bytes = read(&place.path)?;
    let outline = read_outline(&bytes)
        .map_err(|problem| ToolProblem::Component { path: place.path.clone(), problem })?;
    let signature = read_signature(&place.path).map_err(|problem| ToolProblem::Read {
        path: autoexec_supply::signature_path(&place.path),
        problem,
    })?;
    let candidate = Candidate {
        tool: &place.name,
        bytes: &bytes,
        digest: Digest::of(&bytes),
        manifest: &outline.manifest,
        signature: signature.as_deref(),
    };
    let Assessment { signature, installed, standing } = rules.assess(&candidate);
    Ok(Installed {
        place,
        description: Description::Component(Box::new(outline.manifest)),
        imports: outline.imports,
        pinned: installed,
        signature: Some(signature),
        standing,
    })
}

fn native(place: Place, rules: &Rules) -> Result<Installed, ToolProblem> {
    let path = NativeManifest::path_of(&place.path);
    let text =
        fs::read_to_string(&path).map_err(|problem| ToolProblem::Read { path: path.clone(), problem })?;
    let manifest = NativeManifest::parse(&text, &place.name)
        .map_err(|problem| ToolProblem::Manifest { path, problem })?;
    let pinned = Pinned::native(&manifest, Digest::of(&read(&place.path)?));
    let standing = rules.lock.as_ref().map(|lock| lock.standing(&place.name, &pinned));
    Ok(Installed {
        place,
        description: Description::Native(manifest),
        imports: Vec::new(),
        pinned,
        signature: None,
        standing,
    })
}
