//! The pure core against a model of Session Manager and its agent, in virtual time: random faults at random moments
//! on both sides, and a reference that knows every byte. `SIM_SEED=n` replays one seed.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod agent;
mod fault;
mod host;
mod local;
mod named;
mod net;
mod plan;
mod rng;
mod wire;
mod world;

use std::time::Duration;

use autossm_proto::session::SessionConfig;

use agent::AgentConfig;
use fault::Fault;
use plan::Plan;
use rng::Rng;
use world::World;

/// Prints what happens, when one seed is replayed.
#[macro_export]
macro_rules! trace {
    ($now:expr, $($text:tt)+) => {
        if std::env::var_os("SIM_TRACE").is_some() {
            use std::io::Write;
            let _closed = writeln!(std::io::stderr(), "{:?} {}", $now, format_args!($($text)+));
        }
    };
}

/// A random scenario.
fn scenario(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let old = rng.chance(15);
    let agent = AgentConfig {
        old,
        gap: rng.micros(0, 20_000),
        ready_delay: if rng.chance(30) {
            rng.millis(0, 4000)
        } else {
            Duration::ZERO
        },
        ..AgentConfig::default()
    };
    let plans = (0..rng.range(1, 5)).map(|_| Plan::random(&mut rng)).collect();
    let mut world = World::new(SessionConfig::default(), agent, plans, seed);
    world.net.delay = rng.millis(0, 150);
    world.agent_delay = rng.millis(0, 100);
    for _ in 0..rng.range(0, 12) {
        let fault = Fault::random(&mut rng, old);
        world.fault_at(rng.millis(0, 40_000), fault);
    }
    world
}

fn seeds(from: u64, to: u64) {
    let only: Option<u64> = std::env::var("SIM_SEED").ok().and_then(|text| text.parse().ok());
    for seed in from..to {
        if only.is_some_and(|only| only != seed) {
            continue;
        }
        let run = std::panic::catch_unwind(|| scenario(seed).run());
        assert!(
            run.is_ok(),
            "seed {seed} failed; replay it with SIM_SEED={seed} SIM_TRACE=1"
        );
    }
}

#[test]
#[ignore = "some seeds show a difference between model and core that is not yet understood"]
fn seeds_0_to_600() {
    seeds(0, 600);
}

#[test]
#[ignore = "some seeds show a difference between model and core that is not yet understood"]
fn seeds_600_to_1200() {
    seeds(600, 1200);
}

#[test]
#[ignore = "some seeds show a difference between model and core that is not yet understood"]
fn seeds_1200_to_1800() {
    seeds(1200, 1800);
}

#[test]
#[ignore = "some seeds show a difference between model and core that is not yet understood"]
fn seeds_1800_to_2400() {
    seeds(1800, 2400);
}
