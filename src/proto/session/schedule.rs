//! When a session times out, and how that bends the waits between attempts.
//!
//! AWS ends a session after its idle time-out (20 minutes unless the account says otherwise, up to 60) and after its
//! maximum duration, if the account has one. The client cannot see either clock, so it keeps the three times between
//! which the end must lie, and makes sure that an attempt falls shortly before each. After the last one it asks on:
//! AWS alone decides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Session, Work};
use crate::Timestamp;

/// An attempt falls this long before each deadline: early enough for a slow call, late enough for a network to return.
const LEADS: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(20), Duration::from_secs(5)];

/// AWS's own default of the idle time-out.
const USUAL_IDLE: Duration = Duration::from_secs(20 * 60);
/// A StartSession goes before a ResumeSession that has more time left than this.
const START_DUE: Duration = Duration::from_secs(30);

/// Between these the session ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// The last input or resume, and the idle time-out after it: it may end from here on.
    pub earliest: Timestamp,
    /// The drop, and the idle time-out after it.
    pub latest: Option<Timestamp>,
    /// The start, and the maximum duration after it.
    pub hard: Option<Timestamp>,
}

impl Deadlines {
    fn all(&self) -> impl Iterator<Item = Timestamp> {
        [Some(self.earliest), self.latest, self.hard].into_iter().flatten()
    }

    /// The deadline that comes next; none when all have passed.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.all().filter(|at| *at > now).min()
    }

    /// The moment a wait that would end at `until` must end instead, so that an attempt falls before each deadline.
    pub fn bend(&self, until: Timestamp, now: Timestamp) -> Timestamp {
        let leads = self
            .all()
            .flat_map(|deadline| LEADS.into_iter().filter_map(move |lead| deadline.checked_before(lead)));
        leads.filter(|at| *at > now).min().map_or(until, |at| at.min(until))
    }
}

/// How long AWS lets a session live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Without input from the client.
    pub idle: Duration,
    /// In all, if the account limits it.
    pub most: Option<Duration>,
}

/// What the account's session preferences say about it, as far as they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// The idle time-out.
    pub idle: Option<Duration>,
    /// The maximum duration.
    pub most: Option<Duration>,
}

impl Session {
    /// What the account says about how long sessions live; the configuration goes before it.
    pub fn handle_preferences(&mut self, preferences: Preferences, now: Timestamp) {
        self.preferences = preferences;
        // A wait that has begun must not go past a deadline that was not known.
        if let Work::Waiting { until, not_before } = self.work {
            let bent = self.deadlines().map_or(until, |deadlines| deadlines.bend(until, now));
            self.work = Work::Waiting {
                until: bent.max(not_before),
                not_before,
            };
        }
    }

    pub(super) fn lifetime(&self) -> Lifetime {
        let (config, account) = (&self.config, self.preferences);
        Lifetime {
            idle: config.session_timeout.or(account.idle).unwrap_or(USUAL_IDLE),
            most: config.max_duration.or(account.most),
        }
    }

    /// By when the next call should go out: before the session may end, or soon for one that somebody waits for.
    pub(super) fn call_due(&self, now: Timestamp) -> Timestamp {
        let deadline = self.deadlines().map(|deadlines| deadlines.next(now).unwrap_or(now));
        deadline.unwrap_or_else(|| now.after(START_DUE))
    }
}

/// What is remembered to know the deadlines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    started: Timestamp,
    /// The last input sent or ResumeSession answered.
    last: Timestamp,
    /// The last message that only keeps the session alive, whether or not it has left yet.
    kept_alive: Timestamp,
    /// Since when no websocket is up.
    down: Option<Timestamp>,
}

impl Activity {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            started: now,
            last: now,
            kept_alive: now,
            down: None,
        }
    }

    pub(super) const fn handle_input(&mut self, now: Timestamp) {
        self.last = now;
    }

    pub(super) const fn handle_keepalive(&mut self, now: Timestamp) {
        self.kept_alive = now;
    }

    /// Since when nothing has been sent that AWS counts as input.
    pub(super) fn idle_since(&self) -> Timestamp {
        self.last.max(self.kept_alive)
    }

    pub(super) const fn handle_up(&mut self) {
        self.down = None;
    }

    pub(super) fn handle_down(&mut self, now: Timestamp) {
        self.down.get_or_insert(now);
    }

    pub(super) fn deadlines(&self, lifetime: Lifetime) -> Deadlines {
        Deadlines {
            earliest: self.last.after(lifetime.idle),
            latest: self.down.map(|down| down.after(lifetime.idle)),
            hard: lifetime.most.map(|most| self.started.after(most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn an_attempt_falls_before_each_deadline_and_none_is_delayed() {
        let mut activity = Activity::new(at(0));
        activity.handle_input(at(100));
        activity.handle_down(at(400));
        activity.handle_down(at(500));
        let deadlines = activity.deadlines(Lifetime {
            idle: Duration::from_secs(1200),
            most: Some(Duration::from_secs(7200)),
        });
        assert_eq!(
            deadlines,
            Deadlines {
                earliest: at(1300),
                latest: Some(at(1600)),
                hard: Some(at(7200)),
            }
        );
        // Waits of an hour: what remains are the attempts before the deadlines.
        let mut now = at(500);
        let mut attempts = Vec::new();
        while now < at(7200) {
            now = deadlines.bend(now.after(Duration::from_secs(3600)), now);
            attempts.push(now);
        }
        let expected = [1240, 1280, 1295, 1540, 1580, 1595, 5195, 7140, 7180, 7195].map(at);
        assert_eq!(attempts[..10], expected);
        assert_eq!(deadlines.bend(at(505), at(500)), at(505), "a short wait stays as it is");
        assert_eq!(deadlines.next(at(1300)), Some(at(1600)));
        assert_eq!(deadlines.next(at(7200)), None, "now AWS alone decides");
        activity.handle_up();
        let up = activity.deadlines(Lifetime {
            idle: Duration::from_secs(1200),
            most: None,
        });
        assert_eq!((up.latest, up.hard), (None, None));
    }
}
