//! `fileops/httpget` and `fileops/httpput` against nginx.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::service::{Service, free_port};
use crate::{Bench, operation};

/// A server with files for everybody below `/pkg`, for `me` below `/private`, and a place that takes uploads.
fn nginx(dir: &Path) -> (Service, u16) {
    let port = free_port();
    for name in ["pkg", "private", "bodies", "temp"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    fs::write(dir.join("passwords"), "me:{PLAIN}s3cret pass\n").unwrap();
    let path = dir.display();
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n\
         events {{}}\n\
         http {{ access_log off; client_max_body_size 100m;\n\
         proxy_temp_path {path}/temp; fastcgi_temp_path {path}/temp; uwsgi_temp_path {path}/temp; scgi_temp_path {path}/temp;\n\
         client_body_temp_path {path}/bodies;\n\
         server {{ listen 127.0.0.1:{port}; root {path};\n\
         location /pkg {{}}\n\
         location /private {{ auth_basic private; auth_basic_user_file {path}/passwords; }}\n\
         location = /upload {{ client_body_in_file_only on; proxy_pass http://127.0.0.1:{port}/stored; }}\n\
         location = /stored {{ return 200 \"stored as 7\"; }}\n\
         }} }}\n"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, config).unwrap();
    let service = Service::start("/usr/sbin/nginx", &["-c", file.to_str().unwrap()], port);
    (service, port)
}

fn policy(port: u16, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "http = {{ hosts = [\"127.0.0.1:{port}\"], schemes = [\"http\"] }}\n\
         filesystem = {{ read = [\"{dir}\"], write = [\"{dir}\"] }}\n\
         [grant.secret]\n\"option:pass\" = {{ http = [\"127.0.0.1:{port}\"] }}\n"
    )
}

#[test]
fn files_are_downloaded_once_and_uploaded_whole() {
    let (server, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_nginx, port) = nginx(server.path());
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    fs::write(server.path().join("pkg/large file.bin"), &large).unwrap();
    fs::write(server.path().join("private/x"), "for me").unwrap();
    let dir = here.path().to_str().unwrap();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let (get, private, put) = (url("/pkg/large%20file.bin"), url("/private/x"), url("/upload"));
    let local = format!("{dir}/large file.bin");
    let bench = Bench::new(
        &json!({"protocol": "ssh"}),
        vec![
            operation("fileops/httpget", 1, &[("addr", &get), ("dir", dir)]),
            operation("fileops/httpget", 2, &[("addr", &get), ("dir", dir)]),
            operation(
                "fileops/httpget",
                3,
                &[("addr", &private), ("dir", dir), ("user", "me"), ("pass", "s3cret pass")],
            ),
            operation("fileops/httpput", 4, &[("addr", &put), ("dir", &local)]),
        ],
        &policy(port, here.path()),
    );
    let log = bench.run(0);
    assert_eq!(fs::read(&local).unwrap(), large);
    assert_eq!(fs::read_to_string(here.path().join("x")).unwrap(), "for me");
    assert_eq!(log.matches(&format!("FINE: Download {get} to {local} success.")).count(), 2, "{log}");
    assert_eq!(log.matches("has not changed at the server").count(), 1, "{log}");
    assert!(!log.contains("s3cret pass"), "{log}");
    let outputs = bench.outputs();
    assert_eq!(outputs["fileops/httpget_1"]["filePath"], json!(local));
    assert_eq!(outputs["fileops/httpput_4"]["uploadResponse"], "stored as 7");
    let bodies: Vec<_> = fs::read_dir(server.path().join("bodies")).unwrap().collect();
    let body = fs::read(bodies.into_iter().next().unwrap().unwrap().path()).unwrap();
    assert!(body.windows(large.len()).any(|window| window == large), "the form holds the file");
    let head = String::from_utf8_lossy(&body[..300]).into_owned();
    assert!(head.contains("name=\"file\"; filename=\"large file.bin\""), "{head}");
}

#[test]
fn a_refusal_says_why_and_leaves_nothing() {
    let (server, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_nginx, port) = nginx(server.path());
    let dir = here.path().to_str().unwrap();
    let url = format!("http://127.0.0.1:{port}/private/x");
    let bench = Bench::new(
        &json!({"protocol": "ssh"}),
        vec![operation(
            "fileops/httpget",
            1,
            &[("addr", &url), ("dir", dir), ("user", "me"), ("pass", "wrong")],
        )],
        &policy(port, here.path()),
    );
    let log = bench.run(1);
    assert!(log.contains("ERROR: ") && log.contains("401"), "{log}");
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);
}
