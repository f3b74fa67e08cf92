//! The tools of a home that have a description: `plugins/local`, `plugins/remote`, and components in `plugins/wasm`.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use autoexec_manifest::read_outline;
use autoexec_store::Home;
use serde_json::{Map, Value};

/// Where a tool lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolPlace {
    Local,
    Remote,
    Wasm,
}

impl fmt::Display for ToolPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Wasm => "wasm",
        })
    }
}

/// A tool with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundTool {
    pub(super) place: ToolPlace,
    /// `bundle/name`: its id at the server.
    pub(super) name: String,
    /// The JSON file or the component.
    path: PathBuf,
}

/// What a description says.
#[derive(Debug, PartialEq)]
pub(super) enum Description {
    Enabled {
        object: Map<String, Value>,
        op_type: String,
    },
    /// Not registered, and so removed by the clean-up.
    Disabled,
}

/// Finds all tools, in the order in which they are registered. The error names the directory.
pub(super) fn find(home: &Home) -> Result<Vec<FoundTool>, String> {
    let mut components = Vec::new();
    find_components(&home.wasm_plugins(), "", &mut components)?;
    // On this machine the component is what runs, so its description is the one that holds.
    let replaced: HashSet<String> = components.iter().map(|tool| tool.name.clone()).collect();
    let mut tools = find_described(ToolPlace::Local, &home.local_plugins())?;
    tools.retain(|tool| !replaced.contains(&tool.name));
    tools.extend(find_described(ToolPlace::Remote, &home.remote_plugins())?);
    tools.extend(components);
    Ok(tools)
}

/// `D/X.json` counts when D is `native`, X begins with D, or there is a file `D/X`.
fn find_described(place: ToolPlace, root: &Path) -> Result<Vec<FoundTool>, String> {
    let mut tools = Vec::new();
    for bundle in entries(root)?.into_iter().filter(|path| path.is_dir()) {
        let Some(bundle_name) = file_name(&bundle) else { continue };
        for path in entries(&bundle)? {
            let Some(name) = file_name(&path).and_then(|name| name.strip_suffix(".json")) else { continue };
            let counts =
                bundle_name == "native" || name.starts_with(bundle_name) || bundle.join(name).is_file();
            if counts && !name.is_empty() && path.is_file() {
                tools.push(FoundTool { place, name: format!("{bundle_name}/{name}"), path: path.clone() });
            }
        }
    }
    Ok(tools)
}

/// Bundles of components may have several levels.
fn find_components(directory: &Path, bundle: &str, tools: &mut Vec<FoundTool>) -> Result<(), String> {
    for path in entries(directory)? {
        let Some(name) = file_name(&path) else { continue };
        let within =
            |name: &str| if bundle.is_empty() { name.to_owned() } else { format!("{bundle}/{name}") };
        if path.is_dir() && !path.is_symlink() {
            find_components(&path, &within(name), tools)?;
        } else if let Some(name) = name.strip_suffix(".wasm")
            && !bundle.is_empty()
        {
            tools.push(FoundTool { place: ToolPlace::Wasm, name: within(name), path: path.clone() });
        }
    }
    Ok(())
}

/// Sorted, without hidden ones; a directory that is not there is empty.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let listed: io::Result<Vec<_>> =
        fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths = match listed {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("can not list {}: {error}", directory.display())),
    };
    paths.retain(|path| file_name(path).is_some_and(|name| !name.starts_with('.')));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

impl FoundTool {
    /// Reads the description. The error names the file.
    pub(super) fn read(&self) -> Result<Description, String> {
        let bytes = fs::read(&self.path).map_err(|error| self.wrong(&error))?;
        let object = match self.place {
            ToolPlace::Wasm => self.manifest(&bytes)?,
            ToolPlace::Local | ToolPlace::Remote => match serde_json::from_slice(&bytes) {
                Ok(Value::Object(object)) => object,
                Ok(_) => return Err(self.wrong(&"not a JSON object")),
                Err(error) => return Err(self.wrong(&error)),
            },
        };
        if is_disabled(object.get("enabled")) {
            return Ok(Description::Disabled);
        }
        let op_type = self.op_type(object.get("opType").and_then(Value::as_str));
        Ok(Description::Enabled { object, op_type })
    }

    fn manifest(&self, bytes: &[u8]) -> Result<Map<String, Value>, String> {
        let manifest = read_outline(bytes).map_err(|error| self.wrong(&error))?.manifest;
        if manifest.name.as_str() != self.name {
            let text = format!("its manifest says it is {}; install it under that name", manifest.name);
            return Err(self.wrong(&text));
        }
        match manifest.registration() {
            Value::Object(object) => Ok(object),
            _ => Err(self.wrong(&"the manifest has no description")),
        }
    }

    /// Old spellings are translated; what is sent to targets is of that type whatever it says.
    fn op_type(&self, declared: Option<&str>) -> String {
        let word = match (self.place, declared) {
            (ToolPlace::Remote, _) => "target",
            (_, Some("localremote")) => "runner_target",
            (_, None | Some("local" | "")) => "runner",
            (_, Some(other)) => other,
        };
        word.to_owned()
    }

    fn wrong(&self, problem: &dyn fmt::Display) -> String {
        format!("{}: {problem}", self.path.display())
    }
}

fn is_disabled(enabled: Option<&Value>) -> bool {
    match enabled {
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(enabled)) => !enabled,
        Some(Value::String(text)) => text.trim() == "0",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join("plugins").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let home = Home::new(dir.path());
        (dir, home)
    }

    #[test]
    fn descriptions_of_tools_are_found_and_other_json_files_are_not() {
        let (_dir, home) = home(&[
            ("local/native/failkeys.json", "{}"),
            ("local/db/dbexec.json", "{}"),
            ("local/db/backup.json", "{}"),
            ("local/db/backup", "#!/bin/sh"),
            ("local/db/settings.json", "{}"),
            ("local/db/.hidden.json", "{}"),
            ("local/net/probe.json", "{}"),
            ("local/net/probe", "#!/bin/sh"),
            ("local/stray.json", "{}"),
            ("remote/db/dbinfo.json", "{}"),
            ("wasm/net/probe.wasm", ""),
            ("wasm/a/b/deep.wasm", ""),
            ("wasm/lost.wasm", ""),
        ]);
        let found: Vec<String> =
            find(&home).unwrap().iter().map(|tool| format!("{} {}", tool.place, tool.name)).collect();
        assert_eq!(
            found,
            [
                "local db/backup",
                "local db/dbexec",
                "local native/failkeys",
                "remote db/dbinfo",
                "wasm a/b/deep",
                "wasm net/probe"
            ]
        );
    }

    #[test]
    fn an_empty_home_has_none() {
        let (_dir, home) = home(&[]);
        assert_eq!(find(&home).unwrap(), []);
    }

    #[test]
    fn old_types_are_translated() {
        for (place, declared, expected) in [
            (ToolPlace::Local, Some("localremote"), "runner_target"),
            (ToolPlace::Local, Some("local"), "runner"),
            (ToolPlace::Local, None, "runner"),
            (ToolPlace::Local, Some("native"), "native"),
            (ToolPlace::Local, Some("sqlfile"), "sqlfile"),
            (ToolPlace::Remote, Some("local"), "target"),
            (ToolPlace::Remote, None, "target"),
            (ToolPlace::Wasm, Some("runner_target"), "runner_target"),
        ] {
            let tool = FoundTool { place, name: "a/b".to_owned(), path: PathBuf::new() };
            assert_eq!(tool.op_type(declared), expected, "{place} {declared:?}");
        }
    }

    #[test]
    fn a_description_is_read_or_its_file_named() {
        let (_dir, home) = home(&[
            ("local/native/off.json", r#"{"enabled": 0}"#),
            ("local/native/on.json", r#"{"enabled": 1, "opType": "native", "x": [1]}"#),
            ("local/native/broken.json", "{"),
            ("local/native/list.json", "[]"),
            ("wasm/a/b.wasm", "no component"),
        ]);
        let tools = find(&home).unwrap();
        let read = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap().read();
        assert_eq!(read("native/off").unwrap(), Description::Disabled);
        let object = json!({"enabled": 1, "opType": "native", "x": [1]}).as_object().unwrap().clone();
        assert_eq!(read("native/on").unwrap(), Description::Enabled { object, op_type: "native".to_owned() });
        for (name, file) in
            [("native/broken", "broken.json"), ("native/list", "list.json"), ("a/b", "b.wasm")]
        {
            let error = read(name).unwrap_err();
            assert!(error.contains(file), "{error}");
        }
    }
}
