//! The wait between attempts.

use std::time::Duration;

use autossm_proto::session::Backoff;

use crate::rng::Rng;

/// Exponential, full jitter.
#[derive(Debug)]
pub(crate) struct Jitter {
    rng: Rng,
    step: u32,
}

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed ^ 77),
            step: 0,
        }
    }
}

impl Backoff for Jitter {
    fn next_wait(&mut self) -> Duration {
        let cap = (100u64 << self.step.min(8)).min(15_000);
        self.step += 1;
        self.rng.millis(0, cap)
    }

    fn reset(&mut self) {
        self.step = 0;
    }
}
