//! `[[native]]` tables.

use toml::de::DeValue;

use super::problem::{PolicyError, PolicyProblem};
use super::reader::{File, Item, Table};
use crate::native::{NativeBounds, NativeRun, NativeTable, is_usable_path};

const PORTS: &str = "a list of TCP ports from 1 to 65535 such as [443]";
const PATHS: &str = "a list of directories such as [\"/var/backups\"]";

impl File<'_> {
    pub(super) fn native_table(self, mut table: Table<'_>) -> Result<NativeTable, PolicyError> {
        let (at, tools) = self.tools(table.need("tools")?)?;
        let run = table.take("run").map(|item| run(&item)).transpose()?;
        let mut paths_of = |key: &'static str| table.take(key).map(paths).transpose();
        let (read, execute, write) = (paths_of("read")?, paths_of("execute")?, paths_of("write")?);
        let mut ports_of = |key: &'static str| table.take(key).map(|item| ports(&item)).transpose();
        let (connect, bind) = (ports_of("connect")?, ports_of("bind")?);
        table.finish()?;
        let bounds = NativeBounds { read, execute, write, connect, bind };
        if run.is_none() && bounds == NativeBounds::default() {
            return Err(self.error(&at, PolicyProblem::Empty));
        }
        let run = run.unwrap_or_default();
        let at = self.rule_ref(&at, text(run, &bounds));
        Ok(NativeTable { tools, run, bounds, at })
    }
}

fn run(item: &Item<'_>) -> Result<NativeRun, PolicyError> {
    match item.value.as_str() {
        Some("allow") => Ok(NativeRun::Allow),
        Some("confined") => Ok(NativeRun::Confined),
        Some("deny") => Ok(NativeRun::Deny),
        _ => Err(item.wrong("\"allow\", \"confined\" or \"deny\"")),
    }
}

fn paths(item: Item<'_>) -> Result<Vec<String>, PolicyError> {
    let file = item.file;
    let usable = |text: super::reader::Text| {
        if is_usable_path(&text.text) {
            Ok(text.text)
        } else {
            Err(file.error(&text.at, PolicyProblem::NativePath(text.text)))
        }
    };
    item.texts(PATHS)?.into_iter().map(usable).collect()
}

fn ports(item: &Item<'_>) -> Result<Vec<u16>, PolicyError> {
    let DeValue::Array(values) = &item.value else { return Err(item.wrong(PORTS)) };
    let port = |value: &DeValue<'_>| {
        let number = value.as_integer()?;
        u16::from_str_radix(number.as_str(), number.radix()).ok().filter(|port| *port != 0)
    };
    values.iter().map(|value| port(value.get_ref()).ok_or_else(|| item.wrong(PORTS))).collect()
}

/// The table in short, for decisions and reviews.
fn text(run: NativeRun, bounds: &NativeBounds) -> String {
    let run = format!("{run:?}").to_lowercase();
    let mut parts = vec![format!("native run = \"{run}\"")];
    for (key, paths) in [("read", &bounds.read), ("execute", &bounds.execute), ("write", &bounds.write)] {
        if let Some(paths) = paths {
            parts.push(format!("{key} = {paths:?}"));
        }
    }
    for (key, ports) in [("connect", &bounds.connect), ("bind", &bounds.bind)] {
        if let Some(ports) = ports {
            parts.push(format!("{key} = {ports:?}"));
        }
    }
    parts.join(", ")
}
