//! Files that are no tools, or claim to be something else.

use autoexec_e2e::guests::{guest, without_manifest};
use autoexec_manifest::{MANIFEST_SECTION, append_manifest};
use serde_json::json;

use crate::components::{COMPONENT, CUSTOM, Core, manifest, named, section};
use crate::suite::{Fate, Row, Stage, changed, step};

macro_rules! refused {
    ($trick:literal, $says:literal, $name:literal) => {
        Row {
            trick: $trick,
            fate: Fate::NotLoaded,
            says: $says,
            step: |()| step(concat!("bad/", $name), &[("a", "b")]),
        }
    };
}

pub(crate) const ROWS: &[Row<()>] = &[
    refused!("a shell script named `.wasm`", "not a readable WebAssembly component", "script"),
    refused!("an empty file", "not a readable WebAssembly component", "empty"),
    refused!("a core module instead of a component", "a WebAssembly core module", "core"),
    refused!("half of a good tool", "not a readable WebAssembly component", "half"),
    refused!("a good tool with 64 bytes of its code replaced", "can not be compiled", "damaged"),
    refused!("a section that claims to have 4 GiB", "not a readable WebAssembly component", "section"),
    refused!("components nested 2,000 deep", "does not export `autoexec:tool/tool@1.0.0`", "nested"),
    refused!("a name of 1 GiB, of which 10 bytes are there", "not a readable WebAssembly component", "name"),
    refused!("a component without a manifest", "so it is not an autoexec tool", "bare"),
    refused!(
        "two manifests, the second of which asks for more",
        "more than one `autoexec:manifest` section",
        "twice"
    ),
    refused!("a manifest that is no JSON", "the manifest can not be read", "text"),
    refused!("a manifest with a key that does not exist", "unknown field `root`", "key"),
    refused!("a manifest nested 100,000 deep", "the manifest can not be read", "deep"),
    refused!("a manifest whose name is a path (`../../bin/sh`)", "must be `bundle/name`", "path"),
    refused!("a manifest that asks for a capability and gives no reason", "has no reason", "reason"),
    Row {
        trick: "a manifest that asks for a capability that does not exist: nothing is given for it",
        fate: Fate::Harmless,
        says: "Hello, world!",
        step: |()| step("bad/capability", &[("a", "b")]),
    },
    refused!("an import that the manifest does not ask for", "`autoexec:tool/net-probe@1.0.0`", "import"),
    refused!("an import that nobody has", "`acme:magic/wand@1.0.0`", "unknown"),
    refused!("an import of WASI that is not asked for", "`wasi:sockets/tcp@0.2.12`", "wasi"),
    refused!("an import that is asked for and not granted", "is not granted", "denied"),
    refused!("an import of another version", "`autoexec:tool/log@9.0.0`", "version"),
    refused!("a tool without `run`", "does not export `autoexec:tool/tool@1.0.0`", "nothing"),
    refused!("a tool whose `run` is not a function", "does not have export `run`", "type"),
    refused!("memory that threads share", "can not be compiled", "threads"),
    refused!("a memory of 64 bits", "can not be compiled", "memory64"),
    refused!("code that does not fit its types", "can not be compiled", "stack"),
    Row {
        trick: "a FIFO in the place of a tool, on which reading would wait for ever",
        fate: Fate::NotLoaded,
        says: "is not installed",
        step: |()| step("bad/fifo", &[("a", "b")]),
    },
];

/// Bytes of a component's header (component model, version 0xd).
const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component with this manifest, and nothing else.
fn with_json(json: &str) -> Vec<u8> {
    let name = [&[u8::try_from(MANIFEST_SECTION.len()).unwrap()], MANIFEST_SECTION.as_bytes()].concat();
    section(HEADER, CUSTOM, &[name.as_slice(), json.as_bytes()].concat())
}

/// A manifest of a tool `bad/NAME` with a member changed, as JSON.
fn forged(name: &str, key: &str, value: &serde_json::Value) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_str(&manifest(name).to_json()).unwrap();
    json[key] = value.clone();
    with_json(&json.to_string())
}

fn text(name: &str, component: &str) -> Vec<u8> {
    named(name, wat::parse_str(component).unwrap())
}

/// 64 bytes of the longest function's instructions: where the file has anything else depends on what it was built with.
fn inside_a_function(component: &[u8]) -> std::ops::Range<usize> {
    let bodies =
        wasmparser::Parser::new(0).parse_all(component).filter_map(|payload| match payload.unwrap() {
            wasmparser::Payload::CodeSectionEntry(body) => Some(body.range()),
            _ => None,
        });
    let longest = bodies.max_by_key(ExactSizeIterator::len).unwrap();
    let middle = longest.start + longest.len() / 2;
    assert!(middle + 64 < longest.end, "{longest:?}");
    middle..middle + 64
}

fn tools() -> Vec<(&'static str, Vec<u8>)> {
    let good = Core::default().tool("bad/good");
    let hello = guest("demo/hello").unwrap();
    let half = good[..good.len() / 2].to_vec();
    let mut damaged = hello.clone();
    damaged[inside_a_function(&hello)].fill(0xff);
    let mut twice = good.clone();
    let mut more = manifest("bad/good");
    more.capabilities
        .push(serde_json::from_value(json!({"interface": "http", "reason": "to be slipped in"})).unwrap());
    append_manifest(&mut twice, &more);
    // Written as bytes: the parser of the text format would not go so deep.
    let nested = (0..2000).fold(HEADER.to_vec(), |inner, _| section(HEADER, COMPONENT, &inner));
    vec![
        ("bad/script", b"#!/bin/sh\nid\n".to_vec()),
        ("bad/empty", vec![]),
        ("bad/core", b"\0asm\x01\0\0\0".to_vec()),
        ("bad/half", half),
        ("bad/damaged", damaged),
        ("bad/section", [HEADER, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat()),
        ("bad/nested", named("bad/nested", nested)),
        ("bad/name", [HEADER, &[0, 14, 0xff, 0xff, 0xff, 0xff, 0x03], b"123456789"].concat()),
        ("bad/bare", without_manifest(&hello).unwrap()),
        ("bad/twice", twice),
        ("bad/text", with_json("#!/bin/sh")),
        ("bad/key", forged("bad/key", "root", &json!(true))),
        ("bad/deep", with_json(&("[".repeat(100_000) + &"]".repeat(100_000)))),
        ("bad/path", forged("bad/path", "name", &json!("../../bin/sh"))),
        ("bad/reason", forged("bad/reason", "capability", &json!([{"interface": "http", "reason": " "}]))),
        (
            "bad/capability",
            changed("demo/hello", |manifest| {
                let request = json!({"interface": "root", "reason": "to be everything"});
                manifest.capabilities.push(serde_json::from_value(request).unwrap());
            }),
        ),
        ("bad/import", changed("fixture/prober", |manifest| manifest.capabilities.clear())),
        ("bad/unknown", text("bad/unknown", "(component (import \"acme:magic/wand@1.0.0\" (instance)))")),
        ("bad/wasi", text("bad/wasi", "(component (import \"wasi:sockets/tcp@0.2.12\" (instance)))")),
        ("bad/denied", guest("fixture/prober").unwrap()),
        ("bad/version", text("bad/version", "(component (import \"autoexec:tool/log@9.0.0\" (instance)))")),
        ("bad/nothing", text("bad/nothing", "(component)")),
        (
            "bad/type",
            text("bad/type", "(component (instance $i) (export \"autoexec:tool/tool@1.0.0\" (instance $i)))"),
        ),
        ("bad/threads", Core { parts: "(memory $shared 1 1 shared)", ..Core::default() }.tool("bad/threads")),
        ("bad/memory64", Core { parts: "(memory $long i64 1)", ..Core::default() }.tool("bad/memory64")),
        ("bad/stack", Core { parts: "(func (result i32) i64.const 1)", ..Core::default() }.tool("bad/stack")),
    ]
}

#[test]
fn what_is_no_tool_does_not_run() {
    let stage = Stage::new(&tools(), "[[grant]]\ntools = [\"x/y\"]\nstep-outputs = true\n");
    let fifo = stage.home().join("plugins/wasm/bad/fifo.wasm");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    stage.run_rows(ROWS, &());
}
