//! The texts of log lines (`spec/workdir.md` §5.2). The server's pages look for the markers, byte for byte.

use std::time::Duration;

use autoexec_events::{Level, NodeRef, OperationRef};
use autoexec_model::{Node, NodeStatus, OpStatus, PhaseCounts, PhaseName, Place};

/// Width of the line under the summary of a phase.
const RULE_WIDTH: usize = 62;

/// The physical lines of a text of ours, which may have several; one line end at the end adds none.
pub(super) fn physical_lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').flat_map(|line| line.trim_end_matches('\r').split('\r'))
}

/// Whether a line counts as a warning of its node.
pub(super) fn is_warning(line: &str) -> bool {
    line.starts_with(Level::Error.prefix()) || line.starts_with(Level::Warn.prefix())
}

pub(super) fn message(level: Level, text: &str) -> String {
    format!("{} {text}", level.prefix())
}

pub(super) fn launched(node: &Node) -> String {
    format!("======{} Launched by {}======", target(node), connection(node))
}

pub(super) fn ended(node: &Node, duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    format!(
        "======{} executed by {} ended, duration:{seconds:.2} second ======",
        target(node),
        connection(node)
    )
}

/// `[<resourceId>]<host>:<port>`
fn target(node: &Node) -> String {
    format!("[{}]{}:{}", node.resource, node.host, port(node.port))
}

/// `<protocol>://<user>@<host>:<protocolPort>`
fn connection(node: &Node) -> String {
    format!("{}://{}@{}:{}", node.protocol.as_str(), node.user, node.host, node.protocol_port)
}

fn port(port: Option<u16>) -> String {
    port.map(|port| port.to_string()).unwrap_or_default()
}

pub(super) fn op_start(operation: &OperationRef) -> String {
    format!("------START--[{}] {} execution start...", operation.id, operation.place.as_str())
}

pub(super) fn op_end(operation: &OperationRef, duration: Duration) -> String {
    let (id, word, seconds) = (&operation.id, operation.place.as_str(), duration.as_secs_f64());
    // The empty line after it is part of the marker.
    format!("------END--[{id}] {word} execution complete -- duration: {seconds:.2} second.\n\n")
}

pub(super) fn op_result(operation: &OperationRef, status: OpStatus) -> String {
    let level = match status {
        OpStatus::Succeed => Level::Fine,
        OpStatus::Ignored => Level::Warn,
        _ => Level::Error,
    };
    message(level, &format!("Execute operation {} {}{status}.", operation.name, ran_on(operation.place)))
}

fn ran_on(place: Place) -> &'static str {
    match place {
        Place::Runner => "on runner ",
        Place::Target => "on remote OS ",
        Place::RunnerTarget => "on runner to target ",
        Place::Native => "",
    }
}

pub(super) fn if_condition(condition: &str, holds: bool) -> String {
    let word = if holds { "True" } else { "False" };
    message(Level::Info, &format!("IF condition [ {condition} ] = {word}\n\n"))
}

pub(super) fn node_complete(status: NodeStatus) -> String {
    let level = match status {
        NodeStatus::Succeed => Level::Fine,
        NodeStatus::Ignored => Level::Warn,
        NodeStatus::Failed | NodeStatus::Aborted => Level::Error,
        _ => Level::Info,
    };
    message(level, &format!("Node execute complete, status:{status}."))
}

/// `Node(<resourceId>) status:<status> <host>:<port> execute`
pub(super) fn node_execute(node: &NodeRef, status: NodeStatus) -> String {
    format!("Node({}) status:{status} {}:{} execute", node.resource, node.host, port(node.port))
}

pub(super) fn phase_finish(phase: &PhaseName, counts: &PhaseCounts) -> String {
    let PhaseCounts { succeed, failed, ignored, paused, skipped, .. } = counts;
    // `suceessCount` is what every earlier version wrote.
    let summary = format!(
        "Execute phase:{phase} finish, suceessCount:{succeed}, failCount:{failed}, ignoreCount:{ignored}, \
         pauseCount:{paused}, skipCount:{skipped}\n{}",
        "-".repeat(RULE_WIDTH)
    );
    message(Level::Info, &summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fall_into_physical_lines() {
        for (text, lines) in [
            ("a", &["a"][..]),
            ("a\n", &["a"]),
            ("a\n\n", &["a", ""]),
            ("a\r\nb\rc", &["a", "b", "c"]),
            ("", &[""]),
        ] {
            assert_eq!(physical_lines(text).collect::<Vec<_>>(), lines, "{text:?}");
        }
    }
}
