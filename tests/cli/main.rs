//! The commands as a person sees them: each one's success and each of its failures, as transcripts in `snapshots/`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test cli` writes them anew; look at the difference before it goes in.
#![expect(clippy::unwrap_used, reason = "test code")]

mod commands;
mod refused;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod transcript;

use std::path::Path;

use autossm_sim::Simulator;

use support::daemon::{Daemon, config};

/// The program.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_autossm"))
}

/// A simulator and a daemon with the session `demo`, attached.
async fn attached(more: &str) -> (Simulator, Daemon) {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let text = config(&simulator.endpoint_url(), 80, more);
    let daemon = Daemon::start(program(), &[], &text).await.unwrap();
    daemon.attached().await.unwrap();
    (simulator, daemon)
}
