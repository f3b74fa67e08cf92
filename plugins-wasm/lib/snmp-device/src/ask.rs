use autoexec_sdk::snmp::{Agent, Binding, SnmpError, Value as Raw};
use autoexec_sdk::{Failure, HostError, log};
use serde_json::{Map, Value};

use crate::form::Form;

/// Values of one column; a core switch has some ten thousand addresses.
const MOST_VALUES: u32 = 200_000;

/// Exit status when the device does not answer.
const NO_ANSWER: u8 = 255;

/// A single value: its name, and where it may stand; the first place that has one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalar<'a> {
    /// Name in the record.
    pub name: &'a str,
    /// Object identifiers.
    pub places: &'a [&'a str],
    /// Its form.
    pub form: Form,
}

/// A value of a column, with the index of its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Index.
    pub index: String,
    /// Value.
    pub value: Raw,
}

/// A device that is asked.
#[derive(Debug, Clone)]
pub struct Device {
    agent: Agent,
}

impl Device {
    /// The device behind an agent.
    pub fn new(agent: Agent) -> Self {
        Self { agent }
    }

    /// Single values, in their order. One that is nowhere is null, and told.
    pub fn scalars(&self, scalars: &[Scalar<'_>]) -> Result<Map<String, Value>, Failure> {
        let names: Vec<&str> = scalars.iter().flat_map(|scalar| scalar.places.iter().copied()).collect();
        let found = answered(self.agent.get(&names))?.unwrap_or_default();
        let mut values = Map::new();
        for scalar in scalars {
            let value = scalar.places.iter().find_map(|place| {
                let binding = found.iter().find(|binding| binding.name == *place)?;
                Some(scalar.form.of(&binding.value)).filter(|value| !value.is_null())
            });
            if value.is_none() {
                let places = scalar.places.join(", ");
                log::warn(format_args!("Can not find value for attr {} oid:{places}", scalar.name));
            }
            values.insert(scalar.name.to_owned(), value.unwrap_or(Value::Null));
        }
        Ok(values)
    }

    /// One value; nothing where there is none.
    pub fn value(&self, name: &str) -> Result<Raw, Failure> {
        let found = answered(self.agent.get(&[name]))?.unwrap_or_default();
        Ok(found.into_iter().next().map_or(Raw::None, |binding| binding.value))
    }

    /// The values of one column, in the agent's order; empty where the device has none.
    pub fn column(&self, column: &str) -> Result<Vec<Cell>, Failure> {
        let cell = |binding: Binding| {
            let index = binding.index_below(column)?.to_owned();
            Some(Cell { index, value: binding.value })
        };
        let walked = answered(self.agent.walk(column, MOST_VALUES))?.unwrap_or_default();
        Ok(walked.into_iter().filter_map(cell).collect())
    }

    /// Rows of several columns, joined by their index, in the order of the first column. Each has `INDEX`; what a row lacks is
    /// null.
    pub fn table(&self, columns: &[(&str, &str, Form)]) -> Result<Vec<Map<String, Value>>, Failure> {
        let mut rows: Vec<Map<String, Value>> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (number, (name, column, form)) in columns.iter().enumerate() {
            for row in &mut rows {
                row.insert((*name).to_owned(), Value::Null);
            }
            for Cell { index, value } in self.column(column)? {
                if number == 0 {
                    places.insert(index.clone(), rows.len());
                    rows.push(Map::from_iter([("INDEX".to_owned(), index.clone().into())]));
                }
                if let Some(row) = places.get(&index).and_then(|at| rows.get_mut(*at)) {
                    row.insert((*name).to_owned(), form.of(&value));
                }
            }
        }
        Ok(rows)
    }
}

/// A device that does not answer ends the tool; what it does not know or can not say is told and left out.
fn answered(answer: Result<Vec<Binding>, HostError<SnmpError>>) -> Result<Option<Vec<Binding>>, Failure> {
    match answer {
        Ok(bindings) => Ok(Some(bindings)),
        Err(HostError { reason: SnmpError::Refused(_) | SnmpError::TooMany(_), .. }) => {
            if let Err(error) = &answer {
                log::warn(error);
            }
            Ok(None)
        }
        Err(error) => {
            let failure = Failure::from(error);
            let message = format!("{}, snmp failed, exit.", failure.message());
            Err(Failure::new(failure.kind().clone(), message).with_exit_code(NO_ANSWER))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::snmp::Credentials;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn device() -> Device {
        Device::new(Agent::new("sw", Credentials::V2c("c".into())))
    }

    #[test]
    fn the_first_place_that_has_a_value_counts() {
        let host = Host::new();
        host.snmp().recorded("sw", ".1.3.2.0 = STRING: \"second\"\n.1.3.3.0 = STRING: \"third\"\n");
        let scalars = [
            Scalar { name: "SN", places: &["1.3.1.0", "1.3.2.0", "1.3.3.0"], form: Form::Plain },
            Scalar { name: "X", places: &["1.3.9.0"], form: Form::Plain },
        ];
        let values = device().scalars(&scalars).unwrap();
        assert_eq!(Value::from(values), json!({"SN": "second", "X": null}));
        assert_eq!(host.log_lines(), ["WARN: Can not find value for attr X oid:1.3.9.0"]);
    }

    #[test]
    fn rows_are_joined_by_their_index() {
        let host = Host::new();
        host.snmp().recorded(
            "sw",
            ".1.3.1.5 = INTEGER: 6\n.1.3.1.3 = INTEGER: 6\n.1.3.2.3 = STRING: \"b\"\n.1.3.2.9 = STRING: \"lost\"\n",
        );
        let rows = device().table(&[("TYPE", "1.3.1", Form::Plain), ("NAME", "1.3.2", Form::Plain)]).unwrap();
        let rows: Vec<Value> = rows.into_iter().map(Value::from).collect();
        assert_eq!(
            rows,
            [json!({"INDEX": "5", "TYPE": 6, "NAME": null}), json!({"INDEX": "3", "TYPE": 6, "NAME": "b"})]
        );
        drop(host);
    }

    #[test]
    fn silence_ends_the_tool_and_a_refusal_does_not() {
        let host = Host::new();
        host.snmp().walk("sw", "1.3").answers(Err(SnmpError::TimedOut));
        let failure = device().column("1.3").unwrap_err();
        assert!(failure.message().ends_with(", snmp failed, exit."), "{failure}");
        assert_eq!(failure.exit_code(), 255);
        host.snmp().walk("sw", "1.3").answers(Err(SnmpError::Refused("genErr".into())));
        assert_eq!(device().column("1.3").unwrap(), []);
    }
}
