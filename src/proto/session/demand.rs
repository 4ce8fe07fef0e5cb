//! When an AWS session is there at all: at once, with the first local connection, and after an end.

use std::time::Duration;

use super::{Event, OnEnd, Phase, ResetCause, Session, StartWhen, Work};
use crate::Timestamp;

impl Session {
    /// The session is wanted from now on: starts it, resumes the one that was restored, or waits for the first local
    /// connection if that is what starts it.
    pub fn start(&mut self, now: Timestamp) {
        if self.wanted {
            return;
        }
        self.wanted = true;
        self.on_demand = self.config.start == StartWhen::OnConnect;
        if self.is_needless() {
            self.fall_dormant("not started", now);
        } else {
            self.begin_attempt("wanted", now);
        }
    }

    /// The session is wanted now, whether or not anybody connects.
    pub fn start_now(&mut self, now: Timestamp) {
        if !self.wanted {
            self.wanted = true;
            self.on_demand = false;
            self.begin_attempt("wanted", now);
        } else if self.phase == Phase::Dormant {
            self.wake("start requested", now);
        }
    }

    /// Whether the session is to be kept alive. [`OnEnd::Stop`] makes it unwanted by itself.
    pub const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// There is no AWS session, only a local connection starts one, and none is there.
    pub(super) fn is_needless(&self) -> bool {
        self.on_demand && self.live.is_none() && self.waiting.is_empty()
    }

    /// The wait between attempts is over: the next one, unless nobody needs it any more.
    pub(super) fn attempt_or_rest(&mut self, cause: &str, now: Timestamp) {
        if self.is_needless() {
            let cause = self.cause.clone();
            self.fall_dormant(&cause, now);
        } else {
            self.begin_attempt(cause, now);
        }
    }

    /// A local connection waits: it starts a session that is dormant.
    pub(super) fn wake_for_local(&mut self, now: Timestamp) {
        if self.phase == Phase::Dormant {
            self.wake("a local connection has come", now);
        }
    }

    pub(super) fn wake(&mut self, cause: &str, now: Timestamp) {
        self.backoff.reset();
        self.attempts = 0;
        self.begin_attempt(cause, now);
    }

    pub(super) fn fall_dormant(&mut self, cause: &str, now: Timestamp) {
        self.on_demand = true;
        self.work = Work::Idle;
        self.attempts = 0;
        let cause = format!("{cause}; the next local connection starts a session");
        self.set_phase(Phase::Dormant, cause, now);
    }

    /// What follows an end. `worked` says that it had been attached, `used` that local connections went with it.
    pub(super) fn follow_end(&mut self, cause: &str, (worked, used): (bool, bool), now: Timestamp) {
        if !self.wanted {
            self.set_phase(Phase::Ended, cause.to_owned(), now);
            return;
        }
        let used = used || !self.waiting.is_empty();
        let on_end = match self.config.on_end {
            // It never came to be: that is a start that failed, not an end.
            _ if !worked && !self.is_needless() => OnEnd::Restart,
            OnEnd::Auto if used => OnEnd::Restart,
            OnEnd::Auto => OnEnd::Dormant,
            OnEnd::Dormant if !self.waiting.is_empty() => OnEnd::Restart,
            chosen @ (OnEnd::Restart | OnEnd::Dormant | OnEnd::Stop) => chosen,
        };
        match on_end {
            OnEnd::Auto | OnEnd::Restart => {
                // Who wants a new session after each end wants one without local connections, too.
                self.on_demand &= self.config.on_end != OnEnd::Restart || !worked;
                self.set_phase(Phase::Ended, cause.to_owned(), now);
                let wait = self.backoff.next_wait();
                self.wait(wait, Duration::ZERO, now);
            }
            OnEnd::Dormant => self.fall_dormant(cause, now),
            OnEnd::Stop => {
                self.wanted = false;
                self.reset_waiting();
                self.set_phase(Phase::Stopped, cause.to_owned(), now);
            }
        }
    }

    pub(super) fn reset_waiting(&mut self) {
        for local in std::mem::take(&mut self.waiting) {
            self.events.push_back(Event::Reset {
                local,
                cause: ResetCause::SessionEnded,
            });
        }
    }
}

#[cfg(test)]
#[path = "demand_tests.rs"]
mod tests;
