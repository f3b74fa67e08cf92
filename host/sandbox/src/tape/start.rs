//! Which call gets the tape, and what its heading says.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::{Cleaner, FORMAT, Heading, Running};
use crate::call::{Ask, ToolCall};
use crate::sandbox::Sandbox;
use crate::secrets::Secrets;
use crate::tool::Tool;

impl Sandbox {
    /// The tape of a call, where the sandbox is set up to have one. It holds one call.
    pub(crate) fn tape(
        &self,
        ask: Ask,
        tool: &Tool,
        call: &ToolCall,
        secrets: &Secrets,
    ) -> Result<Running, String> {
        let Some(tape) = &self.settings.tape else { return Ok(Running::Off) };
        if self.taped.swap(true, Ordering::AcqRel) {
            return Err("a recording holds one call, and this is another one: name one node".into());
        }
        if tool.uses_wasi_io {
            return Err("this tool reaches files or sockets through WASI, which can not be recorded; the modules of an SDK can".into());
        }
        let options = call.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let clean = |value| Cleaner::new(secrets).clean(value);
        let heading = Heading {
            autoexec_recording: FORMAT,
            tool: tool.manifest.name.to_string(),
            version: tool.manifest.version.to_string(),
            export: export_name(ask).to_owned(),
            options: clean(Value::Object(options)),
            arguments: clean(Value::Array(call.arguments.clone())),
        };
        Running::start(tape, heading)
    }
}

fn export_name(ask: Ask) -> &'static str {
    match ask {
        Ask::Run => "run",
        Ask::Check => "check",
        Ask::Probe => "probe",
    }
}
