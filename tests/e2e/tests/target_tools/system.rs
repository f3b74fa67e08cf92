//! Disks, ports, firewall, udev, directories, and scripts and commands on the target.

use std::process::Command;

use crate::machine::{Machine, call};

/// A loop device of this machine over a file, and its node in the scratch machine.
struct Loop(String);

impl Loop {
    fn over(machine: &Machine, file: &str) -> Self {
        let path = machine.scratch.path(file);
        std::fs::write(&path, vec![0xAB; 2 << 20]).unwrap();
        let made = Command::new("losetup").args(["-f", "--show"]).arg(&path).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let name = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let number =
            std::fs::read_to_string(format!("/sys/class/block/{}/dev", name.trim_start_matches("/dev/")))
                .unwrap();
        let (major, minor) = number.trim().split_once(':').unwrap();
        machine.scratch.sh(&format!("mknod {name} b {major} {minor}")).unwrap();
        Self(name)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
fn disks_are_measured_and_cleaned_only_when_nothing_uses_them() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    let disk = Loop::over(&machine, "/tmp/disk");
    let busy = Loop::over(&machine, "/tmp/busy");
    scratch.sh(&format!("mkfs.ext2 -q {0} && mkdir /mnt/busy && mount {0} /mnt/busy", busy.0)).unwrap();
    let bytes = || std::fs::read(scratch.path("/tmp/disk")).unwrap();
    let clean = call("osbasic/cleandisk").arg(&disk.0);
    let size = call("osbasic/getblockdevsize").with("blockdevs", &format!("{}\\n/etc/passwd", disk.0));
    let refused = clean.clone().arg(&format!("{}\\n/etc/passwd", busy.0));
    let done = machine.run_all(&[size, refused, clean.check()]).unwrap();
    let found = &done[0].ended(1).output;
    assert!(done[0].said("ERROR: /etc/passwd is not a block device."), "{}", done[0].log);
    assert!(found.is_null(), "a failed call has no outputs");
    let log = &done[1].ended(1).log;
    assert!(log.contains(&format!("{} is in use: mounted at /mnt/busy.", busy.0)), "{log}");
    assert!(log.contains("No device was changed."), "{log}");
    assert!(done[2].ended(0).said(&format!("INFO: Would overwrite the first 64 KiB of {}.", disk.0)));
    assert_eq!(bytes()[0], 0xAB, "neither a refusal nor a check writes");

    let size = call("osbasic/getblockdevsize").with("blockdevs", &disk.0);
    let done = machine.run_all(&[clean, size]).unwrap();
    done[0].ended(0);
    let now = bytes();
    assert!(now[..65536].iter().all(|byte| *byte == 0) && now[65536..].iter().all(|byte| *byte == 0xAB));
    let output = &done[1].ended(0).output;
    assert_eq!(output["blockDevSizeInfo"][0]["size"], 2, "{output}");
    assert_eq!(output["blockDevSizeList"], format!("{} 2", disk.0));
    scratch.sh("umount /mnt/busy").unwrap();
}

#[test]
fn ports_are_looked_at_and_opened() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    scratch.sh("/usr/sbin/sshd -f /run/scratch/sshd_config -o ListenAddress=127.0.0.1:4022 -o ListenAddress=[::1]:4023").unwrap();
    let check = call("osbasic/checkport");
    let open = call("osbasic/firewallctl").with("input", "8080\\n9000-9010").with("output", "5432");
    let done = machine
        .run_all(&[
            check.clone().arg("4022").arg("4023").arg("4024"),
            check.clone().arg("4024"),
            check.arg("http"),
            open.clone(),
        ])
        .unwrap();
    assert!(done[0].ended(2).said("ERROR:: Port 4022 is used."));
    assert!(done[0].said("ERROR:: Port 4023 is used.") && done[0].said("INFO:: Port 4024 is not used."));
    assert!(done[1].ended(0).said("INFO:: Port 4024 is not used."));
    done[2].ended(255);
    assert!(done[3].ended(0).said("Fine:: Os not start Firewall services ."), "{}", done[3].log);

    scratch.sh("iptables -P INPUT DROP").unwrap();
    let close = open.clone().with("operat", "close");
    let rules = call("osbasic/getcmdout").arg("iptables -S");
    let done = machine
        .run_all(&[
            open.check(),
            rules.clone(),
            open.clone(),
            rules.clone(),
            open,
            rules.clone(),
            close,
            rules,
            call("osbasic/firewallctl").with("input", "70000"),
        ])
        .unwrap();
    let text = |index: usize| done[index].output["commandOutputTxt"].as_str().unwrap().to_owned();
    assert!(
        done[0].ended(0).log.contains("INFO: Would execute: iptables -I INPUT -p tcp"),
        "{}",
        done[0].log
    );
    let empty = text(1);
    assert!(!empty.contains("8080"), "{empty}");
    done[2].ended(0);
    let opened = text(3);
    for rule in [
        "-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT",
        "--dport 9000:9010",
        "-A OUTPUT -p tcp -m tcp --dport 5432",
    ] {
        assert!(opened.contains(rule), "{opened}");
    }
    assert!(!done[4].ended(0).log.contains("Execute:"), "{}", done[4].log);
    assert_eq!(text(5), opened, "a second run changes nothing");
    done[6].ended(0);
    assert_eq!(text(7), empty);
    assert!(done[8].ended(1).said("ERROR: Not a port or a range of ports: 70000"), "{}", done[8].log);
}

#[test]
fn directories_and_udev_rules() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    // udev itself would act on this machine's devices: what it is told is written down instead.
    scratch.write("/usr/local/sbin/udevadm", "#!/bin/sh\necho \"$@\" >> /run/udevadm\n").unwrap();
    scratch.sh("chmod 755 /usr/local/sbin/udevadm; mkdir -p /etc/udev/rules.d; useradd app").unwrap();
    let dirs = call("osbasic/createdirs").with("mode", "0750").with("user", "app").with("group", "app");
    let dirs = dirs.arg("/data/a/b\\n/data/it's; &x");
    let rules = call("osbasic/setudevrules")
        .with("rulefile", "90-x.rules")
        .arg("KERNEL==\"sd*\", NAME=\"x\"\\nSECOND");
    let done = machine
        .run_all(&[
            dirs.check(),
            dirs.clone(),
            dirs,
            rules.check(),
            rules.clone(),
            rules.clone(),
            rules.with("rulefile", "../x"),
        ])
        .unwrap();
    assert!(done[0].ended(0).log.contains("INFO: Would create /data/a"), "{}", done[0].log);
    assert!(done[1].ended(0).said("INFO: Created /data/a/b."), "{}", done[1].log);
    assert!(done[2].ended(0).said("INFO: /data/a/b is there already."), "{}", done[2].log);
    assert_eq!(
        scratch.sh("stat -c '%a %U:%G' /data /data/a/b \"/data/it's; &x\"").unwrap(),
        "750 app:app\n".repeat(3)
    );
    assert!(done[3].ended(0).said("INFO: Would write /etc/udev/rules.d/90-x.rules."), "{}", done[3].log);
    done[4].ended(0);
    assert!(done[5].ended(0).said("INFO: /etc/udev/rules.d/90-x.rules is right already."), "{}", done[5].log);
    done[6].ended(1);
    assert_eq!(
        scratch.read("/etc/udev/rules.d/90-x.rules").unwrap(),
        "KERNEL==\"sd*\", NAME=\"x\"\nSECOND\n"
    );
    assert_eq!(
        scratch.read("/run/udevadm").unwrap(),
        "control --reload-rules\ntrigger --type=devices --action=change\n"
    );
}

#[test]
fn shared_disks_get_stable_aliases() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    let disks: Vec<Loop> = (0..3).map(|n| Loop::over(&machine, &format!("/tmp/disk{n}"))).collect();
    // Loop devices have no SCSI id: scsi_id is told what to say. The third disk is a second path to the first one.
    let names: Vec<&str> = disks.iter().map(|disk| disk.0.as_str()).collect();
    let ids = format!(
        "#!/bin/sh\ncase $4 in {}|{}) echo 360b ;; {}) echo 360a ;; esac\n",
        names[0], names[2], names[1]
    );
    scratch.write("/usr/lib/udev/scsi_id", ids).unwrap();
    scratch
        .sh(&format!(
            "chmod 755 /usr/lib/udev/scsi_id; mkdir /dev/asmdisk; ln -s {} /dev/asmdisk/asm-disk-4",
            names[0]
        ))
        .unwrap();
    let list = format!("echo {}", names.join("; echo "));
    let compute = call("osbasic/scsiudevrules")
        .with("listdevcmd", &list)
        .with("selectrange", "1,2")
        .with("sortmethod", "id");
    let done = machine.run_all(&[compute.clone(), compute.with("selectrange", "1,3")]).unwrap();
    let output = &done[0].ended(0).output;
    assert_eq!(output["diskDiscoveryString"], "/dev/asmdisk/asm-disk-*");
    assert_eq!(
        output["diskDevsArray"],
        serde_json::json!(["/dev/asmdisk/asm-disk-5", "/dev/asmdisk/asm-disk-4"])
    );
    assert_eq!(output["diskDevs"], "/dev/asmdisk/asm-disk-5\n/dev/asmdisk/asm-disk-4");
    let rules = output["udevRules"].as_str().unwrap();
    assert!(
        rules.lines().next().unwrap().contains(
            "RESULT==\"360a\", SYMLINK+=\"asmdisk/asm-disk-5\", OWNER=\"grid\", GROUP=\"asmadmin\""
        ),
        "{rules}"
    );
    assert!(done[1].ended(1).log.contains("There are only 2 disk(s)"), "{}", done[1].log);
}

#[test]
fn scripts_and_commands_run_and_their_output_comes_back() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let script = "echo \"<$1> <$2>\"\\necho \"job $AUTOEXEC_JOBID\"\\nexit 7";
    let run = call("osbasic/execscript")
        .with("interpreter", "bash")
        .with("script", script)
        .arg("a \"b\" c")
        .arg("--flag");
    let perl = call("osbasic/execscript").with("interpreter", "perl").with("script", "print 6 * 7, qq(\\n);");
    let commands = call("osbasic/getcmdout")
        .arg("echo '  one \"x\"\\ttab'; echo two >&2")
        .arg("false")
        .arg("printf 'a\\n\\nb\\n\\n'");
    let done = machine
        .run_all(&[
            run.check(),
            run.clone(),
            perl,
            commands,
            call("osbasic/getcmdout")
                .arg("echo '  one \"x\" '")
                .arg("printf 'a\\n\\nb\\n\\n'; printf '\\326\\320'"),
            run.clone().with("interpreter", "powershell"),
            run.with("script", "if").check(),
            call("osbasic/getallnicip"),
        ])
        .unwrap();
    assert!(
        done[0].ended(0).log.contains("INFO: Would execute: bash on 3 line(s) with 2 argument(s)."),
        "{}",
        done[0].log
    );
    assert!(done[1].ended(7).said("<a \"b\" c> <--flag>"), "{}", done[1].log);
    assert!(done[1].said("ERROR: Exec script failed."), "{}", done[1].log);
    assert!(done[1].log.contains("job 620011223344"), "{}", done[1].log);
    assert!(done[2].ended(0).said("42") && done[2].said("FINE: Exec script success."), "{}", done[2].log);
    assert!(
        done[3].ended(1).said("ERROR: Execute command line:false failed, exitCode:1."),
        "{}",
        done[3].log
    );
    assert!(done[3].said("two"), "error output goes to the log: {}", done[3].log);
    let output = &done[4].ended(0).output;
    assert_eq!(output["commandOutputJson"], serde_json::json!(["one \"x\"", "a\n\nb\n\n中"]));
    assert_eq!(output["commandOutputTxt"], "one \"x\"\na\n\nb\n\n中");
    assert!(done[5].ended(1).log.contains("needs Windows"), "{}", done[5].log);
    done[6].ended(1);
    let output = &done[7].ended(0).output;
    assert_eq!(output["allIpInfo"][0]["ip"], "192.0.2.10", "{output}");
    assert_eq!(output["allIpInfo"][0]["netmask"], "24");
    assert!(output["allNics"].as_str().unwrap().ends_with(" eth0"), "{output}");
}

#[test]
fn an_image_becomes_a_package_source() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    // Neither package manager is in Debian: what they are told is written down instead.
    scratch.write("/usr/local/bin/yum", "#!/bin/sh\necho \"$@\" >> /run/told\n").unwrap();
    let zypper = "#!/bin/sh\necho \"$@\" >> /run/told\n\
                  case $* in *repos*) printf '# | Alias | Name\\n--+-+-\\n1 | old-repo | Old\\n' ;; esac\n";
    scratch.write("/usr/local/bin/zypper", zypper).unwrap();
    scratch.write("/etc/yum.repos.d/other.repo", "[other]\n").unwrap();
    scratch.write("/opt/tree/repodata/repomd.xml", "<repomd/>\n").unwrap();
    scratch.sh("chmod 755 /usr/local/bin/yum /usr/local/bin/zypper").unwrap();
    scratch.sh("/usr/sbin/mkfs.ext2 -q -d /opt/tree /opt/image.iso 1M").unwrap();
    scratch.sh("mknod /dev/loop-control c 10 237; for n in 0 1 2 3 4 5 6 7 8 9; do mknod /dev/loop$n b 7 $n; done").unwrap();
    let yum = call("osbasic/confyumlocal").with("isofile", "/opt/image.iso").with("clean", "1");
    let suse = call("osbasic/confisozypper").with("isofile", "/opt/image.iso").with("clean", "1");
    let told = call("osbasic/getcmdout").arg("cat /run/told").arg("ls /etc/yum.repos.d /mnt");
    let done = machine
        .run_all(&[yum.check(), told, yum.clone(), yum.clone(), suse, yum.with("isofile", "/opt/none.iso")])
        .unwrap();
    assert!(
        done[0].ended(0).log.contains("INFO: Would execute: mount -o loop,ro /opt/image.iso /mnt/cdrom"),
        "{}",
        done[0].log
    );
    assert!(
        done[1].ended(1).log.contains("cat: /run/told: No such file"),
        "a check tells nobody: {}",
        done[1].log
    );
    assert!(done[1].said("other.repo") && !done[1].said("cdrom"), "{}", done[1].log);
    assert!(
        done[2].ended(0).said("FINE: The ISO /opt/image.iso is the repository local."),
        "{}",
        done[2].log
    );
    assert!(done[3].ended(0).said("INFO: /mnt/cdrom is mounted already."), "{}", done[3].log);
    assert!(done[3].said("INFO: /etc/yum.repos.d/local.repo is right already."), "{}", done[3].log);
    done[4].ended(0);
    assert!(done[5].ended(1).said("ERROR: Can not open the ISO file /opt/none.iso."), "{}", done[5].log);
    let repository = "[local]\nname=local\nbaseurl=file:///mnt/cdrom/\nenabled=1\ngpgcheck=0\n";
    assert_eq!(scratch.read("/etc/yum.repos.d/local.repo").unwrap(), repository);
    assert_eq!(scratch.read("/etc/yum.repos.d/other.repo.disabled").unwrap(), "[other]\n");
    assert_eq!(scratch.read("/mnt/cdrom/repodata/repomd.xml").unwrap(), "<repomd/>\n");
    let told = scratch.read("/run/told").unwrap();
    assert!(told.starts_with("clean all\nmakecache\n"), "{told}");
    for line in [
        "--non-interactive removerepo old-repo",
        "--non-interactive addrepo --no-gpgcheck iso:/?iso=/opt/image.iso localISO",
        "--non-interactive refresh localISO",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}: {told}");
    }
    scratch.sh("umount /mnt/cdrom").unwrap();
}
