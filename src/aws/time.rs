//! What time AWS has: requests are signed with it, and a machine's clock may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::transport::{TOLERATED_SKEW, skew, skew_sentence};

/// This machine's clock, with what AWS's answers have shown about it. Clones share what they know.
///
/// The SDK corrects the times of its own signatures in the same way; this is for the data channel's.
#[derive(Clone, Debug)]
pub(super) struct ServiceTime {
    clock: Clock,
    /// Seconds to add.
    skew: Arc<AtomicI64>,
}

impl ServiceTime {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            skew: Arc::new(AtomicI64::new(0)),
        }
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// AWS's time since the Unix epoch, as far as it is known.
    pub(super) fn unix_now(&self) -> Duration {
        let skew = self.skew();
        let now = self.clock.unix_now();
        let seconds = Duration::from_secs(skew.unsigned_abs());
        if skew < 0 {
            now.saturating_sub(seconds)
        } else {
            now.saturating_add(seconds)
        }
    }

    /// Seconds that AWS is ahead of this machine; zero while the difference does not matter.
    pub(super) fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }

    /// An answer of AWS came with this `Date` header.
    pub(super) fn observe(&self, date: &str) {
        let Some(skew) = skew(date, self.clock.unix_now()) else {
            return;
        };
        let skew = if skew.unsigned_abs() < TOLERATED_SKEW { 0 } else { skew };
        let before = self.skew.swap(skew, Ordering::Relaxed);
        // Answers come in no fixed order, and a second more or less is no news.
        if before.abs_diff(skew) >= TOLERATED_SKEW {
            if skew == 0 {
                tracing::info!("this machine's clock agrees with AWS's again");
            } else {
                tracing::warn!("{}; autossm signs with AWS's time meanwhile", skew_sentence(skew));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;
    use aws_smithy_types::date_time::Format;

    use super::*;

    #[test]
    fn small_differences_are_none() {
        let time = ServiceTime::new(Clock);
        let shown = |ahead: i64| {
            let now = i64::try_from(Clock.unix_now().as_secs()).unwrap();
            DateTime::from_secs(now + ahead).fmt(Format::HttpDate).unwrap()
        };
        time.observe(&shown(30));
        assert_eq!(time.skew(), 0);
        time.observe(&shown(7200));
        assert!((7190..=7200).contains(&time.skew()), "{}", time.skew());
        assert!(time.unix_now() > Clock.unix_now() + Duration::from_secs(7100));
        time.observe("nonsense");
        assert_ne!(time.skew(), 0);
        time.observe(&shown(-7200));
        assert!(time.unix_now() < Clock.unix_now() - Duration::from_secs(7100));
        time.observe(&shown(0));
        assert_eq!(time.skew(), 0);
    }
}
