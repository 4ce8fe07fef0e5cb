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

    /// The clock that stands still while the machine sleeps.
    fn awake(self) -> Timestamp {
        timestamp(clock_gettime(ClockId::Monotonic))
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

/// Clocks drift apart by less, however long one looks.
const SLEPT: Duration = Duration::from_millis(500);

/// A wake-up that is told again within this time, by somebody else, is the same one. A lid that flaps is slower.
pub(crate) const SAME_WAKE_UP: Duration = Duration::from_secs(3);

/// Notices that the machine has slept: the boot-time clock has gone on, the other one has not.
#[derive(Debug)]
pub struct SleepMeter {
    clock: Clock,
    now: Timestamp,
    awake: Timestamp,
}

impl SleepMeter {
    /// Sleep counts from here on.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            now: clock.now(),
            awake: clock.awake(),
        }
    }

    /// How long the machine has slept since the last look, if it has.
    pub fn look(&mut self) -> Option<Duration> {
        // In this order: a pause between the two reads makes no sleep.
        let (now, awake) = (self.clock.now(), self.clock.awake());
        let slept = now.since(self.now).saturating_sub(awake.since(self.awake));
        if slept < SLEPT {
            return None;
        }
        (self.now, self.awake) = (now, awake);
        Some(slept)
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

    #[test]
    fn a_machine_that_is_awake_has_not_slept() {
        let mut meter = SleepMeter::new(Clock);
        assert_eq!(meter.look(), None);
        // As if the machine had slept a minute since the last look.
        meter.now = Timestamp::from_nanos(meter.now.as_nanos() - 60_000_000_000);
        let slept = meter.look().unwrap();
        assert!((60..62).contains(&slept.as_secs()), "{slept:?}");
        assert_eq!(meter.look(), None, "told once");
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
