//! What tools that call the console have in common (spec/server-api.md §4.5).

use std::time::Duration;

use autoexec_sdk::server::{self, ServerError};
use autoexec_sdk::{HostError, clock, job, log};
use serde_json::Value;

/// Looks at a server that does not answer, before it counts as away.
const TRIES: u32 = 3;

/// Time between two of them.
const PAUSE: Duration = Duration::from_secs(3);

/// The id of this job as the console takes it: a number where it is one.
pub fn job_id() -> Value {
    id(&job::context().job_id)
}

/// An id as the console takes and stores it: a number where the text is one.
pub fn id(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(clock::since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Sends a call that may be sent twice, because it says what is so and changes nothing more than that. A server that does not answer is
/// asked again.
///
/// # Errors
/// As [`server::call`], after the last try.
pub fn call_again(name: &str, parameters: &Value) -> Result<Value, server::Error> {
    let mut tries = 1;
    loop {
        match server::call_value(name, parameters) {
            Err(HostError { reason: ServerError::Unavailable(why), .. }) if tries < TRIES => {
                log::warn(format_args!("The server does not answer to {name}, trying again: {why}"));
                tries += 1;
                clock::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    #[test]
    fn ids_are_numbers_where_they_can_be() {
        let host = Host::new();
        host.set_context(|context| context.job_id = "620011".into());
        assert_eq!(job_id(), json!(620_011));
        host.set_context(|context| context.job_id = "local-1".into());
        assert_eq!(job_id(), json!("local-1"));
        assert_eq!(now_ms(), 1_704_067_200_000);
    }

    #[test]
    fn a_server_that_is_away_for_a_moment_is_asked_again() {
        let host = Host::new();
        let away = || Err(ServerError::Unavailable("timed out".into()));
        host.server().call("rest/x", json!({})).answers_times(2, away());
        host.server().call("rest/x", json!({})).answers(Ok(json!(1)));
        assert_eq!(call_again("rest/x", &json!({})).unwrap(), json!(1));
        assert_eq!(host.waited(), PAUSE * 2);
        host.server().call("rest/x", json!({})).answers_times(3, away());
        assert!(call_again("rest/x", &json!({})).is_err());
        host.server().call("rest/x", json!({})).answers(Err(ServerError::Refused("no".into())));
        assert!(call_again("rest/x", &json!({})).is_err());
    }
}
