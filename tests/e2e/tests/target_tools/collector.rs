//! The host collector, against real services in a scratch machine.

use serde_json::Value;

use crate::machine::{Done, Machine, call};

fn records(done: &Done) -> &Vec<Value> {
    done.ended(0).output["DATA"].as_array().unwrap()
}

/// The only record of a type.
#[track_caller]
fn of<'a>(records: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = records.iter().filter(|record| record["_OBJ_TYPE"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    found[0]
}

#[test]
fn the_host_and_what_runs_on_it_are_recorded() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    scratch.write("/etc/nginx/own.conf", "events {}\nhttp { server { listen 127.0.0.1:8088; } }\n").unwrap();
    scratch.sh("mkdir -p /var/log/nginx /run/redis").unwrap();
    scratch.sh("/usr/sbin/nginx -c /etc/nginx/own.conf").unwrap();
    let redis = "/usr/bin/redis-server --port 6390 --bind 127.0.0.1 --requirepass s3cret \
                 --daemonize yes --dir /run/redis --pidfile /run/redis/pid --logfile /run/redis/log";
    scratch.sh(redis).unwrap();
    scratch.sh("/usr/sbin/sshd -f /run/scratch/sshd_config -o ListenAddress=0.0.0.0:22").unwrap();
    // A process that only has the name of one.
    scratch.write("/opt/app/mysqld", "#!/bin/sh\nsleep 600\n").unwrap();
    scratch.sh("chmod 755 /opt/app/mysqld; /opt/app/mysqld >/dev/null 2>&1 &").unwrap();
    let web = "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8000))\ns.listen(5)\n\
               open('/run/web', 'w').close()\nwhile True: s.accept()\n";
    scratch.write("/opt/app/web.py", web).unwrap();
    let variables = "TS_INSNAME=shop/cart/1 DB_PASSWORD=s3cret";
    let web = format!("{variables} /usr/bin/python3 /opt/app/web.py --db-password s3cret >/dev/null 2>&1 &");
    scratch.sh(&web).unwrap();
    scratch.sh("useradd -u 4242 keeper").unwrap();
    scratch.sh("until test -s /run/redis/pid && test -e /run/web; do sleep 0.02; done").unwrap();
    // A connection from outside of the service to it.
    scratch.sh("perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(q(127.0.0.1:6390)) or die; open F, q(>), q(/run/connected); sleep 600' >/dev/null 2>&1 & \
                until test -e /run/connected; do sleep 0.02; done").unwrap();

    let all = call("cmdbcollect/oscollector").with("inspect", "1");
    let some = call("cmdbcollect/oscollector").with("class", "[\"Redis\"]");
    let os_only = call("cmdbcollect/oscollector").with("class", "[\"OS\"]");
    let mine = call("cmdbcollect/oscollector")
        .with("class", "[\"Python\",\"Nginx\"]")
        .with("procenvname", "TS_INSNAME");
    let done = machine.run_all(&[all, some, os_only, mine]).unwrap();
    let found = records(&done[0]);
    assert!(
        done[0].said("INFO: Begin to collect OS information...") && done[0].said("INFO: All are completed.")
    );
    assert!(
        !done[0].log.contains("s3cret") && !done[0].output.to_string().contains("s3cret"),
        "no secret is collected"
    );

    let os = of(found, "Linux");
    assert_eq!(os["_OBJ_CATEGORY"], "OS");
    assert_eq!(
        (&os["OS_ID"], &os["MGMT_IP"], &os["HOSTNAME"]),
        (&71.into(), &"127.0.0.1".into(), &"scratch".into())
    );
    let meminfo = scratch.read("/proc/meminfo").unwrap();
    let kib: f64 = meminfo.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((os["MEM_TOTAL"].as_f64().unwrap() - kib / 1024.0).abs() < 0.01, "{os}");
    let processors = scratch.sh("grep -c ^processor /proc/cpuinfo").unwrap();
    assert_eq!(os["CPU_LOGIC_CORES"].to_string(), processors.trim());
    assert_eq!(os["KERNEL_VERSION"].as_str().unwrap(), scratch.sh("uname -r").unwrap().trim());
    let debian = std::fs::read_to_string("/etc/debian_version").unwrap_or_default();
    if debian.starts_with(|c: char| c.is_ascii_digit()) {
        assert_eq!(os["VERSION"].as_str().unwrap(), format!("debian{}", debian.trim()));
    }
    assert_eq!(os["IP_ADDRS"], serde_json::json!([{"IP": "192.0.2.10", "NETMASK": "255.255.255.0"}]));
    assert_eq!(os["ETH_INTERFACES"][0]["NAME"], "eth0");
    let root = os["MOUNT_POINTS"].as_array().unwrap().iter().find(|mount| mount["NAME"] == "/").unwrap();
    assert_eq!((&root["FS_TYPE"], &root["UNIT"]), (&"overlay".into(), &"GB".into()));
    assert!(root["CAPACITY"].as_f64().unwrap() > 0.0);
    let users = os["USERS"].as_array().unwrap();
    assert!(users.iter().any(|user| user["NAME"] == "keeper" && user["UID"] == "4242"), "{users:?}");
    assert!(os["SSH_VERSION"].as_str().unwrap().starts_with("OpenSSH_"));
    assert!((0.0..=100.0).contains(&os["CPU_USAGE"].as_f64().unwrap()));
    assert!(!os["TOP_MEM_PROCESSES"].as_array().unwrap().is_empty());
    assert_eq!(found.iter().any(|record| record["_OBJ_CATEGORY"] == "HOST"), os["IS_VIRTUAL"] == 0);

    let nginx = of(found, "Nginx");
    assert_eq!(
        (&nginx["_OBJ_CATEGORY"], &nginx["PORT"], &nginx["CONFIG_PATH"]),
        (&"INS".into(), &8088.into(), &"/etc/nginx/own.conf".into())
    );
    assert!(nginx["VERSION"].as_str().unwrap().starts_with("1."), "{nginx}");
    assert_eq!(nginx["LISTEN"], serde_json::json!([{"ADDR": "127.0.0.1:8088"}]));
    assert_eq!(nginx["_MULTI_PROC"], 1, "workers belong to their master");

    let redis = of(found, "Redis");
    assert_eq!(
        (&redis["PORT"], &redis["OS_USER"], &redis["MODE"]),
        (&6390.into(), &"root".into(), &"standalone".into())
    );
    assert!(redis["VERSION"].as_str().unwrap().contains('.'), "{redis}");
    assert_eq!(redis["CONN_INFO"]["BIND"], serde_json::json!(["127.0.0.1:6390"]));
    assert_eq!(
        (&redis["CONN_STATS"]["INBOUND_COUNT"], &redis["CONN_STATS"]["OUTBOUND_COUNT"]),
        (&1.into(), &0.into())
    );

    let web = of(found, "Python");
    assert_eq!((&web["PORT"], &web["SERVER_NAME"]), (&8000.into(), &"web.py".into()));
    assert_eq!(web["COMMAND"], "/usr/bin/python3 /opt/app/web.py --db-password ******");
    assert_eq!(web["BELONG_APPLICATION_MODULE"][0]["APP_MODULE_NAME"], "cart");
    let variables = web["MAIN_ENV"].as_array().unwrap();
    assert!(
        variables.iter().any(|variable| variable["NAME"] == "DB_PASSWORD" && variable["VALUE"] == "******")
    );

    let sshd = of(found, "Sshd");
    assert_eq!((&sshd["PORT"], &sshd["RUN_ON"][0]["OS_ID"]), (&22.into(), &71.into()));
    assert_eq!(
        sshd["CONN_INFO"]["BIND"],
        serde_json::json!(["192.0.2.10:22"]),
        "a wild card is the host's addresses"
    );
    assert!(sshd["VERSION"].as_str().unwrap().starts_with("OpenSSH_"));
    assert!(found.iter().all(|record| record["_OBJ_TYPE"] != "Mysql"));

    let kinds = |done: &Done| {
        records(done)
            .iter()
            .map(|record| record["_OBJ_TYPE"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&done[1]), ["Redis"], "without OS in the list the system is not put out");
    assert!(kinds(&done[2]).contains(&"Linux".to_owned()) && !kinds(&done[2]).contains(&"Redis".to_owned()));
    assert_eq!(kinds(&done[3]), ["Python"], "only what has the variable");
}
