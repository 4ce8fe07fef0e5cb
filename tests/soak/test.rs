//! A short soak with every test run; the long one is `cargo run --release --example soak`.
#![expect(clippy::unwrap_used, reason = "test code")]

mod cell;
mod kinds;
mod plan;
mod report;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// The runtime's own clock, which the soak measures with.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Shown also where the harness shows no output of tests that pass.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_faults_lose_and_double_no_byte() {
    let options = soak::Options {
        faults: std::env::var("SOAK_FAULTS").map_or(200, |text| text.parse().unwrap()),
        seed: 1,
        speed: 20,
        sessions: 20,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
    assert!(soak::soak(program, options, say).await.unwrap());
}

#[test]
fn a_seed_plans_the_same_again() {
    let one = plan::plan(7, 101, 10);
    assert_eq!(one.iter().map(Vec::len).sum::<usize>(), 101);
    assert_eq!(one, plan::plan(7, 101, 10));
    assert_ne!(one, plan::plan(8, 101, 10));
    // A session's plan does not depend on the others.
    assert_eq!(one[0], plan::plan(7, 11, 1)[0]);
}

#[test]
fn a_long_plan_has_every_kind_of_fault() {
    let plan = plan::plan(1, 10_000, 40);
    let drawn: BTreeSet<&str> = plan.iter().flatten().map(|step| step.strike.kind).collect();
    assert_eq!(drawn, kinds::names().collect());
}
