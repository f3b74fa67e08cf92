//! What is known of a tool before it runs: where it is installed and what its descriptor says
//! (`spec/tool-descriptor.md`).

use std::path::{Path, PathBuf};

use autoexec_model::{Interpreter, OpName, ValueType};
use autoexec_store::Home;
use indexmap::IndexMap;
use serde_json::Value;

use super::job_file::On;

/// Built-in operations that work without a server.
const BUILT_IN: [&str; 10] = [
    "echo",
    "failjob",
    "export",
    "setenv",
    "failkeys",
    "extractprestepstatus",
    "maintainwindow",
    "extractoutval",
    "getvalfromjson",
    "getvalfromtxt",
];

/// The output of the built-in extractors.
const EXTRACTED: &str = "extractTxtVal";

/// The tools of a home.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    home: Home,
}

/// A tool.
#[derive(Debug, Default)]
pub(super) struct Tool {
    /// Built into the executor.
    pub(super) is_native: bool,
    /// Its description; `None` where it has none, so that anything may be given to it.
    pub(super) description: Option<Description>,
}

/// What a descriptor says.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// Where the tool runs, in the descriptor's words.
    pub(super) runs_on: Option<String>,
    /// What runs it on a target.
    pub(super) interpreter: Option<Interpreter>,
    /// Named options.
    pub(super) options: IndexMap<String, OptionDescription>,
    /// Type of the free arguments; `None` if it takes none.
    pub(super) argument: Option<String>,
    /// Outputs.
    pub(super) outputs: IndexMap<String, OutputDescription>,
}

/// A named option.
#[derive(Debug)]
pub(super) struct OptionDescription {
    /// Type name.
    pub(super) kind: String,
    /// Whether the job must set it.
    pub(super) required: bool,
    /// The value when the job sets none.
    pub(super) default: Value,
    /// What can be chosen; empty where anything can be given.
    pub(super) choices: Vec<Value>,
}

/// An output.
#[derive(Debug, Clone)]
pub(super) struct OutputDescription {
    /// Type name.
    pub(super) kind: String,
    /// The value when the tool sets none.
    pub(super) default: Value,
}

impl Tools {
    /// The tools installed in `home`.
    pub(super) fn new(home: Home) -> Self {
        Self { home }
    }

    /// Finds a tool for a place.
    ///
    /// # Errors
    /// A text for people that says where it was looked for, or what is wrong with the descriptor.
    pub(super) fn find(&self, name: &OpName, on: On) -> Result<Tool, String> {
        if name.bundle() == "native" {
            return self.native(name);
        }
        match on {
            On::Target => self.remote(name),
            On::Runner | On::RunnerTarget | On::Sqlfile => self.local(name),
        }
    }

    /// Built in, else a plugin of this machine that stands beside the built-in ones.
    fn native(&self, name: &OpName) -> Result<Tool, String> {
        let description = match name.tool() {
            "IF-Block" => return Err("write a condition as a step with `if`, `then` and `else`".to_owned()),
            "LOOP-Block" => return Err("write a loop as a step with `loop`, `as` and `steps`".to_owned()),
            "updategparam" => {
                return Err("native/updategparam needs a server, and this run has none".to_owned());
            }
            tool if BUILT_IN.contains(&tool) => Some(built_in(tool)),
            _ => self.local(name)?.description,
        };
        Ok(Tool { is_native: true, description })
    }

    fn local(&self, name: &OpName) -> Result<Tool, String> {
        let component = self.home.wasm_plugins().join(format!("{name}.wasm"));
        if component.is_file() {
            return Ok(Tool { is_native: false, description: Some(of_component(&component)?) });
        }
        let program = self.home.local_plugins().join(name.as_str());
        if !program.is_file() {
            let elsewhere = if self.home.remote_plugins().join(name.as_str()).is_file() {
                "; there is one for targets, which needs `on: target`"
            } else {
                ""
            };
            return Err(format!(
                "the tool {name} is not installed: there is neither {} nor {}{elsewhere}",
                component.display(),
                program.display()
            ));
        }
        Ok(Tool { is_native: false, description: beside(&program)? })
    }

    fn remote(&self, name: &OpName) -> Result<Tool, String> {
        let script = self.home.remote_plugins().join(name.as_str());
        if script.is_file() {
            return Ok(Tool { is_native: false, description: beside(&script)? });
        }
        let hint = match self.local(name) {
            Ok(_) => "; the one for this machine needs `on: runner_target`",
            Err(_) => "",
        };
        Err(format!("the tool {name} is not installed for targets: there is no {}{hint}", script.display()))
    }
}

/// The built-in operations check their own options; all of them are text.
fn built_in(tool: &str) -> Description {
    let options: &[&str] = match tool {
        "export" => &["hidden"],
        "setenv" => &["name", "value", "scope", "hidden"],
        "failkeys" => &["operator", "exclude"],
        "extractprestepstatus" => &["envname", "scope"],
        "extractoutval" => &["outputkey", "selectortype", "selector"],
        "getvalfromjson" => &["jsontxt", "selector"],
        "getvalfromtxt" => &["txtval", "selector"],
        _ => &[],
    };
    let option = || OptionDescription {
        kind: "text".to_owned(),
        required: false,
        default: Value::Null,
        choices: Vec::new(),
    };
    let takes_arguments = matches!(tool, "echo" | "failjob" | "export" | "failkeys" | "maintainwindow");
    let extracts = matches!(tool, "extractoutval" | "getvalfromjson" | "getvalfromtxt");
    let extracted = OutputDescription { kind: "text".to_owned(), default: Value::Null };
    Description {
        options: options.iter().map(|name| ((*name).to_owned(), option())).collect(),
        argument: takes_arguments.then(|| "text".to_owned()),
        outputs: extracts.then(|| (EXTRACTED.to_owned(), extracted)).into_iter().collect(),
        ..Description::default()
    }
}

fn of_component(path: &Path) -> Result<Description, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let outline =
        autoexec_manifest::read_outline(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let value = serde_json::to_value(&outline.manifest.descriptor)
        .map_err(|error| format!("{}: the descriptor can not be read: {error}", path.display()))?;
    read_description(&value).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// The descriptor `<program>.json` beside a program; also where the program has an extension of its own.
fn beside(program: &Path) -> Result<Option<Description>, String> {
    let mut appended = program.as_os_str().to_owned();
    appended.push(".json");
    let candidates = [PathBuf::from(appended), program.with_extension("json")];
    let Some(path) = candidates.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: not JSON: {error}", path.display()))?;
    read_description(&value).map(Some).map_err(|problem| format!("{}: {problem}", path.display()))
}

/// Reads what a run needs of a descriptor. Lenient about everything else: descriptors of native tools hold keys of
/// several generations.
fn read_description(value: &Value) -> Result<Description, String> {
    let object = value.as_object().ok_or("the descriptor is not a JSON object")?;
    let list = |key: &str| match object.get(key) {
        None | Some(Value::Null) => Ok([].as_slice()),
        Some(Value::Array(elements)) => Ok(elements.as_slice()),
        Some(_) => Err(format!("`{key}` of the descriptor is not an array")),
    };
    let named = |key: &'static str, element: &Value| {
        let name = text(element, "opt").filter(|name| !name.is_empty());
        name.ok_or_else(|| format!("an element of `{key}` of the descriptor has no `opt`"))
    };
    let mut description = Description {
        runs_on: text(value, "opType"),
        interpreter: text(value, "interpreter").and_then(|word| Interpreter::from_word(&word)),
        argument: object.get("argument").and_then(|argument| text(argument, "type")),
        ..Description::default()
    };
    for element in list("option")? {
        description.options.insert(named("option", element)?, option(element));
    }
    for element in list("output")? {
        let default = element.get("defaultValue").cloned().unwrap_or_default();
        let output = OutputDescription { kind: kind(element), default };
        description.outputs.insert(named("output", element)?, output);
    }
    Ok(description)
}

fn option(element: &Value) -> OptionDescription {
    let choices = element.pointer("/dataSource/dataList").and_then(Value::as_array);
    OptionDescription {
        kind: kind(element),
        required: matches!(element.get("required"), Some(Value::Bool(true)))
            || text(element, "required").as_deref() == Some("true"),
        default: element.get("defaultValue").cloned().unwrap_or_default(),
        choices: choices.into_iter().flatten().filter_map(|choice| choice.get("value").cloned()).collect(),
    }
}

fn kind(element: &Value) -> String {
    text(element, "type").unwrap_or_else(|| "text".to_owned())
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

impl OptionDescription {
    /// How the executor treats it.
    pub(super) fn value_type(&self) -> ValueType {
        ValueType::from_word(&self.kind)
    }

    /// The default a stand-alone run can use: one that refers to profiles or variables of a server stays unset.
    pub(super) fn usable_default(&self) -> Option<&Value> {
        let is_empty = match &self.default {
            Value::Null => true,
            Value::String(text) => text.is_empty() || text.contains("${"),
            _ => false,
        };
        (!is_empty).then_some(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn home() -> (tempfile::TempDir, Tools) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("plugins/local/basic/ping", "#!/bin/sh\n"),
            (
                "plugins/local/basic/ping.json",
                r#"{"opType":"runner_target","option":[{"opt":"count","type":"text","required":"true","defaultValue":"3"}]}"#,
            ),
            ("plugins/remote/basic/free", "#!/bin/sh\n"),
            ("plugins/local/basic/broken", "#!/bin/sh\n"),
            ("plugins/local/basic/broken.json", "{"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let tools = Tools::new(Home::new(dir.path()));
        (dir, tools)
    }

    fn find(tools: &Tools, name: &str, on: On) -> Result<Tool, String> {
        tools.find(&OpName::new(name).unwrap(), on)
    }

    #[test]
    fn tools_are_found_where_they_run_and_the_error_says_where_else() {
        let (_dir, tools) = home();
        let tool = find(&tools, "basic/ping", On::RunnerTarget).unwrap();
        let description = tool.description.unwrap();
        assert_eq!(description.runs_on.as_deref(), Some("runner_target"));
        assert!(description.options["count"].required);
        assert!(find(&tools, "basic/free", On::Target).unwrap().description.is_none());
        for (name, on, expected) in [
            ("basic/none", On::Runner, "is not installed: there is neither "),
            ("basic/free", On::Runner, "needs `on: target`"),
            ("basic/ping", On::Target, "needs `on: runner_target`"),
            ("basic/broken", On::Runner, "broken.json: not JSON"),
            ("native/IF-Block", On::Runner, "`if`, `then` and `else`"),
            ("native/updategparam", On::Runner, "needs a server"),
        ] {
            let error = find(&tools, name, on).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(find(&tools, "native/echo", On::Target).unwrap().is_native);
    }

    #[test]
    fn descriptors_of_all_generations_are_read() {
        let description = read_description(&json!({
            "opType": "target", "interpreter": "bash", "enable": 0, "argument": {"type": "textarea"},
            "option": [
                {"opt": "mode", "type": "select", "required": "true", "defaultValue": "a",
                 "dataSource": {"dataList": [{"text": "A", "value": "a"}, {"text": "B", "value": "b"}]}},
                {"opt": "pw", "type": "password", "required": false, "defaultValue": "${global:pw}"}],
            "output": [{"opt": "n", "type": "text", "defaultValue": "0"}]
        }))
        .unwrap();
        assert_eq!(description.interpreter, Some(Interpreter::Bash));
        assert_eq!(description.argument.as_deref(), Some("textarea"));
        assert_eq!(description.options["mode"].choices, [json!("a"), json!("b")]);
        assert_eq!(description.options["mode"].usable_default(), Some(&json!("a")));
        let password = &description.options["pw"];
        assert_eq!(
            (password.usable_default(), password.value_type(), password.required),
            (None, ValueType::Password, false)
        );
        assert_eq!(description.outputs["n"].default, json!("0"));
        assert!(read_description(&json!({"option": [{"type": "text"}]})).unwrap_err().contains("no `opt`"));
        assert!(read_description(&json!({"output": {}})).unwrap_err().contains("not an array"));
    }
}
