//! The table: rows by name, columns in the order in which they first appear.

use serde_json::{Map, Value};

/// Rows and columns. A cell that nobody set is empty.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Map<String, Value>)>,
}

impl Table {
    /// Adds rows from a document: a list has a row per member, an object a row per key.
    pub(crate) fn add_data(&mut self, data: &Value) {
        match data {
            Value::Null => {}
            Value::Array(members) => {
                for (index, member) in members.iter().enumerate() {
                    self.add(&(index + 1).to_string(), "value", member.clone());
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    self.add(key, "value", member.clone());
                }
            }
            single => self.add("1", "value", single.clone()),
        }
    }

    /// Adds a value to a row: in its own columns if it is an object, else in the column of that name.
    pub(crate) fn add(&mut self, row: &str, column: &str, value: Value) {
        match value {
            Value::Object(members) => {
                members.into_iter().for_each(|(column, value)| self.set(row, &column, value));
            }
            value => self.set(row, column, value),
        }
    }

    fn set(&mut self, row: &str, column: &str, value: Value) {
        if !self.columns.iter().any(|known| known == column) {
            self.columns.push(column.to_owned());
        }
        if let Some((_, cells)) = self.rows.iter_mut().find(|(name, _)| name == row) {
            cells.insert(column.to_owned(), value);
        } else {
            self.rows.push((row.to_owned(), Map::from_iter([(column.to_owned(), value)])));
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// An object of rows.
    pub(crate) fn to_json(&self) -> Value {
        self.rows.iter().map(|(name, cells)| (name.clone(), Value::Object(cells.clone()))).collect()
    }

    /// A Markdown table.
    pub(crate) fn to_markdown(&self) -> String {
        if self.rows.is_empty() {
            return "(no rows)\n".into();
        }
        let mut text = line("node", self.columns.iter().map(|column| escaped(column)));
        text += &line("---", self.columns.iter().map(|_| "---".to_owned()));
        for (name, cells) in &self.rows {
            text += &line(&escaped(name), self.columns.iter().map(|column| cell(cells.get(column))));
        }
        text
    }
}

fn line(first: &str, cells: impl Iterator<Item = String>) -> String {
    cells.fold(format!("| {first} |"), |text, cell| format!("{text} {cell} |")) + "\n"
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => escaped(text),
        Some(value) => escaped(&value.to_string()),
    }
}

/// Values come from nodes: a bar or a line break in them must not break the table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_nodes_become_rows() {
        let mut table = Table::default();
        table.add("a:22", "facts", json!({"os": "Linux", "cpus": 2}));
        table.add("b", "facts", json!({"os": "AIX"}));
        table.add("b", "elapsedMs", json!(5));
        let expected = "| node | os | cpus | elapsedMs |\n| --- | --- | --- | --- |\n\
                        | a:22 | Linux | 2 |  |\n| b | AIX |  | 5 |\n";
        assert_eq!(table.to_markdown(), expected);
        assert_eq!(
            table.to_json(),
            json!({"a:22": {"os": "Linux", "cpus": 2}, "b": {"os": "AIX", "elapsedMs": 5}})
        );
    }

    #[test]
    fn data_of_every_shape_becomes_rows() {
        let rows = |data: Value| {
            let mut table = Table::default();
            table.add_data(&data);
            table.to_json()
        };
        assert_eq!(rows(json!(null)), json!({}));
        assert_eq!(rows(json!("x")), json!({"1": {"value": "x"}}));
        assert_eq!(rows(json!([{"a": 1}, 2])), json!({"1": {"a": 1}, "2": {"value": 2}}));
        assert_eq!(rows(json!({"n": {"a": 1}})), json!({"n": {"a": 1}}));
    }

    #[test]
    fn what_nodes_send_can_not_break_the_table() {
        let mut table = Table::default();
        table.add("n", "v", json!("a|b\nc"));
        assert_eq!(table.to_markdown(), "| node | v |\n| --- | --- |\n| n | a\\|b c |\n");
        assert_eq!(Table::default().to_markdown(), "(no rows)\n");
    }
}
