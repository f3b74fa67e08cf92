//! A native program on this machine (`spec/plugin-contract.md` §8.2–8.4).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, StopSignal, UnitInfo,
};
use autoexec_model::command_line::{CommandLine, ShellExpansion};
use autoexec_model::value::Recipient;
use autoexec_transport::process::{self, ProcessSpec};
use autoexec_transport::{Exit, ssh};

use crate::bridge::{ProcessOutput, StopBridge};
use crate::environment;
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
    let command_line = CommandLine::new(call.inputs, None);
    sink.executing(&command_line.display(call.operation.name.as_str(), Recipient::Runner));
    let env = environment::local(shared, unit, call, program);
    let spec = spec(shared, call, &command_line, program, env)?;
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
            let quoted = ssh::quote(&program.to_string_lossy());
            let words =
                command_line.unix_text(Recipient::Runner, ShellExpansion::Compatible).map_err(text)?;
            let args = vec!["-c".into(), format!("exec {quoted}{words}").into()];
            Ok(ProcessSpec { program: "/bin/sh".into(), args, env, cwd })
        }
    }
}

/// A custom script without `#!` line is started by its interpreter (`spec/plugin-contract.md` §8.6).
fn interpreted(
    call: &OperationCall<'_>,
    program: &Path,
) -> Result<(std::path::PathBuf, Vec<OsString>), String> {
    let plain = Ok((program.to_owned(), Vec::new()));
    let (Some(_), Some(interpreter)) = (&call.call.script, call.call.interpreter) else { return plain };
    let mut first = [0; 2];
    let read = std::fs::File::open(program).and_then(|mut file| std::io::Read::read(&mut file, &mut first));
    match read {
        Err(error) => Err(format!("Can not read {}: {error}", program.display())),
        Ok(_) if &first == b"#!" => plain,
        Ok(_) => Ok(("/usr/bin/env".into(), vec![interpreter.as_str().into(), program.into()])),
    }
}
