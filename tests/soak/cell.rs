//! One session of a soak: its own simulator, its own destination, traffic that never stops, and its faults.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use autossm::control::{Client, Order};
use autossm_proto::session::Phase;
use autossm_sim::Simulator;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kinds::{Effect, Strike};
use crate::now;
use crate::plan::Step;
use crate::report::Report;
use crate::support::pattern::Tally;
use crate::support::traffic::{Destination, Load, exchange_into};
use crate::watch::Seen;

/// A fault that is not healed within this time is a failure. What an agent lost it sends again one message a round trip,
/// and on a machine that is too busy those are long.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks at what has no event.
const LOOK: Duration = Duration::from_millis(20);
/// What one connection moves, and its pace: about five seconds.
const LOAD: Load = Load {
    key: 0,
    up: 160 << 10,
    down: 112 << 10,
    pace: 32 << 10,
};

/// Everything of one session.
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) simulator: Simulator,
    pub(crate) destination: Destination,
    pub(crate) listener: SocketAddr,
    pub(crate) client: Client,
    pub(crate) seen: watch::Receiver<Seen>,
    pub(crate) report: Arc<Mutex<Report>>,
    /// Sessions that AWS was made to end.
    ends: AtomicU64,
    /// One is ending just now: nobody connects until there is another.
    ending: AtomicBool,
    /// No more connections are to be opened.
    enough: AtomicBool,
    next_key: AtomicU64,
}

impl Cell {
    pub(crate) fn new(
        (name, simulator, destination): (String, Simulator, Destination),
        listener: SocketAddr,
        client: Client,
        seen: watch::Receiver<Seen>,
        report: Arc<Mutex<Report>>,
    ) -> Self {
        Self {
            name,
            simulator,
            destination,
            listener,
            client,
            seen,
            report,
            ends: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            enough: AtomicBool::new(false),
            next_key: AtomicU64::new(1),
        }
    }

    /// The traffic may come to its end.
    pub(crate) fn finish(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// One connection after the other, every byte checked.
    pub(crate) async fn traffic(&self) {
        let mut ticks = tokio::time::interval(LOOK);
        while !self.enough.load(Ordering::Relaxed) {
            if self.ending.load(Ordering::Relaxed) {
                ticks.tick().await;
                continue;
            }
            let ends = self.ends.load(Ordering::Relaxed);
            let key = self.next_key.fetch_add(1, Ordering::Relaxed);
            let mut tally = Tally::default();
            let moved = self.connection(key, &mut tally).await;
            let ended = self.ends.load(Ordering::Relaxed) != ends;
            let uploaded = match (&moved, ended) {
                (Ok(uploaded), _) => Some(*uploaded),
                (Err(_), true) => self.destination.tally(key),
                (Err(_), false) => None,
            };
            let mut report = self.report.lock().unwrap();
            match moved {
                Ok(_) => report.connections += 1,
                // Not all of it came, but what came must be right.
                Err(_) if ended => {
                    report.ended += 1;
                    tally.expected = tally.received;
                }
                Err(error) => report
                    .wrong
                    .push(format!("{}: connection {key} broke: {error}", self.name)),
            }
            report.count(&tally);
            if let Some(mut uploaded) = uploaded {
                if ended {
                    uploaded.expected = uploaded.received;
                }
                report.count(&uploaded);
            }
        }
    }

    async fn connection(&self, key: u64, tally: &mut Tally) -> anyhow::Result<Tally> {
        let load = Load { key, ..LOAD };
        let progress = &self.destination.progress;
        let exchange = async {
            let socket = TcpStream::connect(self.listener).await?;
            exchange_into(socket, load, progress, tally).await
        };
        tokio::time::timeout(2 * PATIENCE, exchange).await??;
        let mut ticks = tokio::time::interval(LOOK);
        let arrived = async {
            loop {
                ticks.tick().await;
                if let Some(uploaded) = self.destination.tally(key) {
                    return uploaded;
                }
            }
        };
        Ok(tokio::time::timeout(PATIENCE, arrived).await?)
    }

    /// Lets its faults strike, one after the other.
    pub(crate) async fn suffer(&self, steps: Vec<Step>) -> anyhow::Result<()> {
        let mut told = Vec::new();
        match self.suffer_all(steps, &mut told).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let last = &told[told.len().saturating_sub(4)..];
                let simulated = self.simulator.sessions().await.pop();
                Err(error.context(format!(
                    "{}: the last faults: {last:#?}\nsimulator: {simulated:?}",
                    self.name
                )))
            }
        }
    }

    async fn suffer_all(&self, steps: Vec<Step>, told: &mut Vec<Step>) -> anyhow::Result<()> {
        // Two faults at once say nothing about either: only those that strike a healthy session are measured.
        let mut clean = true;
        for step in steps {
            told.push(step.clone());
            if clean {
                self.well().await?;
                tokio::time::sleep(step.pause).await;
            }
            let measured = clean && step.hurry.is_none();
            *self.report.lock().unwrap().struck.entry(step.strike.kind).or_default() += 1;
            if let Some(hurry) = step.hurry {
                self.strike(&step.strike).await?;
                tokio::time::sleep(hurry).await;
            } else {
                self.survive(&step.strike, measured).await?;
            }
            clean = step.hurry.is_none();
        }
        self.well().await
    }

    /// One fault, until it is healed.
    async fn survive(&self, strike: &Strike, measured: bool) -> anyhow::Result<()> {
        let before = self.seen.borrow().clone();
        let calls = self.calls();
        let struck = self.strike(strike).await?;
        if measured && strike.effect == Effect::Drops {
            self.until("the drop is noticed", |seen| seen.drops > before.drops)
                .await?;
        }
        if strike.effect == Effect::Ends {
            self.until("another session", |seen| seen.fresh > before.fresh).await?;
            self.ending.store(false, Ordering::Relaxed);
        }
        let healed = struck + strike.lasts;
        tokio::time::sleep_until(healed).await;
        self.well().await?;
        let flowing = now().saturating_duration_since(healed);
        let after = self.seen.borrow().clone();
        if !measured {
            return Ok(());
        }
        let mut report = self.report.lock().unwrap();
        report.flowing.entry(strike.kind).or_default().add(flowing);
        if after.drops == before.drops {
            return Ok(());
        }
        report.calls.push(self.calls() - calls);
        if let (Some(dropped), Some(attached)) = (after.dropped_at, after.attached_at)
            && after.drops == before.drops + 1
        {
            let noticed = dropped.saturating_duration_since(struck);
            if strike.kind.starts_with("black hole") {
                report.noticed_silence.add(noticed);
            } else if strike.effect == Effect::Drops && !strike.faults.is_empty() {
                report.noticed_at_once.add(noticed);
            }
            let usable = dropped.max(healed);
            let times = report.recovered.entry(strike.kind).or_default();
            times.add(attached.saturating_duration_since(usable));
        }
        Ok(())
    }

    /// Lets it happen; the moment before its last part.
    async fn strike(&self, strike: &Strike) -> anyhow::Result<Instant> {
        if strike.effect == Effect::Ends {
            self.ending.store(true, Ordering::Relaxed);
            self.ends.fetch_add(1, Ordering::Relaxed);
        }
        let mut struck = now();
        for fault in strike.faults.iter().cloned() {
            struck = now();
            self.simulator.inject(fault).await?;
        }
        if strike.faults.is_empty() {
            self.client.order(&self.name, Order::Reconnect).await?;
        }
        Ok(struck)
    }

    fn calls(&self) -> u64 {
        let calls = self.simulator.calls();
        calls.start + calls.resume + calls.terminate
    }

    /// Attached, and bytes go both ways.
    async fn well(&self) -> anyhow::Result<()> {
        let progress = &self.destination.progress;
        let moved = || {
            (
                progress.up.load(Ordering::Relaxed),
                progress.down.load(Ordering::Relaxed),
            )
        };
        self.until("attached", |seen| seen.phase == Some(Phase::Attached))
            .await?;
        let before = moved();
        let mut ticks = tokio::time::interval(LOOK);
        let both = async {
            loop {
                ticks.tick().await;
                let now = moved();
                if now.0 > before.0 && now.1 > before.1 {
                    return;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, both).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("{}: no bytes for {PATIENCE:?}", self.name),
        }
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Seen) -> bool) -> anyhow::Result<()> {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| holds(seen))).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("{}: the daemon's events have ended", self.name),
            Err(_) => bail!("{}: {what}: not within {PATIENCE:?}", self.name),
        }
    }
}
