//! Every script reads in every interpreter it may meet, and has a complete descriptor.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::{descriptor, tools};

/// The tools of the catalogue that run on Linux targets with what every target has.
const CATALOGUE: &[&str] = &[
    "cmdbcollect/oscollector",
    "demo/remote",
    "osbasic/addgroup",
    "osbasic/addsshauthkeys",
    "osbasic/adduser",
    "osbasic/changeuserpwd",
    "osbasic/checkport",
    "osbasic/cleandisk",
    "osbasic/confisozypper",
    "osbasic/confyumlocal",
    "osbasic/createdirs",
    "osbasic/execscript",
    "osbasic/firewallctl",
    "osbasic/gensshkey",
    "osbasic/getallnicip",
    "osbasic/getblockdevsize",
    "osbasic/getcmdout",
    "osbasic/modifyhosts",
    "osbasic/modifyini",
    "osbasic/modifylimit",
    "osbasic/modifysysctl",
    "osbasic/resetuserpwd",
    "osbasic/scsiudevrules",
    "osbasic/sethostname",
    "osbasic/setudevrules",
    "osbasic/setuserenv",
    "startstop/checklog",
    "startstop/checkprocess",
    "startstop/dockerrun",
    "startstop/startwait",
    "startstop/stopwait",
    "svcinspect/tcpcheck",
    "svcinspect/urlcheck",
];

/// Tools that only look, or that a rerun class other than `safe` speaks for: what they do has no dry run.
const WITHOUT_CHECK: &[&str] = &[
    "cmdbcollect/oscollector",
    "demo/remote",
    "demo/remotepl",
    "demo/remotepy",
    "osbasic/checkport",
    "osbasic/getallnicip",
    "osbasic/getblockdevsize",
    "osbasic/getcmdout",
    "osbasic/scsiudevrules",
    "startstop/checklog",
    "startstop/checkprocess",
    "svcinspect/tcpcheck",
    "svcinspect/urlcheck",
];

/// The five shells that a Linux target's /bin/sh can be.
const SHELLS: [&[&str]; 5] = [&["dash"], &["busybox", "sh"], &["bash", "--posix"], &["ksh"], &["mksh"]];

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut rest = vec![tools()];
    while let Some(next) = rest.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { rest.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// What reads a file, by its name or its first line.
fn language(path: &Path) -> &'static str {
    match extension(path) {
        "sh" => "sh",
        "pm" => "perl",
        "py" => "python",
        "json" | "md" => "",
        _ => {
            let text = std::fs::read_to_string(path).unwrap();
            match text.lines().next().unwrap() {
                "#!/bin/sh" => "sh",
                "#!/usr/bin/env perl" => "perl",
                "#!/usr/bin/env python3" => "python",
                other => panic!("{}: {other}", path.display()),
            }
        }
    }
}

/// Where the modules of the scripts stand.
fn perl_library() -> String {
    [tools().join("lib"), tools().join("cmdbcollect")].map(|path| path.display().to_string()).join(":")
}

#[track_caller]
fn reads(program: &str, arguments: &[&str], path: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .arg(path)
        .env("PERL5LIB", perl_library())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {text}", path.display());
}

#[test]
fn scripts_read_in_every_shell_perl_and_python() {
    let mut seen = BTreeSet::new();
    for path in files() {
        let language = language(&path);
        seen.insert(language);
        match language {
            "sh" => SHELLS.iter().for_each(|shell| reads(shell[0], &[&shell[1..], &["-n"]].concat(), &path)),
            "perl" => reads("perl", &["-c"], &path),
            "python" => {
                let compile = "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec')";
                reads("python3", &["-c", compile], &path);
                // Not every machine of developers and CI has it any more.
                if Command::new("python2.7")
                    .arg("--version")
                    .output()
                    .is_ok_and(|output| output.status.success())
                {
                    reads("python2.7", &["-c", compile], &path);
                }
            }
            _ => {}
        }
    }
    assert!(seen.is_superset(&["sh", "perl", "python"].into()), "{seen:?}");
}

/// Bundle and name of each tool: what has a first line, outside of the library.
fn names() -> BTreeSet<String> {
    let root = tools();
    let lib = root.join("lib");
    let tool = |path: &PathBuf| !path.starts_with(&lib) && extension(path).is_empty();
    files()
        .into_iter()
        .filter(tool)
        .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_tool_has_a_descriptor_with_a_rerun_class_and_a_check() {
    use std::os::unix::fs::PermissionsExt as _;
    let names = names();
    for tool in CATALOGUE {
        assert!(names.contains(*tool), "{tool} is missing");
    }
    for tool in &names {
        let mode = std::fs::metadata(tools().join(tool)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{tool} is not executable");
        let descriptor = descriptor(tool).unwrap();
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        for key in ["opDesc", "description", "reason", "typeName"] {
            assert!(!text(&descriptor, key).is_empty(), "{tool}: {key}");
        }
        assert_eq!(text(&descriptor, "opType"), "target", "{tool}");
        assert!(["LOW", "MEDIUM", "HIGH"].contains(&text(&descriptor, "riskName").as_str()), "{tool}");
        assert!(["safe", "probe", "once"].contains(&text(&descriptor, "rerun").as_str()), "{tool}");
        assert_eq!(text(&descriptor, "interpreter"), language(&tools().join(tool)), "{tool}");
        let options = descriptor["option"].as_array().unwrap();
        let has_check = options.iter().any(|option| option["opt"] == "check");
        assert_eq!(
            has_check,
            descriptor["check"] == true,
            "{tool}: `autoexec run --check` asks what says so"
        );
        for option in options {
            let name = text(option, "opt");
            assert!(!name.is_empty() && !text(option, "help").is_empty(), "{tool}: {option}");
            assert!(["true", "false"].contains(&text(option, "required").as_str()), "{tool} {name}");
            let is_choice = ["select", "multiselect"].contains(&text(option, "type").as_str());
            assert_eq!(is_choice, option["dataSource"]["dataList"].is_array(), "{tool} {name}");
            let script = std::fs::read_to_string(tools().join(tool)).unwrap();
            assert!(script.contains(&name), "{tool} does not know its option {name}");
        }
        for output in descriptor["output"].as_array().unwrap() {
            assert!(!text(output, "opt").is_empty() && !text(output, "help").is_empty(), "{tool}: {output}");
        }
        let has_check = options.iter().any(|option| option["opt"] == "check");
        assert_eq!(has_check, !WITHOUT_CHECK.contains(&tool.as_str()), "{tool}: check");
    }
}

#[test]
fn the_shell_library_does_the_same_in_every_shell() {
    let script = r#"
. "$1/lib/autoexec.sh"
. "$1/lib/lineconf.sh"
set -- --name "it's \$x" --check --text=a=b --on 0 -- first --second
parse_options "name= size=12 text=" "check=0 on=1" "$@"
shift "$opt_used"
echo "$opt_name|$opt_size|$opt_check|$opt_text|$opt_on|$#"
printf '{"a b": "x\\u4e2d\\"q\\n", "n": -12.5, "z": null, "t": true}' | json_pairs
printf '["a", "b"]' | json_pairs
printf '"one"' | json_pairs
for bad in '{"a": {}}' '{"a" 1}' '[1,]' '"x' 'nul' ''; do printf '%s' "$bad" | json_pairs 2>/dev/null || echo "bad $bad"; done
printf 'tab\tq"\\\nnext \001' | json_string; echo
printf '\326\320' | json_string; echo
AUTOEXEC_NODE='{"host": "10.0.0.1", "resourceId": 7}' node_value host
lines_of ' a \n\n b' c
autoexec_valid mselect '["a","b"]' '["a"]' && echo valid
autoexec_valid mselect '["a","b"]' '["c"]' || echo invalid
autoexec_valid button '["a","b"]' 'b' && echo valid
autoexec_valid select '["a","b"]' '' || echo invalid

opt_check=0
printf 'A=1\n' > "$FILE"
printf 'export A=1\nB="x & y \\ z"\n' | merge_lines env "$FILE" 0
cat "$FILE"
merge_done
"#;
    let expected = r#"it's $x|12|1|a=b|0|2
a b	x中"q\n
n	-12.5
z	
t	true
0	a
1	b
	one
bad {"a": {}}
bad {"a" 1}
bad [1,]
bad "x
bad nul
bad 
"tab\tq\"\\\nnext "
"中"
10.0.0.1
a
b
c
valid
invalid
valid
invalid
Replace: A=1 -> export A=1
Append: B="x & y \ z"
FINE: FILE is written.
export A=1
B="x & y \ z"
"#;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("script");
    std::fs::write(&path, script).unwrap();
    for shell in SHELLS {
        let file = directory.path().join("file");
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(&path)
            .arg(tools())
            .env("FILE", &file)
            .env("LANG", "C.UTF-8")
            .output()
            .unwrap();
        let found = String::from_utf8(output.stdout).unwrap().replace(&file.display().to_string(), "FILE");
        same_text(&found, expected, shell[0]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", shell[0]);
    }
}

#[track_caller]
fn same_text(found: &str, expected: &str, shell: &str) {
    let diff = similar::TextDiff::from_lines(expected, found);
    assert!(found == expected, "{shell}:\n{}", diff.unified_diff());
}
