//! Login shaping: not more logins per second than a group of hosts or a jump host is to bear.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::rules::{self, HostRule, JumpHost};
use super::settings::SshTarget;

/// Whose logins are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// The hosts of a rule, by its position.
    Rule(usize),
    /// The hosts behind a jump host, by its `user@host:port`.
    Jump(String),
}

/// Hands out moments to log in.
#[derive(Debug, Default)]
pub(super) struct Shaper {
    next: Mutex<HashMap<Group, Instant>>,
}

impl Shaper {
    /// Waits for the turn of one login. Turns are a fixed time apart, so that no second sees a burst; one that is given
    /// up is lost.
    pub(super) async fn turn(&self, group: Group, per_second: f64) {
        if per_second.is_nan() || per_second <= 0.0 {
            return;
        }
        let apart = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_hours(1));
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let free = next.entry(group).or_insert(now);
            let turn = (*free).max(now);
            *free = turn + apart;
            turn
        };
        sleep_until(turn).await;
    }

    /// Waits until the limits of the host's group and of its last jump host allow one more login.
    pub(super) async fn login_turn(&self, rules: &[HostRule], target: &SshTarget, jumps: &[Arc<JumpHost>]) {
        if let Some((rule, limit)) = rules::login_limit(rules, &target.host) {
            self.turn(Group::Rule(rule), limit).await;
        }
        if let Some(jump) = jumps.last()
            && let Some(limit) = jump.logins_per_second
        {
            self.turn(Group::Jump(jump.target.to_string()), limit).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_apart_and_groups_do_not_wait_for_each_other() {
        let shaper = Shaper::default();
        let begin = Instant::now();
        for _ in 0..5 {
            shaper.turn(Group::Rule(0), 2.0).await;
        }
        assert_eq!(begin.elapsed().as_millis() / 10, 200, "the first one waits for nothing");
        let begin = Instant::now();
        shaper.turn(Group::Rule(1), 0.001).await;
        shaper.turn(Group::Jump("a".into()), 0.001).await;
        shaper.turn(Group::Rule(2), 0.0).await;
        assert!(begin.elapsed() < Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_saves_nothing_up() {
        let shaper = Shaper::default();
        shaper.turn(Group::Rule(0), 1.0).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let begin = Instant::now();
        for _ in 0..3 {
            shaper.turn(Group::Rule(0), 1.0).await;
        }
        assert_eq!(begin.elapsed().as_secs(), 2);
    }
}
