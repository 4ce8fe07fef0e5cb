//! What a soak will do, drawn from its seed before it begins: the same seed does the same again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::kinds::{self, Strike};

/// One fault of one session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// The session has been well for this long when the fault strikes.
    pub(crate) pause: Duration,
    pub(crate) strike: Strike,
    /// The next fault does not wait until this one is healed, but only so long.
    pub(crate) hurry: Option<Duration>,
}

/// How many in a hundred faults strike before the one before them is healed.
const HURRIED: u32 = 15;

/// The steps of each session.
pub(crate) fn plan(seed: u64, faults: usize, sessions: usize) -> Vec<Vec<Step>> {
    (0..sessions)
        .map(|session| {
            // Independent of how many sessions there are besides.
            let own = seed.wrapping_add((session as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut rng = StdRng::seed_from_u64(own);
            let share = faults / sessions + usize::from(session < faults % sessions);
            (0..share).map(|_| step(&mut rng)).collect()
        })
        .collect()
}

fn step(rng: &mut StdRng) -> Step {
    let strike = kinds::draw(rng);
    // What an ended session does to the next fault is not this soak's question.
    let may_hurry = strike.effect != kinds::Effect::Ends;
    let hurried = may_hurry && rng.random_range(0..100) < HURRIED;
    Step {
        pause: Duration::from_millis(rng.random_range(0..800)),
        strike,
        hurry: hurried.then(|| Duration::from_millis(rng.random_range(0..1500))),
    }
}
