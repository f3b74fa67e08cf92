//! Waits until something is up or down, with a number of tries (spec/tools-behaviour/03-checks.md, waiting tools).

use std::time::Duration;

use autoexec_sdk::clock::{self, Instant};
use autoexec_sdk::options;
use serde::Deserialize;

/// Which state is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answers.
    #[default]
    Up,
    /// It does not answer.
    Down,
}

impl State {
    /// As jobs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Options that all waiting tools have.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Patience {
    /// Which state is waited for.
    #[serde(default)]
    pub targetstatus: State,
    /// Seconds of one try.
    #[serde(default = "ten", deserialize_with = "options::number")]
    pub timeout: u16,
    /// Number of tries.
    #[serde(default = "thirty", deserialize_with = "options::number")]
    pub retrycount: u32,
}

fn ten() -> u16 {
    10
}

fn thirty() -> u32 {
    30
}

impl Patience {
    /// Time of one try.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }

    /// Tries until the wanted state is seen; whether it was. `is_up` looks once. Between two tries the rest of the first
    /// one's time is waited.
    ///
    /// # Errors
    /// Of `is_up`; they end the waiting.
    pub fn wait_for<E>(&self, mut is_up: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
        let wanted = self.targetstatus == State::Up;
        for number in 1..=self.retrycount {
            let begin = Instant::now();
            if is_up()? == wanted {
                return Ok(true);
            }
            if number < self.retrycount {
                clock::sleep(self.timeout().saturating_sub(begin.elapsed()));
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    fn patience(targetstatus: State, retrycount: u32) -> Patience {
        Patience { targetstatus, timeout: 10, retrycount }
    }

    fn wait(patience: Patience, states: &[bool]) -> (bool, usize) {
        let mut looks = 0;
        let seen = patience.wait_for(|| {
            looks += 1;
            Ok::<_, ()>(states[looks - 1])
        });
        (seen.unwrap(), looks)
    }

    #[test]
    fn it_ends_with_the_wanted_state() {
        let host = Host::new();
        assert_eq!(wait(patience(State::Up, 30), &[false, false, true]), (true, 3));
        assert_eq!(host.waited(), Duration::from_secs(20));
        assert_eq!(wait(patience(State::Down, 30), &[true, false]), (true, 2));
    }

    #[test]
    fn it_gives_up_after_so_many_tries_without_waiting_once_more() {
        let host = Host::new();
        assert_eq!(wait(patience(State::Up, 2), &[false, false, true]), (false, 2));
        assert_eq!(host.waited(), Duration::from_secs(10));
        assert_eq!(wait(patience(State::Up, 0), &[]), (false, 0));
    }
}
