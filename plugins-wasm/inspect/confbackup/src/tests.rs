use super::*;
use autoexec_sdk::target::Entry;
use autoexec_sdk::testing::Host;

const DIRECTORY: &str = "/data/job/1/output-op/h--7/inspect/confbackup_1";

fn host(paths: Result<Value, ServerError>) -> Host {
    let host = Host::new();
    host.set_variable("AUTOEXEC_WORK_PATH", "/data/job/1");
    host.set_node(|node| {
        node.host = "h".into();
        node.port = None;
        node.resource_id = 7;
    });
    host.set_context(|context| context.operation_id = "inspect/confbackup_1".into());
    host.filesystem().writable("/data/job/1/output-op");
    host.server().call(PATHS, json!({"resourceId": 7})).answers(paths);
    host
}

fn alone() -> Host {
    host(Err(ServerError::None))
}

fn entry(name: &str, size: u64) -> Entry {
    Entry { name: name.into(), is_directory: name.ends_with('/'), size, modified: 5, mode: 0o644 }
}

fn directory(name: &str) -> Entry {
    Entry { name: name.into(), is_directory: true, size: 0, modified: 5, mode: 0o755 }
}

/// Expects that a file is fetched; its content is put in place of the copy.
fn fetched(host: &Host, path: &str, content: &str) {
    let here = format!("{DIRECTORY}{path}");
    host.filesystem().file(&here, content);
    host.target().download(path, &here).answers(Ok(content.len() as u64));
}

fn run(host: &Host, options: Value, paths: &[&str]) -> ToolResult {
    host.run_with_arguments::<ConfBackup>(options, paths.iter().map(|path| json!(path)))
}

fn names(host: &Host) -> Vec<String> {
    let list = host.output("fileList").unwrap();
    list.as_array().unwrap().iter().map(|file| file["fullPath"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_files_of_job_and_console_are_brought_once() {
    let host = host(Ok(json!({"tbodyList": [{"path": "/etc/hosts"}, {"path": "/etc/app/*.conf"}]})));
    host.target().stat("/etc/hosts").answers(Ok(entry("hosts", 10)));
    let listing = vec![entry("a.conf", 1), entry("b.ini", 1), entry(".c.conf", 1), directory("d.conf")];
    host.target().list_directory("/etc/app").answers(Ok(listing));
    fetched(&host, "/etc/hosts", "x");
    fetched(&host, "/etc/app/a.conf", "y");
    let outcome = run(&host, json!({}), &["/etc/hosts"]).unwrap();
    assert_eq!(outcome.message.as_deref(), Some("Saved 2 file(s)."));
    assert_eq!(names(&host), ["/etc/app/a.conf", "/etc/hosts"]);
    let file = &host.output("fileList").unwrap()[1];
    let expected = json!({"fullPath": "/etc/hosts", "fileName": "hosts", "modifyTime": 5,
        "serverPath": format!("{DIRECTORY}/etc/hosts")});
    assert_eq!((file, host.output("changes")), (&expected, Some(Value::Null)));
    assert_eq!(host.log_lines()[0], "FINE: Download file:/etc/app/a.conf success.");
}

#[test]
fn wildcards_may_stand_for_directories_too() {
    let host = alone();
    host.target().list_directory("/opt").answers(Ok(vec![
        directory("app1"),
        directory("app2"),
        directory("db"),
        entry("app3", 1),
    ]));
    host.target().list_directory("/opt/app1/conf").answers(Ok(vec![
        entry("x.yml", 1),
        entry("y.yaml", 1),
        entry("z.txt", 1),
    ]));
    host.target()
        .list_directory("/opt/app2/conf")
        .answers(Err(TargetError::NotFound("/opt/app2/conf".into())));
    fetched(&host, "/opt/app1/conf/x.yml", "");
    fetched(&host, "/opt/app1/conf/y.yaml", "");
    run(&host, json!({}), &["/opt/app?/conf/*.{yml,yaml}"]).unwrap();
    assert_eq!(names(&host), ["/opt/app1/conf/x.yml", "/opt/app1/conf/y.yaml"]);
}

#[test]
fn a_character_of_a_name_is_one_whatever_it_is() {
    let host = alone();
    host.target().list_directory("/etc").answers(Ok(vec![
        directory("\u{fc}ber"),
        directory("\u{fc}bers"),
        directory("\u{4e2d}"),
    ]));
    host.target().list_directory("/etc/\u{fc}ber").answers(Ok(vec![
        entry("\u{e4}.conf", 1),
        entry("\u{4e2d}\u{6587}.conf", 1),
        entry("z.conf", 1),
    ]));
    fetched(&host, "/etc/\u{fc}ber/\u{e4}.conf", "");
    run(&host, json!({}), &["/etc/?ber/[\u{e0}-\u{ff}].conf"]).unwrap();
    assert_eq!(names(&host), ["/etc/\u{fc}ber/\u{e4}.conf"]);
}

#[test]
fn what_does_not_work_is_named_and_the_rest_is_saved() {
    let host = alone();
    host.target().list_directory("/etc").answers(Ok(vec![
        entry("big", 40_000),
        entry("gone", 1),
        entry("good", 1),
    ]));
    host.target()
        .download("/etc/gone", &format!("{DIRECTORY}/etc/gone"))
        .answers(Err(TargetError::NotFound("x".into())));
    fetched(&host, "/etc/good", "");
    host.target().stat("/none").answers(Err(TargetError::NotFound("/none".into())));
    let failure =
        run(&host, json!({}), &["/etc/*", "/none", "etc/x", "/etc/../x", "/a/{b/c,d}"]).unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    let log = host.log_lines();
    for line in [
        "ERROR: Download file:/etc/big failed, it has 40000 bytes, more than 32 KB: raise `maxsize`",
        "ERROR: Download file:/etc/gone failed, not found: x",
        "FINE: Download file:/etc/good success.",
        "WARN: Can not find any file for /none on host:h.",
        "ERROR: the path etc/x is not absolute: write it from `/` on",
    ] {
        assert!(log.contains(&line.to_owned()), "no `{line}` in {log:#?}");
    }
    for name in ["/etc/big", "/etc/gone", "etc/x", "/etc/../x", "/a/{b/c,d}"] {
        assert!(failure.message().contains(name), "{failure}");
    }
    assert_eq!(names(&host), ["/etc/good"]);
}

#[test]
fn a_node_that_is_away_ends_it() {
    let host = alone();
    host.target().stat("/etc/a").answers(Err(TargetError::Unreachable("refused".into())));
    assert!(run(&host, json!({}), &["/etc/a", "/etc/b"]).unwrap_err().message().contains("no connection"));
}

#[test]
fn nothing_to_save_is_a_warning() {
    let host = alone();
    run(&host, json!({}), &[" "]).unwrap();
    assert_eq!(host.output("fileList"), Some(json!([])));
    assert_eq!(host.log_lines(), ["WARN: No file is named, neither by the job nor by the console."]);
}

#[test]
fn files_are_compared_with_those_of_the_last_time() {
    let host = alone();
    host.filesystem()
        .writable("/srv/conf")
        .file("/srv/conf/h/etc/a", "one\ntwo\n")
        .file("/srv/conf/h/etc/b", "same");
    for name in ["a", "b", "c"] {
        host.target().stat(&format!("/etc/{name}")).answers(Ok(entry(name, 8)));
    }
    fetched(&host, "/etc/a", "one\npassword=x\n");
    fetched(&host, "/etc/b", "same");
    fetched(&host, "/etc/c", "new");
    run(&host, json!({"archive": "/srv/conf/"}), &["/etc/a", "/etc/b", "/etc/c"]).unwrap();
    let changes = host.output("changes").unwrap();
    assert_eq!(
        (&changes[0]["state"], &changes[0]["added"], &changes[0]["removed"]),
        (&json!("changed"), &json!(1), &json!(1))
    );
    assert!(changes[0]["difference"].as_str().unwrap().contains("-two\n+password=x\n"), "{changes}");
    assert_eq!((&changes[1]["state"], &changes[2]["state"]), (&json!("unchanged"), &json!("new")));
    assert_eq!(
        host.filesystem().content("/srv/conf/h/etc/a").as_deref(),
        Some(b"one\npassword=x\n".as_slice())
    );
    assert_eq!(host.filesystem().content("/srv/conf/h/etc/c").as_deref(), Some(b"new".as_slice()));
    assert!(!host.log_lines().iter().any(|line| line.contains("password")), "{:?}", host.log_lines());
}
