//! `netdev/netdevexec` and `inspect/netdevbackup` on a device that is a script behind sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Bench, KEY, operation};

/// What a person at a keyboard sees: a prompt with the device's name, pages of 20 lines, `%` in front of complaints.
pub(crate) const DEVICE: &str = r#"#!/bin/sh
dir=$(dirname "$0")
mode= pages=1
printf '\r\nWelcome to sw1>\r\nlab use only #\r\n\r\n'
page() {
    number=0
    while IFS= read -r text; do
        number=$((number + 1))
        if [ "$pages" = 1 ] && [ $((number % 20)) = 0 ]; then
            printf -- ' --More-- '
            saved=$(stty -g </dev/tty)
            stty -icanon -echo min 1 </dev/tty
            dd bs=1 count=1 2>/dev/null </dev/tty >/dev/null
            stty "$saved" </dev/tty
            printf '\r          \r'
        fi
        printf '%s\r\n' "$text"
    done
}
while printf 'sw1%s#' "$mode" && IFS= read -r line; do
    printf '%s\n' "$line" >> "$dir/typed"
    case $line in
        '') ;;
        'terminal length 0') pages=0 ;;
        'show run') page < "$dir/config" ;;
        'configure terminal') mode='(config)' ;;
        'hostname '*) printf '%s\n' "${line#hostname }" > "$dir/hostname" ;;
        exit) [ -n "$mode" ] || exit 0; mode= ;;
        slow) exec sleep 60 ;;
        *) printf "      ^\r\n%% Invalid input detected at '^' marker.\r\n\r\n" ;;
    esac
done
"#;

/// A directory with these programs, open to all.
pub(crate) fn scripts(programs: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for (name, text) in programs {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

struct Device {
    sshd: Sshd,
    dir: TempDir,
}

impl Device {
    fn start() -> Option<Self> {
        let dir = scripts(&[("switch", DEVICE)]);
        let script = dir.path().join("switch");
        let config = vec![format!("ForceCommand {}", script.display())];
        let sshd = Sshd::start(SshdOptions { config, ..SshdOptions::default() }).unwrap();
        // Without root only a key can log in, which these nodes do not have.
        (!sshd.password().is_empty()).then_some(Self { sshd, dir })
    }

    fn node(&self) -> Value {
        json!({"protocol": "ssh", "protocolPort": self.sshd.port(), "username": self.sshd.user(), "password": self.sshd.password()})
    }

    fn configure(&self, lines: &[String]) {
        fs::write(self.dir.path().join("config"), lines.join("\n") + "\n").unwrap();
    }

    fn typed(&self) -> String {
        fs::read_to_string(self.dir.path().join("typed")).unwrap_or_default()
    }
}

fn configuration(name: &str) -> Vec<String> {
    let interfaces = (1..=30).flat_map(|n| [format!("interface Gi0/{n}"), format!(" description port {n}>")]);
    let head = ["! Last configuration change at 12:00".to_owned(), format!("hostname {name}")];
    head.into_iter().chain(interfaces).chain(["end".to_owned()]).collect()
}

const POLICY: &str = "target = { session = true }\nsockets = { hosts = [\"${node.host}:23\"] }\n\
                      secret = { node = { target = true, connections = [\"${node.host}:23\"] } }\n";

#[test]
fn commands_are_typed_page_after_page() {
    let Some(device) = Device::start() else { return };
    device.configure(&configuration("sw1"));
    let commands = "show run\\nconfigure terminal\\nhostname core\\nexit";
    let options =
        [("protocol", "ssh"), ("cmd", commands), ("exitCmd", "exit"), ("timeout", "20"), ("verbose", "1")];
    let bench = Bench::new(&device.node(), vec![operation("netdev/netdevexec", 1, &options)], POLICY);
    let log = bench.run(0);
    let outputs = bench.outputs();
    let commands = &outputs["netdev/netdevexec_1"]["commands"];
    assert_eq!(commands[0]["output"], json!(configuration("sw1").join("\n") + "\n"));
    assert_eq!((&commands[2]["output"], &commands[2]["error"]), (&json!(""), &Value::Null));
    assert_eq!(fs::read_to_string(device.dir.path().join("hostname")).unwrap(), "core\n");
    let user = device.sshd.user();
    assert!(log.contains(&format!("INFO: Login {user}@127.0.0.1:{} success.", device.sshd.port())), "{log}");
    assert!(log.contains("INFO: :command exec success."), "{log}");
    assert!(!log.contains(device.sshd.password()), "{log}");
}

#[test]
fn a_refused_command_and_a_silent_device_fail() {
    let Some(device) = Device::start() else { return };
    let run = |commands: &str, ignore: &str, code: i32| {
        let options = [("cmd", commands), ("timeout", "3"), ("ignoreErrors", ignore)];
        let bench = Bench::new(&device.node(), vec![operation("netdev/netdevexec", 1, &options)], POLICY);
        bench.run(code)
    };
    let log = run("sho clok\\nhostname x", "0", 1);
    assert!(log.contains("ERROR: the device refused `sho clok`: % Invalid input detected"), "{log}");
    assert!(!device.typed().contains("hostname x"));
    run("sho clok\\nhostname x", "1", 0);
    assert!(device.typed().contains("hostname x"));
    let log = run("slow", "0", 1);
    assert!(log.contains("ERROR: the command `slow`: the prompt of sw1 did not come in time"), "{log}");
}

#[test]
fn a_session_that_the_policy_does_not_allow_is_not_opened() {
    let Some(device) = Device::start() else { return };
    let policy = POLICY.replace("session = true", "commands = [\"uptime\"]");
    let options = [("cmd", "show run")];
    let bench = Bench::new(&device.node(), vec![operation("netdev/netdevexec", 1, &options)], &policy);
    let log = bench.run(1);
    assert!(log.contains("not granted") && device.typed().is_empty(), "{log}");
}

#[test]
fn a_configuration_is_saved_and_compared_with_the_last_one() {
    let Some(device) = Device::start() else { return };
    let archive = tempfile::tempdir().unwrap();
    let path = archive.path().to_str().unwrap();
    let policy = format!(
        "filesystem = {{ read = [\"{path}\"], write = [\"${{job.dir}}/output-op\", \"{path}\"] }}\n{POLICY}"
    );
    let options = [("vendor", "cisco"), ("timeout", "20"), ("archive", path)];
    let run = |name: &str| {
        device.configure(&configuration(name));
        let bench = Bench::new(&device.node(), vec![operation("inspect/netdevbackup", 1, &options)], &policy);
        let log = bench.run(0);
        let outputs = bench.outputs()["inspect/netdevbackup_1"].take();
        let saved = bench.job.file(&format!("output-op/{KEY}/inspect/netdevbackup_1/127.0.0.1.txt"));
        assert_eq!(saved, configuration(name).join("\n") + "\n", "{log}");
        assert_eq!(outputs["fileList"][0]["fileName"], "127.0.0.1.txt");
        assert!(outputs["fileList"][0]["fullPath"].as_str().unwrap().ends_with("/127.0.0.1.txt"));
        (outputs["changed"].clone(), outputs["difference"].clone())
    };
    assert_eq!(run("sw1").0, Value::Null);
    assert_eq!(run("sw1").0, json!(false));
    let (changed, difference) = run("core");
    assert_eq!(changed, json!(true));
    assert!(difference.as_str().unwrap().contains("-hostname sw1\n+hostname core\n"), "{difference}");
}
