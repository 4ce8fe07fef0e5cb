//! The link between agent and service: inside the process, but with everything a real one can suffer.

use std::time::Duration;

use tokio::time::Instant;

use crate::fault::{Disturbance, Way};
use crate::lane::Lane;

/// After the loss of its link the agent tries this often.
const ATTEMPTS: u32 = 5;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The agent's link as the service sees it.
#[derive(Debug)]
pub(crate) struct AgentLink {
    /// Towards the service.
    pub(crate) up: Lane,
    /// Towards the agent.
    pub(crate) down: Lane,
    state: State,
    refused_until: Option<Instant>,
    reconnect_delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down {
        attempt: u32,
        at: Instant,
    },
    /// It gave up: the session stays resumable and silent.
    GaveUp,
}

impl AgentLink {
    pub(crate) fn new(reconnect_delay: Duration) -> Self {
        Self {
            up: Lane::default(),
            down: Lane::default(),
            state: State::Up,
            refused_until: None,
            reconnect_delay,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// The link is gone, with everything in flight.
    pub(crate) fn cut(&mut self, now: Instant) {
        self.up.cut();
        self.down.cut();
        self.state = State::Down {
            attempt: 0,
            at: now + self.reconnect_delay,
        };
    }

    /// Lets reconnects fail until then.
    pub(crate) fn refuse(&mut self, until: Instant) {
        self.refused_until = Some(until);
    }

    /// True when the agent has just come back.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.up.handle_timeout(now);
        self.down.handle_timeout(now);
        let State::Down { attempt, at } = self.state else {
            return false;
        };
        if now < at {
            return false;
        }
        if self.refused_until.is_none_or(|until| now >= until) {
            self.refused_until = None;
            self.state = State::Up;
            return true;
        }
        let wait = FIRST_RETRY.saturating_mul(1 << attempt.min(10));
        self.state = if attempt < ATTEMPTS {
            State::Down {
                attempt: attempt + 1,
                at: now + wait.min(LAST_RETRY),
            }
        } else {
            tracing::warn!("agent: gave up reconnecting, the session stays silent");
            State::GaveUp
        };
        false
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let retry = match self.state {
            State::Down { at, .. } => Some(at),
            State::Up | State::GaveUp => None,
        };
        [retry, self.up.poll_timeout(), self.down.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn disturb(&mut self, disturbance: &Disturbance, now: Instant) {
        let until = disturbance.for_ms.map(|ms| now + Duration::from_millis(ms));
        if disturbance.way != Way::FromService {
            self.up.disturb(disturbance.traffic, until, disturbance.persist);
        }
        if disturbance.way != Way::ToService {
            self.down.disturb(disturbance.traffic, until, disturbance.persist);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.refused_until = None;
        self.up.heal();
        self.down.heal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_agent_gives_up_after_its_tries() {
        let start = clock::now();
        let mut link = AgentLink::new(Duration::from_millis(10));
        link.cut(start);
        link.refuse(start + Duration::from_secs(60));
        let mut tries = 0;
        while let Some(at) = link.poll_timeout() {
            assert!(!link.handle_timeout(at));
            tries += 1;
            assert!(tries < 10);
        }
        assert_eq!(tries, 6);
        assert!(!link.is_up());
    }

    #[test]
    fn it_comes_back_when_it_is_let() {
        let start = clock::now();
        let mut link = AgentLink::new(Duration::from_millis(10));
        link.cut(start);
        link.refuse(start + Duration::from_millis(200));
        assert!(!link.handle_timeout(start + Duration::from_millis(10)));
        assert!(!link.handle_timeout(start + Duration::from_millis(110)));
        assert!(link.handle_timeout(start + Duration::from_millis(310)));
        assert!(link.is_up());
    }
}
