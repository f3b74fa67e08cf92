//! What must hold for any parameters, nodes, references and conditions. Used by the fuzz targets and by the property tests of
//! `autoexec-model`.

use std::collections::BTreeSet;

use autoexec_model::command_line::{CommandLine, ShellExpansion};
use autoexec_model::condition::{Condition, Environment, FileTest};
use autoexec_model::native::NativeOp;
use autoexec_model::reference::{Found, Layers, Lookup, Piece, Template, resolve};
use autoexec_model::value::{JobOptions, NodeVariables, Recipient, resolve_inputs};
use autoexec_model::{JobParams, NodeLine, OperationBody, SecretKey};
use serde_json::Map;

/// Variables with short names, so that arbitrary texts hit them.
struct World;

impl World {
    fn value(name: &str) -> Option<&'static str> {
        match name {
            "A" | "a" => Some("5"),
            "S" | "s" => Some("text with ${A} and 'quotes'"),
            "N" | "n" => Some("-1.5"),
            _ => None,
        }
    }
}

impl Environment for World {
    fn variable(&self, name: &str) -> Option<String> {
        Self::value(name).map(str::to_owned)
    }

    fn file(&self, test: FileTest, path: &str) -> bool {
        test == FileTest::Exists && path.len().is_multiple_of(2)
    }
}

impl Lookup for World {
    fn variable(&self, name: &str) -> Option<Found<'_>> {
        Self::value(name).map(Found::plain)
    }

    fn output(&self, op_id: &str, key: &str) -> Option<Found<'_>> {
        (op_id.len() > key.len()).then(|| Found::secret("output"))
    }
}

/// A condition that parses prints as one that parses to the same, and both have the same truth.
pub(crate) fn condition(text: &str) {
    let Ok(condition) = Condition::parse(text) else { return };
    let printed = condition.to_string();
    let again =
        Condition::parse(&printed).unwrap_or_else(|error| panic!("{text:?} printed as {printed:?}: {error}"));
    assert_eq!(again, condition, "{text:?} printed as {printed:?}");
    let truth = condition.evaluate(&World).ok();
    assert_eq!(again.evaluate(&World).ok(), truth, "{text:?} printed as {printed:?}");
}

/// The pieces of a template are its text, and a text without names stays as it is.
pub(crate) fn reference(text: &str) {
    let template = Template::parse(text);
    let pieces = template.pieces().iter().map(|piece| match piece {
        Piece::Literal(text) => text.as_str(),
        Piece::Reference { written, .. } => written.as_str(),
    });
    assert_eq!(pieces.collect::<String>(), text);
    assert_eq!(template.resolve_variables(|_| None).text, text);
    if let Ok(resolved) = resolve(&template, &World) {
        assert!(template.names().count() > 0 || resolved.text == text);
    }
}

/// A header survives writing and reading; a node's files stay in their directory.
pub(crate) fn node_line(text: &str) {
    match NodeLine::parse(text) {
        Ok(Some(NodeLine::Header(header))) => match NodeLine::parse(&header.to_line()) {
            Ok(Some(NodeLine::Header(again))) => assert_eq!(again, header),
            other => panic!("{other:?}"),
        },
        Ok(Some(NodeLine::Node(node))) => {
            let key = node.key();
            assert!(!key.as_str().is_empty() && !key.as_str().contains(['/', '\0', '\n']), "{key}");
            assert_eq!(node.to_plugin_object(None)["password"], "");
        }
        Ok(None) | Err(_) => {}
    }
}

/// Parameters that parse can be taken through everything that is pure: options, inputs, command lines,
/// conditions and built-in operations.
pub(crate) fn params(bytes: &[u8]) {
    let Ok(job) = JobParams::parse(bytes, "params.json") else { return };
    let key = SecretKey::new("key");
    let options = JobOptions::resolve(&job.options, &job.global_options, &key);
    let layers = Layers {
        options: &options,
        node_variables: &NodeVariables::default(),
        environment: &job.environment,
        hidden_environment: &BTreeSet::new(),
        node_outputs: &Map::new(),
        local_outputs: &Map::new(),
        secret_outputs: &BTreeSet::new(),
    };
    for phase in job.groups.iter().flat_map(|group| &group.phases) {
        phase.for_each_operation(|operation| match &operation.body {
            OperationBody::If(block) => condition(&block.condition),
            OperationBody::Loop(block) => reference(&block.items),
            OperationBody::Call(call) => {
                let Ok(draft) = resolve_inputs(call, &layers, &key) else { return };
                let Ok((inputs, _)) = draft.finish() else { return };
                let _ = NativeOp::from_operation(operation.name.tool(), &inputs);
                let line = CommandLine::new(&inputs, call.interpreter);
                let _ = (line.local_argv(), line.display(operation.name.as_str(), Recipient::Runner));
                for expansion in [ShellExpansion::Off, ShellExpansion::Compatible] {
                    let _ = (line.unix_text(Recipient::Target, expansion), line.windows_text(expansion));
                }
            }
        });
    }
}
