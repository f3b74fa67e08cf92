//! Where tools come from: signatures, the lock and its commands, by the built program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share fails as the tests do")]

use std::fs;
use std::path::PathBuf;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use autoexec_e2e::guests::{guest, with_manifest};
use autoexec_manifest::{CapabilityRequest, Manifest};
use autoexec_supply::{SigningKey, sign, signature_path};
use serde_json::Value;

const HELLO: &str = "demo/hello";

/// The greeter with another manifest; it works as before.
fn changed(change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    with_manifest(&guest(HELLO).unwrap(), change).unwrap()
}

fn asking_for_more(manifest: &mut Manifest) {
    manifest.version.minor += 1;
    manifest
        .capabilities
        .push(CapabilityRequest { interface: "net-probe".into(), reason: "curiosity".into() });
}

/// A job with one call of the greeter, in a home of its own.
struct Site {
    job: TestJob,
    key: SigningKey,
    component: PathBuf,
}

impl Site {
    fn new() -> Self {
        let params = params([one_shot([phase("A", "runner_target", [op(HELLO, "runner_target", 1)])])]);
        let job = TestJob::new(params, &[node(71)]).unwrap();
        let component = job.install_component(HELLO, &guest(HELLO).unwrap()).unwrap();
        Self { job, key: SigningKey::generate().unwrap(), component }
    }

    fn install(&self, bytes: &[u8]) {
        fs::write(&self.component, bytes).unwrap();
    }

    fn sign_with(&self, key: &SigningKey) {
        let signature = sign(&fs::read(&self.component).unwrap(), key).unwrap();
        fs::write(signature_path(&self.component), signature).unwrap();
    }

    fn trust(&self) {
        self.job.home.write("conf/trust/build.pub", self.key.public().unwrap()).unwrap();
    }

    fn configure(&self, strictness: &str) {
        let path = self.job.home.path().join("conf/config.ini");
        let text = fs::read_to_string(&path).unwrap() + &format!("plugins.signatures = {strictness}\n");
        fs::write(path, text).unwrap();
    }

    /// Runs the job; its node's log.
    fn run(&self, code: i32) -> String {
        self.job.expect(code, &["--firstfire", "--force"]).unwrap();
        self.job.node_log("A", &key(71))
    }

    /// Runs `autoexec tool …`: exit code, and both outputs.
    fn tool(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = self.job.home.autoexec(["tool"].iter().chain(arguments)).unwrap();
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = format!("{}{errors}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), text)
    }

    fn tool_json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, text) = self.tool(&[arguments, &["--output", "json"]].concat());
        let end = text.rfind('}').unwrap_or_else(|| panic!("{text}"));
        (code, serde_json::from_str(&text[..=end]).unwrap_or_else(|error| panic!("{error}: {text}")))
    }
}

#[test]
fn a_home_that_was_set_up_for_nothing_runs_as_before() {
    let site = Site::new();
    let log = site.run(0);
    assert!(log.contains("Hello") && !log.contains("signature"), "{log}");
}

#[test]
fn a_required_signature_decides_whether_a_tool_is_loaded() {
    let site = Site::new();
    site.trust();
    site.configure("require");
    let log = site.run(1);
    assert!(log.contains("tool demo/hello has no signature") && !log.contains("Hello"), "{log}");
    // Refused before it was compiled: nothing is in the cache.
    let cache = site.job.home.path().join("data/wasm-cache");
    let compiled = fs::read_dir(&cache).map_or(0, |entries| {
        entries
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "cwasm"))
            .count()
    });
    assert_eq!(compiled, 0);

    site.sign_with(&SigningKey::generate().unwrap());
    assert!(site.run(1).contains("which is not trusted here"));

    site.sign_with(&site.key);
    let log = site.run(0);
    assert!(log.contains("Hello"), "{log}");

    // One byte of the code: the signature is that of the file before.
    let mut bytes = fs::read(&site.component).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    site.install(&bytes);
    let log = site.run(1);
    assert!(log.contains("was changed after signing") || log.contains("not a readable"), "{log}");
}

#[test]
fn a_warning_is_told_once_there_is_a_key() {
    let site = Site::new();
    site.trust();
    let log = site.run(0);
    assert!(log.contains("WARN: The tool demo/hello has no signature.") && log.contains("Hello"), "{log}");
}

#[test]
fn an_update_that_asks_for_more_is_refused_until_it_is_approved() {
    let site = Site::new();
    let (code, text) = site.tool(&["lock"]);
    assert!(code == 77 && text.contains("WIDEN  new tool (component)"), "{code}: {text}");
    assert!(!site.job.home.path().join("plugins.lock").exists(), "nothing is written unasked");
    let (code, text) = site.tool(&["lock", "--yes"]);
    assert!(code == 0 && text.contains("Wrote "), "{code}: {text}");
    assert!(site.run(0).contains("Hello"));

    site.install(&changed(asking_for_more));
    let log = site.run(1);
    for part in
        ["is not what plugins.lock approves", "it also asks for `net-probe`", "autoexec tool lock demo/hello"]
    {
        assert!(log.contains(part), "{part}: {log}");
    }
    let (code, text) = site.tool(&["verify", "--lenient"]);
    assert!(code == 77 && text.contains("WIDEN  it also asks for `net-probe`"), "{code}: {text}");
    let (code, text) = site.tool(&["lock", HELLO]);
    assert!(code == 77 && text.contains("a person has to approve demo/hello"), "{code}: {text}");
    assert_eq!(site.tool(&["lock", HELLO, "--yes"]).0, 0);
    assert!(site.run(0).contains("Hello"));

    // An update that asks for no more needs the lock to be written, but nobody's word.
    site.install(&changed(|manifest| manifest.version.minor += 2));
    assert!(site.run(1).contains("version 0.2.0 became 0.3.0"));
    let (code, text) = site.tool(&["lock"]);
    assert!(code == 0 && !text.contains("WIDEN"), "{code}: {text}");
    assert!(site.run(0).contains("Hello"));

    // Back to the first version: perhaps one with a hole.
    site.install(&guest(HELLO).unwrap());
    assert!(site.run(1).contains("replaced by the older 0.1.0"));
    assert_eq!(site.tool(&["lock"]).0, 77);
}

#[test]
fn a_lock_or_key_that_can_not_be_read_ends_the_run_before_it_begins() {
    let site = Site::new();
    site.job.home.write("plugins.lock", "version = 1\n[[tool]]\nname = \"x\"\n").unwrap();
    site.job.expect(65, &["--firstfire"]).unwrap();
    assert!(site.job.console().contains("plugins.lock: line 2"), "{}", site.job.console());
    fs::remove_file(site.job.home.path().join("plugins.lock")).unwrap();
    site.job.home.write("conf/trust/broken.pub", "x").unwrap();
    site.job.expect(65, &["--firstfire"]).unwrap();
    assert!(site.job.console().contains("broken.pub"), "{}", site.job.console());
}

#[test]
fn the_commands_say_what_is_installed_and_whose_it_is() {
    let site = Site::new();
    assert_eq!(site.tool(&["verify"]).0, 76, "no signature");
    assert_eq!(site.tool(&["verify", "--lenient"]).0, 0);
    let public = site.job.home.write("build-2026.pub", site.key.public().unwrap()).unwrap();
    let (code, text) = site.tool(&["trust", "add", public.to_str().unwrap()]);
    let id = site.key.id().unwrap().to_string();
    assert!(code == 0 && text.contains(&id), "{text}");
    site.sign_with(&site.key);
    assert_eq!(site.tool(&["verify"]), (0, "ok      demo/hello\n".to_owned()));

    let (code, list) = site.tool_json(&["list"]);
    let tool = &list["tools"][0];
    assert_eq!((code, &tool["name"], &tool["version"]), (0, &HELLO.into(), &"0.1.0".into()), "{list}");
    assert_eq!(
        (&tool["signature"]["state"], &tool["signature"]["keyName"]),
        (&"holds".into(), &"build-2026".into())
    );
    assert_eq!(tool["approved"], Value::Null);
    let (code, text) = site.tool(&["list"]);
    assert!(code == 0 && text.contains("by build-2026") && text.contains("no lock"), "{text}");
    let (code, text) = site.tool(&["show", HELLO]);
    assert!(code == 0 && text.contains("It asks for no capability.") && text.contains(&id), "{text}");

    let (code, text) = site.tool(&["trust", "list"]);
    assert!(code == 0 && text.contains("build-2026") && text.contains(&id), "{text}");
    assert_eq!(site.tool(&["trust", "remove", &id]).0, 0);
    let (code, report) = site.tool_json(&["verify"]);
    assert_eq!((code, &report["ok"]), (76, &false.into()), "{report}");
    assert!(
        report["tools"][0]["problems"][0]["text"].as_str().unwrap().contains("not trusted here"),
        "{report}"
    );

    for (arguments, code) in [
        (vec!["show", "demo/none"], 65),
        (vec!["show", "../../etc/passwd"], 65),
        (vec!["verify", "demo/none"], 65),
        (vec!["trust", "remove", "0123456789ABCDEF"], 65),
        (vec!["trust", "remove", "x"], 64),
        (vec!["trust", "add", "no-such-file"], 74),
        (vec!["nonsense"], 64),
    ] {
        assert_eq!(site.tool(&arguments).0, code, "{arguments:?}");
    }
}

#[test]
fn a_tool_that_is_gone_is_forgotten_only_when_asked() {
    let site = Site::new();
    assert_eq!(site.tool(&["lock", "--yes"]).0, 0);
    fs::remove_file(&site.component).unwrap();
    assert_eq!(
        site.tool(&["lock", "--yes"]),
        (0, "Everything is as it was approved; nothing to write.\n".to_owned())
    );
    let (code, text) = site.tool(&["lock", "--prune"]);
    assert!(code == 0 && text.contains("is forgotten"), "{text}");
    let lock = fs::read_to_string(site.job.home.path().join("plugins.lock")).unwrap();
    assert!(!lock.contains(HELLO), "{lock}");
}
