//! The real program against the simulator: real sockets, real faults, every byte checked at both ends.
//!
//! Each test has a simulator, a daemon and a destination of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod adoption;
#[cfg(target_os = "linux")]
mod bus;
mod bytes;
#[cfg(target_os = "linux")]
mod clocks;
#[cfg(target_os = "linux")]
mod desktop;
mod ending;
mod faults;
mod field;
#[cfg(target_os = "linux")]
mod hosts;
mod kms;
mod life;
mod limits;
mod listening;
#[cfg(target_os = "linux")]
mod logind;
mod network;
mod reload;
mod secrets;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autossm_sim::Fault;
use autossm_sim::Simulator;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use support::daemon::{Daemon, PATIENCE, config};
use support::pattern::Tally;
use support::traffic::{Destination, Load, exchange};

/// Detection faster than the defaults, so that the tests are not spent waiting for pings.
const QUICK: &str = "timings = { ping_interval = \"2s\", ping_timeout = \"2s\" }\n";

/// A simulator, a destination behind it and a daemon in front of it.
struct Bench {
    simulator: Simulator,
    destination: Destination,
    daemon: Daemon,
}

impl Bench {
    async fn start(more: &str) -> Self {
        Self::with(autossm_sim::Config::default(), more).await
    }

    async fn with(simulator: autossm_sim::Config, more: &str) -> Self {
        Self::under(simulator, more, &[]).await
    }

    /// With more in the daemon's environment.
    async fn under(simulator: autossm_sim::Config, more: &str, environment: &[(&str, String)]) -> Self {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let simulator = Simulator::start(simulator).await.unwrap();
        let destination = Destination::start().await.unwrap();
        let text = config(&simulator.endpoint_url(), destination.address.port(), more);
        let program = Path::new(env!("CARGO_BIN_EXE_autossm"));
        let daemon = Daemon::with(program, &[], &["--log", "info"], &environment, &text)
            .await
            .unwrap();
        Self {
            simulator,
            destination,
            daemon,
        }
    }

    async fn attached(&self) {
        self.daemon.attached().await.unwrap();
    }

    async fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.simulator.inject(fault).await.unwrap();
        }
    }

    /// Starts the loads, each over a connection of its own.
    async fn transfer(&self, loads: Vec<Load>) -> Transfer {
        let address = self.daemon.listener().await.unwrap();
        let mut tasks = JoinSet::new();
        for load in &loads {
            let (load, progress) = (*load, Arc::clone(&self.destination.progress));
            tasks.spawn(async move { exchange(TcpStream::connect(address).await?, load, &progress).await });
        }
        Transfer { loads, tasks }
    }

    /// Waits until so many bytes have gone both ways together.
    async fn moved(&self, bytes: u64) {
        let progress = &self.destination.progress;
        let moved = || progress.up.load(Ordering::Relaxed) + progress.down.load(Ordering::Relaxed);
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            while moved() < bytes {
                ticks.tick().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            waited.is_ok(),
            "{} of {bytes} bytes moved; log:\n{}",
            moved(),
            self.daemon.log()
        );
    }

    /// Waits for the loads: every byte must have come once, in order, at both ends.
    async fn finish(&self, mut transfer: Transfer) {
        let ended = async {
            while let Some(ended) = transfer.tasks.join_next().await {
                let tally = ended
                    .unwrap()
                    .unwrap_or_else(|error| self.broken(&format!("a local socket broke: {error}")));
                assert!(tally.is_exact(), "download {tally:?}; log:\n{}", self.daemon.log());
            }
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            for load in &transfer.loads {
                let tally = loop {
                    if let Some(tally) = self.destination.tally(load.key) {
                        break tally;
                    }
                    ticks.tick().await;
                };
                assert_eq!(
                    tally,
                    Tally {
                        expected: load.up,
                        received: load.up,
                        wrong: 0
                    },
                    "upload {}",
                    load.key
                );
            }
        };
        if tokio::time::timeout(2 * PATIENCE, ended).await.is_err() {
            self.broken("the transfer does not end");
        }
    }

    fn broken(&self, what: &str) -> ! {
        panic!("{what}; the daemon's log:\n{}", self.daemon.log())
    }
}

/// Loads on their way.
struct Transfer {
    loads: Vec<Load>,
    tasks: JoinSet<std::io::Result<Tally>>,
}
