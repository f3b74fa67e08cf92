//! `plugins.cafile`: whom components trust over TLS besides the system's authorities, with a real server behind it.

use autoexec_e2e::TestJob;
use autoexec_test_support::server::{Config, ConsoleDouble};
use serde_json::Value;

use super::{answer, everything, log, uses};

/// A server with a certificate for `localhost`, of an authority of its own. It answers strangers with the status 522.
fn server() -> ConsoleDouble {
    let certificate_names = vec!["localhost".to_owned()];
    ConsoleDouble::start(Config { tls: true, certificate_names, ..Config::default() }).unwrap()
}

/// A step that asks over HTTPS, and one that only makes a TLS connection.
fn steps(server: &ConsoleDouble) -> [Value; 2] {
    let port = server.address().port().to_string();
    let url = format!("https://localhost:{port}/");
    [
        uses(1, &[("what", "http-header"), ("subject", &url), ("text", "x")]),
        uses(1, &[("what", "talk-tls"), ("subject", "localhost"), ("port", &port), ("text", "localhost")]),
    ]
}

/// A job of the step; `bundle` is the content of `plugins.cafile`.
fn job(step: Value, server: &ConsoleDouble, bundle: Option<&str>) -> TestJob {
    let host = format!("localhost:{}", server.address().port());
    let job = everything(
        vec![step],
        &format!("http = {{ hosts = [\"{host}\"] }}\nsockets = {{ hosts = [\"{host}\"] }}\n"),
    );
    if let Some(bundle) = bundle {
        let path = job.home.write("conf/authorities.pem", bundle).unwrap();
        set_bundle(&job, &path.display().to_string());
    }
    job
}

fn set_bundle(job: &TestJob, path: &str) {
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    job.home.write("conf/config.ini", format!("{config}plugins.cafile = {path}\n")).unwrap();
}

#[test]
fn a_server_is_trusted_with_its_authority_in_the_bundle() {
    let server = server();
    let [https, tls] = steps(&server);
    let trusted = job(https, &server, server.ca_pem());
    trusted.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(answer(&trusted, 1)["status"], 522);
    assert_eq!(server.bad_signatures(), 1, "it was asked");
    let trusted = job(tls, &server, server.ca_pem());
    trusted.expect(0, &["--firstfire"]).unwrap();
    let line = answer(&trusted, 1);
    assert!(line.as_str().unwrap().starts_with("HTTP/1.1 400"), "{line}");
}

#[test]
fn without_it_or_with_another_one_nothing_is_said_to_the_server() {
    let (server, other) = (server(), self::server());
    for bundle in [None, other.ca_pem()] {
        for step in steps(&server) {
            let refused = job(step, &server, bundle);
            refused.expect(1, &["--firstfire"]).unwrap();
            let log = log(&refused);
            assert!(log.contains("the certificate of `localhost` is not trusted"), "{log}");
            assert!(log.contains("`plugins.cafile`"), "it says where to put the authority: {log}");
        }
    }
    assert_eq!(server.bad_signatures(), 0);
}

#[test]
fn a_bundle_that_can_not_be_used_is_told_by_its_name() {
    let server = server();
    for bundle in
        ["no certificate here\n", "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"]
    {
        let [https, _] = steps(&server);
        let refused = job(https, &server, Some(bundle));
        refused.expect(1, &["--firstfire"]).unwrap();
        let log = log(&refused);
        assert!(log.contains("authorities.pem can not be used"), "{log}");
    }
    let [https, _] = steps(&server);
    let job = job(https, &server, None);
    set_bundle(&job, "/nonexistent/authorities.pem");
    let ended = job.expect(65, &["--firstfire"]).unwrap();
    for words in ["plugins.cafile", "can not be read"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert_eq!(server.bad_signatures(), 0);
}
