//! The demo: Session Manager on loopback, the real daemon in a process of its own, and a transfer that survives
//! every way of cutting the link. `cargo run --example demo`
#![expect(clippy::unwrap_used, reason = "shared test support")]

mod cuts;
mod screen;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use autossm_sim::Simulator;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use cuts::CUTS;
use screen::Screen;
use support::daemon::{Daemon, config};
use support::pattern::Tally;
use support::traffic::{Destination, Load, exchange};

const CONNECTIONS: u64 = 4;
/// Each way, all connections together. An agent sends about 1 MB/s, whatever the client does.
const TOTAL: u64 = 22_000_000;
/// Bytes a second each way of each connection, so that uploads, too, are on their way at every cut.
const PACE: u64 = 200_000;
/// The whole demo; one that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(85);
/// Between the proof that one cut is healed and the next cut.
const BREATH: Duration = Duration::from_millis(1500);

fn main() -> ExitCode {
    // The demo starts itself a second time as the daemon, so that the daemon is a process of its own.
    if std::env::args().nth(1).as_deref() == Some("run") {
        return daemon();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(demo()));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            Screen::new().say(&format!("the demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn daemon() -> ExitCode {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        return ExitCode::FAILURE;
    }
    autossm::cli::main(std::env::args_os())
}

async fn demo() -> anyhow::Result<bool> {
    let screen = Screen::new();
    let simulator = Simulator::start(autossm_sim::Config::default())
        .await
        .context("cannot start the simulator")?;
    screen.say(&format!("simulator: Session Manager at {}", simulator.endpoint_url()));
    let destination = Destination::start().await?;
    // The cuts come every few seconds, so a link that has held for one counts as good already.
    let more = "timings = { link_hold = \"1s\" }\n";
    let config = config(&simulator.endpoint_url(), destination.address.port(), more);
    let daemon = Daemon::start(&std::env::current_exe()?, &[], &config).await?;
    let listener = daemon.listener().await?;
    screen.say(&format!(
        "daemon:    pid {}, forward {listener} -> {}",
        daemon.pid().unwrap_or(0),
        destination.address
    ));
    screen.say(&format!(
        "transfer:  {CONNECTIONS} connections, {} MB each way, while the link is cut {} times\n",
        TOTAL / 1_000_000,
        CUTS.len(),
    ));

    let mut transfers = JoinSet::new();
    for key in 1..=CONNECTIONS {
        let share = TOTAL / CONNECTIONS;
        let load = Load {
            key,
            up: share,
            down: share,
            pace: PACE,
        };
        let progress = std::sync::Arc::clone(&destination.progress);
        transfers.spawn(async move {
            let socket = TcpStream::connect(listener).await?;
            exchange(socket, load, &progress).await.map(|tally| (key, tally))
        });
    }
    let run = async {
        let (cut, tallies) = tokio::join!(
            cut_all(&simulator, &daemon, &destination, &screen),
            collect(&mut transfers),
        );
        cut.map(|()| tallies)
    };
    let watched = async {
        tokio::select! {
            result = run => result,
            never = screen.watch(&daemon, &destination.progress) => never.map(|never| match never {}),
        }
    };
    let tallies = tokio::time::timeout(LIMIT, watched).await;
    let tallies =
        tallies.with_context(|| format!("not done within {LIMIT:?}; the daemon's log:\n{}", daemon.log()))??;
    let verdict = verdict(&screen, &daemon, &destination, tallies).await;
    daemon.terminate().await?;
    simulator.shutdown().await;
    verdict
}

/// Cuts the link in every way, one after the other, each time waiting until the session is attached again.
async fn cut_all(
    simulator: &Simulator,
    daemon: &Daemon,
    destination: &Destination,
    screen: &Screen,
) -> anyhow::Result<()> {
    for (index, cut) in CUTS.iter().enumerate() {
        daemon
            .wait_until("attached", |session| {
                session.phase == autossm_proto::session::Phase::Attached
            })
            .await?;
        let moved = destination.progress.up.load(Ordering::Relaxed);
        tokio::time::sleep(BREATH).await;
        // The transfer must really be on its way when the link is cut.
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while destination.progress.up.load(Ordering::Relaxed) == moved
            && destination.progress.up.load(Ordering::Relaxed) < TOTAL
        {
            ticks.tick().await;
        }
        let drops = daemon.session().await?.figures.drops;
        screen.say(&format!("  cut {}/{}: {}", index + 1, CUTS.len(), cut.name));
        for fault in (cut.faults)() {
            simulator.inject(fault).await?;
        }
        if cut.drops_client {
            daemon
                .wait_until("the drop is noticed", |session| session.figures.drops > drops)
                .await?;
        }
        for fault in (cut.after)() {
            simulator.inject(fault).await?;
        }
    }
    Ok(())
}

async fn collect(transfers: &mut JoinSet<std::io::Result<(u64, Tally)>>) -> Vec<Option<(u64, Tally)>> {
    let mut tallies = Vec::new();
    while let Some(ended) = transfers.join_next().await {
        tallies.push(ended.ok().and_then(Result::ok));
    }
    tallies
}

/// Adds everything up, at both ends.
async fn verdict(
    screen: &Screen,
    daemon: &Daemon,
    destination: &Destination,
    downloads: Vec<Option<(u64, Tally)>>,
) -> anyhow::Result<bool> {
    let session = daemon
        .wait_until("attached", |session| {
            session.phase == autossm_proto::session::Phase::Attached
        })
        .await?;
    let broken = downloads.iter().filter(|ended| ended.is_none()).count();
    let uploads = (1..=CONNECTIONS).map(|key| {
        destination.tally(key).unwrap_or_else(|| Tally {
            expected: TOTAL / CONNECTIONS,
            ..Tally::default()
        })
    });
    let all: Vec<Tally> = downloads
        .iter()
        .flatten()
        .map(|(_, tally)| *tally)
        .chain(uploads)
        .collect();
    let lost: u64 = all.iter().map(Tally::lost).sum();
    let duplicated: u64 = all.iter().map(Tally::duplicated).sum();
    screen.summary(&session);
    screen.say(&format!("{lost} bytes lost, {duplicated} bytes duplicated"));
    if broken > 0 {
        screen.say(&format!(
            "{broken} local connections broke; the daemon's log:\n{}",
            daemon.log()
        ));
    }
    Ok(lost == 0 && duplicated == 0 && broken == 0)
}
