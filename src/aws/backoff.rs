//! The waits between attempts: the envelope of the `backoff` crate, with our own jitter below it.
//!
//! The crate is used as a policy type only and named nowhere else. Left out on purpose: its jitter, which comes after
//! the cap (so a wait could exceed it) and from an unseeded generator, and its limit on elapsed time, after which it
//! would never wait again.

use std::fmt;
use std::time::{Duration, Instant};

use autossm_proto::session::Backoff;
use backoff::Clock;
use backoff::backoff::Backoff as _;
use backoff::exponential::ExponentialBackoff;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock;
use crate::config::BackoffSettings;

/// No wait is shorter, unless the cap is: full jitter may draw zero, and a run of zeros would be a hot loop.
const FLOOR: Duration = Duration::from_millis(10);

/// Exponential waits with full jitter from a seed.
///
/// The n-th wait after a reset is drawn evenly from zero to `min(cap, initial * multiplier^n)`; draws below 10 ms
/// become 10 ms. It never ends: the session decides when it is over, not a number of attempts.
pub struct SeededBackoff {
    envelope: ExponentialBackoff<Stopped>,
    floor: Duration,
    jitter: StdRng,
}

impl SeededBackoff {
    /// Waits as `settings` describe; the same seed draws the same waits.
    ///
    /// Nonsense is made harmless here although the configuration refuses it: a multiplier below 1 counts as 1, an
    /// initial wait below the floor as the floor, and one above the cap as the cap.
    pub fn new(settings: &BackoffSettings, seed: u64) -> Self {
        let floor = FLOOR.min(settings.cap);
        let initial = settings.initial.max(floor).min(settings.cap);
        let clock = Stopped(clock::any_instant());
        Self {
            envelope: ExponentialBackoff {
                current_interval: initial,
                initial_interval: initial,
                randomization_factor: 0.0,
                multiplier: settings.multiplier.max(1.0),
                max_interval: settings.cap,
                start_time: clock.0,
                max_elapsed_time: None,
                clock,
            },
            floor,
            jitter: StdRng::seed_from_u64(seed),
        }
    }

    /// The next wait's upper bound; takes one step.
    fn next_envelope(&mut self) -> Duration {
        let cap = self.envelope.max_interval;
        self.envelope.next_backoff().unwrap_or(cap).min(cap)
    }
}

impl Backoff for SeededBackoff {
    fn next_wait(&mut self) -> Duration {
        let envelope = self.next_envelope();
        let nanos = u64::try_from(envelope.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.jitter.random_range(0..=nanos)).max(self.floor)
    }

    fn reset(&mut self) {
        // The jitter goes on: the same waits after every drop would bring all sessions back in step.
        self.envelope.reset();
    }
}

impl fmt::Debug for SeededBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededBackoff")
            .field("envelope", &self.envelope.current_interval)
            .finish_non_exhaustive()
    }
}

/// A clock that stands still: elapsed time must not matter here.
#[derive(Clone, Copy, Debug)]
struct Stopped(Instant);

impl Clock for Stopped {
    fn now(&self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(initial_ms: u64, multiplier: f64, cap_ms: u64) -> BackoffSettings {
        BackoffSettings {
            initial: Duration::from_millis(initial_ms),
            multiplier,
            cap: Duration::from_millis(cap_ms),
        }
    }

    fn envelopes(settings: &BackoffSettings, count: usize) -> Vec<u128> {
        let mut backoff = SeededBackoff::new(settings, 1);
        (0..count).map(|_| backoff.next_envelope().as_millis()).collect()
    }

    #[test]
    fn the_envelope_grows_to_the_cap() {
        assert_eq!(
            envelopes(&BackoffSettings::default(), 10),
            [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]
        );
        assert_eq!(
            envelopes(&settings(1000, 1.5, 4000), 6),
            [1000, 1500, 2250, 3375, 4000, 4000]
        );
    }

    #[test]
    fn nonsense_is_harmless() {
        let cases = [
            (settings(0, 2.0, 100), [10, 20, 40, 80]),
            (settings(100, 0.0, 1000), [100, 100, 100, 100]),
            (settings(100, f64::NAN, 1000), [100, 100, 100, 100]),
            (settings(100, f64::INFINITY, 1000), [100, 1000, 1000, 1000]),
            (settings(5000, 2.0, 1000), [1000, 1000, 1000, 1000]),
            (settings(5, 2.0, 5), [5, 5, 5, 5]),
        ];
        for (settings, expected) in cases {
            assert_eq!(envelopes(&settings, 4), expected, "{settings:?}");
        }
    }

    #[test]
    fn waits_stay_between_floor_and_envelope_and_never_end() {
        let settings = BackoffSettings::default();
        let mut bounds = SeededBackoff::new(&settings, 0);
        let mut backoff = SeededBackoff::new(&settings, 7);
        let mut short = 0;
        for step in 0..10_000 {
            let (bound, wait) = (bounds.next_envelope(), backoff.next_wait());
            assert!(wait <= bound && wait >= FLOOR, "step {step}: {wait:?} of {bound:?}");
            short += usize::from(wait < settings.cap / 2);
        }
        // Full jitter: about half of the waits are in the lower half.
        assert!((4_500..5_500).contains(&short), "{short}");
    }

    #[test]
    fn a_seed_replays_its_waits() {
        let draw = |seed| {
            let mut backoff = SeededBackoff::new(&BackoffSettings::default(), seed);
            (0..20).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn reset_starts_again_with_short_waits() {
        let mut backoff = SeededBackoff::new(&BackoffSettings::default(), 5);
        for _ in 0..20 {
            backoff.next_wait();
        }
        backoff.reset();
        assert_eq!(backoff.next_envelope(), Duration::from_millis(100));
    }
}
