//! `fileops/ftpget`, `ftpput` and `ftpexec` against vsftpd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::service::{Service, free_port};
use crate::{Bench, operation};

/// A server that lets everybody in, with a directory `in` where everybody may write.
fn vsftpd(dir: &Path) -> (Service, u16) {
    let port = free_port();
    let root = dir.join("root");
    fs::create_dir_all(root.join("pub/sub")).unwrap();
    fs::create_dir(root.join("in")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    for (name, mode) in [(dir, 0o755), (&root, 0o755), (&root.join("in"), 0o777)] {
        fs::set_permissions(name, fs::Permissions::from_mode(mode)).unwrap();
    }
    let is_root = nix::unistd::geteuid().is_root();
    let config = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\n\
         anon_world_readable_only=NO\nanon_root={root}\nsecure_chroot_dir={empty}\nxferlog_enable=NO\nseccomp_sandbox=NO\n\
         pasv_address=192.0.2.1\nrun_as_launching_user={launching}\n",
        root = root.display(),
        empty = dir.join("empty").display(),
        launching = if is_root { "NO" } else { "YES" },
    );
    let file = dir.join("vsftpd.conf");
    fs::write(&file, config).unwrap();
    let service = Service::start("/usr/sbin/vsftpd", &[file.to_str().unwrap()], port);
    (service, port)
}

#[test]
fn trees_come_and_go_whole() {
    let (server, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_vsftpd, port) = vsftpd(server.path());
    let root = server.path().join("root");
    let large: Vec<u8> = (0..2_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    fs::write(root.join("pub/a b.txt"), "one").unwrap();
    fs::write(root.join("pub/sub/large.bin"), &large).unwrap();
    let local = here.path().join("app");
    fs::create_dir_all(local.join("conf")).unwrap();
    fs::write(local.join("conf/x"), "two").unwrap();
    let dir = here.path().to_str().unwrap();
    let base = format!("ftp://127.0.0.1:{port}");
    let (tree, file, target) = (format!("{base}/pub"), format!("{base}/pub/a b.txt"), format!("{base}/in"));
    let policy = format!(
        "sockets = {{ hosts = [\"127.0.0.1\"] }}\nfilesystem = {{ read = [\"{dir}\"], write = [\"{dir}\"] }}\n\
         [grant.secret]\n\"option:pass\" = {{ connections = [\"127.0.0.1\"] }}\n"
    );
    let local = local.to_str().unwrap();
    let bench = Bench::new(
        &json!({"protocol": "ssh"}),
        vec![
            operation("fileops/ftpget", 1, &[("addr", &tree), ("dir", dir)]),
            operation(
                "fileops/ftpget",
                2,
                &[("addr", &file), ("dir", dir), ("user", "ftp"), ("pass", "some pass")],
            ),
            operation("fileops/ftpput", 3, &[("addr", &target), ("dir", local)]),
            // Once more, over what is there.
            operation("fileops/ftpput", 4, &[("addr", &target), ("dir", local)]),
        ],
        &policy,
    );
    let log = bench.run(0);
    assert_eq!(fs::read_to_string(here.path().join("pub/a b.txt")).unwrap(), "one");
    assert_eq!(fs::read(here.path().join("pub/sub/large.bin")).unwrap(), large);
    assert_eq!(fs::read_to_string(here.path().join("a b.txt")).unwrap(), "one");
    assert_eq!(fs::read_to_string(root.join("in/app/conf/x")).unwrap(), "two");
    assert!(log.contains("INFO: Login ftp success.") && !log.contains("some pass"), "{log}");
    let outputs = bench.outputs();
    assert_eq!(outputs["fileops/ftpget_1"]["filePath"], json!(format!("{dir}/pub")));
    assert_eq!(outputs["fileops/ftpput_3"]["filePath"], json!(format!("{target}/app")));
}

#[test]
fn one_file_that_is_refused_fails_the_step() {
    let (server, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_vsftpd, port) = vsftpd(server.path());
    fs::write(here.path().join("x"), "x").unwrap();
    let dir = here.path().to_str().unwrap();
    let (none, forbidden) = (format!("ftp://127.0.0.1:{port}/none"), format!("ftp://127.0.0.1:{port}/pub"));
    let policy = format!(
        "sockets = {{ hosts = [\"127.0.0.1\"] }}\nfilesystem = {{ read = [\"{dir}\"], write = [\"{dir}\"] }}\n\
         [grant.secret]\n\"option:pass\" = {{ connections = [\"127.0.0.1\"] }}\n"
    );
    for operation in [
        operation("fileops/ftpget", 1, &[("addr", &none), ("dir", dir)]),
        operation("fileops/ftpput", 1, &[("addr", &forbidden), ("dir", &format!("{dir}/x"))]),
    ] {
        let log = Bench::new(&json!({"protocol": "ssh"}), vec![operation], &policy).run(1);
        assert!(log.contains("the FTP server 127.0.0.1 refused"), "{log}");
    }
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1, "nothing is left of the download");
}

#[test]
fn a_node_that_is_a_server_of_files_gives_and_takes_several() {
    let (server, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_vsftpd, port) = vsftpd(server.path());
    let root = server.path().join("root");
    for name in ["pub/a.txt", "pub/sub/b.txt"] {
        fs::write(root.join(name), name).unwrap();
    }
    let dir = here.path().to_str().unwrap();
    let policy = format!(
        "sockets = {{ hosts = [\"127.0.0.1\"] }}\nfilesystem = {{ read = [\"{dir}\"], write = [\"{dir}\"] }}\n\
         [grant.secret]\nnode = {{ connections = [\"127.0.0.1\"] }}\n"
    );
    let copy = |number, direction, src: &str, dest: &str| {
        operation(
            "fileops/ftpexec",
            number,
            &[("verbose", "1"), ("direction", direction), ("src", src), ("dest", dest)],
        )
    };
    let node =
        json!({"protocol": "ftp", "protocolPort": port, "username": "ftp", "password": "s3cret-of-the-node"});
    let steps = vec![
        copy(1, "pull", "/pub/a.txt,/pub/sub", dir),
        copy(2, "push", &format!("{dir}/a.txt,{dir}/sub"), "/in"),
    ];
    let log = Bench::new(&node, steps, &policy).run(0);
    assert_eq!(fs::read_to_string(here.path().join("sub/b.txt")).unwrap(), "pub/sub/b.txt");
    for name in ["a.txt", "sub/b.txt"] {
        let (there, back) = (root.join("pub").join(name), root.join("in").join(name));
        assert_eq!(fs::read(there).unwrap(), fs::read(back).unwrap(), "{name}");
    }
    assert!(log.contains("2 path(s) to copy.") && !log.contains("s3cret"), "{log}");
}
