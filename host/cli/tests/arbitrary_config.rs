//! Whatever stands in `config.ini`: usable settings or a complaint that names the file. The same function is a fuzz target of
//! `tests/fuzz`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken invariant is a failed test")]

#[path = "../../../tests/fuzz/invariants/config.rs"]
mod invariants;

use proptest::prelude::*;

fn lines() -> impl Strategy<Value = String> {
    let keys = [
        "server.baseurl",
        "server.username",
        "server.password",
        "password.key",
        "job.maxExecSecs",
        "rexec.connectTimeout",
        "rexec.readTimeout",
        "rexec.fail.reservedir",
        "db.url",
        "db.maxPoolSize",
        "db.password",
        "ssh.hostkeys",
        "shell.expansion",
        "outbox.maxWaitSecs",
        "unknown.key",
        "",
    ];
    let values = [
        "http://127.0.0.1:8080/",
        "autoexec",
        "{ENCRYPTED}d94cf101",
        "{ENCRYPTED}zz",
        "0",
        "-1",
        "60",
        "99999999999999999999",
        "strict",
        "off",
        "compatible",
        "1",
        "",
        "a=b",
        "\"quoted\"",
        "with ; comment",
        "mongodb://u:p@h/x",
    ];
    // Secrets stand where secrets belong; elsewhere they would rightly be shown.
    let secret_keys = ["server.password", "password.key", "db.password"];
    let secret = proptest::sample::select(secret_keys.to_vec())
        .prop_map(|key| format!("{key} = {}", invariants::SECRET));
    let pair = (proptest::sample::select(keys.to_vec()), proptest::sample::select(values.to_vec()))
        .prop_map(|(key, value)| format!("{key} = {value}"));
    let line = prop_oneof![
        6 => pair,
        2 => secret,
        1 => proptest::sample::select(vec!["[server]", "[autoexec]", "[other]", "[broken", "# note", "; note", "", "=", "  x  "])
            .prop_map(str::to_owned),
        1 => ".{0,12}",
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| {
        let (server, rest) = lines.split_at(lines.len() / 2);
        format!("[server]\n{}\n[autoexec]\n{}\n", server.join("\n"), rest.join("\n"))
    })
}

fn check(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    invariants::config(bytes, directory.path());
}

proptest! {
    #[test]
    fn files_with_our_keys(text in lines()) {
        check(text.as_bytes());
    }

    #[test]
    fn complete_files(text in lines()) {
        let needed = "[server]\nserver.baseurl = http://127.0.0.1:1\nserver.username = u\nserver.password = hunter2-tok-4711\n\
                      password.key = k3y-for-tests-0123456789abcdefgh\n";
        check(format!("{needed}{}", text.trim_start_matches("[server]\n")).as_bytes());
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}
