//! A native program on this machine (`spec/plugin-contract.md` §8.2–8.4).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, StopSignal, UnitInfo,
};
use autoexec_model::Interpreter;
use autoexec_model::command_line::{CommandLine, ShellExpansion};
use autoexec_model::value::Recipient;
use autoexec_transport::process::{self, ProcessSpec};
use autoexec_transport::{Exit, ssh};

use crate::bridge::{ProcessOutput, StopBridge};
use crate::environment;
use crate::native::{self, Prepared};
use crate::secret_files::SecretFiles;
use crate::settings::Shared;
use crate::unit::read_output;

pub(crate) async fn run(
    shared: &Shared,
    unit: &UnitInfo,
    call: &OperationCall<'_>,
    program: &Path,
    sink: Arc<dyn OperationSink>,
    stop: StopSignal,
) -> Result<OperationEnd, String> {
    let command_line = CommandLine::new(call.inputs, None).to(call.purpose);
    sink.executing(&command_line.display(call.operation.name.as_str(), Recipient::Runner));
    let by_file = call.call.script.is_none() && shared.catalog.promises_of(program)?.secrets_by_file;
    // Held until the process has ended.
    let secrets = by_file.then(|| SecretFiles::create(shared.settings.job_dir.root())).transpose()?;
    let env = environment::local(shared, unit, call, program, secrets.as_ref())?;
    let spec = match &secrets {
        None => spec(shared, call, &command_line, program, env)?,
        Some(secrets) => spec_with_files(shared, &command_line, program, env, secrets)?,
    };
    let Prepared { spec, temporary: _temporary } =
        native::prepare(shared, unit, call, program, spec, &*sink)?;
    let bridge = StopBridge::new(stop);
    let output = Arc::new(ProcessOutput(Arc::clone(&sink)));
    let end = process::run(spec, output, bridge.token(), |pid| sink.started(Some(pid)))
        .await
        .map_err(|error| error.to_string())?;
    let exit = match (end.stopped, end.exit) {
        (Some(stopped), _) => OperationExit::Stopped { proved_dead: stopped.proved_dead },
        (None, Exit::Code(code)) => OperationExit::Code(code),
        (None, Exit::Signal(signal)) => OperationExit::Signal(signal),
    };
    let output = match exit {
        OperationExit::Code(0) => {
            read_output(&shared.settings.job_dir, unit, call).map_err(|error| error.to_string())?
        }
        _ => None,
    };
    Ok(OperationEnd { exit, output })
}

/// For a tool that takes its secrets from files: never through a shell.
fn spec_with_files(
    shared: &Shared,
    command_line: &CommandLine<'_>,
    program: &Path,
    env: BTreeMap<OsString, OsString>,
    secrets: &SecretFiles,
) -> Result<ProcessSpec, String> {
    let mut problem = None;
    let argv = command_line.local_argv_with(&mut |value| {
        let text = value.text(Recipient::Runner);
        if !value.is_hidden() {
            return text;
        }
        match secrets.write(&text) {
            Ok(path) => path.display().to_string(),
            Err(error) => {
                problem = Some(error);
                String::new()
            }
        }
    });
    let args = argv.map_err(|error| error.to_string())?.into_iter().map(OsString::from).collect();
    let cwd = shared.settings.job_dir.root().to_owned();
    problem.map_or_else(|| Ok(ProcessSpec { program: program.to_owned(), args, env, cwd }), Err)
}

/// Without a shell, unless the site wants live shell expansion in text values, as older jobs may.
fn spec(
    shared: &Shared,
    call: &OperationCall<'_>,
    command_line: &CommandLine<'_>,
    program: &Path,
    env: BTreeMap<OsString, OsString>,
) -> Result<ProcessSpec, String> {
    let cwd = shared.settings.job_dir.root().to_owned();
    let text = |error: autoexec_model::command_line::CommandLineError| error.to_string();
    match shared.settings.expansion {
        ShellExpansion::Off => {
            let (program, mut args) = interpreted(call, program)?;
            args.extend(command_line.local_argv().map_err(text)?.into_iter().map(OsString::from));
            Ok(ProcessSpec { program, args, env, cwd })
        }
        ShellExpansion::Compatible => {
            let (program, args) = interpreted(call, program)?;
            let start = std::iter::once(program.as_os_str()).chain(args.iter().map(OsString::as_os_str));
            let start =
                start.fold(String::new(), |text, word| text + " " + &ssh::quote(&word.to_string_lossy()));
            let words =
                command_line.unix_text(Recipient::Runner, ShellExpansion::Compatible).map_err(text)?;
            let args = vec!["-c".into(), format!("exec{start}{words}").into()];
            Ok(ProcessSpec { program: "/bin/sh".into(), args, env, cwd })
        }
    }
}

/// A custom script without `#!` line is started by its interpreter (`spec/plugin-contract.md` §8.6).
fn interpreted(call: &OperationCall<'_>, program: &Path) -> Result<(PathBuf, Vec<OsString>), String> {
    let plain = Ok((program.to_owned(), Vec::new()));
    let (Some(_), Some(interpreter)) = (&call.call.script, call.call.interpreter) else { return plain };
    let mut first = Vec::new();
    let read = File::open(program).and_then(|file| file.take(2).read_to_end(&mut first));
    match read {
        Err(error) => Err(format!("Can not read {}: {error}", program.display())),
        Ok(_) if first == b"#!" => plain,
        Ok(_) => Ok(("/usr/bin/env".into(), vec![program_of(interpreter).into(), program.into()])),
    }
}

/// The program that an interpreter word stands for on this machine.
fn program_of(interpreter: Interpreter) -> &'static str {
    match interpreter {
        Interpreter::JavaScript => "node",
        Interpreter::PowerShell => "pwsh",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Sample, operation_from};
    use serde_json::json;

    fn argv(expansion: ShellExpansion, operation: &serde_json::Value, content: &str) -> Vec<String> {
        let sample = Sample::new(expansion);
        let program = sample.dir().join("tool");
        std::fs::write(&program, content).unwrap();
        let operation = operation_from(operation);
        let parts = sample.call_parts(&operation);
        let call = parts.call(&operation);
        let line = CommandLine::new(call.inputs, None);
        let spec = spec(&sample.shared, &call, &line, &program, BTreeMap::new()).unwrap();
        assert_eq!(spec.cwd, sample.dir().join("job"));
        let words = std::iter::once(spec.program.into_os_string()).chain(spec.args);
        let text = words.map(|word| word.into_string().unwrap());
        text.map(|word| word.replace(&program.display().to_string(), "TOOL")).collect()
    }

    fn with_values() -> serde_json::Value {
        json!({"opName": "b/tool", "opId": "b/tool_1", "opType": "runner",
            "opt": {"path": "/a b", "none": "", "k": "$HOME\\"}, "arg": [{"type": "text", "value": "x'y"}, {"type": "text", "value": ""}]})
    }

    #[test]
    fn values_reach_a_tool_as_they_are_and_empty_options_not_at_all() {
        let words = argv(ShellExpansion::Off, &with_values(), "");
        assert_eq!(words, ["TOOL", "--path", "/a b", "-k", "$HOME\\", "x'y", ""]);
    }

    #[test]
    fn a_tool_that_asks_for_it_gets_secrets_as_files() {
        let sample = Sample::new(ShellExpansion::Compatible);
        let operation = operation_from(&json!({"opName": "b/tool", "opId": "b/tool_1", "opType": "runner",
            "opt": {"user": "app", "token": "s3cret"}, "desc": {"token": "password"}}));
        let parts = sample.call_parts(&operation);
        let call = parts.call(&operation);
        let line = CommandLine::new(call.inputs, None);
        std::fs::create_dir_all(sample.dir().join("job")).unwrap();
        let secrets = SecretFiles::create(&sample.dir().join("job")).unwrap();
        let program = sample.dir().join("tool");
        let spec = spec_with_files(&sample.shared, &line, &program, BTreeMap::new(), &secrets).unwrap();
        let words: Vec<&str> = spec.args.iter().map(|word| word.to_str().unwrap()).collect();
        let ["--user", "app", "--token", file] = words.as_slice() else { panic!("{words:?}") };
        assert_eq!((spec.program, std::fs::read_to_string(file).unwrap()), (program, "s3cret".to_owned()));
    }

    #[test]
    fn a_shell_stands_between_only_where_the_site_wants_it() {
        let words = argv(ShellExpansion::Compatible, &with_values(), "");
        assert_eq!(words[..2], ["/bin/sh", "-c"]);
        assert!(words[2].starts_with("exec 'TOOL'") || words[2].starts_with("exec TOOL"), "{words:?}");
        assert!(words[2].contains("\"/a b\""), "{words:?}");
    }

    #[test]
    fn a_script_without_interpreter_line_is_started_by_its_interpreter() {
        let script = |interpreter: &str| {
            json!({"opName": "s", "opId": "s_1", "opType": "runner", "isScript": 1, "scriptContent": "x",
                "interpreter": interpreter})
        };
        assert_eq!(
            argv(ShellExpansion::Off, &script("python"), "print(1)"),
            ["/usr/bin/env", "python", "TOOL"]
        );
        assert_eq!(argv(ShellExpansion::Off, &script("javascript"), ""), ["/usr/bin/env", "node", "TOOL"]);
        assert_eq!(argv(ShellExpansion::Off, &script("python"), "#!/bin/sh\n"), ["TOOL"]);
        let words = argv(ShellExpansion::Compatible, &script("python"), "print(1)");
        assert_eq!(words[2].replace('\'', ""), "exec /usr/bin/env python TOOL");
    }
}
