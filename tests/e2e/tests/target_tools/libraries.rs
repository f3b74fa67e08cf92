//! The libraries for sh, Perl and Python: outputs, live data, and a question to a person by socket and pipe.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use autoexec_e2e::wait::{LONG, until};
use serde_json::{Value, json};

use crate::machine::tools;

const SH: &str = r#"
. "$LIB/autoexec.sh"
pipe=$(node_pipe_file "$JOB" p1)
inform_node_wait_input p1 "$(node_value resourceId)" 'The "title"' button 'Go on?' '["Yes", "No way"]' '' "$pipe"
printf '{"step": 1}' | save_live_data
do_interact 'The "title"' button 'Go on?' '["Yes", "No way"]' '' "$pipe" || die 1 "no answer"
inform_node_wait_input p1 "$(node_value resourceId)"
printf '{"user": %s, "value": %s}' "$(printf '%s' "$interact_user" | json_string)" "$(printf '%s' "$interact_value" | json_string)" | save_output
"#;

const PERL: &str = r#"
use lib $ENV{LIB};
use AutoExecUtils;
AutoExecUtils::setEnv();
my $node = AutoExecUtils::getMyNode();
my $pipe = AutoExecUtils::getNodePipeFile($ENV{JOB}, 'p1', $node);
my @question = ('The "title"', 'button', 'Go on?', ['Yes', 'No way'], undef, $pipe);
AutoExecUtils::informNodeWaitInput('p1', $node->{resourceId}, @question);
AutoExecUtils::saveLiveData({step => 1});
my ($user, $value) = AutoExecUtils::doInteract(@question);
AutoExecUtils::informNodeWaitInput('p1', $node->{resourceId});
AutoExecUtils::saveOutput({user => $user, value => $value});
"#;

const PYTHON: &str = r#"
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.environ['LIB'])
import AutoExecUtils
AutoExecUtils.setEnv()
node = AutoExecUtils.getMyNode()
pipe = AutoExecUtils.getNodePipeFile(os.environ['JOB'], 'p1', node)
question = ('The "title"', 'button', 'Go on?', ['Yes', 'No way'], None, pipe)
AutoExecUtils.informNodeWaitInput('p1', node['resourceId'], *question)
AutoExecUtils.saveLiveData({'step': 1})
user, value = AutoExecUtils.doInteract(*question)
AutoExecUtils.informNodeWaitInput('p1', node['resourceId'])
AutoExecUtils.saveOutput({'user': user, 'value': value})
"#;

fn datagram(socket: &UnixDatagram) -> Value {
    let mut bytes = [0; 8192];
    let length = socket.recv(&mut bytes).unwrap();
    serde_json::from_slice(&bytes[..length]).unwrap()
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn asks_and_saves(program: &str, script: &str) {
    let job = tempfile::tempdir().unwrap();
    let file = |name: &str| job.path().join(name);
    std::fs::write(file("script"), script).unwrap();
    let socket = UnixDatagram::bind(file("job.sock")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let log = std::fs::File::create(file("log.txt")).unwrap();
    let mut child = Command::new(program)
        .arg(file("script"))
        .env("LIB", tools().join("lib"))
        .env("JOB", job.path())
        .env("AUTOEXEC_JOB_SOCK", file("job.sock"))
        .env("AUTOEXEC_NODE", r#"{"host": "10.0.0.1", "port": 80, "resourceId": 7}"#)
        .env("OPERATION_ID", "interact/ask_1")
        .env("OUTPUT_PATH", file("output-op/one.json"))
        .env("LIVEDATA_PATH", file("livedata/p1/one.json"))
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();

    let pipe = file("log/p1/10.0.0.1-80-7.txt.run.pipe");
    let question = json!({"title": "The \"title\"", "opType": "button", "message": "Go on?", "options": ["Yes", "No way"],
        "role": null, "pipeFile": pipe});
    let asked = datagram(&socket);
    assert_eq!(asked["action"], "informNodeWaitInput", "{program}");
    assert_eq!(asked["phaseName"], "p1");
    assert_eq!(asked["resourceId"].to_string().trim_matches('"'), "7");
    assert_eq!(asked["interact"], question, "{program}");
    let said = || std::fs::read_to_string(file("log.txt")).unwrap();
    until("the question", LONG, || said().contains("[Wait Interact]Go on?").then_some(())).unwrap();
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo(), "{program}");
    assert_eq!(json_file(&pipe.with_file_name("10.0.0.1-80-7.txt.run.pipe.json")), question);
    let mut answers = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    answers.write_all(b"Maybe\n[joe]# No way\n").unwrap();
    let over = datagram(&socket);
    assert_eq!((&over["clean"], &over["interact"]), (&json!(1), &Value::Null), "{program}");
    let status = until("the end", Duration::from_secs(30), || child.try_wait().unwrap()).unwrap();
    let log = said();
    assert!(status.success(), "{program}: {log}");
    for line in [
        "INFO: Inform runner udpate status to waitInput success.",
        "INFO: Get input:Maybe",
        "WARN: Invalid input value:Maybe, try again.",
        "INFO: Get input:No way",
        "INFO: Save live data success.",
    ] {
        assert!(log.lines().any(|found| found == line), "{program}: {line}: {log}");
    }
    assert_eq!(
        json_file(&file("output-op/one.json")),
        json!({"user": "joe", "value": "No way"}),
        "{program}"
    );
    assert_eq!(json_file(&file("livedata/p1/one.json")), json!({"step": 1}));
    assert!(!pipe.exists() && !pipe.with_file_name("10.0.0.1-80-7.txt.run.pipe.json").exists(), "{program}");
}

#[test]
fn a_shell_script_asks_a_person_and_saves() {
    for shell in ["dash", "bash", "ksh", "mksh"] {
        asks_and_saves(shell, SH);
    }
}

#[test]
fn a_perl_script_asks_a_person_and_saves() {
    asks_and_saves("perl", PERL);
}

#[test]
fn a_python_script_asks_a_person_and_saves() {
    asks_and_saves("python3", PYTHON);
}

/// The clock stands still, so each backup would have the name of the one before.
const BACKUPS: &str = r#"
. "$LIB/autoexec.sh"
date() { echo 20261126-150000; }
cd "$1" || exit
chmod 640 file
for text in one two three; do
    printf '%s' "$text" > new
    put_file file new 1 || exit
done
ln -s elsewhere other.20261126-150000
printf secret > other
backup_file other || exit
mkdir away
printf x > away/file
mv away gone
backup_file away/file && exit 1
exit 0
"#;

#[test]
fn a_backup_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("file"), "zero").unwrap();
    let ran = Command::new("sh")
        .args(["-c", BACKUPS, "backups"])
        .arg(folder.path())
        .env("LIB", tools().join("lib"))
        .output()
        .unwrap();
    let log = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{log}{}", String::from_utf8_lossy(&ran.stderr));
    let stamp = "file.20261126-150000";
    for (name, text) in [(stamp, "zero"), (&format!("{stamp}.1"), "one"), (&format!("{stamp}.2"), "two")] {
        assert_eq!(std::fs::read_to_string(file(name)).unwrap(), text, "{name}: {log}");
        assert_eq!(file(name).metadata().unwrap().permissions().mode() & 0o777, 0o640, "{name}");
        assert!(log.contains(&format!("INFO: Backup: file -> {name}\n")), "{log}");
    }
    assert_eq!(std::fs::read_to_string(file("file")).unwrap(), "three");
    assert!(!file("elsewhere").exists(), "a link is a name that is taken");
    assert_eq!(std::fs::read_to_string(file("other.20261126-150000.1")).unwrap(), "secret");
    assert!(log.contains("ERROR: Can not create away/file.20261126-150000.\n"), "{log}");
}

/// The wait of startwait and stopwait by a clock that only its pauses and its questions move. Arguments: the limit, how long
/// a question takes, and when the answer is yes.
const WAIT: &str = r#"
use lib $ENV{LIB};
use AutoExec::Service;
my ($limit, $takes, $yes) = @ARGV;
my ($begin, $now) = (41.9, 41.9);
my $command = AutoExec::Service::start('exit 3', 1);
sub has_ended {
    open my $file, '<', "/proc/$command->{pid}/stat" or return 1;
    return <$file> =~ /\) Z /;
}
{
    no warnings 'redefine';
    *AutoExec::Service::now = sub { $now };
    *AutoExec::Service::pause = sub {
        $now += $_[0];
        # The command has no part in that clock.
        select undef, undef, undef, 0.01 until has_ended();
    };
}
my @asked;
my $is_so = AutoExec::Service::wait_for($command, $limit, sub {
    push @asked, sprintf '%.1f', $now - $begin;
    $now += $takes;
    return $now - $begin > $yes;
});
printf "%s; asked at @asked\n", $is_so ? 'yes' : 'no';
"#;

#[test]
fn a_wait_has_its_whole_limit_and_tells_of_the_commands_failure() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&script, WAIT).unwrap();
    for (limit, takes, yes, expected) in [
        ("1", "0", "99", "no; asked at 0.0 1.0"),
        ("4", "0", "99", "no; asked at 0.0 3.0 4.0"),
        ("7", "0", "5", "yes; asked at 0.0 3.0 6.0"),
        ("10", "4", "99", "no; asked at 0.0 4.1 8.2"),
    ] {
        let output = Command::new("perl")
            .arg(script.path())
            .args([limit, takes, yes])
            .env("LIB", tools().join("lib"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.lines().last(), Some(expected), "{said}");
        let failures = said.lines().filter(|line| *line == "WARN: Execute command failed:exit 3").count();
        assert_eq!(failures, 1, "limit {limit}: {said}");
    }
}
