//! Runs tools natively in `cargo test`, against a host that is a fake.
//!
//! A [`Host`] stands in for the executor on the thread of the test. Log, outputs, facts of the job, time and random numbers
//! work at once; every other call of a tool must have been expected, and one that was not fails the test, as does one that was
//! expected and never came.
//!
//! ```
//! use autoexec_sdk::testing::Host;
//! use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, net_probe};
//! use std::time::Duration;
//!
//! struct PortCheck;
//!
//! #[derive(serde::Deserialize)]
//! struct Options { host: String, port: u16 }
//!
//! impl Tool for PortCheck {
//!     type Options = Options;
//!     fn run(call: Call<Options>) -> ToolResult {
//!         net_probe::tcp_connect(&call.options.host, call.options.port, Duration::from_secs(5))?;
//!         Ok(Outcome::with_message("it listens"))
//!     }
//! }
//!
//! let host = Host::new();
//! host.net_probe().tcp_connect("db", 5432).answers(Err(net_probe::ProbeError::Refused));
//! let failure = host.run::<PortCheck>(serde_json::json!({"host": "db", "port": 5432})).unwrap_err();
//! assert_eq!(failure.message(), "connecting to db:5432: refused, nobody listens there");
//! ```

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::bindings::autoexec::tool::types as wit;
use crate::call::{Change, Checkable, Effect, Probeable, Tool, ToolResult, read_call};
use crate::failure::Failure;

mod always;
mod calls;
pub(crate) mod connection;
pub(crate) mod filesystem;
pub(crate) mod http;
mod recorded;
mod script;
pub(crate) mod target;

pub(crate) use always::{clock, job, log, output, random};
pub use calls::{Documents, Interact, JobNodes, NetProbe, Programs, Secrets, Server, Snmp};
pub(crate) use calls::{
    documents, interact, job_nodes, lock, net_probe, program, secret, server, snmp, step_outputs,
};
pub use connection::Connections;
pub use filesystem::Files;
pub use http::{Http, HttpRequest, Sent};
pub use script::Script;
pub use target::{Commands, Target};

pub use crate::bindings::autoexec::tool::log::Level;

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// What the fake host knows.
struct State {
    expectations: Vec<Expectation>,
    always: always::State,
    files: filesystem::State,
}

/// Whether arguments are those that are expected.
type Accepts = Box<dyn Fn(&dyn Any) -> bool>;

/// Makes an answer of arguments.
type Answers = Box<dyn FnMut(&dyn Any) -> Box<dyn Any>>;

/// A call that is expected.
struct Expectation {
    function: &'static str,
    shown: String,
    accepts: Accepts,
    answer: Answers,
    left: Left,
}

/// How often a call is still expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// So many times.
    Exactly(usize),
    /// Any number of times, none included.
    Any,
}

/// The fake host of this thread, for as long as it lives. At its end it checks that all that was expected has happened.
#[must_use = "the host is there as long as this value"]
pub struct Host {
    state: Rc<RefCell<State>>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host that expects nothing yet.
    ///
    /// # Panics
    ///
    /// When there is one on this thread already.
    pub fn new() -> Self {
        let state = State {
            expectations: Vec::new(),
            always: always::State::default(),
            files: filesystem::State::default(),
        };
        let state = Rc::new(RefCell::new(state));
        let before = CURRENT.with(|current| current.replace(Some(Rc::clone(&state))));
        assert!(before.is_none(), "there is a fake host on this thread already: drop it first");
        Self { state }
    }

    /// Runs the tool with options, as an object of their names and values, and without free arguments.
    pub fn run<T: Tool>(&self, options: Value) -> ToolResult {
        self.run_with_arguments::<T>(options, [])
    }

    /// Runs the tool with options and free arguments.
    pub fn run_with_arguments<T: Tool>(
        &self,
        options: Value,
        arguments: impl IntoIterator<Item = Value>,
    ) -> ToolResult {
        T::run(read_call(invocation(options, arguments))?)
    }

    /// Asks the tool what it would change.
    pub fn check<T: Checkable>(&self, options: Value) -> Result<Vec<Change>, Failure> {
        T::check(read_call(invocation(options, []))?)
    }

    /// Asks the tool whether an interrupted run took effect.
    pub fn probe<T: Probeable>(&self, options: Value) -> Result<Effect, Failure> {
        T::probe(read_call(invocation(options, []))?)
    }

    /// Checks that all that was expected has happened, as the end of the host's life does.
    ///
    /// # Panics
    ///
    /// When something has not.
    #[track_caller]
    pub fn verify(&self) {
        let missing = self.missing();
        assert!(missing.is_empty(), "expected of the tool, but not done:\n{}", missing.join("\n"));
    }

    fn missing(&self) -> Vec<String> {
        let state = self.state.borrow();
        let calls = state.expectations.iter().filter(|expected| matches!(expected.left, Left::Exactly(_)));
        calls.map(Expectation::describe).collect()
    }

    /// Expects a call of a function with arguments that `accepts` takes.
    fn expect<A: 'static, R: 'static>(
        &self,
        function: &'static str,
        shown: String,
        accepts: impl Fn(&A) -> bool + 'static,
    ) -> Expected<'_, A, R> {
        let accepts = move |arguments: &dyn Any| arguments.downcast_ref::<A>().is_some_and(&accepts);
        Expected { host: self, function, shown, accepts: Box::new(accepts), types: PhantomData }
    }

    /// Expects a call of a function with exactly these arguments.
    fn expect_exactly<A: PartialEq + Debug + 'static, R: 'static>(
        &self,
        function: &'static str,
        arguments: A,
    ) -> Expected<'_, A, R> {
        let shown = format!("{arguments:?}");
        self.expect(function, shown, move |actual: &A| *actual == arguments)
    }
}

impl Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("expected", &self.missing()).finish()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(None));
        if !std::thread::panicking() {
            self.verify();
        }
    }
}

impl Expectation {
    fn describe(&self) -> String {
        match self.left {
            Left::Exactly(1) | Left::Any => format!("  {} {}", self.function, self.shown),
            Left::Exactly(times) => format!("  {} {}, {times} times more", self.function, self.shown),
        }
    }
}

/// A call that is expected, and still needs its answer. Without one nothing is expected.
#[must_use = "say what the call answers"]
pub struct Expected<'h, A, R> {
    host: &'h Host,
    function: &'static str,
    shown: String,
    accepts: Accepts,
    types: PhantomData<fn(A) -> R>,
}

impl<A: 'static, R: 'static> Expected<'_, A, R> {
    /// Answers this, once.
    pub fn answers(self, answer: R) {
        let mut answer = Some(answer);
        // Asked for once only, because it is expected once only.
        self.add(Left::Exactly(1), move |_| answer.take());
    }

    /// Answers this, so many times.
    pub fn answers_times(self, times: usize, answer: R)
    where
        R: Clone,
    {
        self.add(Left::Exactly(times), move |_| Some(answer.clone()));
    }

    /// Answers this, however often it is asked, also never.
    pub fn always_answers(self, answer: R)
    where
        R: Clone,
    {
        self.add(Left::Any, move |_| Some(answer.clone()));
    }

    /// Answers what the function makes of the arguments, once. It may check them.
    pub fn answers_with(self, answer: impl FnOnce(&A) -> R + 'static) {
        let mut answer = Some(answer);
        self.add(Left::Exactly(1), move |arguments| answer.take().map(|answer| answer(arguments)));
    }

    /// Answers what the function makes of the arguments, however often it is asked, also never.
    pub fn always_answers_with(self, mut answer: impl FnMut(&A) -> R + 'static) {
        self.add(Left::Any, move |arguments| Some(answer(arguments)));
    }

    fn add(self, left: Left, mut answer: impl FnMut(&A) -> Option<R> + 'static) {
        let function = self.function;
        let answer = move |arguments: &dyn Any| -> Box<dyn Any> {
            let given = arguments.downcast_ref::<A>().and_then(&mut answer);
            Box::new(given.unwrap_or_else(|| unexpected(&format!("{function} was answered already"))))
        };
        let expectation = Expectation {
            function,
            shown: self.shown,
            accepts: self.accepts,
            answer: Box::new(answer),
            left,
        };
        self.host.state.borrow_mut().expectations.push(expectation);
    }
}

/// The state of the thread's host, for the functions that stand in for the imports.
fn current() -> Rc<RefCell<State>> {
    let current = CURRENT.with(|current| current.borrow().clone());
    current.unwrap_or_else(|| {
        unexpected(
            "there is no host outside of a component: begin the test with `let host = autoexec_sdk::testing::Host::new();`",
        )
    })
}

/// Answers a call as it was expected, or fails the test.
#[track_caller]
fn invoke<A: Debug + 'static, R: 'static>(function: &'static str, arguments: A) -> R {
    let state = current();
    let found = {
        let mut state = state.borrow_mut();
        let accepts =
            |expected: &Expectation| expected.function == function && (expected.accepts)(&arguments);
        let position = state.expectations.iter().position(accepts);
        position.map(|at| (at, state.expectations.remove(at)))
    };
    let Some((at, mut expectation)) = found else {
        let expected: Vec<String> = state.borrow().expectations.iter().map(Expectation::describe).collect();
        let expected = if expected.is_empty() { "  nothing".to_owned() } else { expected.join("\n") };
        unexpected(&format!(
            "the tool did what was not expected:\n  {function} {arguments:?}\nexpected at this point:\n{expected}"
        ));
    };
    // Outside of the borrow: what answers may itself use the host.
    let answer = (expectation.answer)(&arguments);
    expectation.left = match expectation.left {
        Left::Exactly(times) => Left::Exactly(times.saturating_sub(1)),
        Left::Any => Left::Any,
    };
    if expectation.left != Left::Exactly(0) {
        let mut state = state.borrow_mut();
        let at = at.min(state.expectations.len());
        state.expectations.insert(at, expectation);
    }
    match answer.downcast::<R>() {
        Ok(answer) => *answer,
        Err(_) => unexpected(&format!("{function} was given an answer of another type")),
    }
}

/// Ends the test.
#[expect(clippy::panic, reason = "this is how a test fails")]
#[track_caller]
fn unexpected(text: &str) -> ! {
    panic!("{text}")
}

fn invocation(options: Value, arguments: impl IntoIterator<Item = Value>) -> wit::Invocation {
    let options = match options {
        Value::Object(options) => options,
        Value::Null => Map::new(),
        other => unexpected(&format!("options are an object of names and values, not {other}")),
    };
    // As the executor does: empty ones never reach a tool.
    let is_empty = |value: &Value| value.is_null() || value.as_str() == Some("");
    let options = options.into_iter().filter(|(_, value)| !is_empty(value));
    wit::Invocation {
        options: options.map(|(name, value)| wit::OptionValue { name, value: value.to_string() }).collect(),
        arguments: arguments.into_iter().map(|value| value.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;

    fn panic_text(run: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    fn connect() {
        let _ = crate::net_probe::tcp_connect("h", 22, Duration::from_secs(1));
    }

    #[test]
    fn a_call_that_was_not_expected_fails_the_test_and_says_what_was() {
        let host = Host::new();
        host.net_probe().tcp_connect("other", 22).always_answers(Ok(1));
        let text = panic_text(connect);
        assert!(text.contains("net-probe.tcp-connect (\"h\", 22)"), "{text}");
        assert!(text.contains("(\"other\", 22)"), "{text}");
    }

    #[test]
    fn a_call_that_never_came_fails_the_test() {
        let text = panic_text(|| {
            let host = Host::new();
            host.net_probe().tcp_connect("h", 22).answers(Ok(1));
        });
        assert!(text.contains("not done:\n  net-probe.tcp-connect (\"h\", 22)"), "{text}");
    }

    #[test]
    fn without_a_host_the_test_is_told_to_make_one() {
        let text = panic_text(connect);
        assert!(text.contains("Host::new()"), "{text}");
    }

    #[test]
    fn answers_come_in_their_order_and_only_as_often_as_expected() {
        let host = Host::new();
        host.net_probe().tcp_connect("h", 22).answers_times(2, Ok(1));
        host.net_probe().tcp_connect("h", 22).answers(Ok(7));
        let take = || crate::net_probe::tcp_connect("h", 22, Duration::from_secs(1)).unwrap().as_millis();
        assert_eq!((take(), take(), take()), (1, 1, 7));
        assert!(panic_text(connect).contains("expected at this point:\n  nothing"));
    }
}
