//! The second example of the documentation, a job of six phases, over real SSH: what it changes, what it keeps, and what it reports.

#![expect(clippy::unwrap_used, reason = "a test fails where its surroundings do")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use autoexec_e2e::files_below;
use autoexec_e2e::guests::guest;
use autoexec_test_support::home::TestHome;
use autoexec_test_support::sshd::{Sshd, SshdOptions};

const BEFORE: &str = "# a service\n[server]\nlisten = 8080\nworkers = 4\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A home with the tools that the job names.
fn home() -> TestHome {
    let home = TestHome::new("http://127.0.0.1:1", "nobody", "none").unwrap();
    std::fs::remove_file(home.path().join("conf/config.ini")).unwrap();
    for tool in ["demo/summary", "inspect/tcpcheck", "native/getvalfromtxt"] {
        home.write(&format!("plugins/wasm/{tool}.wasm"), guest(tool).unwrap()).unwrap();
    }
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("plugins-native/remote"))
        .arg(home.path().join("plugins/"))
        .status()
        .unwrap();
    assert!(copied.success());
    home
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn a_setting_is_changed_on_every_node_with_a_copy_and_a_report() {
    let (home, sshd) = (home(), Sshd::start(SshdOptions::default()).unwrap());
    let place = tempfile::Builder::new().prefix("autoexec-nodes.").tempdir().unwrap();
    open_to_all(place.path());
    let file = |node: &str| place.path().join(node).join("app.ini");
    let node = |(number, name): (usize, &str)| {
        std::fs::create_dir(place.path().join(name)).unwrap();
        open_to_all(&place.path().join(name));
        std::fs::write(file(name), BEFORE).unwrap();
        open_to_all(&file(name));
        let (port, user, key, id) = (sshd.port(), sshd.user(), sshd.key_path(), number + 1);
        let key = key.display();
        format!(
            "  - {{name: {name}, host: 127.0.0.1, id: {id}, protocol_port: {port}, port: {port}, user: {user}, key: {key}}}\n"
        )
    };
    let nodes: Vec<String> = ["alpha", "beta"].into_iter().enumerate().map(node).collect();
    let nodes = format!("nodes:\n{}", nodes.concat());
    home.write("hosts.yaml", nodes).unwrap();
    let job = root().join("docs/examples/six-phases/six-phases.job.yaml").display().to_string();
    let place_option = format!("place={}", place.path().display());
    let run_with = |more: &[&str]| {
        let words = ["run", &job, "-i", "hosts.yaml", "-o", &place_option];
        let output = home.autoexec(words.iter().chain(more)).unwrap().output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}");
        text
    };
    // A dry run asks the script on every node, and changes nothing there.
    let dry = run_with(&["--check"]);
    for node in ["alpha", "beta"] {
        assert_eq!(std::fs::read_to_string(file(node)).unwrap(), BEFORE, "{node}: {dry}");
        let log = change_logs(&home.path().join("data/job"));
        assert!(log.contains("INFO: Execute -> modifyini --check 1 --filepath"), "{log}");
        assert!(log.contains("INFO: Would write "), "{log}");
    }
    let run = || run_with(&[]);
    let report = run();
    for node in ["alpha", "beta"] {
        let text = std::fs::read_to_string(file(node)).unwrap();
        assert_eq!(text, BEFORE.replace("workers = 4", "workers = 8"), "{node}");
    }
    assert!(report.contains("Workers of the service") && report.contains("| 4 | 8 | 2 |"), "{report}");
    let copies = copies(&home.path().join("data/job"));
    assert_eq!(copies.len(), 2, "one for each node: {copies:?}");
    for copy in &copies {
        assert_eq!(std::fs::read_to_string(copy).unwrap(), BEFORE, "as it was before the change");
    }
    // Once more: there is nothing to do, and the report says so.
    let again = run();
    assert!(again.contains("| 8 | 8 | 2 |"), "{again}");
}

/// The files that came from the nodes.
fn copies(jobs: &Path) -> Vec<PathBuf> {
    let mut files = files_below(jobs).unwrap();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().contains("app.ini"));
    files.iter().map(|file| jobs.join(file)).collect()
}

/// The logs of all nodes in the phase that changes them.
fn change_logs(jobs: &Path) -> String {
    let mut files = files_below(jobs).unwrap();
    files.retain(|file| {
        file.to_string_lossy().contains("/log/change/") && file.extension().is_some_and(|e| e == "txt")
    });
    files.iter().map(|file| std::fs::read_to_string(jobs.join(file)).unwrap()).collect()
}
