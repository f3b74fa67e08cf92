//! The catalogue as Markdown.

use std::borrow::Cow;
use std::fmt::Write as _;

use autoexec_manifest::{Choices, Flag, OptionType, Rerun};
use serde_json::Value;

use super::{Place, Tool};

/// What a line with a size ends with.
const SIZE: &str = " KiB |";

/// Longest default value that is shown whole.
const SHOWN: usize = 60;

const HEAD: &str = "# Tools

The tools of this repository, as they describe themselves. Written by `cargo xtask tools-doc` from the manifests of the components
and the descriptors of native tools; do not edit it.

*Where*: `sandbox` is a WebAssembly component on the runner, which may do what its capabilities say and nothing else; `runner` is a
program on the runner; `target` is a script that is sent to the target. *Type* is `opType` as the server has it: `runner` runs once,
`runner_target` on the runner for each target, `target` on each target. *Rerun* says what happens when the executor died while the
tool ran: `safe` it runs again, `probe` it is asked whether it took effect, `once` a person decides. *Check*: it can say what it would
change (`autoexec run --check`). Each tool of the sandbox has a README in `plugins-wasm/` with its behaviour and what differs from
the tool it replaces.

Tools of the replaced catalogue that are not here: `fileops/filetripletrans` and `fileops/filep2ptrans` log in to a second node, whose
password only the server has. A tool never sees a password, and the interface `target` means the node of the step alone.
`fileops/remotecopy` does the same in two phases: a pull on the first node, a push on the second.
";

/// The whole document.
pub(super) fn document(tools: &[Tool]) -> String {
    let mut out = HEAD.to_owned();
    let count = |place| tools.iter().filter(|tool| tool.place == place).count();
    let _ = write!(
        out,
        "\n{} tools: {} in the sandbox, {} programs on the runner, {} scripts for targets.\n\n\
         | tool | where | purpose | capabilities | rerun | check | size |\n|---|---|---|---|---|---|---|\n",
        tools.len(),
        count(Place::Sandbox),
        count(Place::Runner),
        count(Place::Target)
    );
    for tool in tools {
        overview(&mut out, tool);
    }
    for (place, title) in [
        (Place::Sandbox, "In the sandbox"),
        (Place::Runner, "Programs on the runner"),
        (Place::Target, "Scripts for targets"),
    ] {
        let mut of_place = tools.iter().filter(|tool| tool.place == place).peekable();
        if of_place.peek().is_some() {
            let _ = write!(out, "\n## {title}\n");
        }
        of_place.for_each(|tool| details(&mut out, tool));
    }
    out
}

/// A line of the overview without the size in it.
pub(super) fn without_size(line: &str) -> Cow<'_, str> {
    let cut = line.strip_suffix(SIZE).and_then(|rest| rest.rsplit_once("| "));
    cut.map_or(Cow::Borrowed(line), |(rest, _)| Cow::Owned(format!("{rest}|{SIZE}")))
}

fn overview(out: &mut String, tool: &Tool) {
    let capabilities: Vec<&str> = tool.capabilities.iter().map(|(asked, _)| asked.as_str()).collect();
    let size = tool.size.map_or_else(|| " |".to_owned(), |bytes| format!("{}{SIZE}", bytes.div_ceil(1024)));
    let _ = writeln!(
        out,
        "| [`{name}`](#{anchor}) | {place} | {purpose} | {capabilities} | {rerun} | {check} | {size}",
        name = tool.name,
        anchor = anchor(&heading(tool)),
        place = place(tool.place),
        purpose = cell(&tool.purpose),
        capabilities = cell(&capabilities.join(", ")),
        rerun = rerun(tool.rerun),
        check = if tool.checks { "yes" } else { "" },
    );
}

fn details(out: &mut String, tool: &Tool) {
    let _ = write!(
        out,
        "\n### {}\n\n{} Type `{}`, category `{}`, risk `{}`, rerun `{}`{}.\n",
        heading(tool),
        text(&tool.purpose),
        tool.op_type,
        tool.category,
        tool.risk,
        rerun(tool.rerun),
        if tool.checks { ", with check" } else { "" }
    );
    if let Some(reason) = &tool.reason {
        let _ = write!(out, "\nWhy not a component: {}\n", text(reason));
    }
    let asked = tool.capabilities.iter().map(|(asked, reason)| [format!("`{asked}`"), cell(reason)]);
    table(out, ["capability", "why"], asked);
    let options = tool.options.iter().map(|option| {
        let default = shown(&option.default_value);
        [
            format!("`{}`{}", option.opt, star(option.required)),
            kind(option.option_type, option.data_source.as_ref()),
            if default.is_empty() { default } else { format!("`{default}`") },
            cell(&option.help),
        ]
    });
    table(out, ["option (* required)", "type", "default", "meaning"], options);
    if let Some(argument) = &tool.argument {
        let count = match argument.count {
            0 => "any number of".to_owned(),
            count => count.to_string(),
        };
        let _ = write!(
            out,
            "\nArguments: {count} `{}`{}. {}\n",
            kind_name(argument.argument_type),
            if argument.required.0 { ", at least one" } else { "" },
            text(&argument.help)
        );
    }
    let outputs = tool
        .outputs
        .iter()
        .map(|output| [format!("`{}`", output.opt), kind(output.output_type, None), cell(&output.help)]);
    table(out, ["output", "type", "meaning"], outputs);
}

fn table<const N: usize>(out: &mut String, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = write!(out, "\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

/// A name may be there twice: as a component, and as a script for targets.
fn heading(tool: &Tool) -> String {
    match tool.place {
        Place::Sandbox => tool.name.clone(),
        Place::Runner | Place::Target => format!("{} ({})", tool.name, place(tool.place)),
    }
}

/// As Markdown renderers make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Sandbox => "sandbox",
        Place::Runner => "runner",
        Place::Target => "target",
    }
}

fn rerun(rerun: Rerun) -> &'static str {
    match rerun {
        Rerun::Safe => "safe",
        Rerun::Probe => "probe",
        Rerun::Once => "once",
    }
}

fn star(required: Flag) -> &'static str {
    if required.0 { "*" } else { "" }
}

fn kind_name(kind: OptionType) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn kind(kind: OptionType, choices: Option<&Choices>) -> String {
    let values = choices.iter().flat_map(|choices| &choices.data_list);
    let values: Vec<String> = values.map(|choice| format!("`{}`", shown(&choice.value))).collect();
    if values.is_empty() { kind_name(kind) } else { format!("{}: {}", kind_name(kind), values.join(", ")) }
}

fn shown(value: &Value) -> String {
    let whole = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line = whole.replace('\n', "\\n").replace('`', "'");
    if line.chars().count() > SHOWN {
        line = line.chars().take(SHOWN).chain(['…']).collect();
    }
    line.replace('|', "\\|")
}

/// Text of a tool in a row of a table.
fn cell(text: &str) -> String {
    self::text(text).replace('|', "\\|")
}

/// Text of a tool in one line. What a renderer would take for HTML is shown as it is.
fn text(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, place: Place) -> Tool {
        let option = serde_json::json!({"opt": "mode", "name": "Mode", "help": "a | b", "type": "select", "required": true,
            "defaultValue": "x", "dataSource": {"dataList": [{"text": "X", "value": "x"}, {"text": "Y", "value": "y"}]}});
        Tool {
            name: name.into(),
            place,
            op_type: "runner".into(),
            category: "BASIC".into(),
            risk: "LOW".into(),
            purpose: "Does <it>.".into(),
            capabilities: vec![("http".into(), "it asks\nsomebody".into())],
            rerun: Rerun::Safe,
            checks: true,
            reason: None,
            options: vec![serde_json::from_value(option).unwrap()],
            argument: None,
            outputs: Vec::new(),
            size: (place == Place::Sandbox).then_some(1_025),
        }
    }

    #[test]
    fn the_document_has_each_tool_in_the_overview_and_in_detail() {
        let document = document(&[tool("a/b", Place::Sandbox), tool("a/b", Place::Target)]);
        for line in [
            "| [`a/b`](#ab) | sandbox | Does &lt;it>. | http | safe | yes | 2 KiB |",
            "| [`a/b`](#ab-target) | target | Does &lt;it>. | http | safe | yes |  |",
            "### a/b (target)",
            "| `http` | it asks somebody |",
            "| `mode`* | select: `x`, `y` | `x` | a \\| b |",
        ] {
            assert!(document.lines().any(|own| own == line), "{line}\n{document}");
        }
        assert!(!document.contains("| output |"), "no empty tables");
    }

    #[test]
    fn only_a_size_at_the_end_of_a_row_is_left_out() {
        assert_eq!(without_size("| a | 61 KiB |"), without_size("| a | 7 KiB |"));
        assert_eq!(without_size("at most 61 KiB of text"), "at most 61 KiB of text");
    }
}
