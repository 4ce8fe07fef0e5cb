//! The pure core against a model of Session Manager and its agent, in virtual time: random faults at random moments
//! on both sides, and a reference that knows every byte. `SIM_SEED=n SIM_TRACE=1 cargo test -p autossm-proto --test simulation
//! seeds_0_to_600 -- --nocapture` replays one seed, `SIM_SEED=2400..9999` tries others.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod adoption;
mod agent;
mod backoff;
mod destinations;
mod fault;
mod figures;
mod fleet;
mod heir;
mod host;
mod kms;
mod life;
mod lines;
mod local;
mod named;
mod net;
mod plan;
mod raw;
mod rng;
mod shell;
mod wire;
mod world;

use std::ops::Range;
use std::time::Duration;

use autossm_proto::session::{SessionConfig, StartWhen};

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
    let start = if seed % 4 == 3 {
        StartWhen::OnConnect
    } else {
        StartWhen::AtOnce
    };
    let config = SessionConfig {
        start,
        ..SessionConfig::default()
    };
    let mut world = World::new(config, agent, plans, seed);
    world.net.delay = rng.millis(0, 150);
    world.agent_delay = rng.millis(0, 100);
    for _ in 0..rng.range(0, 12) {
        let fault = Fault::random(&mut rng, old);
        world.fault_at(rng.millis(0, 40_000), fault);
    }
    // Drawn last, so that what is above stays what it was.
    if rng.chance(20) {
        world.turn_delay = rng.millis(0, 15_000);
    }
    world
}

/// Runs these seeds, or those of `SIM_SEED` in their place: `7`, or `2400..10000`.
fn seeds(seeds: Range<u64>) {
    seeds_of(seeds, scenario);
}

fn seeds_of(seeds: Range<u64>, scenario: fn(u64) -> World) {
    for seed in wanted().unwrap_or(seeds) {
        let run = std::panic::catch_unwind(|| scenario(seed).run());
        assert!(
            run.is_ok(),
            "seed {seed} failed; replay it with SIM_SEED={seed} SIM_TRACE=1"
        );
    }
}

fn wanted() -> Option<Range<u64>> {
    let text = std::env::var("SIM_SEED").ok()?;
    let (from, to) = text.split_once("..").unwrap_or((&text, ""));
    let from = from.parse().expect("SIM_SEED is a number or a range");
    let to = if to.is_empty() {
        from + 1
    } else {
        to.parse().expect("SIM_SEED is a number or a range")
    };
    Some(from..to)
}

#[test]
fn seeds_0_to_600() {
    seeds(0..600);
}

#[test]
fn seeds_600_to_1200() {
    seeds(600..1200);
}

#[test]
fn seeds_1200_to_1800() {
    seeds(1200..1800);
}

#[test]
fn seeds_1800_to_2400() {
    seeds(1800..2400);
}
