//! Tells messages that the agent made long ago and only now gets through.
//!
//! After an outage the agent refills what was lost by resending only its oldest message, at about ten a second. What it
//! made in the meantime waits behind them without the client seeing a gap in the numbers. But a resend keeps the date
//! of its making, and acknowledges are never sent twice: they tell the agent's clock.

use std::time::Duration;

use crate::Timestamp;

/// Beyond any queueing on the way, below the grace period of a held-back FIN.
const LATE: Duration = Duration::from_secs(1);

/// What is known of the agent's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lateness {
    /// An acknowledge came at this time and carried this date, in milliseconds.
    last: Option<(Timestamp, u64)>,
}

impl Lateness {
    /// An acknowledge: it was made one path's delay ago.
    pub(super) const fn handle_acknowledge(&mut self, created_date: u64, now: Timestamp) {
        self.last = Some((now, created_date));
    }

    /// Whether a message with this date was made long before it came.
    pub(super) fn is_late(&self, created_date: u64, now: Timestamp) -> bool {
        let Some((at, date)) = self.last else {
            return false;
        };
        let passed = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        let expected = date.saturating_add(passed);
        u128::from(expected.saturating_sub(created_date)) > LATE.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_long_before_it_came_is_late() {
        let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
        let mut lateness = Lateness::default();
        assert!(!lateness.is_late(0, at(0)), "nothing is known of the agent's clock yet");
        // The agent's clock is 7 s ahead of ours.
        lateness.handle_acknowledge(57_000, at(50_000));
        assert!(!lateness.is_late(57_000, at(50_900)));
        assert!(lateness.is_late(57_000, at(51_100)));
        assert!(!lateness.is_late(61_000, at(54_500)));
        assert!(
            !lateness.is_late(99_000, at(54_500)),
            "a clock that was set forward makes nothing late"
        );
    }
}
