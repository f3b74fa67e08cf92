//! Looks up outputs of earlier steps by reference, with the log lines that jobs know
//! (spec/tools-behaviour/01-values-and-control.md, references to outputs).

use autoexec_sdk::step_outputs::{self, MalformedRef, NodeValue, OutputRef};
use autoexec_sdk::{Failure, log};

/// Exit status for a reference that is none.
const MALFORMED: u8 = 3;

/// A reference as a job writes it, `#{phase.bundle/tool_id.name}`.
///
/// # Errors
/// A failure with exit status 3 that names the text.
pub fn parse(option: &str, text: &str) -> Result<OutputRef, Failure> {
    text.parse().map_err(|error: MalformedRef| {
        Failure::invalid_option(option, error.to_string()).with_exit_code(MALFORMED)
    })
}

/// The values of an output on the nodes that have it, in the order of the nodes.
///
/// # Errors
/// The outputs of the job can not be read; exit status 1.
pub fn find(wanted: &OutputRef) -> Result<Vec<NodeValue>, Failure> {
    log::info(format_args!(
        "Try to query output for operation id:{} output:{}.",
        wanted.operation_id, wanted.name
    ));
    Ok(step_outputs::find(wanted)?)
}

/// Tells in the log whether anything was found for the reference.
pub fn tell_found(reference: &str, is_found: bool) {
    if is_found {
        log::fine(format_args!("Aggregate output for:{reference} success."));
    } else {
        log::warn(format_args!("Can not find any output for:{reference}."));
    }
}

/// Finds the values of a reference on all targets; the runner's own is left out. Tells in the log whether there were any.
///
/// # Errors
/// As [`parse`] and [`find`].
pub fn on_targets(option: &str, reference: &str) -> Result<(OutputRef, Vec<NodeValue>), Failure> {
    let wanted = parse(option, reference)?;
    let mut found = find(&wanted)?;
    found.retain(|value| !value.is_runner());
    tell_found(reference, !found.is_empty());
    Ok((wanted, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn value(host: &str, port: Option<u16>) -> NodeValue {
        NodeValue { resource_id: 1, host: host.into(), port, value: json!(1) }
    }

    #[test]
    fn the_runners_value_is_left_out_and_the_log_says_what_was_found() {
        let host = Host::new();
        host.step_outputs("#{p.a/b_1.out}").answers(Ok(vec![value("h", None), value("local", None)]));
        let (wanted, found) = on_targets("outputkey", "#{p.a/b_1.out}").unwrap();
        assert_eq!((wanted.name.as_str(), found), ("out", vec![value("h", None)]));
        assert_eq!(
            host.log_lines(),
            [
                "INFO: Try to query output for operation id:a/b_1 output:out.",
                "FINE: Aggregate output for:#{p.a/b_1.out} success.",
            ]
        );
    }

    #[test]
    fn nothing_found_is_a_warning_and_no_failure() {
        let host = Host::new();
        host.step_outputs("p.a/b_1.out").answers(Ok(vec![]));
        assert!(on_targets("outputkey", "p.a/b_1.out").unwrap().1.is_empty());
        assert_eq!(host.log_lines()[1], "WARN: Can not find any output for:p.a/b_1.out.");
    }

    #[test]
    fn a_malformed_reference_has_the_exit_status_of_old() {
        let failure = parse("outputkey", "a.b").unwrap_err();
        assert_eq!((failure.message(), failure.exit_code()), ("Malform output key a.b.", 3));
    }
}
