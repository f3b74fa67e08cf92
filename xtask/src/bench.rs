//! `cargo xtask bench`: the release build beside what people would use instead, measured in turns on this machine.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use crate::stage::{self, Profile, StagedHome};
use crate::{guests, packages, step, workspace};

mod author;
mod document;
mod job;
mod machine;
mod native;
mod sandbox;
mod scale;
mod series;
mod ssh;
mod startup;
mod volume;
mod wasm;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure [default: all].
    #[arg(value_enum)]
    topics: Vec<Topic>,
    /// How often each variant is run, after one run that does not count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Measure this program instead of building one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Measure the sandbox with this build of its example `measure`, and the tools with `tool_starts` beside it, instead of
    /// building them.
    #[arg(long, value_name = "FILE")]
    sandbox_program: Option<PathBuf>,
    /// Numbers of SSH nodes, for the topic `ssh`.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 300], value_parser = clap::value_parser!(u32).range(1..=2000))]
    nodes: Vec<u32>,
    /// Few nodes and runs: whether everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Put the tables of these topics into docs/performance.md.
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topic {
    /// A job with nothing in it.
    Startup,
    /// 1,000 nodes, one operation in the sandbox each.
    Wasm,
    /// The sandbox by itself: calls beside processes, memory, what its checks cost.
    Sandbox,
    /// 1,000 nodes, one native program each, beside xargs.
    Native,
    /// SSH nodes with one and five operations each, beside the ssh client, Ansible, pyinfra and parallel-ssh.
    Ssh,
    /// Up to 1,000 SSH targets connected at once with nothing to do: memory and threads, beside the ssh client.
    Scale,
    /// A tool's author: new, test, build, from nothing and after a change; size and start of each tool.
    Author,
    /// A million lines of output, and a node file of 100,000 nodes.
    Volume,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::SSHD, packages::BENCH])?;
    guests::run(&guests::Options::default())?;
    let program = options.program.clone().map_or_else(|| stage::build(Profile::Release), Ok)?;
    let topics = if options.topics.is_empty() { Topic::value_variants() } else { &options.topics };
    // One home for all: removing one would slow down what is measured next (see `job`).
    let home = StagedHome::new(&program, &["demo/hello"])?;
    let runs = if options.quick { 1 } else { options.runs };
    let nodes = if options.quick { vec![1, 10] } else { options.nodes.clone() };
    for topic in topics {
        let before = machine::load();
        let tables = match topic {
            Topic::Startup => vec![startup::measure(&home, runs)?.to_string()],
            Topic::Wasm => vec![wasm::measure(&home, runs)?.to_string()],
            Topic::Sandbox => {
                let sizes = sandbox::Sizes::new(options.quick);
                vec![sandbox::measure(options.sandbox_program.as_ref(), &sizes)?.to_string()]
            }
            Topic::Native => vec![native::measure(&home, runs)?.to_string()],
            Topic::Ssh => vec![ssh::measure(&home, &ssh::Sizes { nodes: nodes.clone(), runs })?.to_string()],
            Topic::Scale => vec![scale::measure(&home, &scale::sizes(options.quick))?.to_string()],
            Topic::Author => {
                vec![
                    author::measure(&home, runs)?.to_string(),
                    author::tools(options.sandbox_program.as_deref(), options.quick)?,
                ]
            }
            Topic::Volume => volume::measure(&home, runs)?.iter().map(ToString::to_string).collect(),
        };
        let figures = format!("{}\n\n{}", tables.join("\n").trim_end(), machine::facts(&program, &before)?);
        step::print(format_args!("{figures}\n"));
        if options.write {
            let path = workspace::root()?.join("docs/performance.md");
            document::update(&path, &topic.to_string(), &figures)?;
            step::say(format_args!("{} has the new figures of {topic}", path.display()));
        }
    }
    Ok(())
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}
