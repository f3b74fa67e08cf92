//! `fileops/remotecopy` over sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::json;

use crate::{Bench, operation};

#[test]
fn files_go_to_the_node_and_come_back() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        // Without root only a key can log in, which these nodes do not have.
        return;
    }
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir_all(here.path().join("app/conf")).unwrap();
    fs::write(here.path().join("app/conf/x.conf"), "one").unwrap();
    fs::write(here.path().join("app/y.log"), "two").unwrap();
    fs::create_dir(here.path().join("back")).unwrap();
    let (local, remote) = (here.path().to_str().unwrap(), there.path().to_str().unwrap());
    let node = json!({"protocol": "ssh", "protocolPort": sshd.port(), "username": sshd.user(), "password": sshd.password()});
    let copy = |number, direction: &str, src: String, dest: String| {
        operation(
            "fileops/remotecopy",
            number,
            &[("direction", direction), ("src", &src), ("dest", &dest), ("np", "0")],
        )
    };
    let bench = Bench::new(
        &node,
        vec![
            copy(1, "push", format!("{local}/app"), format!("{remote}/")),
            copy(2, "push", format!("{local}/app/*.log"), format!("{remote}/z.log")),
            copy(3, "pull", format!("{remote}/app/conf,{remote}/*.log"), format!("{local}/back/")),
        ],
        &format!(
            "target = {{ read = [\"{remote}\"], write = [\"{remote}\"] }}\n\
             filesystem = {{ read = [\"{local}\"], write = [\"{local}\"] }}\n"
        ),
    );
    let log = bench.run(0);
    assert_eq!(fs::read_to_string(there.path().join("app/conf/x.conf")).unwrap(), "one");
    assert_eq!(fs::read_to_string(there.path().join("z.log")).unwrap(), "two");
    assert_eq!(fs::read_to_string(here.path().join("back/conf/x.conf")).unwrap(), "one");
    assert_eq!(fs::read_to_string(here.path().join("back/z.log")).unwrap(), "two");
    assert!(log.contains(&format!("INFO: remotecopy --push {local}/app {remote}/ success.")), "{log}");
    // What the policy does not give out is not copied.
    let bench = Bench::new(
        &node,
        vec![copy(1, "pull", "/etc/passwd".into(), format!("{local}/back/"))],
        &format!(
            "target = {{ read = [\"{remote}\"] }}\nfilesystem = {{ read = [\"{local}\"], write = [\"{local}\"] }}\n"
        ),
    );
    let log = bench.run(1);
    assert!(log.contains("not granted") && !here.path().join("back/passwd").exists(), "{log}");
}
