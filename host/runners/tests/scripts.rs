//! Custom scripts from a server: real HTTP to the console double, real files, real programs.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_console::{ConsoleClient, ConsoleSettings, Script, ScriptHeaders, ScriptQuery};
use autoexec_model::{JobId, JobParams, Operation, Secret};
use autoexec_plan::{Filter, JobPlan, PlannedPhase};
use autoexec_runners::{
    FetchedScript, ScriptAbout, ScriptFetcher, ScriptFile, ScriptRequest, Scripts, ServerScripts,
};
use autoexec_store::JobDir;
use autoexec_test_support::server::{self, CallName, Config, ConsoleDouble};
use serde_json::{Value, json};

/// The same translation as `cli` does.
struct Fetcher(ConsoleClient);

#[async_trait]
impl ScriptFetcher for Fetcher {
    async fn fetch(&self, request: &ScriptRequest) -> Result<FetchedScript, String> {
        let query = ScriptQuery {
            job: JobId::new("620011").unwrap(),
            operation: request.operation.clone(),
            script_id: request.script,
            version_id: request.version,
            local: request.local.map(Into::into),
        };
        let about = |headers: ScriptHeaders| ScriptAbout {
            version: headers.version_id,
            name: headers.name,
            interpreter: headers.interpreter,
            libraries: headers.libraries,
        };
        match self.0.script(&query).await.map_err(|error| error.to_string())? {
            Script::New { headers, content } => Ok(FetchedScript::New { about: about(headers), content }),
            Script::NotModified { headers } => Ok(FetchedScript::NotModified { about: about(headers) }),
        }
    }
}

struct World {
    server: ConsoleDouble,
    dir: tempfile::TempDir,
}

/// What the server keeps of a script.
struct Kept<'a> {
    id: i64,
    version: i64,
    name: &'a str,
    interpreter: &'a str,
    uses: &'a [i64],
    modified: f64,
}

impl World {
    fn new() -> Self {
        let server = ConsoleDouble::start(Config::default()).unwrap();
        Self { server, dir: tempfile::tempdir().unwrap() }
    }

    /// What one process of the job knows.
    fn process(&self) -> ServerScripts {
        let Config { user, key, .. } = self.server.config().clone();
        let settings = ConsoleSettings::new(self.server.base_url(), user, Secret::new(key));
        let client = ConsoleClient::new(settings).unwrap();
        ServerScripts::new(JobDir::at(self.dir.path()), Arc::new(Fetcher(client)))
    }

    fn keep(&self, kept: &Kept<'_>, content: impl AsRef<[u8]>) {
        let encoded = percent_encoding::utf8_percent_encode(kept.name, percent_encoding::NON_ALPHANUMERIC);
        let headers = [
            ("ScriptId", kept.id.to_string()),
            ("ScriptVersionId", kept.version.to_string()),
            ("ScriptName", encoded.to_string()),
            ("ScriptInterpreter", kept.interpreter.to_owned()),
            ("ScriptIsLib", "0".to_owned()),
            ("ScriptUseLibs", json!(kept.uses).to_string()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let content = content.as_ref().to_vec();
        self.server.set_script(
            kept.id,
            server::Script { content, headers, as_json: false, modified: kept.modified },
        );
    }

    fn asked(&self) -> Vec<(String, String)> {
        let calls = self.server.calls_of(CallName::Script);
        let value = |call: &server::Call, name| call.query_value(name).unwrap_or_default();
        calls.iter().map(|call| (value(call, "operationId"), value(call, "scriptId"))).collect()
    }

    fn shelf(&self) -> PathBuf {
        self.dir.path().join("script")
    }

    fn link(&self, name: &str) -> PathBuf {
        fs::read_link(self.shelf().join(name)).unwrap()
    }
}

fn operation(name: &str, number: i64, script: i64) -> Value {
    json!({"opName": name, "opId": format!("{name}_{number}"), "opType": "runner", "isScript": 1, "scriptId": script,
        "interpreter": "python"})
}

fn phase(operations: &[Value]) -> (PlannedPhase, Vec<Operation>) {
    let params = json!({"runFlow": [{"groupNo": 0, "phases": [
        {"phaseName": "p", "phaseType": "runner", "operations": operations}]}]});
    let params = JobParams::from_value(&params, "test").unwrap();
    let phase = JobPlan::new(&params, &Filter::default()).groups[0].phases[0].clone();
    let operations = phase.phase.operations.clone();
    (phase, operations)
}

async fn bring(scripts: &ServerScripts, operations: &[Value]) -> Vec<ScriptFile> {
    let (phase, operations) = phase(operations);
    scripts.prepare(&phase).await.unwrap();
    operations.iter().map(|operation| scripts.script(operation).unwrap()).collect()
}

fn run(interpreter: &str, script: &Path) -> String {
    let output = Command::new(interpreter).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const SCRIPT: Kept<'_> =
    Kept { id: 77, version: 9, name: "main", interpreter: "python", uses: &[], modified: 1000.0 };

#[tokio::test(flavor = "multi_thread")]
async fn a_script_and_its_libraries_are_brought_and_can_import_each_other() {
    let world = World::new();
    world.keep(&Kept { uses: &[81, 82], ..SCRIPT }, "import first, second\nprint(first.x + second.y)\n");
    // A circle: 81 uses 83, 83 uses 81 and the script itself.
    world.keep(
        &Kept { id: 81, version: 3, name: "first", uses: &[83], ..SCRIPT },
        "import third\nx = third.z\n",
    );
    world.keep(&Kept { id: 82, version: 4, name: "second", ..SCRIPT }, "y = 'two'\n");
    world.keep(&Kept { id: 83, version: 5, name: "third", uses: &[81, 77], ..SCRIPT }, "z = 'three-'\n");
    let scripts = world.process();
    let [script]: [ScriptFile; 1] = bring(&scripts, &[operation("main", 501, 77)]).await.try_into().unwrap();

    assert_eq!(script.name, "main.py");
    assert_eq!(run("python3", &script.path), "three-two\n");
    let names: Vec<&str> = script.libraries.iter().map(|library| library.name.as_str()).collect();
    assert_eq!(names, ["first.py", "third.py", "second.py"], "depth first");
    assert_eq!(script.path, world.shelf().join("9.main.py"));
    for (link, file) in
        [("77", "9.main.py"), ("main.py", "9.main.py"), ("main_501", "9.main.py"), ("83", "5.third.py")]
    {
        assert_eq!(world.link(link), Path::new(file));
    }
    let read = |name: &str| fs::read_to_string(world.shelf().join(name)).unwrap();
    assert_eq!(
        (read("9.main.py.lib"), read("5.third.py.lib"), read("4.second.py.lib")),
        ("81,82".into(), "81,77".into(), String::new())
    );
    assert!(world.shelf().join("main_501.lock").is_file() && world.shelf().join("77.lock").is_file());

    // Once per process, also for another operation and phase that uses the same libraries.
    bring(&scripts, &[operation("main", 501, 77)]).await;
    bring(&scripts, &[operation("main", 502, 77)]).await;
    let text = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        world.asked(),
        text(&[("main_501", "77"), ("None", "81"), ("None", "83"), ("None", "82"), ("main_502", "77")])
    );
    assert_eq!(world.link("main_502"), Path::new("9.main.py"));
}

#[tokio::test(flavor = "multi_thread")]
async fn phases_side_by_side_ask_once() {
    let world = World::new();
    world.keep(&Kept { uses: &[81], ..SCRIPT }, "print(1)\n");
    world.keep(&Kept { id: 81, name: "first", ..SCRIPT }, "");
    let scripts = Arc::new(world.process());
    let tasks = (0..8).map(|_| {
        let scripts = Arc::clone(&scripts);
        tokio::spawn(async move { bring(&scripts, &[operation("main", 501, 77)]).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap()[0].libraries.len(), 1);
    }
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_replaced_under_its_version_id_and_an_unchanged_script_is_kept() {
    let world = World::new();
    world.keep(&SCRIPT, "print('first draft')\n");
    bring(&world.process(), &[operation("main", 501, 77)]).await;

    // Unchanged: the next process is answered with 205 and still looks at the libraries, which the headers name.
    world.keep(&Kept { uses: &[81], ..SCRIPT }, "never sent");
    world.keep(&Kept { id: 81, name: "first", ..SCRIPT }, "");
    let script = bring(&world.process(), &[operation("main", 501, 77)]).await.remove(0);
    assert_eq!(run("python3", &script.path), "first draft\n");
    assert_eq!(script.libraries.len(), 1);
    let call = &world.server.calls_of(CallName::Script)[1];
    assert_eq!(call.query_value("scriptVersionId").as_deref(), Some("9"));
    assert!(call.query_value("lastModified").unwrap().parse::<f64>().unwrap() > 1_700_000_000.0);

    // Changed at the server after we asked, same version id.
    world.keep(&Kept { modified: 4e9, ..SCRIPT }, "print('second draft')\n");
    let script = bring(&world.process(), &[operation("main", 501, 77)]).await.remove(0);
    assert_eq!(script.path, world.shelf().join("9.main.py"));
    assert_eq!(run("python3", &script.path), "second draft\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_the_current_version_is_fetched_whatever_its_time() {
    let world = World::new();
    world.keep(&SCRIPT, "print(9)\n");
    bring(&world.process(), &[operation("main", 501, 77)]).await;
    // An older script became the active version: the server's time is before ours.
    world.keep(&Kept { version: 8, ..SCRIPT }, "print(8)\n");
    let script = bring(&world.process(), &[operation("main", 501, 77)]).await.remove(0);
    assert_eq!(run("python3", &script.path), "8\n");
    assert_eq!(world.link("77"), Path::new("8.main.py"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_ascii_become_numbers_and_hostile_ones_stay_inside() {
    let world = World::new();
    world.keep(&Kept { name: "磁盘检查", uses: &[81], ..SCRIPT }, "import 工具\nprint(工具.x)\n");
    world.keep(&Kept { id: 81, name: "../../../工具", ..SCRIPT }, "x = '好'\n");
    let scripts = world.process();
    let script = bring(&scripts, &[operation("磁盘检查", 501, 77)]).await.remove(0);
    assert_eq!((script.name.as_str(), script.libraries[0].name.as_str()), ("501.py", "工具.py"));
    assert_eq!(run("python3", &script.path), "好\n");

    world.keep(&Kept { id: 78, name: "..", ..SCRIPT }, "");
    let (phase, _) = phase(&[operation("x", 1, 78)]);
    let error = world.process().prepare(&phase).await.unwrap_err();
    assert!(error.contains("`..` cannot be used as a file name"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_unpacked_beside_the_script_and_listed_for_targets() {
    let world = World::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("tools/__init__.py", "x = 'from the package'\n"), ("data.txt", "d")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    world.keep(&Kept { uses: &[81], ..SCRIPT }, "import tools\nprint(tools.x)\n");
    world.keep(&Kept { id: 81, name: "tools", interpreter: "package", ..SCRIPT }, tar.into_inner().unwrap());
    for _ in ["fetched", "kept"] {
        let script = bring(&world.process(), &[operation("main", 501, 77)]).await.remove(0);
        assert_eq!(run("python3", &script.path), "from the package\n");
        let names: Vec<&str> = script.libraries.iter().map(|library| library.name.as_str()).collect();
        assert_eq!(names, ["data.txt", "tools/__init__.py"]);
        assert!(script.libraries.iter().all(|library| library.path.is_file() && library.mode == 0o600));
        // Whatever an operation did to it is repaired.
        fs::write(world.shelf().join("tools/__init__.py"), "broken").unwrap();
    }
    let scripts = world.process();
    let (phase, operations) = phase(&[operation("tools", 1, 81)]);
    scripts.prepare(&phase).await.unwrap();
    let error = scripts.script(&operations[0]).unwrap_err();
    assert!(error.contains("`tools_1` is a package"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_package_ends_the_phase_and_writes_nothing() {
    let world = World::new();
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..10].copy_from_slice(b"../../evil");
    header.set_size(1);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, b"x".as_slice()).unwrap();
    world.keep(&Kept { uses: &[81], ..SCRIPT }, "");
    world.keep(&Kept { id: 81, name: "p", interpreter: "package", ..SCRIPT }, tar.into_inner().unwrap());
    let (phase, _) = phase(&[operation("main", 501, 77)]);
    let error = world.process().prepare(&phase).await.unwrap_err();
    assert!(error.contains("9.p.tar") && error.contains("`../../evil` would lie outside"), "{error}");
    assert!(!world.dir.path().join("evil").exists() && !world.dir.path().join("../evil").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_have_is_named() {
    let world = World::new();
    world.keep(&Kept { uses: &[81], ..SCRIPT }, "");
    for (operation, expected) in [
        (operation("main", 501, 76), "script 76 of operation `main_501`"),
        (operation("main", 502, 77), "library 81"),
        (
            json!({"opName": "x", "opId": "x_1", "opType": "runner", "isScript": 1}),
            "`x_1`: `scriptId` is missing",
        ),
        (
            json!({"opName": "x", "opId": "x_1", "opType": "runner", "isScript": 1, "scriptId": "a"}),
            "is not a number",
        ),
    ] {
        let (phase, _) = phase(&[operation]);
        let error = world.process().prepare(&phase).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_in_the_parameters_need_no_server() {
    let world = World::new();
    let mut inline = operation("main", 501, 77);
    inline["scriptContent"] = "print('inline')".into();
    let script = bring(&world.process(), &[inline]).await.remove(0);
    assert_eq!(run("python3", &script.path), "inline\n");
    assert!(world.server.calls().is_empty());
}
