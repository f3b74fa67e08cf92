//! `wasi:http`: who may be asked, redirects, secrets in headers, TLS, and limits.

use std::sync::Arc;

use autoexec_sandbox::{Limits, SandboxSettings};
use serde_json::{Value, json};

use crate::servers::{self, ok};
use crate::support::{Case, Expect, Recorder, call, load, rules, run, run_table, sandbox, use_everything};

fn get(url: &str) -> Value {
    json!({"what": "http", "subject": url})
}

fn recorder(allowed: &[String]) -> Arc<Recorder> {
    Arc::new(Recorder { allowed: allowed.to_vec(), ..Recorder::default() })
}

#[tokio::test]
async fn a_request_needs_its_method_scheme_host_port_and_address() {
    let server = servers::http(|_, out| out.write_all(ok("hello").as_bytes()).unwrap());
    let port = server.port;
    let url = server.url("/a?b");
    let by_name = format!("http://localhost:{port}/");
    let get_address = format!("GET http://127.0.0.1:{port}");
    let get_name = format!("GET http://localhost:{port}");
    let table = vec![
        Case { name: "nothing", ask: get(&url), allow: rules(&[]), expect: Expect::Refusal("Denied") },
        Case {
            name: "this",
            ask: get(&url),
            allow: rules(&[&get_address]),
            expect: Expect::Answer(json!("hello")),
        },
        Case {
            name: "name only",
            ask: get(&by_name),
            allow: rules(&[&get_name]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "another method",
            ask: json!({"what": "http-method", "subject": url, "text": "DELETE"}),
            allow: rules(&[&get_address]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "a tunnel",
            ask: json!({"what": "http-method", "subject": url, "text": "CONNECT"}),
            allow: rules(&["CONNECT*"]),
            expect: Expect::Refusal(""),
        },
        Case {
            name: "a user in the authority",
            ask: get(&format!("http://127.0.0.1:{port}@localhost:{port}/")),
            allow: rules(&["GET*"]),
            expect: Expect::Refusal(""),
        },
    ];
    run_table(table, Recorder::default).await;
    let heads = server.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("GET /a?b HTTP/1.1\r\n"), "{heads:?}");
}

#[tokio::test]
async fn a_redirect_is_another_request() {
    let inner = servers::http(|_, out| out.write_all(ok("inner").as_bytes()).unwrap());
    let location = inner.url("/metadata");
    let outer = servers::http(move |_, out| {
        write!(out, "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let to_outer = format!("GET http://127.0.0.1:{}", outer.port);
    let to_inner = format!("GET http://127.0.0.1:{}", inner.port);
    let ask = get(&outer.url("/"));
    let refused = use_everything(&recorder(std::slice::from_ref(&to_outer)), &ask, Limits::default()).await;
    assert!(refused.unwrap_err().contains("Denied"));
    assert_eq!(inner.heads(), [""; 0]);
    let followed = use_everything(&recorder(&[to_outer, to_inner]), &ask, Limits::default()).await;
    assert_eq!(followed, Ok(json!("inner")));
}

#[tokio::test]
async fn a_secret_goes_into_headers_for_allowed_hosts_only_and_never_to_the_guest() {
    let server = servers::http(|_, out| out.write_all(ok("fine").as_bytes()).unwrap());
    let there = format!("http://127.0.0.1:{}", server.port);
    let (request, secret) = (format!("GET {there}"), format!("secret option:password to {there}"));
    let ask =
        json!({"what": "http-header", "subject": server.url("/"), "text": "password", "password": "s3cret"});
    let denied = use_everything(&recorder(std::slice::from_ref(&request)), &ask, Limits::default()).await;
    assert!(denied.unwrap_err().contains("Denied"));
    assert_eq!(server.heads(), [""; 0]);
    let sent = use_everything(&recorder(&[request.clone(), secret.clone()]), &ask, Limits::default()).await;
    assert_eq!(sent.unwrap()["status"], 200);
    assert!(server.heads()[0].contains("authorization: s3cret\r\n"), "{:?}", server.heads());

    let basic = json!({"what": "basic", "subject": server.url("/"), "password": "tiger"});
    let rules = [request, secret, "secret option:password".into()];
    assert_eq!(use_everything(&recorder(&rules), &basic, Limits::default()).await, Ok(json!("fine")));
    assert!(server.heads()[1].contains("authorization: Basic c2NvdHQ6dGlnZXI=\r\n"), "{:?}", server.heads());

    let host = Recorder::new();
    let seen =
        use_everything(&host, &json!({"what": "password", "password": "s3cret"}), Limits::default()).await;
    let seen = seen.unwrap();
    assert!(seen.as_str().unwrap().starts_with("autoexec-secret-"), "{seen}");
}

#[tokio::test]
async fn a_secret_with_a_line_break_does_not_become_a_header() {
    let server = servers::http(|_, out| out.write_all(ok("fine").as_bytes()).unwrap());
    let host = recorder(&["GET*".into(), "secret*".into()]);
    let ask = json!({"what": "http-header", "subject": server.url("/"), "text": "password", "password": "a\r\nx: y"});
    assert!(use_everything(&host, &ask, Limits::default()).await.unwrap_err().contains("Denied"));
    assert_eq!(server.heads(), [""; 0]);
    assert!(host.log_text().contains("can not stand in a header"), "{}", host.log_text());
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let long = "x".repeat(100_000);
    let server = servers::http(move |_, out| {
        let _written = out.write_all(ok(&long).as_bytes());
    });
    let host = recorder(&["GET*".into()]);
    let ask = get(&server.url("/"));
    let fits = Limits { response: 100_000, ..Limits::default() };
    assert_eq!(use_everything(&host, &ask, fits).await.unwrap().as_str().map(str::len), Some(100_000));
    let too_long = use_everything(&host, &ask, Limits { response: 99_999, ..Limits::default() }).await;
    assert!(too_long.is_err(), "{too_long:?}");
    let log = host.log_text();
    assert!(log.contains("99999 bytes of one answer") && log.contains("`response-kib`"), "{log}");
}

#[tokio::test]
async fn a_flood_of_headers_is_an_error() {
    let server = servers::http(|_, out| {
        let _written = out.write_all(b"HTTP/1.1 200 OK\r\n");
        for number in 0..10_000 {
            let _written = write!(out, "x-{number}: {}\r\n", "y".repeat(100));
        }
        let _written = out.write_all(b"content-length: 0\r\n\r\n");
    });
    let flood = use_everything(&recorder(&["GET*".into()]), &get(&server.url("/")), Limits::default()).await;
    assert!(flood.is_err(), "{flood:?}");
}

#[tokio::test]
async fn sockets_are_limited() {
    let server = servers::http(|_, out| out.write_all(ok("hello").as_bytes()).unwrap());
    let host = recorder(&["GET*".into()]);
    let ask = get(&server.url("/"));
    let refused = use_everything(&host, &ask, Limits { sockets: 0, ..Limits::default() }).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(
        host.log_text().contains("0 sockets open") && host.log_text().contains("`sockets`"),
        "{}",
        host.log_text()
    );
    assert_eq!(
        use_everything(&host, &ask, Limits { sockets: 1, ..Limits::default() }).await,
        Ok(json!("hello"))
    );
}

#[tokio::test]
async fn certificates_are_checked_unless_the_policy_names_the_host() {
    let (port, authority) = servers::tls("localhost", true);
    let dir = tempfile::TempDir::new().unwrap();
    let bundle = dir.path().join("site.pem");
    std::fs::write(&bundle, authority).unwrap();
    let get = |ca_bundle, host: &'static str, unverified: Vec<String>| async move {
        let sandbox = sandbox(SandboxSettings { slots: 1, ca_bundle, ..SandboxSettings::default() });
        let tool = load(&sandbox, "fixture/everything");
        let recorder = Recorder { allowed: vec!["GET https*".into()], unverified, ..Recorder::default() };
        let recorder = Arc::new(recorder);
        let ask = call(&get(&format!("https://{host}:{port}/")));
        let ended = run(&sandbox, &tool, ask, &recorder).await.unwrap();
        (recorder.outputs().get("answer").cloned(), format!("{ended:?} {}", recorder.log_text()))
    };
    assert_eq!(get(Some(bundle.clone()), "localhost", vec![]).await.0, Some(json!("over tls")));
    let unknown = get(None, "localhost", vec![]).await;
    assert!(
        unknown.0.is_none() && unknown.1.contains("certificate of `localhost` is not trusted"),
        "{unknown:?}"
    );
    let other_name = get(Some(bundle), "127.0.0.1", vec![]).await;
    assert!(other_name.0.is_none() && other_name.1.contains("not trusted"), "{other_name:?}");
    assert_eq!(get(None, "localhost", vec!["localhost".into()]).await.0, Some(json!("over tls")));
}
