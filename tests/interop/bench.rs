//! A simulator with an agent, a destination behind it, a client in front of it, and the traffic through all of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use autossm_sim::{Config, Fault, Simulator};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::daemon::Daemon;
use crate::support::pattern::Tally;
use crate::support::traffic::{Destination, Load, exchange};

/// How long anything may take here: an agent refills holes at ten a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(420);
/// The part of a load before its faults.
const START: Duration = Duration::from_secs(60);
/// A load that moves nothing for so long is stuck.
const QUIET: Duration = Duration::from_secs(12);
/// The remote host's name; the simulator tells the agent where it is.
pub(crate) const REMOTE: &str = "db.internal";

/// A simulator and a destination behind its agent.
pub(crate) struct Far {
    pub(crate) simulator: Simulator,
    pub(crate) destination: Destination,
}

impl Far {
    /// Without a program the agent is the simulator's own.
    pub(crate) async fn start(agent: Option<PathBuf>) -> Self {
        Self::behind(agent, None).await
    }

    /// Clients are told `front` as the address of the websockets.
    pub(crate) async fn behind(agent: Option<PathBuf>, front: Option<SocketAddr>) -> Self {
        // AWS's agent names a socket file after the session's id, so that ids must differ between tests.
        static SEED: AtomicU64 = AtomicU64::new(0);
        let seed = (u64::from(std::process::id()) << 32) + SEED.fetch_add(1, Ordering::Relaxed);
        let settings = Config {
            seed,
            agent_program: agent,
            advertise: front,
            hosts: [(REMOTE.to_owned(), "127.0.0.1".to_owned())].into(),
            ..Config::default()
        };
        Self {
            simulator: Simulator::start(settings).await.unwrap(),
            destination: Destination::start().await.unwrap(),
        }
    }

    pub(crate) async fn inject(&self, faults: &[Fault]) {
        for fault in faults {
            self.simulator.inject(fault.clone()).await.unwrap();
        }
    }

    /// Bytes that have arrived at either end.
    pub(crate) fn moved(&self) -> u64 {
        let progress = &self.destination.progress;
        progress.up.load(Ordering::Relaxed) + progress.down.load(Ordering::Relaxed)
    }

    /// Waits until so many bytes have moved; false when that takes too long.
    pub(crate) async fn moves(&self, bytes: u64) -> bool {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        let wait = async {
            while self.moved() < bytes {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(START, wait).await.is_ok()
    }

    pub(crate) async fn until_moved(&self, bytes: u64) {
        if !self.moves(bytes).await {
            let sessions = self.simulator.sessions().await;
            panic!("{} of {bytes} bytes moved; {sessions:?}", self.moved());
        }
    }

    /// Waits until the load has ended, or until nothing has moved for long.
    pub(crate) async fn outcome(&self, transfer: Transfer) -> Outcome {
        let mut ticks = tokio::time::interval(QUIET);
        let mut before = u64::MAX;
        let quiet = async {
            loop {
                ticks.tick().await;
                if std::mem::replace(&mut before, self.moved()) == before {
                    return;
                }
            }
        };
        tokio::select! {
            ended = self.finish(transfer, PATIENCE) => match ended {
                Ok((up, down, _)) if up.is_exact() && down.is_exact() => Outcome::Exact,
                Ok((up, down, _)) if up.received < up.expected || down.received < down.expected => {
                    Outcome::Broken(format!("ended early: up {} down {}", up.received, down.received))
                }
                Ok((up, down, _)) => Outcome::Wrong(up, down),
                Err(broken) => Outcome::Broken(broken),
            },
            () = quiet => Outcome::Stuck,
        }
    }

    /// Starts a load through `address`.
    pub(crate) fn transfer(&self, address: SocketAddr, load: Load) -> Transfer {
        let progress = Arc::clone(&self.destination.progress);
        let mut task = JoinSet::new();
        task.spawn(async move { exchange(TcpStream::connect(address).await?, load, &progress).await });
        let began = Instant::now();
        Transfer { load, task, began }
    }

    /// Waits for the load: what came at both ends, and how long it took. An error is a broken or stuck connection.
    pub(crate) async fn finish(
        &self,
        mut transfer: Transfer,
        patience: Duration,
    ) -> Result<(Tally, Tally, Duration), String> {
        let load = transfer.load;
        let ended = async {
            let down = transfer.task.join_next().await.unwrap().unwrap();
            let down = down.map_err(|error| format!("the local connection broke: {error}"))?;
            let mut ticks = tokio::time::interval(Duration::from_millis(2));
            loop {
                if let Some(up) = self.destination.tally(load.key) {
                    return Ok((up, down));
                }
                ticks.tick().await;
            }
        };
        match tokio::time::timeout(patience, ended).await {
            Ok(Ok((up, down))) => Ok((up, down, transfer.began.elapsed())),
            Ok(Err(broken)) => Err(broken),
            Err(_) => Err(format!("stuck after {} bytes", self.moved())),
        }
    }
}

/// What became of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every byte once, in order.
    Exact,
    /// It arrived with bytes that were not sent there.
    Wrong(Tally, Tally),
    /// The local connection broke, or ended early.
    Broken(String),
    /// Nothing moved any more.
    Stuck,
}

/// A load on its way.
pub(crate) struct Transfer {
    load: Load,
    task: JoinSet<std::io::Result<Tally>>,
    began: Instant,
}

/// autossm in front of an agent.
pub(crate) struct Bench {
    pub(crate) far: Far,
    pub(crate) daemon: Daemon,
}

impl Bench {
    /// `remote` uses the document with a host; `timings` quick enough that a test does not wait for pings.
    pub(crate) async fn start(agent: PathBuf, remote: bool) -> Self {
        let far = Far::start(Some(agent)).await;
        let host = if remote {
            format!("host = \"{REMOTE}\", ")
        } else {
            String::new()
        };
        let text = format!(
            "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n\n\
             [session.demo]\ntarget = \"i-0123456789abcdef0\"\n\
             forward = {{ listen = \"127.0.0.1:0\", {host}port = {} }}\n\
             timings = {{ ping_interval = \"2s\", ping_timeout = \"2s\" }}\n",
            far.simulator.endpoint_url(),
            far.destination.address.port(),
        );
        let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
            .await
            .unwrap();
        daemon.attached().await.unwrap();
        Self { far, daemon }
    }

    /// Moves a load, injects faults when a third of it has gone, and wants every byte once, in order.
    pub(crate) async fn survives(&self, load: Load, faults: &[Fault]) -> Duration {
        let address = self.daemon.listener().await.unwrap();
        let before = self.far.moved();
        let transfer = self.far.transfer(address, load);
        self.far.until_moved(before + (load.up + load.down) / 3).await;
        self.far.inject(faults).await;
        match self.far.finish(transfer, PATIENCE).await {
            Ok((up, down, took)) => {
                assert!(
                    up.is_exact() && down.is_exact(),
                    "up {up:?} down {down:?}\n{}",
                    self.daemon.log()
                );
                took
            }
            Err(broken) => panic!("{broken}; the daemon's log:\n{}", self.daemon.log()),
        }
    }
}
