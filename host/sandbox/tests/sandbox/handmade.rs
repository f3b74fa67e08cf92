//! Components made of WebAssembly text, for what a Rust guest can not do, and what the sandbox says to them.

use std::path::{Path, PathBuf};

use autoexec_manifest::{Manifest, append_manifest};
use autoexec_sandbox::{Allocation, InvokeError, Limits, SandboxSettings, ToolCall};
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::support::{Recorder, all_grants, run, run_until, small_sandbox};

/// The start of every core module: the memory and functions that a tool exports.
const EXPORTS: &str = r#"
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
"#;

pub(crate) fn manifest() -> Manifest {
    toml::from_str(
        "name = \"fixture/handmade\"\nversion = \"0.1.0\"\nwit = \"1.0.0\"\ndescription = \"d\"\nrerun = \"safe\"\n\
         [descriptor]\nopType = \"runner\"\ntypeName = \"BASIC\"\nriskName = \"LOW\"\ninterpreter = \"python\"\n",
    )
    .unwrap()
}

/// Adds the manifest and writes the component.
pub(crate) fn install(dir: &Path, mut component: Vec<u8>) -> PathBuf {
    append_manifest(&mut component, &manifest());
    let path = dir.join("handmade.wasm");
    std::fs::write(&path, component).unwrap();
    path
}

/// A tool of the real world around a core module in text form.
pub(crate) fn tool_of(core: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/autoexec-tool");
    let (package, _) = resolve.push_path(&wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap();
    encoder.encode().unwrap()
}

fn core(start: &str, run: &str) -> String {
    format!(
        "(module {EXPORTS} {start}\n(func (export \"autoexec:tool/tool@1.0.0#run\") (param i32 i32 i32 i32) (result i32) {run}))"
    )
}

const SPIN: &str = "(func $spin (loop $again (br $again))) (start $spin)";

#[tokio::test]
async fn a_start_function_that_spins_is_ended_in_time() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let path = install(dir.path(), tool_of(&core(SPIN, "unreachable")));
    let tool = sandbox.load(&path, &all_grants()).unwrap();
    let limit = std::time::Duration::from_millis(200);
    let limits = Limits { time: limit, ..Limits::default() };
    let ended =
        run_until(&sandbox, &tool, ToolCall::default(), &Recorder::new(), limits, std::future::pending())
            .await;
    assert_eq!(ended, Err(InvokeError::TimedOut { limit }));
}

#[tokio::test]
async fn a_trap_ends_only_its_own_call() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let path = install(dir.path(), tool_of(&core("", "unreachable")));
    let tool = sandbox.load(&path, &all_grants()).unwrap();
    for _ in 0..3 {
        let ended = run(&sandbox, &tool, ToolCall::default(), &Recorder::new()).await;
        let Err(InvokeError::Trap { message }) = ended else { panic!("{ended:?}") };
        assert!(message.contains("unreachable"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_outside_of_memory_is_an_error() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let path = install(dir.path(), tool_of(&core("", "i32.const -4")));
    let tool = sandbox.load(&path, &all_grants()).unwrap();
    let ended = run(&sandbox, &tool, ToolCall::default(), &Recorder::new()).await;
    assert!(matches!(ended, Err(InvokeError::Trap { .. })), "{ended:?}");
}

#[tokio::test]
async fn recursion_on_the_wasm_stack_is_named() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let recursion = "(func $deep (param i64) (result i64) (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))";
    let path =
        install(dir.path(), tool_of(&core(recursion, "(drop (call $deep (i64.const 0))) i32.const 0")));
    let tool = sandbox.load(&path, &all_grants()).unwrap();
    let ended = run(&sandbox, &tool, ToolCall::default(), &Recorder::new()).await;
    assert_eq!(ended, Err(InvokeError::StackOverflow));
}

#[tokio::test]
async fn a_module_that_wants_too_much_memory_is_told_its_limit() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let text = core("", "unreachable").replace("\"memory\") 1)", "\"memory\") 65536)");
    let tool = sandbox.load(&install(dir.path(), tool_of(&text)), &all_grants()).unwrap();
    let ended = run(&sandbox, &tool, ToolCall::default(), &Recorder::new()).await;
    assert_eq!(ended, Err(InvokeError::OutOfMemory { limit: 64 << 20 }));
}

#[tokio::test]
async fn tables_are_bounded() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let with_table = |entries: u32| tool_of(&core(&format!("(table {entries} funcref)"), "unreachable"));
    // More than the pool has for a table goes to the engine for large components.
    for (entries, fits) in [(10_000, true), (150_000, true), (300_000, false)] {
        let tool = sandbox.load(&install(dir.path(), with_table(entries)), &all_grants()).unwrap();
        let ended = run(&sandbox, &tool, ToolCall::default(), &Recorder::new()).await.unwrap_err();
        let too_big = InvokeError::TooBig { what: "entries of a table", limit: 200_000 };
        assert_eq!(ended != too_big, fits, "{entries}: {ended}");
    }
}

#[tokio::test]
async fn without_a_pool_the_limiter_refuses_the_memory_instead() {
    let dir = TempDir::new().unwrap();
    let sandbox = crate::support::sandbox(SandboxSettings { slots: 2_000_000, ..Default::default() });
    assert_eq!(sandbox.allocation(), Allocation::OnDemand);
    let text = core("", "unreachable").replace("\"memory\") 1)", "\"memory\") 65536)");
    let tool = sandbox.load(&install(dir.path(), tool_of(&text)), &all_grants()).unwrap();
    let ended = run(&sandbox, &tool, ToolCall::default(), &Recorder::new()).await;
    assert_eq!(ended, Err(InvokeError::OutOfMemory { limit: 64 << 20 }));
}
