//! Tools in Python and JavaScript: the tests of their SDKs, and the examples tested, built and called in the sandbox with
//! `autoexec plugin`. Building takes a while, so each example is built once and kept below `target/`, as are the tool chains, which
//! `cargo xtask prepare` has installed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where its surroundings do")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use autoexec_test_support::home::find_program;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn plugin(words: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(find_program().unwrap());
    command.arg("plugin").args(words).current_dir(dir).env_remove("AUTOEXEC_HOME");
    if std::env::var_os("AUTOEXEC_TOOLCHAINS").is_none() {
        command.env("AUTOEXEC_TOOLCHAINS", root().join("target/toolchains"));
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeds(words: &[&str], dir: &Path) -> String {
    let output = plugin(words, dir);
    assert!(output.status.success(), "{words:?}: {}", text(&output));
    text(&output)
}

/// Copies the example of a language to a place that is kept, where it is built when it has changed.
fn example(language: &str) -> PathBuf {
    let from = root().join("sdk").join(language).join("examples/fileline");
    let to = root().join("target/scripted-tools").join(language);
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let (content, copy) = (std::fs::read(entry.path()).unwrap(), to.join(entry.file_name()));
        if std::fs::read(&copy).ok() != Some(content.clone()) {
            std::fs::write(copy, content).unwrap();
        }
    }
    let sdk = format!("{}\n", root().display());
    if std::fs::read_to_string(to.join("sdk.path")).ok() != Some(sdk.clone()) {
        std::fs::write(to.join("sdk.path"), sdk).unwrap();
    }
    to
}

/// `plugin run --output json` on a file below `place`, under a policy that grants the place.
fn call(dir: &Path, place: &Path, further: &[&str]) -> (i32, Value) {
    let policy = place.join("policy.toml");
    let grant = format!(
        "mode = \"enforce\"\n[[grant]]\ntools = [\"example/fileline\"]\nfilesystem = {{ read = [{0}], write = [{0}] }}\n\
         http = {{ hosts = [\"127.0.0.1\"], schemes = [\"http\"] }}\n",
        json!(place.display().to_string())
    );
    std::fs::write(&policy, grant).unwrap();
    let path = format!("path={}", place.join("lines").display());
    let policy = policy.display().to_string();
    let mut words = vec!["run", "--output", "json", "-o", &path, "-o", "line=hello", "--policy", &policy];
    words.extend(further);
    let output = plugin(&words, dir);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    (output.status.code().unwrap(), report)
}

/// A server of one file: what is put there comes out of the channel.
fn serve(file: Vec<u8>) -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (put, received) = mpsc::channel();
    thread::spawn(move || {
        // Two requests, and the end of the listener refuses any other.
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            if let Some(body) = answer(stream, &file) {
                put.send(body).unwrap();
            }
        }
    });
    (address, received)
}

/// Answers one request; the body of a PUT.
fn answer(mut stream: TcpStream, file: &[u8]) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let head: Vec<String> =
        reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<u64>().unwrap())
    });
    let is_id =
        |line: &String| line.to_ascii_lowercase().starts_with("x-request-id: ") && line.len() == 14 + 16;
    assert!(head[0].starts_with("GET") || head.iter().any(is_id), "{head:?}");
    let body = length.filter(|_| head[0].starts_with("PUT")).map(|length| {
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body).unwrap();
        body
    });
    let content = if body.is_some() { &[] } else { file };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(content)).unwrap();
    body
}

/// A file of several megabytes, which comes in many pieces, goes through the tool in both directions.
fn bodies_go_through_in_pieces(dir: &Path, place: &Path) {
    let begin = b"a line that is not the one\n".repeat(1 << 17);
    let (address, received) = serve(begin.clone());
    let options = [format!("begin={address}/begin"), format!("copy={address}/copy")];
    let (code, done) = call(dir, place, &["-o", &options[0], "-o", &options[1]]);
    assert_eq!((code, &done["outputs"]["copied"]), (0, &json!(begin.len() + 6)), "{done}");
    let copied = received.recv().unwrap();
    assert!(copied.starts_with(&begin) && copied.ends_with(b"one\nhello\n"), "{} bytes", copied.len());
    std::fs::remove_file(place.join("lines")).unwrap();
    // Nobody listens there any more.
    let (code, refused) = call(dir, place, &["-o", &options[0]]);
    let said = refused["log"].to_string();
    assert!(code == 1 && said.contains("refused, nobody listens there"), "{refused}");
    assert!(!place.join("lines.part").exists(), "nothing is left half-done");
}

/// What an example does, whatever its language is.
fn works_in_the_sandbox(language: &str, file: &str) {
    let dir = example(language);
    succeeds(&["test"], &dir);
    succeeds(&["build"], &dir);
    let place = tempfile::tempdir().unwrap();
    let lines = place.path().join("lines");
    bodies_go_through_in_pieces(&dir, place.path());
    let recording = place.path().join("calls.jsonl").display().to_string();

    let (code, would) = call(&dir, place.path(), &["--check"]);
    assert_eq!((code, lines.exists()), (0, false), "a check changes nothing: {would}");
    assert!(would["log"].to_string().contains("Would change line of"), "{would}");
    let (code, done) = call(&dir, place.path(), &["--record", &recording]);
    assert_eq!((code, &done["outputs"]["changed"]), (0, &json!(true)), "{done}");
    assert_eq!(std::fs::read_to_string(&lines).unwrap(), "hello\n");

    // The file is gone, and so is the permission: everything comes from the recording.
    std::fs::remove_file(&lines).unwrap();
    let replayed = plugin(&["run", "--output", "json", "--replay", &recording], &dir);
    let report: Value =
        serde_json::from_slice(&replayed.stdout).unwrap_or_else(|_| panic!("{}", text(&replayed)));
    assert_eq!((&report["exitCode"], &report["outputs"]), (&json!(0), &done["outputs"]), "{report}");
    assert!(!lines.exists(), "a replay writes nothing");
    let other = plugin(&["run", "--replay", &recording, "-o", "line=other"], &dir);
    assert_eq!(other.status.code(), Some(1), "{}", text(&other));
    assert!(
        text(&other).contains("expected filesystem.append") && text(&other).contains("other"),
        "{}",
        text(&other)
    );

    let facts: Value = serde_json::from_str(&succeeds(&["inspect", "--output", "json"], &dir)).unwrap();
    let imports = facts["imports"].to_string();
    for ambient in ["wasi:cli", "wasi:filesystem", "wasi:sockets"] {
        assert!(!imports.contains(ambient), "nothing of WASI is ambient: {imports}");
    }
    let exports = facts["exports"].to_string();
    assert!(exports.contains("dry-run") && exports.contains("effect-probe"), "{exports}");

    // A mistake is shown with the author's file and line, before anything is built.
    let broken = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), broken.path().join(entry.file_name())).unwrap();
    }
    let code = std::fs::read_to_string(dir.join(file)).unwrap();
    std::fs::write(broken.path().join(file), format!("{code}\nthis is (no code\n")).unwrap();
    let output = plugin(&["build"], broken.path());
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    let line = code.lines().count() + 2;
    let said = text(&output);
    assert!(said.contains(file) && said.contains(&line.to_string()), "{line}: {said}");
}

#[test]
fn a_tool_in_python_runs_in_the_sandbox_and_its_errors_name_the_line() {
    works_in_the_sandbox("python", "tool.py");
}

#[test]
fn a_tool_in_javascript_runs_in_the_sandbox_and_its_errors_name_the_line() {
    works_in_the_sandbox("js", "tool.js");
}

#[test]
fn new_tools_of_both_languages_pass_their_tests() {
    let place = tempfile::tempdir().unwrap();
    for language in ["python", "js"] {
        succeeds(&["new", "shop/portcheck", "--lang", language, "--dir", language], place.path());
        succeeds(&["test"], &place.path().join(language));
    }
}

#[test]
fn the_sdks_do_what_they_say() {
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    let python = root().join("sdk/python");
    run(Command::new("python3")
        .args(["-m", "unittest", "discover", "-s", "tests"])
        .current_dir(&python)
        .env("PYTHONPATH", &python)
        .env("PYTHONDONTWRITEBYTECODE", "1"));
    run(Command::new("node").args(["--test", "tests"]).current_dir(root().join("sdk/js")));
}
