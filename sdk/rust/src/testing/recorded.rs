//! A device as `snmpwalk` saw it.

use super::{Snmp, unexpected};
use crate::snmp::{Binding, Value};

impl Snmp<'_> {
    /// Answers every question to this host from a recorded walk: the output of `snmpwalk -On -Oe` over the device. What is
    /// not in it does not exist there. Any credentials are taken.
    pub fn recorded(&self, host: &str, walk: &str) {
        let bindings = parse(walk);
        let (device, at) = (bindings.clone(), host.to_owned());
        self.asked_anything("snmp.get", host, move |asked| {
            let find = |name: &str| {
                let found = device.iter().find(|binding| binding.name == name);
                found.cloned().unwrap_or_else(|| Binding { name: name.to_owned(), value: Value::None })
            };
            if asked.is_empty() {
                unexpected(&format!("a question for nothing to {at}"));
            }
            Ok(asked.split(", ").map(find).collect())
        });
        self.asked_anything("snmp.walk", host, move |root| {
            Ok(bindings.iter().filter(|binding| binding.index_below(root).is_some()).cloned().collect())
        });
    }
}

/// Reads lines such as `.1.3.6.1.2.1.1.5.0 = STRING: "sw1"`; a line without a name goes on with the text before.
fn parse(walk: &str) -> Vec<Binding> {
    let mut bindings: Vec<(String, String)> = Vec::new();
    for line in walk.lines() {
        match line.split_once(" = ").filter(|(name, _)| name.starts_with('.')) {
            Some((name, value)) => bindings.push((name.trim_start_matches('.').to_owned(), value.to_owned())),
            None => {
                if let Some((_, value)) = bindings.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            }
        }
    }
    bindings.into_iter().map(|(name, text)| Binding { value: value(&name, text.trim()), name }).collect()
}

fn value(name: &str, text: &str) -> Value {
    let wrong = || -> ! { unexpected(&format!("the recorded value of {name} can not be read: {text}")) };
    if text == "\"\"" {
        return Value::Octets(Vec::new());
    }
    let Some((kind, rest)) = text.split_once(':') else { return Value::None };
    let rest = rest.trim();
    let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok());
    match kind {
        "STRING" => {
            let text = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
            Value::Octets(text.as_bytes().to_vec())
        }
        "Hex-STRING" => {
            let bytes = rest.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
            Value::Octets(bytes.collect::<Result<_, _>>().unwrap_or_else(|_| wrong()))
        }
        "INTEGER" => Value::Integer(number(rest).unwrap_or_else(|| wrong())),
        "Counter32" | "Gauge32" | "Counter64" => Value::Unsigned(
            rest.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_else(|| wrong()),
        ),
        "Timeticks" => {
            let ticks = rest.strip_prefix('(').and_then(|rest| rest.split(')').next());
            Value::TimeTicks(ticks.and_then(|ticks| ticks.parse().ok()).unwrap_or_else(|| wrong()))
        }
        "OID" => Value::ObjectId(rest.trim_start_matches('.').to_owned()),
        "IpAddress" => Value::IpAddress(rest.to_owned()),
        _ => wrong(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::{Agent, Credentials};
    use crate::testing::Host;

    #[test]
    fn a_recorded_device_answers() {
        let host = Host::new();
        host.snmp().recorded(
            "sw",
            ".1.3.1.0 = STRING: \"two\nlines\"\n.1.3.2.1 = INTEGER: 6\n.1.3.2.2 = Hex-STRING: 00 1B 21 \n\
             .1.3.3.0 = Timeticks: (4212) 0:00:42.12\n.1.3.4.0 = OID: .1.3.6\n.1.3.5.0 = Gauge32: 7\n.1.3.6.0 = \"\"\n\
             .1.3.7.0 = IpAddress: 10.0.0.1\n.1.3.20.0 = Counter64: 18446744073709551615\n",
        );
        let agent = Agent::new("sw", Credentials::V2c("public".into()));
        let of = |name: &str| agent.get_one(name).unwrap();
        assert_eq!(of("1.3.1.0").to_text(), "two\nlines");
        assert_eq!(of("1.3.3.0"), Value::TimeTicks(4212));
        assert_eq!(of("1.3.4.0").to_text(), "1.3.6");
        assert_eq!(of("1.3.20.0"), Value::Unsigned(u64::MAX));
        assert_eq!(of("1.3.9.0"), Value::None);
        let walked = agent.walk("1.3.2", 10).unwrap();
        assert_eq!(
            walked.iter().map(|binding| binding.value.to_text()).collect::<Vec<_>>(),
            ["6", "00:1b:21"]
        );
    }
}
