//! Tools that merge lines into configuration files: what they print, what stands in the file, and that a second run and
//! a check change nothing.

use crate::machine::{Done, Machine, call};

/// Lines of a log that tell what becomes of a line.
fn changes(done: &Done) -> Vec<&str> {
    let kinds = ["NotChanged: ", "Replace: ", "Append: ", "Remove: ", "Modify ", "Append "];
    done.log.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).collect()
}

#[test]
fn kernel_settings_and_limits() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    scratch.write("/etc/sysctl.conf", "# ours\nvm.swappiness=60\nnet.core.somaxconn = 128\n").unwrap();
    scratch.write("/etc/security/limits.conf", "# limits\noracle soft nofile 1024\n").unwrap();
    let kernel = call("osbasic/modifysysctl")
        .with(
            "content",
            "vm.swappiness = 10\\n#no\\nnet.core.somaxconn = 128\\nkernel.shmmax = 1\\nkernel.shmall=1",
        )
        .with("backup", "1");
    let limits = call("osbasic/modifylimit")
        .with("defaultdomain", "oracle")
        .with("content", "soft nofile unlimited\\n@dba hard core 0\\nbad line here is too long");
    let own_file =
        call("osbasic/modifylimit").with("filename", "90-app.conf").with("content", "app - nproc 4096");
    let done = machine
        .run_all(&[
            kernel.check(),
            kernel.clone(),
            call("osbasic/getcmdout").arg("ls /etc/sysctl.conf*"),
            kernel,
            limits,
            own_file.check(),
            call("osbasic/getcmdout").arg("ls /etc/security/limits.d/"),
            own_file,
            call("osbasic/modifylimit").with("filename", "../../shadow").with("content", "app - nproc 1"),
            call("osbasic/modifysysctl").with("content", "no assignment"),
        ])
        .unwrap();
    let memory = scratch.read("/proc/meminfo").unwrap();
    let kib: u64 = memory.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    let half = (kib * 512).max(4 << 30);
    let expected = format!(
        "# ours\nvm.swappiness=10\nnet.core.somaxconn = 128\nkernel.shmmax = {}\nkernel.shmall = {}\n",
        half - 1,
        half / 4096
    );
    let wanted = [
        "Replace: vm.swappiness=60 -> vm.swappiness=10".to_owned(),
        "NotChanged: net.core.somaxconn = 128".to_owned(),
        format!("Append: kernel.shmmax = {}", half - 1),
        format!("Append: kernel.shmall = {}", half / 4096),
    ];
    assert_eq!(changes(done[0].ended(0)), wanted);
    assert_eq!(changes(done[1].ended(0)), wanted, "the check changed nothing");
    assert_eq!(done[1].output["sysctlConf"], expected.trim_end_matches('\n'));
    let files = done[2].ended(0).output["commandOutputTxt"].as_str().unwrap();
    assert_eq!(files.lines().count(), 2, "one backup: {files}");
    let backup = scratch.read(files.lines().nth(1).unwrap()).unwrap();
    assert_eq!(backup, "# ours\nvm.swappiness=60\nnet.core.somaxconn = 128\n");
    assert!(changes(done[3].ended(0)).iter().all(|line| line.starts_with("NotChanged: ")), "{}", done[3].log);
    assert!(done[3].said("INFO: /etc/sysctl.conf is right already.") && !done[3].log.contains("Backup"));
    assert_eq!(scratch.read("/etc/sysctl.conf").unwrap(), expected);

    assert!(done[4].ended(1).said("ERROR: Malform line: bad line here is too long"), "{}", done[4].log);
    let text = "# limits\noracle soft nofile unlimited\n@dba hard core 0\n";
    assert_eq!(scratch.read("/etc/security/limits.conf").unwrap(), text);
    assert!(
        done[5].ended(0).said("INFO: Would write /etc/security/limits.d/90-app.conf."),
        "{}",
        done[5].log
    );
    assert!(!done[6].output["commandOutputTxt"].as_str().unwrap().contains("90-app"), "{:?}", done[6]);
    assert_eq!(done[7].ended(0).output["limitConf"], "app - nproc 4096");
    assert_eq!(scratch.read("/etc/security/limits.d/90-app.conf").unwrap(), "app - nproc 4096\n");
    done[8].ended(1);
    assert!(done[9].ended(1).said("ERROR: Malform line: no assignment"), "{}", done[9].log);
}

#[test]
fn hosts_and_host_name() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    let before = "127.0.0.1 localhost\n10.1.0.1\told-db # keep\n";
    scratch.write("/etc/hosts", before).unwrap();
    let map = r#"{"10.1.0.1": "db1", "10.1.0.2": "db2", "127.0.0.1": "node-a"}"#;
    let merge = call("osbasic/modifyhosts")
        .with("ip2hostnamemap", map)
        .with("content", "10.1.0.1 db1\\n10.1.0.2  db2 db2.local")
        .with("reset", "0");
    let by_name = merge.clone().with("datakey", "name").with("content", "10.1.0.9 db2");
    let name = call("osbasic/sethostname").with("ip2hostnamemap", map);
    let done = machine
        .run_all(&[
            merge.check(),
            merge.clone(),
            merge.clone(),
            by_name,
            name.check(),
            name.clone(),
            name,
            merge.clone().with("ip2hostnamemap", "{\"10.1.0.1\": {}}"),
        ])
        .unwrap();
    let wanted =
        ["Replace: 10.1.0.1\told-db # keep -> 10.1.0.1\tdb1 # keep", "Append: 10.1.0.2\tdb2 db2.local"];
    assert_eq!(changes(done[0].ended(0)), wanted);
    assert_eq!(changes(done[1].ended(0)), wanted);
    let merged = "127.0.0.1 localhost\n10.1.0.1\tdb1 # keep\n10.1.0.2\tdb2 db2.local";
    assert_eq!(done[1].output["hostsConf"], merged);
    assert!(done[2].ended(0).said("INFO: /etc/hosts is right already."), "{}", done[2].log);
    assert_eq!(changes(done[3].ended(0)), ["Replace: 10.1.0.2\tdb2 db2.local -> 10.1.0.9\tdb2 db2.local"]);
    assert!(done[4].ended(0).said("INFO: Would set hostname:node-a."), "{}", done[4].log);
    assert!(done[5].ended(0).said("FINE: Set hostname:node-a success."), "{}", done[5].log);
    assert!(done[6].ended(0).said("INFO: The host name is node-a already."), "{}", done[6].log);
    assert!(done[7].ended(1).log.contains("is not a map of address to name"), "{}", done[7].log);
    assert_eq!(scratch.sh("uname -n; cat /etc/hostname").unwrap(), "node-a\nnode-a\n");
    // The map has the loopback address, so the file made anew has one loopback line of its own and the map's.
    let hosts =
        "::1\tlocalhost ip6-localhost ip6-loopback\n10.1.0.1\tdb1\n10.1.0.2\tdb2\n127.0.0.1\tnode-a\n";
    let mut lines: Vec<&str> = hosts.lines().collect();
    let found = scratch.read("/etc/hosts").unwrap();
    let mut found: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, lines);
    let host = nix::sys::utsname::uname().unwrap();
    assert_ne!(host.nodename(), "node-a", "this machine is untouched");
}

#[test]
fn ini_files_and_profiles() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    scratch.sh("useradd -m app").unwrap();
    let before = "; top\n[mysqld]\nport=3306\n# data\ndatadir = /var/lib\n\n[client]\nuser = x\n";
    scratch.write("/opt/my.cnf", before).unwrap();
    let ini = call("osbasic/modifyini")
        .with("filepath", "/opt/my.cnf")
        .with(
            "content",
            "[mysqld]\\nport = 3307\\nmax_connections = 500\\n[client]\\nuser = x\\n[new]\\na = b=c\\nflag",
        )
        .with("backup", "1");
    let profile = call("osbasic/setuserenv")
        .with("user", "app")
        .with("content", "export JAVA_HOME=/opt/jdk\\nPATH=\"$JAVA_HOME/bin:/bin\"\\numask 027");
    let create = ini.clone().with("filepath", "/opt/none.ini");
    let done = machine
        .run_all(&[
            ini.check(),
            ini.clone(),
            ini.clone(),
            create.clone(),
            create.with("create", "1"),
            profile.check(),
            profile.clone(),
            profile.clone(),
            profile.clone().with("filename", "../../etc/profile"),
            ini.clone().with("content", "a = 1"),
            ini.clone().with("content", "a = 1").with("nosection", "1"),
        ])
        .unwrap();
    let wanted = [
        "Modify port = 3307 in section:mysqld",
        "Append max_connections = 500 to section:mysqld",
        "NotChanged: user = x",
        "Append new section:new",
        "Append a = b=c to section:new",
        "Append flag =  to section:new",
    ];
    assert_eq!(changes(done[0].ended(0)), wanted);
    assert_eq!(changes(done[1].ended(0)), wanted);
    let after = "; top\n[mysqld]\nport=3307\n# data\ndatadir = /var/lib\nmax_connections = 500\n\n[client]\nuser = x\n\n[new]\na = b=c\nflag";
    assert_eq!(done[1].output["iniConf"], after);
    assert!(done[2].ended(0).output["iniConf"].is_null(), "{:?}", done[2]);
    let backups = scratch.sh("cat /opt/my.cnf.*").unwrap();
    assert_eq!(
        backups.strip_prefix(before).unwrap_or_default(),
        format!("{after}\n"),
        "of two changes: {backups}"
    );
    done[3].ended(1);
    done[4].ended(0);
    assert!(scratch.read("/opt/none.ini").unwrap().starts_with("[mysqld]\nport = 3307\n"));
    assert!(done[9].ended(1).log.contains("outside of a section"), "{}", done[9].log);
    assert!(scratch.read("/opt/my.cnf").unwrap().starts_with("; top\na = 1\n[mysqld]\n"), "{}", done[10].log);

    assert!(done[5].ended(0).said("INFO: Would write /home/app/.bash_profile."), "{}", done[5].log);
    assert!(done[6].ended(0).said("Append: PATH=\"$JAVA_HOME/bin:/bin\""), "{}", done[6].log);
    assert!(done[7].ended(0).said("INFO: /home/app/.bash_profile is right already."), "{}", done[7].log);
    done[8].ended(1);
    let profile = "export JAVA_HOME=/opt/jdk\nPATH=\"$JAVA_HOME/bin:/bin\"\numask 027\n";
    assert_eq!(scratch.read("/home/app/.bash_profile").unwrap(), profile);
    assert_eq!(scratch.sh("stat -c '%U %a' /home/app/.bash_profile").unwrap(), "app 644\n");
}
