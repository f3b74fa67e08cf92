//! `fileops/remotecopy` over sshd: with one node, and from one node to another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node_file, one_shot, params, phase};
use autoexec_e2e::guests::guest;
use autoexec_test_support::server::{File, Scope};
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

#[test]
fn files_that_are_attached_to_the_job_go_to_the_node() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        return;
    }
    let there = tempfile::tempdir().unwrap();
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let remote = there.path().to_str().unwrap();
    let node = json!({"protocol": "ssh", "protocolPort": sshd.port(), "username": sshd.user(), "password": sshd.password()});
    let mut upload =
        operation("fileops/remoteupload", 1, &[("dest", &format!("{remote}/")), ("verbose", "0")]);
    upload["opt"]["src"] = json!([41, 42]);
    upload["desc"]["src"] = json!("file");
    let policy = format!(
        "target = {{ read = [\"{remote}\"], write = [\"{remote}\"] }}\nfilesystem = {{ read = [\"${{job.dir}}/file\"] }}\n"
    );
    let bench = Bench::new(&node, vec![upload], &policy);
    let content: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    for (id, name, content) in [("41", "data 1.bin", content.clone()), ("42", "b.txt", b"small".to_vec())] {
        let disposition = format!("attachment; filename=\"{name}\"");
        bench.job.server.set_file(id, File { disposition, content, modified: 1.0 });
    }
    let log = bench.run(0);
    assert_eq!(fs::read(there.path().join("data 1.bin")).unwrap(), content, "{log}");
    assert_eq!(fs::read_to_string(there.path().join("b.txt")).unwrap(), "small", "{log}");
}

#[test]
fn a_tree_goes_from_one_node_to_another() {
    let servers = [(); 2].map(|()| Sshd::start(SshdOptions::default()).unwrap());
    if servers[0].password().is_empty() {
        return;
    }
    let places = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for place in &places {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let large: Vec<u8> = (0..2_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    fs::create_dir_all(places[0].path().join("app/lib")).unwrap();
    fs::write(places[0].path().join("app/lib/a b.bin"), &large).unwrap();
    let [from, to] = places.each_ref().map(|place| place.path().to_str().unwrap());
    let copy = |number, direction: &str, src: &str, dest: &str| {
        operation(
            "fileops/remotecopy",
            number,
            &[("direction", direction), ("src", src), ("dest", dest), ("np", "0")],
        )
    };
    // What is relative on the runner is below the directory of the job.
    let pull = phase("pull", "runner_target", [copy(1, "pull", &format!("{from}/app"), "file/app")]);
    let push = phase("push", "runner_target", [copy(2, "push", "file/app", &format!("{to}/"))]);
    let job = TestJob::new(params([one_shot([pull]), one_shot([push])]), &[]).unwrap();
    job.install_component("fileops/remotecopy", &guest("fileops/remotecopy").unwrap()).unwrap();
    let policy = format!(
        "[[grant]]\ntools = [\"fileops/remotecopy\"]\ntarget = {{ read = [\"{from}\", \"{to}\"], write = [\"{to}\"] }}\n\
         filesystem = {{ read = [\"${{job.dir}}/file\"], write = [\"${{job.dir}}/file\"] }}\n"
    );
    job.home.write("conf/policy/10-site.toml", policy).unwrap();
    let nodes: Vec<_> = (71..)
        .zip(&servers)
        .map(|(id, sshd)| {
            json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": "127.0.0.1", "runnerId": 1,
                "protocol": "ssh", "protocolPort": sshd.port(), "username": sshd.user(), "password": sshd.password()})
        })
        .collect();
    job.set_nodes(Scope::Job, &node_file(&nodes));
    for (phase, node) in ["pull", "push"].into_iter().zip(&nodes) {
        job.set_nodes(Scope::Phase(phase.to_owned()), &node_file(std::slice::from_ref(node)));
    }
    let finished = job.run(&["--firstfire"]).unwrap();
    let log = job.node_log("pull", "127.0.0.1--71") + &job.node_log("push", "127.0.0.1--72");
    assert_eq!(finished.code, Some(0), "{log}\n{}", job.console());
    assert_eq!(fs::read(places[1].path().join("app/lib/a b.bin")).unwrap(), large, "{log}");
    assert!(job.node_log("pull", "127.0.0.1--72").is_empty(), "each phase has a node of its own");
}
