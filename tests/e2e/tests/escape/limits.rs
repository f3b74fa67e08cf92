//! Using up the machine, breaking the border, and never ending.

use crate::components::{CORE_INSTANCE, Core, SUCCEED, leb128, named, section};
use crate::suite::{Fate, Row, Stage, changed, step};

const SPIN: &str = "(loop $again (br $again))";

/// Each tool made by hand, under its name.
fn handmade() -> Vec<(&'static str, Vec<u8>)> {
    let spins_in_start = format!("(func $spin {SPIN}) (start $spin)");
    let spins = format!("{SPIN} unreachable");
    let after = format!("(func (export \"cabi_post_autoexec:tool/tool@1.0.0#run\") (param i32) {SPIN})");
    let dropped = format!("(func (export \"trap#[dtor]r\") (param i32) {SPIN})");
    let deep = "(func $deep (param i64) (result i64)
        (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))";
    let log = "(import \"autoexec:tool/log@1.0.0\" \"line\" (func $line (param i32 i32 i32)))";
    let drop_pollable = "(import \"wasi:io/poll@0.2.12\" \"[resource-drop]pollable\" (func $drop (param i32)))
        (import \"wasi:clocks/monotonic-clock@0.2.12\" \"subscribe-duration\" (func $timer (param i64) (result i32)))";
    let own = "(import \"[export]trap\" \"[resource-new]r\" (func $new (param i32) (result i32)))
        (import \"[export]trap\" \"[resource-drop]r\" (func $drop (param i32)))";
    let run = |run: &'static str| Core { run, ..Core::default() };
    let logging = |run: &'static str| Core { imports: log, run, ..Core::default() };
    let cores = [
        ("own/start", Core { parts: &spins_in_start, ..Core::default() }),
        ("own/realloc", Core { realloc: &spins, ..Core::default() }),
        ("own/after", Core { parts: &after, ..Core::default() }),
        (
            "own/destructor",
            Core {
                imports: own,
                parts: &dropped,
                run: "(call $drop (call $new (i32.const 1))) i32.const 2048",
                exports: "export trap: interface { resource r; }",
                ..Core::default()
            },
        ),
        ("own/deep", Core { parts: deep, run: "(drop (call $deep (i64.const 0))) i32.const 2048", ..Core::default() }),
        ("own/outside", run("i32.const -4")),
        (
            "own/long",
            run("(i32.store8 (i32.const 2052) (i32.const 1)) (i32.store (i32.const 2056) (i32.const 0))
                (i32.store (i32.const 2060) (i32.const -1)) i32.const 2048"),
        ),
        (
            "own/letters",
            run("(i32.store8 (i32.const 2052) (i32.const 1)) (i32.store (i32.const 2056) (i32.const 4096))
                (i32.store (i32.const 2060) (i32.const 1)) (i32.store8 (i32.const 4096) (i32.const 0xff)) i32.const 2048"),
        ),
        ("own/case", run("(i32.store8 (i32.const 2048) (i32.const 77)) i32.const 2048")),
        ("own/place", Core { realloc: "i32.const -16", ..Core::default() }),
        ("own/memory", Core { memory: "(memory (export \"memory\") 65536)", ..Core::default() }),
        (
            "own/grow",
            run("(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
        ),
        ("own/table", Core { parts: "(table 300000 funcref)", ..Core::default() }),
        (
            "own/tables",
            Core {
                parts: "(table $t 1 funcref)",
                run: "(loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 4096)) (i32.const -1)))) unreachable",
                ..Core::default()
            },
        ),
        ("own/level", logging("(call $line (i32.const 77) (i32.const 0) (i32.const 0)) i32.const 2048")),
        ("own/line", logging("(call $line (i32.const 0) (i32.const 0) (i32.const 0x7fffffff)) i32.const 2048")),
        (
            "own/handle",
            Core { imports: drop_pollable, run: "(call $drop (i32.const 12345)) i32.const 2048", ..Core::default() },
        ),
        (
            "own/twice",
            Core {
                imports: drop_pollable,
                parts: "(global $h (mut i32) (i32.const 0))",
                run: "(global.set $h (call $timer (i64.const 1))) (call $drop (global.get $h)) (call $drop (global.get $h)) i32.const 2048",
                ..Core::default()
            },
        ),
        ("own/fine", run(SUCCEED)),
    ];
    // The core module 0, instantiated 2,000 times more.
    let instances = [leb128(2000), [0, 0, 0].repeat(2000)].concat();
    let instances = named("own/instances", section(&Core::default().component(), CORE_INSTANCE, &instances));
    let made = cores.iter().map(|(name, core)| (*name, core.tool(name)));
    made.chain([("own/instances", instances)]).collect()
}

/// The hostile guest without limits of its own, under another name.
fn unlimited(name: &str) -> Vec<u8> {
    changed("fixture/hostile", |manifest| manifest.name = name.to_owned().try_into().unwrap())
}

macro_rules! deed {
    ($trick:literal, $fate:ident, $says:literal, $deed:literal) => {
        Row {
            trick: $trick,
            fate: Fate::$fate,
            says: $says,
            step: |()| step("fixture/hostile", &[("deed", $deed)]),
        }
    };
}

macro_rules! handmade {
    ($trick:literal, $fate:ident, $says:literal, $name:literal) => {
        Row { trick: $trick, fate: Fate::$fate, says: $says, step: |()| step($name, &[("a", "b")]) }
    };
}

pub(crate) const ROWS: &[Row<()>] = &[
    deed!("compute for ever", Ended, "did not end within its limit of 1s", "log-and-spin"),
    deed!("wait in a host function for ever", Ended, "did not end within its limit of 1s", "wait"),
    handmade!("a start function that never ends", Ended, "did not end within its limit of 1s", "own/start"),
    handmade!("a `cabi_realloc` that never ends", Ended, "did not end within its limit of 1s", "own/realloc"),
    handmade!(
        "a clean-up after the answer that never ends",
        Ended,
        "did not end within its limit of 1s",
        "own/after"
    ),
    handmade!("a destructor that never ends", Ended, "did not end within its limit of 1s", "own/destructor"),
    Row {
        trick: "compute in a short time, but more than the processor time that is granted",
        fate: Fate::Ended,
        says: "of processor time",
        step: |()| step("own/cpu", &[("deed", "spin")]),
    },
    deed!("allocate without end", Ended, "more memory than its limit of 16 MiB", "eat-memory"),
    handmade!("grow the memory page by page", Ended, "more memory than its limit of 16 MiB", "own/grow"),
    handmade!("begin with 4 GiB of memory", Ended, "more memory than its limit of 16 MiB", "own/memory"),
    handmade!("a table of 300,000 entries", Ended, "200000 entries of a table", "own/table"),
    handmade!("grow a table without end", Ended, "entries of a table", "own/tables"),
    handmade!(
        "2,000 core instances in one component",
        NotLoaded,
        "instances count exceeds limit",
        "own/instances"
    ),
    deed!("recursion in the guest's own stack", Crashes, "the tool crashed", "recurse"),
    handmade!("recursion on the stack of the machine", Crashes, "stack", "own/deep"),
    deed!("log lines without end", Ended, "more than its limit of 8192 bytes to the log", "flood-log"),
    deed!(
        "empty log lines without end",
        Ended,
        "more than its limit of 8192 bytes to the log",
        "flood-empty-lines"
    ),
    Row {
        trick: "one log line of 24 MiB",
        fate: Fate::Ended,
        says: "bytes handed over in one piece",
        step: |()| step("own/huge", &[("deed", "log-huge-line")]),
    },
    deed!("outputs without end", Ended, "bytes of outputs", "flood-output"),
    Row {
        trick: "an answer of 24 MiB",
        fate: Fate::Ended,
        says: "bytes handed over in one piece",
        step: |()| step("own/huge", &[("deed", "answer-huge")]),
    },
    deed!("ask for 1 GiB of random bytes", Crashes, "the tool crashed", "huge-random"),
    deed!("open timers without end", Ended, "`handles`", "flood-handles"),
    handmade!("an answer at an address outside of its memory", Crashes, "the tool crashed", "own/outside"),
    handmade!("an answer of 4 GiB that is not there", Crashes, "the tool crashed", "own/long"),
    handmade!("an answer that is no UTF-8", Crashes, "utf-8", "own/letters"),
    handmade!("an answer that is neither success nor failure", Crashes, "discriminant", "own/case"),
    handmade!(
        "have its options written to an address outside of its memory",
        Crashes,
        "realloc return: beyond end of memory",
        "own/place"
    ),
    handmade!("a log level that does not exist", Crashes, "discriminant", "own/level"),
    handmade!("a log line of 2 GiB that is not there", Crashes, "out of bounds", "own/line"),
    handmade!("give back a handle that it never had", Crashes, "unknown handle index", "own/handle"),
    handmade!("give back a handle twice", Crashes, "unknown handle index", "own/twice"),
    deed!("fail with exit status 0, to look like a success", Refused, "no", "fail-with-zero"),
    deed!("stop at an instruction that is a crash", Crashes, "the tool crashed", "trap"),
];

const POLICY: &str = "mode = \"enforce\"\n\
    [[limits]]\ntools = [\"fixture/hostile\"]\noutput-kib = 10\nhandles = 50\n\
    [[limits]]\ntools = [\"own/cpu\"]\ncpu-seconds = 1\ntime-seconds = 60\n";

#[test]
fn every_call_ends_and_hurts_nobody_else() {
    let mut tools = handmade();
    tools.push(("own/huge", unlimited("own/huge")));
    tools.push(("own/cpu", unlimited("own/cpu")));
    let stage = Stage::new(&tools, POLICY);
    let ran = stage.run_rows(ROWS, &());
    assert!(ran.log.len() < 1 << 20, "the log has {} bytes", ran.log.len());
    // The harness makes tools that work: without a trick one succeeds.
    let fine =
        Row { trick: "none", fate: Fate::Harmless, says: "", step: |()| step("own/fine", &[("a", "b")]) };
    stage.run_rows(&[fine], &());
}
