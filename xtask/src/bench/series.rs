//! Running variants in turns, and the table that comes of it.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::step;

type Work<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// One way to do the work of a topic.
pub(super) struct Variant<'a> {
    what: String,
    work: Work<'a>,
}

impl<'a> Variant<'a> {
    pub(super) fn new(what: impl Into<String>, work: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { what: what.into(), work: Box::new(work) }
    }
}

/// What was measured of a topic.
#[derive(Debug)]
pub(super) struct Table {
    title: String,
    /// Operations in one run.
    operations: u32,
    rows: Vec<Row>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Row {
    what: String,
    times: Vec<Duration>,
}

/// Runs every variant once for nothing, then all of them in turns: what disturbs the machine disturbs all.
pub(super) fn measure(
    title: &str,
    operations: u32,
    runs: u32,
    mut variants: Vec<Variant<'_>>,
) -> Result<Table> {
    step::say(format_args!("measuring: {title}"));
    let rows = variants.iter().map(|variant| Row { what: variant.what.clone(), times: Vec::new() });
    let mut rows: Vec<Row> = rows.collect();
    for turn in 0..=runs {
        for (variant, row) in variants.iter_mut().zip(&mut rows) {
            let begin = Instant::now();
            (variant.work)().with_context(|| format!("measuring `{}`", variant.what))?;
            if turn > 0 {
                row.times.push(begin.elapsed());
            }
        }
    }
    Ok(Table { title: title.to_owned(), operations, rows, notes: Vec::new() })
}

impl Table {
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Row {
    fn min(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }

    fn max(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    fn median(&self) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        let first = self.rows.first().map(Row::median).unwrap_or_default();
        let each = self.operations > 1;
        writeln!(f, "| | min | median | max |{} ratio |", if each { " per operation |" } else { "" })?;
        writeln!(f, "|---|---:|---:|---:|{}---:|", if each { "---:|" } else { "" })?;
        for row in &self.rows {
            let median = row.median();
            write!(f, "| {} | {} | {} | {} |", row.what, shown(row.min()), shown(median), shown(row.max()))?;
            if each {
                write!(f, " {} |", shown(median / self.operations))?;
            }
            writeln!(f, " {:.2} |", median.as_secs_f64() / first.as_secs_f64().max(f64::EPSILON))?;
        }
        let runs = self.rows.first().map_or(0, |row| row.times.len());
        writeln!(f, "\n{runs} runs of each, in turns, after one that does not count.")?;
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

/// Three significant digits are more than the noise allows.
pub(super) fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.01 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds >= 1e-5 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds >= 1e-6 {
        format!("{:.1} µs", seconds * 1e6)
    } else {
        format!("{:.0} ns", seconds * 1e9)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn variants_run_in_turns_and_the_first_turn_does_not_count() {
        let order = RefCell::new(String::new());
        let push = |name: char| {
            let order = &order;
            move || {
                order.borrow_mut().push(name);
                Ok(())
            }
        };
        let variants = vec![Variant::new("a", push('a')), Variant::new("b", push('b'))];
        let table = measure("t", 1, 2, variants).unwrap();
        assert_eq!(*order.borrow(), "ababab");
        assert!(table.rows.iter().all(|row| row.times.len() == 2));
        let failing = vec![Variant::new("no", || anyhow::bail!("broken"))];
        assert_eq!(format!("{:#}", measure("t", 1, 1, failing).unwrap_err()), "measuring `no`: broken");
    }

    #[test]
    fn a_table_shows_spread_and_ratio() {
        let row = |what: &str, times: [u64; 3]| Row {
            what: what.to_owned(),
            times: times.map(Duration::from_millis).to_vec(),
        };
        let rows = vec![row("ours", [300, 100, 200]), row("theirs", [3000, 1000, 2000])];
        let table = Table { title: "T".to_owned(), operations: 1000, rows, notes: vec![] };
        assert_eq!(
            table.to_string(),
            "### T\n\n| | min | median | max | per operation | ratio |\n|---|---:|---:|---:|---:|---:|\n\
             | ours | 100 ms | 200 ms | 300 ms | 200 µs | 1.00 |\n\
             | theirs | 1.00 s | 2.00 s | 3.00 s | 2.0 ms | 10.00 |\n\n\
             3 runs of each, in turns, after one that does not count.\n"
        );
    }
}
