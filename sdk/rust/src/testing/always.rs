//! What every tool gets: log, outputs, facts of the job, time, random numbers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Host, Level, current};
use crate::bindings::autoexec::tool::job as wit;

/// 2024-01-01 00:00:00 UTC.
const DAY_OF_TESTS: u64 = 1_704_067_200;

/// What the fakes of this module know and have heard.
pub(super) struct State {
    lines: Vec<(Level, String)>,
    written: Vec<u8>,
    outputs: Map<String, Value>,
    live: Option<Value>,
    context: wit::Context,
    node: wit::Node,
    variables: Vec<wit::Variable>,
    /// Time since the test began, which only sleeping moves.
    pub(super) elapsed: Duration,
    began: Duration,
    utc_offset: i32,
    random: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            written: Vec::new(),
            outputs: Map::new(),
            live: None,
            context: wit::Context {
                job_id: "1".into(),
                phase: "test".into(),
                group: Some(1),
                operation_id: "test/tool_1".into(),
                exec_user: "tester".into(),
                tenant: String::new(),
            },
            node: wit::Node {
                resource_id: 0,
                host: "local".into(),
                port: None,
                name: "local".into(),
                node_type: String::new(),
                protocol: String::new(),
                protocol_port: None,
                username: String::new(),
            },
            variables: Vec::new(),
            elapsed: Duration::ZERO,
            began: Duration::from_secs(DAY_OF_TESTS),
            utc_offset: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

impl Host {
    /// The lines that were logged, without their levels.
    pub fn lines(&self) -> Vec<String> {
        self.state.borrow().always.lines.iter().map(|(_, text)| text.clone()).collect()
    }

    /// The lines that were logged, as the node's log shows them: `INFO: text`.
    pub fn log_lines(&self) -> Vec<String> {
        let prefix = |level| match level {
            Level::Plain => "",
            Level::Info => "INFO: ",
            Level::Fine => "FINE: ",
            Level::Warn => "WARN: ",
            Level::Error => "ERROR: ",
        };
        self.log().into_iter().map(|(level, text)| format!("{}{text}", prefix(level))).collect()
    }

    /// The lines that were logged, with their levels.
    pub fn log(&self) -> Vec<(Level, String)> {
        self.state.borrow().always.lines.clone()
    }

    /// The bytes that were passed through to the log.
    pub fn written(&self) -> Vec<u8> {
        self.state.borrow().always.written.clone()
    }

    /// One output, if it was set.
    pub fn output(&self, name: &str) -> Option<Value> {
        self.state.borrow().always.outputs.get(name).cloned()
    }

    /// All outputs.
    pub fn outputs(&self) -> Map<String, Value> {
        self.state.borrow().always.outputs.clone()
    }

    /// The live data that were set last.
    pub fn live_data(&self) -> Option<Value> {
        self.state.borrow().always.live.clone()
    }

    /// Where in the job the call stands.
    pub fn set_context(&self, change: impl FnOnce(&mut wit::Context)) {
        change(&mut self.state.borrow_mut().always.context);
    }

    /// The node the call is for; the runner itself without it.
    pub fn set_node(&self, change: impl FnOnce(&mut wit::Node)) {
        change(&mut self.state.borrow_mut().always.node);
    }

    /// A variable of the node.
    pub fn set_variable(&self, name: &str, value: &str) {
        let variable = wit::Variable { name: name.to_owned(), value: value.to_owned() };
        self.state.borrow_mut().always.variables.push(variable);
    }

    /// The time of day: seconds since 1970, and those to add for local time.
    pub fn set_time(&self, unix_seconds: u64, utc_offset: i32) {
        let state = &mut self.state.borrow_mut().always;
        state.began = Duration::from_secs(unix_seconds).saturating_sub(state.elapsed);
        state.utc_offset = utc_offset;
    }

    /// How long the tool has waited in all. Waiting takes no time in a test.
    pub fn waited(&self) -> Duration {
        self.state.borrow().always.elapsed
    }
}

/// Lets time pass.
pub(super) fn pass(length: Duration) {
    let state = current();
    let always = &mut state.borrow_mut().always;
    always.elapsed = always.elapsed.saturating_add(length);
}

pub(crate) mod log {
    use super::{Level, current};

    pub(crate) fn line(level: Level, text: &str) {
        let state = current();
        let lines = text.split('\n').map(|line| (level, line.to_owned()));
        state.borrow_mut().always.lines.extend(lines);
    }

    pub(crate) fn write(bytes: &[u8]) {
        current().borrow_mut().always.written.extend_from_slice(bytes);
    }
}

pub(crate) mod output {
    use serde_json::Value;

    use super::super::unexpected;
    use super::current;

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| unexpected(&format!("not JSON: {error}: {text}")))
    }

    pub(crate) fn set(name: &str, value: &str) {
        current().borrow_mut().always.outputs.insert(name.to_owned(), read(value));
    }

    pub(crate) fn set_live_data(data: &str) {
        current().borrow_mut().always.live = Some(read(data));
    }
}

pub(crate) mod job {
    use super::{current, wit};

    pub(crate) fn get_context() -> wit::Context {
        current().borrow().always.context.clone()
    }

    pub(crate) fn get_node() -> wit::Node {
        current().borrow().always.node.clone()
    }

    pub(crate) fn get_variable(name: &str) -> Option<String> {
        let found = list_variables().into_iter().find(|variable| variable.name == name);
        found.map(|variable| variable.value)
    }

    pub(crate) fn list_variables() -> Vec<wit::Variable> {
        current().borrow().always.variables.clone()
    }
}

pub(crate) mod clock {
    pub(crate) mod local_time {
        pub(crate) fn utc_offset(_unix_seconds: i64) -> i32 {
            super::super::current().borrow().always.utc_offset
        }
    }

    pub(crate) mod monotonic_clock {
        use std::time::Duration;

        use super::super::{current, pass};

        pub(crate) fn now() -> u64 {
            u64::try_from(current().borrow().always.elapsed.as_nanos()).unwrap_or(u64::MAX)
        }

        pub(crate) struct Timer(Duration);

        impl Timer {
            pub(crate) fn block(&self) {
                pass(self.0);
            }
        }

        pub(crate) fn subscribe_duration(nanos: u64) -> Timer {
            Timer(Duration::from_nanos(nanos))
        }
    }

    pub(crate) mod wall_clock {
        use super::super::current;
        use crate::bindings::wasi::clocks::wall_clock::Datetime;

        pub(crate) fn now() -> Datetime {
            let state = current();
            let always = &state.borrow().always;
            let now = always.began.saturating_add(always.elapsed);
            Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() }
        }
    }
}

pub(crate) mod random {
    use super::current;

    /// The same numbers in every run: a test that depends on chance proves nothing.
    pub(crate) fn get_random_u64() -> u64 {
        let state = current();
        let random = &mut state.borrow_mut().always.random;
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    }

    pub(crate) fn get_random_bytes(count: u64) -> Vec<u8> {
        (0..count).map(|_| get_random_u64().to_le_bytes()[0]).collect()
    }
}
