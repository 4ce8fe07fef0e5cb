//! One soak: a real daemon, many sessions, faults all the time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use autossm::status::DaemonStatus;
use autossm_sim::{AgentConfig, Simulator};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cell::Cell;
use crate::now;
use crate::plan::plan;
use crate::report::Report;
use crate::support::daemon::Daemon;
use crate::support::measure::resident;
use crate::support::traffic::Destination;
use crate::watch::{Seen, pass_on};

/// Connections of each session at any time.
const CONNECTIONS: usize = 2;
/// Between two lines that say how far it is; also how often the daemon's own account of drops is fetched.
const TELL: Duration = Duration::from_secs(10);
/// Before memory is measured first, all sessions have moved bytes for so long.
const WARM: Duration = Duration::from_secs(3);

/// Faster than the defaults, so that the time goes into faults and not into waiting for pings.
const TIMINGS: &str = "timings = { ping_interval = \"2s\", ping_timeout = \"2s\", call_timeout = \"3s\", \
                       dial_timeout = \"3s\", link_hold = \"1s\", backoff = { cap = \"2s\" } }\n";
/// What is shared between sessions of one region must not be what this measures.
const REGIONS: [&str; 16] = [
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-southeast-1",
    "sa-east-1",
];

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) faults: usize,
    pub(crate) seed: u64,
    /// The agents' waits are divided by it.
    pub(crate) speed: u32,
    pub(crate) sessions: usize,
}

/// Does it, and says how it went; an error is a failure to find out.
pub(crate) async fn soak(program: &Path, options: Options, say: fn(&str)) -> anyhow::Result<bool> {
    let started = now();
    let (daemon, cells, seen) = set_up(program, options).await?;
    let report = Arc::clone(&cells[0].report);
    let pid = daemon.pid().context("the daemon has ended")?;
    let events = daemon.client().events().await?;
    let mut traffic = JoinSet::new();
    for cell in cells.iter().flat_map(|cell| std::iter::repeat_n(cell, CONNECTIONS)) {
        let cell = Arc::clone(cell);
        traffic.spawn(async move { cell.traffic().await });
    }
    let mut drops = History::default();
    let work = async {
        tokio::time::sleep(WARM).await;
        let first = resident(pid);
        say(&format!(
            "{} sessions, {} connections, {} faults, seed {}, agent's speed {}",
            cells.len(),
            cells.len() * CONNECTIONS,
            options.faults,
            options.seed,
            options.speed,
        ));
        let mut suffering = JoinSet::new();
        for (cell, steps) in cells.iter().zip(plan(options.seed, options.faults, options.sessions)) {
            let cell = Arc::clone(cell);
            suffering.spawn(async move { cell.suffer(steps).await });
        }
        let mut ticks = tokio::time::interval(TELL);
        while !suffering.is_empty() {
            tokio::select! {
                Some(ended) = suffering.join_next() => {
                    if let Err(error) = ended? {
                        let text = account(&daemon, &error).await;
                        say(&format!("WRONG: {text}"));
                        report.lock().unwrap().wrong.push(text);
                    }
                }
                _ = ticks.tick() => {
                    drops.take(&daemon.client().status().await?, &report);
                    say(&so_far(&report, resident(pid), now() - started));
                }
            }
        }
        let last = resident(pid);
        cells.iter().for_each(|cell| cell.finish());
        while let Some(ended) = traffic.join_next().await {
            ended?;
        }
        drops.finish(&daemon.client().status().await?, &report);
        anyhow::Ok((first, last))
    };
    let resident = tokio::select! {
        done = work => done?,
        ended = pass_on(events, seen) => { ended?; (0.0, 0.0) }
    };
    let log = daemon.log();
    let code = daemon.terminate().await?;
    let mut report = report.lock().unwrap();
    if code != Some(0) {
        report.wrong.push(format!("the daemon's exit code is {code:?}"));
    }
    report
        .lines(now() - started, resident)
        .iter()
        .for_each(|line| say(line));
    if !report.is_good() {
        say(&format!("the daemon's log ends so:\n{}", tail(&log, |_| true)));
    }
    Ok(report.is_good())
}

type Watched = BTreeMap<String, watch::Sender<Seen>>;

/// A simulator and a destination for each session, and the daemon in front of them all.
async fn set_up(program: &Path, options: Options) -> anyhow::Result<(Daemon, Vec<Arc<Cell>>, Watched)> {
    let mut config = format!("[defaults]\n{TIMINGS}");
    let mut parts = Vec::new();
    for number in 0..options.sessions {
        let settings = autossm_sim::Config {
            seed: options.seed.wrapping_add(number as u64),
            agent: AgentConfig {
                speed: options.speed,
                ..AgentConfig::default()
            },
            ..autossm_sim::Config::default()
        };
        let simulator = Simulator::start(settings).await?;
        let destination = Destination::start().await?;
        let name = format!("soak-{number:03}");
        write!(
            config,
            "\n[session.{name}]\ntarget = \"i-{number:017x}\"\nregion = \"{}\"\nendpoint_url = \"{}\"\n\
             forward = {{ listen = \"127.0.0.1:0\", port = {} }}\n",
            REGIONS[number % REGIONS.len()],
            simulator.endpoint_url(),
            destination.address.port(),
        )?;
        parts.push((name, simulator, destination));
    }
    let daemon = Daemon::start(program, &[], &config).await?;
    let report = Arc::new(Mutex::new(Report::default()));
    let (mut cells, mut senders) = (Vec::new(), BTreeMap::new());
    for (name, simulator, destination) in parts {
        let listener = daemon.listener_of(&name).await?;
        let (sender, seen) = watch::channel(Seen::default());
        senders.insert(name.clone(), sender);
        cells.push(Arc::new(Cell::new(
            (name, simulator, destination),
            listener,
            daemon.client().clone(),
            seen,
            Arc::clone(&report),
        )));
    }
    Ok((daemon, cells, senders))
}

/// Reads the daemon's own account of each session's drops, each drop once, when it is over.
#[derive(Debug, Default)]
struct History(BTreeMap<String, u64>);

impl History {
    fn take(&mut self, status: &DaemonStatus, report: &Mutex<Report>) {
        self.read(status, report, false);
    }

    fn finish(&mut self, status: &DaemonStatus, report: &Mutex<Report>) {
        self.read(status, report, true);
    }

    fn read(&mut self, status: &DaemonStatus, report: &Mutex<Report>, all: bool) {
        let mut report = report.lock().unwrap();
        for session in &status.sessions {
            let known = self.0.entry(session.name.clone()).or_default();
            let oldest = session.figures.drops - session.history.len() as u64;
            if oldest > *known {
                let missed = oldest - *known;
                report.wrong.push(format!(
                    "{}: {missed} drops were forgotten before they were read",
                    session.name
                ));
            }
            for (number, drop) in (oldest..).zip(&session.history) {
                let last = number + 1 == session.figures.drops;
                // Only the last one may still go on; an earlier one that never recovered ended with its session.
                if number < *known || (last && drop.recovered_after_ms.is_none() && !all) {
                    continue;
                }
                report.drops.take(drop);
                *known = number + 1;
            }
        }
    }
}

fn so_far(report: &Mutex<Report>, resident: f64, took: Duration) -> String {
    let report = report.lock().unwrap();
    format!(
        "{:>5.0} s  {:>6} faults  {:>6} drops  {:>8.1} MB  {} lost  {} doubled  {} wrong  daemon {resident:.1} MB",
        took.as_secs_f64(),
        report.struck.values().sum::<usize>(),
        report.drops.count,
        report.bytes as f64 / 1e6,
        report.lost,
        report.duplicated,
        report.wrong.len(),
    )
}

/// What went wrong, with all that may explain it.
async fn account(daemon: &Daemon, error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let name = text.split(':').next().unwrap_or_default().to_owned();
    let session = match daemon.client().status().await {
        Ok(status) => status.sessions.into_iter().find(|session| session.name == name),
        Err(_) => None,
    };
    let log = tail(&daemon.log(), |line| line.contains(&name));
    format!("{text}\nstatus: {session:?}\nlog:\n{log}")
}

/// The last lines that are of interest.
fn tail(log: &str, of_interest: impl Fn(&str) -> bool) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| of_interest(line)).collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
