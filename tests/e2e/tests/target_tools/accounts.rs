//! Users, groups, passwords and SSH keys.

use crate::machine::{Machine, call};

#[test]
fn groups_and_users_are_made_corrected_and_then_left_alone() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let groups = call("osbasic/addgroup").with("content", "dba 6001\\n# a comment\\n oinstall");
    let users = call("osbasic/adduser").with("content", "oracle 7001 oinstall,dba\\nbatch");
    let done = machine
        .run_all(&[
            groups.check(),
            groups.clone(),
            groups.clone(),
            users.check(),
            users.clone(),
            users.clone(),
        ])
        .unwrap();
    for done in &done {
        done.ended(0);
    }
    assert!(done[0].said("INFO: Would execute: groupadd -g 6001 dba"), "{}", done[0].log);
    assert!(done[1].said("INFO: Execute: groupadd -g 6001 dba"), "a check makes no group: {}", done[1].log);
    assert!(done[2].said("WARN: Group dba already exists."), "{}", done[2].log);
    assert!(done[4].said("INFO: Execute: useradd -m -u 7001 -g oinstall -G dba oracle"), "{}", done[4].log);
    assert!(done[5].said("WARN: User oracle already exists with same groups."), "{}", done[5].log);
    assert!(!done[5].log.contains("Execute:"), "the second run changes nothing: {}", done[5].log);
    let scratch = &machine.scratch;
    assert!(scratch.read("/etc/group").unwrap().contains("dba:x:6001:oracle\n"));
    assert_eq!(
        scratch.sh("id -u oracle; id -gn oracle; id -Gn oracle").unwrap(),
        "7001\noinstall\noinstall dba\n"
    );
    assert!(!std::fs::read_to_string("/etc/passwd").unwrap().contains("oracle"), "this machine is untouched");

    scratch.sh("touch /home/oracle/own; chown oracle:oinstall /home/oracle/own").unwrap();
    scratch.sh("touch /home/oracle/foreign; chown batch /home/oracle/foreign").unwrap();
    let moved = call("osbasic/adduser").with("content", "oracle dba 7005");
    let refused = moved.clone().with("modifyifexist", "0");
    let regrouped = call("osbasic/addgroup").with("content", "dba 6005");
    let done = machine
        .run_all(&[
            refused,
            moved.check(),
            moved,
            regrouped.clone().with("modifyifexist", "0"),
            regrouped,
            call("osbasic/adduser").with("content", "ghost nogroup-of-this-name\\nbatch"),
            call("osbasic/addgroup").with("content", "x 1 2"),
        ])
        .unwrap();
    done[0].ended(1);
    assert!(done[0].said("ERROR: User oracle exists with distinguish uid:7001"), "{}", done[0].log);
    assert!(done[1].ended(0).said("INFO: Would execute: usermod -u 7005 oracle"), "{}", done[1].log);
    done[2].ended(0);
    done[3].ended(1);
    assert!(done[3].said("ERROR: Group dba exists with distinguish gid:6001"), "{}", done[3].log);
    done[4].ended(0);
    assert!(done[5].ended(1).said("WARN: User batch already exists with same groups."), "{}", done[5].log);
    assert!(done[6].ended(1).said("ERROR: Malform line: x 1 2"), "{}", done[6].log);
    // uid and groups in one run; files of the old owner follow, those of others stay.
    assert_eq!(scratch.sh("id -u oracle; id -Gn oracle; id -g oracle").unwrap(), "7005\ndba\n6005\n");
    let owners = scratch.sh("stat -c '%U' /home/oracle /home/oracle/own /home/oracle/foreign").unwrap();
    assert_eq!(owners, "oracle\noracle\nbatch\n");
}

#[test]
fn passwords_are_set_as_text_and_shown_nowhere() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    scratch.sh("useradd -m carol; useradd dave").unwrap();
    let hash = |user: &str| {
        let shadow = scratch.read("/etc/shadow").unwrap();
        let line = shadow.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap().to_owned();
        line.split(':').nth(1).unwrap().to_owned()
    };
    let logs_in = |user: &str, password: &str| {
        let test = "my ($u, $p) = @ARGV; my $h = (getpwnam $u)[1]; exit(crypt($p, $h) eq $h ? 0 : 1)";
        scratch.command("perl").args(["-e", test, user, password]).status().unwrap().success()
    };
    let before = hash("carol");
    let change = call("osbasic/changeuserpwd").with("user", "carol").with("password", "it's $ecret\\ 1");
    let done = machine.run_all(&[change.check()]).unwrap();
    assert!(done[0].ended(0).said("INFO: Would change the password of the user carol."), "{}", done[0].log);
    assert_eq!(hash("carol"), before, "a check changes nothing");

    let reset = call("osbasic/resetuserpwd").with("user", "dave");
    let nobody = call("osbasic/changeuserpwd").with("user", "nobody-here").with("password", "x");
    let done = machine.run_all(&[change.clone(), change, reset.check(), reset, nobody]).unwrap();
    assert!(done[0].ended(0).said("FINE: Change password for user carol success."), "{}", done[0].log);
    assert!(
        done[1].ended(0).said("INFO: The password of the user carol is right already."),
        "{}",
        done[1].log
    );
    assert!(logs_in("carol", "it's $ecret\\ 1"));
    assert!(done[2].ended(0).output["password"].is_null(), "{:?}", done[2]);
    done[3].ended(0);
    let random = done[3].output["password"].as_str().unwrap();
    assert_eq!(random.len(), 12, "{random}");
    assert!(
        random.starts_with(|c: char| c.is_ascii_alphabetic())
            && random[1..].starts_with(|c: char| c.is_ascii_digit())
    );
    assert!(logs_in("dave", random));
    assert!(done[4].ended(1).said("ERROR: User nobody-here does not exist."), "{}", done[4].log);
    for done in &done {
        assert!(!done.log.contains("ecret") && !done.log.contains(random), "{}", done.log);
    }
}

#[test]
fn ssh_keys_are_made_spread_and_not_doubled() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    // A server of the target's own, whose host keys can be scanned.
    scratch.sh("useradd -m erin; /usr/sbin/sshd -f /run/scratch/sshd_config -p 22").unwrap();
    let make = call("osbasic/gensshkey").with("user", "erin").with("recreate", "0").with("keylen", "3072");
    let done = machine
        .run_all(&[make.check(), make.clone(), make.clone(), make.clone().with("recreate", "1")])
        .unwrap();
    assert!(
        done[0].ended(0).said("INFO: Would create a new RSA key of 3072 bits in /home/erin/.ssh/id_rsa.")
    );
    assert_eq!(done[0].output["pubKey"], "");
    let keys: Vec<&str> =
        done[1..].iter().map(|done| done.ended(0).output["pubKey"].as_str().unwrap()).collect();
    assert!(keys[0].starts_with("ssh-rsa ") && keys[0].trim_end().ends_with("erin@scratch"), "{keys:?}");
    assert_eq!(keys[0], keys[1], "a present key is kept");
    assert_ne!(keys[0], keys[2], "unless it is to be made anew");
    assert_eq!(scratch.read("/home/erin/.ssh/id_rsa.pub").unwrap().trim_end(), keys[2].trim_end());
    let facts = scratch
        .sh("stat -c '%a %U' /home/erin/.ssh /home/erin/.ssh/id_rsa; ssh-keygen -lf /home/erin/.ssh/id_rsa")
        .unwrap();
    assert!(facts.starts_with("700 erin\n600 erin\n3072 "), "{facts}");

    let map = format!("{{\"127.0.0.1\": \"{}\"}}", keys[2].trim_end());
    let spread = call("osbasic/addsshauthkeys")
        .with("user", "erin")
        .with("pubkeys", &map)
        .with("ip2hostnamemap", "{\"127.0.0.1\": \"here\"}");
    scratch
        .write(
            "/home/erin/.ssh/known_hosts",
            "here,127.0.0.1 ssh-ed25519 AAAAold\nelsewhere ssh-rsa AAAAother\n",
        )
        .unwrap();
    let bad = spread.clone().with("pubkeys", "[\"not a key\"]");
    let done = machine.run_all(&[spread.check(), spread.clone(), spread.clone(), bad]).unwrap();
    assert!(done[0].ended(0).said("INFO: Would write /home/erin/.ssh/authorized_keys."), "{}", done[0].log);
    assert!(done[1].ended(0).said("FINE: /home/erin/.ssh/authorized_keys is written."), "{}", done[1].log);
    let second = &done[2].ended(0).log;
    assert!(
        second.contains("authorized_keys is right already")
            && second.contains("known_hosts is right already"),
        "{second}"
    );
    assert!(done[3].ended(1).said("ERROR: Not a public key: not a key"), "{}", done[3].log);
    assert_eq!(scratch.read("/home/erin/.ssh/authorized_keys").unwrap(), format!("{}\n", keys[2].trim_end()));
    let known = scratch.read("/home/erin/.ssh/known_hosts").unwrap();
    assert!(
        known.starts_with("elsewhere ssh-rsa AAAAother\nhere,127.0.0.1 ssh-ed25519 AAAA")
            && !known.contains("AAAAold"),
        "{known}"
    );
    assert_eq!(
        scratch.sh("stat -c '%a %U' /home/erin/.ssh/authorized_keys /home/erin/.ssh/known_hosts").unwrap(),
        "600 erin\n644 erin\n"
    );
}
