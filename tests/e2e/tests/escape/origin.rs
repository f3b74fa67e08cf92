//! Tools that somebody has exchanged: signatures, the lock, and the cache of compiled code.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use autoexec_manifest::CapabilityRequest;
use autoexec_supply::{Digest, SigningKey, sign, signature_path};

use crate::components::Core;
use crate::suite::{Fate, Row, Stage, changed, step};

macro_rules! row {
    ($trick:literal, $fate:ident, $says:literal, $name:literal) => {
        Row { trick: $trick, fate: Fate::$fate, says: $says, step: |()| step($name, &[("a", "b")]) }
    };
}

/// Where signatures are required.
pub(crate) const SIGNATURES: &[Row<()>] = &[
    row!("a tool without a signature", NotLoaded, "has no signature", "own/unsigned"),
    row!("signed by a key that is not trusted", NotLoaded, "which is not trusted here", "own/stranger"),
    row!("signed with a key that has the number of a trusted one", NotLoaded, "does not hold", "own/number"),
    row!("changed after it was signed", NotLoaded, "does not hold", "own/changed"),
    row!("the signature of another tool", NotLoaded, "does not hold", "own/replayed"),
    row!(
        "a signed tool under another tool's name",
        NotLoaded,
        "the signature is for the tool own/first",
        "own/renamed"
    ),
    row!("a signature whose comment was changed to fit", NotLoaded, "does not hold", "own/comment"),
    row!("a signature cut off in the middle", NotLoaded, "can not be read", "own/cut"),
    row!("a signature of 10 MiB", NotLoaded, "can not be read", "own/huge"),
    row!("a FIFO in the place of the signature", NotLoaded, "it is not a regular file", "own/fifo"),
];

/// Where tools are locked.
pub(crate) const LOCK: &[Row<()>] = &[
    row!("a tool that nobody approved", NotLoaded, "is not in plugins.lock", "own/new"),
    row!("an update that asks for more", NotLoaded, "it also asks for `http`", "own/more"),
    row!(
        "other code under the version that was approved",
        NotLoaded,
        "is not what plugins.lock approves",
        "own/other"
    ),
    row!("an older version than the approved one", NotLoaded, "older", "own/older"),
];

/// With the cache of compiled code changed between two runs.
pub(crate) const CACHE: &[Row<()>] = &[
    row!("one bit of compiled code flipped", Harmless, "", "own/flipped"),
    row!(
        "the compiled code of another, bad tool in the place of a good one's",
        Harmless,
        "",
        "own/exchanged"
    ),
    row!("compiled code cut off in the middle", Harmless, "", "own/short"),
    row!("good compiled code in a file that others can write", Harmless, "", "own/open"),
    row!("a link to compiled code elsewhere", Harmless, "", "own/linked"),
    row!("a FIFO in the place of compiled code", Harmless, "", "own/pipe"),
];

/// A tool that answers, and is no other's byte for byte.
fn good(name: &str) -> Vec<u8> {
    Core::default().tool(name)
}

fn require_signatures(stage: &Stage, key: &SigningKey) {
    stage.job.home.write("conf/trust/build.pub", key.public().unwrap()).unwrap();
    let path = stage.home().join("conf/config.ini");
    let text = fs::read_to_string(&path).unwrap() + "plugins.signatures = require\n";
    fs::write(path, text).unwrap();
}

#[test]
fn no_tool_runs_without_a_signature_that_holds() {
    let (key, stranger) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let stage = Stage::new(&[], "mode = \"enforce\"\n");
    require_signatures(&stage, &key);
    let put = |name: &str, component: &[u8], signature: Option<String>| {
        let path = stage.install(name, component);
        if let Some(signature) = signature {
            fs::write(signature_path(&path), signature).unwrap();
        }
        path
    };
    let signed = |component: &[u8]| sign(component, &key).unwrap();
    put("own/unsigned", &good("own/unsigned"), None);
    let tool = good("own/stranger");
    put("own/stranger", &tool, Some(sign(&tool, &stranger).unwrap()));
    let tool = good("own/number");
    put("own/number", &tool, Some(renumbered(&sign(&tool, &stranger).unwrap(), &signed(&tool))));
    let tool = good("own/changed");
    let changed_later = Core { parts: "(global i32 (i32.const 1))", ..Core::default() }.tool("own/changed");
    put("own/changed", &changed_later, Some(signed(&tool)));
    put("own/replayed", &good("own/replayed"), Some(signed(&good("own/unsigned"))));
    let first = good("own/first");
    put("own/renamed", &first, Some(signed(&first)));
    let tool = good("own/comment");
    let comment = signed(&first).replace("own/first", "own/comment");
    let (said, is) = (Digest::of(&first).to_string(), Digest::of(&tool).to_string());
    put("own/comment", &tool, Some(comment.replace(&said, &is)));
    let tool = good("own/cut");
    let signature = signed(&tool);
    put("own/cut", &tool, Some(signature[..signature.len() / 2].to_owned()));
    let tool = good("own/huge");
    put("own/huge", &tool, Some("x".repeat(10 << 20)));
    let tool = put("own/fifo", &good("own/fifo"), None);
    nix::unistd::mkfifo(&signature_path(&tool), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let hostile = fs::read(stage.home().join("plugins/wasm/fixture/hostile.wasm")).unwrap();
    put("fixture/hostile", &hostile, Some(signed(&hostile)));
    stage.run_rows(SIGNATURES, &());
}

/// The first signature, saying it was made by the key of the second.
fn renumbered(signature: &str, by: &str) -> String {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let bytes = |text: &str| base64.decode(text.lines().nth(1).unwrap()).unwrap();
    let mut forged = bytes(signature);
    // Two bytes name the algorithm, eight the key.
    forged[2..10].copy_from_slice(&bytes(by)[2..10]);
    let forged = base64.encode(forged);
    signature
        .lines()
        .enumerate()
        .fold(String::new(), |all, (number, line)| all + if number == 1 { &forged } else { line } + "\n")
}

#[test]
fn no_tool_runs_that_is_not_what_was_approved() {
    let versioned = |name: &str, minor: u64| {
        changed("demo/hello", |manifest| {
            manifest.name = name.to_owned().try_into().unwrap();
            manifest.version.minor = minor;
        })
    };
    let tools = [
        ("own/more", versioned("own/more", 1)),
        ("own/other", good("own/other")),
        ("own/older", versioned("own/older", 5)),
    ];
    let stage = Stage::new(&tools, "mode = \"enforce\"\n");
    let mut lock = stage.job.home.autoexec(["tool", "lock", "--yes"]).unwrap();
    assert!(lock.stdin(Stdio::null()).output().unwrap().status.success());
    stage.install("own/new", &good("own/new"));
    let more = changed("demo/hello", |manifest| {
        manifest.name = "own/more".to_owned().try_into().unwrap();
        manifest.version.minor = 2;
        manifest.capabilities.push(CapabilityRequest { interface: "http".into(), reason: "to ask".into() });
    });
    stage.install("own/more", &more);
    let other = Core { parts: "(global i32 (i32.const 1))", ..Core::default() }.tool("own/other");
    stage.install("own/other", &other);
    stage.install("own/older", &versioned("own/older", 4));
    stage.run_rows(LOCK, &());
}

/// The compiled code of a tool.
fn compiled(stage: &Stage, component: &[u8]) -> PathBuf {
    let digest = Digest::of(component).to_string();
    let entries = fs::read_dir(stage.home().join("data/wasm-cache")).unwrap();
    let mut files = entries.map(|entry| entry.unwrap().path());
    let is_its = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&digest);
    files.find(is_its).unwrap_or_else(|| panic!("no compiled code of {digest}"))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn no_compiled_code_is_loaded_that_is_not_our_own() {
    let names = ["own/flipped", "own/exchanged", "own/short", "own/open", "own/linked", "own/pipe"];
    let mut tools: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, good(name))).collect();
    tools.push(("own/bad", Core { run: "unreachable", ..Core::default() }.tool("own/bad")));
    let stage = Stage::new(&tools, "mode = \"enforce\"\n");
    stage.run(tools.iter().map(|(name, _)| step(name, &[("a", "b")])).collect());
    let file = |name: &str| {
        let (_, component) = tools.iter().find(|(tool, _)| *tool == name).unwrap();
        compiled(&stage, component)
    };
    let mut bytes = fs::read(file("own/flipped")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file("own/flipped"), &bytes).unwrap();
    fs::copy(file("own/bad"), file("own/exchanged")).unwrap();
    let half = fs::read(file("own/short")).unwrap();
    fs::write(file("own/short"), &half[..half.len() / 2]).unwrap();
    set_mode(&file("own/open"), 0o666);
    let elsewhere = stage.home().join("elsewhere");
    let linked = file("own/linked");
    fs::copy(file("own/bad"), &elsewhere).unwrap();
    set_mode(&elsewhere, 0o600);
    fs::remove_file(&linked).unwrap();
    symlink(&elsewhere, &linked).unwrap();
    let pipe = file("own/pipe");
    fs::remove_file(&pipe).unwrap();
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before: Vec<(PathBuf, u64)> =
        names.iter().map(|name| (file(name), fs::symlink_metadata(file(name)).unwrap().ino())).collect();
    stage.run_rows(CACHE, &());
    for (path, inode) in before {
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.is_file() && metadata.ino() != inode, "{} was not compiled again", path.display());
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }
}
