//! The confinement against the real kernel: what is granted works, what is not is refused.
//!
//! This test program is the helper of itself, as autoexec is. Where the kernel has no Landlock that is good enough, the
//! tests are listed as ignored and the first line of the output says why.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and say why they are skipped"
)]

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use autoexec_confine::{Confinement, EXIT_NOT_CONFINED, HELPER_ARGUMENT, Limits, Support, helper};
use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;

/// Version of Landlock that keeps signals inside.
const SIGNALS: u32 = 6;

type Test = (&'static str, fn());

const TESTS: [Test; 15] = [
    ("granted_directories_are_read_and_others_are_not", granted_directories_are_read_and_others_are_not),
    ("only_granted_directories_are_changed", only_granted_directories_are_changed),
    ("a_link_leads_nowhere_else", a_link_leads_nowhere_else),
    ("nothing_is_moved_or_linked_across_the_border", nothing_is_moved_or_linked_across_the_border),
    ("programs_start_only_where_they_may", programs_start_only_where_they_may),
    ("ports_are_connected_to_only_when_granted", ports_are_connected_to_only_when_granted),
    ("ports_are_listened_on_only_when_granted", ports_are_listened_on_only_when_granted),
    ("children_are_confined_too", children_are_confined_too),
    ("files_that_were_left_open_are_out_of_reach", files_that_were_left_open_are_out_of_reach),
    ("no_privileges_are_gained", no_privileges_are_gained),
    ("the_executor_is_out_of_reach", the_executor_is_out_of_reach),
    ("limits_bind", limits_bind),
    ("limits_are_never_raised", limits_are_never_raised),
    ("process_arguments_and_environment_stay", process_arguments_and_environment_stay),
    ("what_can_not_be_started_says_why", what_can_not_be_started_says_why),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == HELPER_ARGUMENT) {
        eprintln!("ERROR: {}", helper(arguments));
        return ExitCode::from(EXIT_NOT_CONFINED);
    }
    let support = Support::of_this_kernel();
    if !support.is_full() {
        eprintln!("ignored, because nothing can be confined here: {support}");
    }
    let trial = |(name, test): Test| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!support.is_full())
    };
    libtest_mimic::run(&Arguments::from_args(), TESTS.map(trial).into_iter().collect()).exit_code()
}

/// Runs a program in a confinement.
fn run(confinement: &Confinement, program: &str, arguments: &[&str]) -> Output {
    let arguments = arguments.iter().map(OsString::from);
    let (program, arguments) = confinement.wrap(Path::new(program), arguments).unwrap();
    Command::new(program).args(arguments).current_dir("/").stdin(Stdio::null()).output().unwrap()
}

fn sh(confinement: &Confinement, script: &str) -> (bool, String) {
    let output = run(confinement, "/bin/bash", &["-c", script]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn allowed(confinement: &Confinement, script: &str) -> String {
    let (success, text) = sh(confinement, script);
    assert!(success, "{script}: {text}");
    text
}

fn refused(confinement: &Confinement, script: &str) {
    let (success, text) = sh(confinement, script);
    assert!(!success && text.contains("ermission denied"), "{script}: {text}");
}

/// Two directories: one to be granted, one not, each with a file.
struct Place {
    _dir: TempDir,
    own: PathBuf,
    other: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (dir.path().join("own"), dir.path().join("other"));
        for (directory, text) in [(&own, "granted"), (&other, "secret")] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("file"), text).unwrap();
        }
        Self { _dir: dir, own, other }
    }

    fn reading(&self) -> Confinement {
        let mut confinement = Confinement::of_system();
        confinement.read.push(self.own.clone());
        confinement
    }

    fn writing(&self) -> Confinement {
        let mut confinement = Confinement::of_system();
        confinement.write.push(self.own.clone());
        confinement
    }

    /// The script with `OWN` and `OTHER` replaced by the directories.
    fn script(&self, script: &str) -> String {
        let text = |path: &Path| path.display().to_string();
        script.replace("OWN", &text(&self.own)).replace("OTHER", &text(&self.other))
    }
}

fn granted_directories_are_read_and_others_are_not() {
    let place = Place::new();
    assert_eq!(allowed(&place.reading(), &place.script("cat OWN/file")), "granted");
    for script in
        ["cat OTHER/file", "ls OTHER", "ls OWN/..", "cat OWN/../other/file", "cat /etc/shadow", "ls /"]
    {
        refused(&place.reading(), &place.script(script));
    }
    refused(&Confinement::of_system(), &place.script("cat OWN/file"));
    refused(&Confinement::of_system(), "cat /proc/self/status");
}

fn only_granted_directories_are_changed() {
    let place = Place::new();
    let all = "echo x > OWN/new && echo y >> OWN/file && mkdir OWN/d && rmdir OWN/d && truncate -s 0 OWN/file \
               && ln -s x OWN/l && mkfifo OWN/p && mv OWN/new OWN/moved && rm OWN/moved";
    allowed(&place.writing(), &place.script(all));
    for script in [
        "echo x > OWN/new",
        "echo x >> OWN/file",
        "truncate -s 0 OWN/file",
        "mkdir OWN/d",
        "rm OWN/file",
        "mv OWN/file OWN/moved",
        "ln -s x OWN/l2",
    ] {
        refused(&place.reading(), &place.script(script));
    }
    for script in ["echo x > OTHER/new", "echo x >> OTHER/file", "rm OTHER/file", "mkdir OTHER/d"] {
        refused(&place.writing(), &place.script(script));
    }
    assert_eq!(fs::read_to_string(place.other.join("file")).unwrap(), "secret");
    allowed(&Confinement::of_system(), "echo x > /dev/null");
    let (success, _) = sh(&place.writing(), &place.script("mknod OWN/sda b 8 0"));
    assert!(!success, "a device was made");
}

fn a_link_leads_nowhere_else() {
    let place = Place::new();
    symlink(place.other.join("file"), place.own.join("link")).unwrap();
    symlink(&place.other, place.own.join("directory")).unwrap();
    for script in
        ["cat OWN/link", "cat OWN/directory/file", "echo x > OWN/link", "echo x > OWN/directory/new"]
    {
        refused(&place.writing(), &place.script(script));
    }
}

fn nothing_is_moved_or_linked_across_the_border() {
    let place = Place::new();
    for script in ["ln OTHER/file OWN/hard", "mv OTHER/file OWN/stolen", "mv OWN/file OTHER/out"] {
        let (success, text) = sh(&place.writing(), &place.script(script));
        assert!(!success, "{script}: {text}");
    }
    assert_eq!(fs::read_to_string(place.other.join("file")).unwrap(), "secret");
    assert!(!place.other.join("out").exists() && !place.own.join("hard").exists());
}

fn programs_start_only_where_they_may() {
    let place = Place::new();
    let tool = place.own.join("tool");
    fs::write(&tool, "#!/bin/sh\necho started\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&place.writing(), &place.script("OWN/tool"));
    let mut confinement = Confinement::of_system();
    confinement.execute.push(place.own.clone());
    assert_eq!(allowed(&confinement, &place.script("OWN/tool")), "started\n");
    refused(&confinement, &place.script("echo x > OWN/tool"));
}

fn ports_are_connected_to_only_when_granted() {
    let (granted, other) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let mut confinement = Confinement::of_system();
    confinement.connect.push(port(&granted));
    let connect = |port| format!("exec 3<> /dev/tcp/127.0.0.1/{port}");
    allowed(&confinement, &connect(port(&granted)));
    refused(&confinement, &connect(port(&other)));
    refused(&Confinement::of_system(), &connect(port(&granted)));
    // To connect is not to listen.
    refused_by_perl(&confinement, port(&granted).wrapping_add(1));
}

fn listen(port: u16) -> String {
    format!(
        "use IO::Socket::INET; IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:{port}') or die $!"
    )
}

fn refused_by_perl(confinement: &Confinement, port: u16) {
    let output = run(confinement, "/usr/bin/perl", &["-e", &listen(port)]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("Permission denied"), "{text}");
}

fn ports_are_listened_on_only_when_granted() {
    // Free a moment ago; the kernel gives such numbers out in turn, so it is free for long enough.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut confinement = Confinement::of_system();
    confinement.bind.push(port);
    let output = run(&confinement, "/usr/bin/perl", &["-e", &listen(port)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    refused_by_perl(&confinement, 0);
    refused_by_perl(&Confinement::of_system(), port);
}

fn children_are_confined_too() {
    let place = Place::new();
    refused(&place.reading(), &place.script("bash -c 'bash -c \"cat OTHER/file\"'"));
    refused(&place.reading(), &place.script("(setsid cat OTHER/file)"));
}

fn files_that_were_left_open_are_out_of_reach() {
    let place = Place::new();
    // What it is given to start gets two files open, the numbers of which it is told.
    let with_open_files = || {
        let mut command = Command::new("/bin/bash");
        command.args(["-c", "exec 7<\"$0\" 19<\"$0\"; exec \"$@\""]).arg(place.other.join("file"));
        command
    };
    let look = ["-c", "cat <&7; cat <&19"].map(OsString::from);
    let unconfined = with_open_files().arg("/bin/bash").args(&look).output().unwrap();
    assert_eq!(unconfined.stdout, b"secretsecret");
    // Not as the program that it returns: `/proc/self/exe` would be the shell.
    let (_, arguments) = Confinement::of_system().wrap(Path::new("/bin/bash"), look).unwrap();
    let confined = with_open_files().arg(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    assert_eq!(confined.stdout, b"", "{confined:?}");
    let problems = String::from_utf8_lossy(&confined.stderr).matches("Bad file descriptor").count();
    assert_eq!(problems, 2, "{confined:?}");
}

fn no_privileges_are_gained() {
    let mut confinement = Confinement::of_system();
    confinement.read.push("/proc".into());
    let status = allowed(&confinement, "cat /proc/self/status");
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let effective = u64::from_str_radix(line, 16).unwrap();
    // CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_MKNOD, CAP_PERFMON.
    for bit in [19, 21, 24, 27, 38] {
        assert_eq!(effective & (1 << bit), 0, "capability {bit} of {line}");
    }
}

/// Its memory and environment hold the secrets of the job, and it must not be stopped by a tool.
fn the_executor_is_out_of_reach() {
    let mut confinement = Confinement::of_system();
    confinement.read.push("/proc".into());
    let executor = std::process::id();
    refused(&confinement, &format!("cat /proc/{executor}/environ"));
    refused(&confinement, &format!("cat /proc/{executor}/mem"));
    let Support::Full { abi } = Support::of_this_kernel() else { panic!("checked in main") };
    let (success, text) = sh(&confinement, &format!("kill -0 {executor}"));
    if abi >= SIGNALS {
        assert!(!success && text.contains("not permitted"), "{text}");
    } else {
        eprintln!("signals are not looked at: Landlock version {abi} does not confine them");
    }
}

fn limited(limits: Limits) -> Confinement {
    Confinement { limits, ..Place::new().writing() }
}

fn limits_bind() {
    let place = Place::new();
    let limits = |limits: Limits| Confinement { limits, ..place.writing() };
    let memory = limits(Limits { memory: Some(64 << 20), ..Limits::default() });
    let fill = |mib: u32| ["-e".to_owned(), format!("my $x = 'a' x ({mib} << 20); print length $x")];
    let perl = |mib| {
        let script = fill(mib);
        run(&memory, "/usr/bin/perl", &[&script[0], &script[1]])
    };
    assert_eq!(perl(8).stdout, (8 << 20).to_string().as_bytes());
    let too_much = perl(128);
    assert!(!too_much.status.success() && too_much.stdout.is_empty(), "{too_much:?}");

    let files = limits(Limits { open_files: Some(16), ..Limits::default() });
    assert_eq!(allowed(&files, "ulimit -n"), "16\n");
    let (_, text) = sh(&files, "for i in {10..20}; do eval \"exec $i</dev/null\" || exit 1; done");
    assert!(text.contains("Bad file descriptor") || text.contains("Too many open files"), "{text}");

    let size = limits(Limits { file_size: Some(1 << 20), ..Limits::default() });
    allowed(&size, &place.script("head -c 1M /dev/zero > OWN/file"));
    let (success, _) = sh(&size, &place.script("head -c 2M /dev/zero > OWN/file"));
    assert!(!success);
    assert_eq!(fs::metadata(place.own.join("file")).unwrap().len(), 1 << 20);

    let time = limits(Limits { cpu_seconds: Some(1), ..Limits::default() });
    let output = run(&time, "/bin/bash", &["-c", "while :; do :; done"]);
    let signal = output.status.signal();
    assert!(matches!(signal, Some(nix::libc::SIGXCPU | nix::libc::SIGKILL)), "{output:?}");

    let processes = limits(Limits { processes: Some(77), ..Limits::default() });
    assert_eq!(allowed(&processes, "ulimit -u; ulimit -c"), "77\n0\n");
}

fn limits_are_never_raised() {
    let first = limited(Limits { open_files: Some(32), ..Limits::default() });
    let second = Confinement {
        limits: Limits { open_files: Some(1 << 20), ..Limits::default() },
        ..Confinement::of_system()
    };
    // This program stands outside of what is granted, so it is granted for once.
    let own = std::env::current_exe().unwrap();
    let mut outer = first;
    outer.execute.push(own.parent().unwrap().to_owned());
    let (_, arguments) = second.wrap(Path::new("/bin/bash"), ["-c".into(), "ulimit -n".into()]).unwrap();
    let arguments: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
    let output = run(&outer, own.to_str().unwrap(), &arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "32\n", "{output:?}");
}

fn process_arguments_and_environment_stay() {
    let (program, arguments) = Confinement::of_system()
        .wrap(Path::new("/bin/sh"), ["-c", "echo $$ $ONLY $0 \"$@\"", "name", "a b", ""].map(OsString::from))
        .unwrap();
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("ONLY", "this")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id} this name a b \n"));
}

fn what_can_not_be_started_says_why() {
    let code = i32::from(EXIT_NOT_CONFINED);
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = run(&Confinement::of_system(), "/usr/bin/no-such-program", &[]);
    assert_eq!(output.status.code(), Some(code));
    assert!(text(&output).contains("/usr/bin/no-such-program") && text(&output).contains("is not there"));
    let place = Place::new();
    let output = run(&place.reading(), &place.script("OWN/file"), &[]);
    assert_eq!(output.status.code(), Some(code));
    assert!(text(&output).contains("asks to execute"), "{}", text(&output));
    for arguments in [vec![], vec!["{}"], vec!["{}", "/bin/true"], vec!["no JSON", "/bin/true"]] {
        let mut command = Command::new("/proc/self/exe");
        let output = command.arg(HELPER_ARGUMENT).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(text(&output).contains("internal to autoexec"), "{}", text(&output));
    }
}
