//! The only place that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use autossm_proto::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Counts the machine's sleep, so that a session's time-outs run on while a laptop is closed.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
/// Other systems have no boot-time clock under that name; what is lost is noticing sleep.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The longest single sleep of [`Clock::sleep_until`]: tokio's timers stand still while the machine sleeps, so a
/// deadline that passed meanwhile is noticed at most this long after waking up.
const SLICE: Duration = Duration::from_secs(5);

/// The process's clock. All copies read the same one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The boot-time clock; its origin is the machine's start, so it means the same in a later process.
    pub fn now(self) -> Timestamp {
        timestamp(clock_gettime(CLOCK))
    }

    /// Time since the Unix epoch; zero on a machine whose clock is before it.
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads clocks")]
    pub fn unix_now(self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Returns once the boot-time clock has reached `deadline`. Cancel-safe.
    ///
    /// It compares the clock with the deadline instead of trusting one timer, because that one does not count sleep.
    pub async fn sleep_until(self, deadline: Timestamp) {
        loop {
            let left = deadline.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

/// Some instant, for a library that wants one and does nothing with it.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads clocks")]
pub(crate) fn any_instant() -> Instant {
    Instant::now()
}

fn timestamp(time: Timespec) -> Timestamp {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_add_up() {
        let time = Timespec { tv_sec: 3, tv_nsec: 7 };
        assert_eq!(timestamp(time), Timestamp::from_nanos(3_000_000_007));
        let negative = Timespec { tv_sec: -1, tv_nsec: 0 };
        assert_eq!(timestamp(negative), Timestamp::ZERO);
    }

    #[test]
    fn time_does_not_go_back() {
        let first = Clock.now();
        assert!(first > Timestamp::ZERO);
        assert!(Clock.now() >= first);
        // 2020-01-01, when this program did not exist.
        assert!(Clock.unix_now() > Duration::from_secs(1_577_836_800));
    }

    #[tokio::test]
    async fn sleeping_ends_at_the_deadline_and_not_before() {
        let start = Clock.now();
        let deadline = start.after(Duration::from_millis(20));
        Clock.sleep_until(deadline).await;
        assert!(Clock.now() >= deadline);
        // In the past: at once.
        Clock.sleep_until(Timestamp::ZERO).await;
    }
}
