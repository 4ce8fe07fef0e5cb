//! The real program against a service, a control plane and an instance that mean harm.
//!
//! Each test has a daemon with two sessions: the victim is held by a hostile service, the bystander by the simulator.
//! While the attack runs a transfer goes through the bystander and must stay exact; the daemon's memory stays below a
//! ceiling, nothing panics, and no token appears in the log.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod channel;
mod control_plane;
mod floods;
mod frames;
mod messages;
mod service;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use autossm::control::Client;
use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::Simulator;
use tokio::net::TcpStream;

use service::{Attack, Script, Service, TOKEN};
use support::daemon::{Daemon, PATIENCE};
use support::traffic::{Destination, Load, exchange};

/// Resident memory that the daemon may ever have had, MiB, where an attack has nothing to fill it with. Without any attack
/// it is about 30 in a debug build.
const CEILING: u64 = 80;

const LOAD: Load = Load {
    key: 1,
    up: 1_000_000,
    down: 300_000,
    pace: 500_000,
};

/// A daemon between a hostile service and the simulator.
struct Bench {
    service: Service,
    _simulator: Simulator,
    destination: Destination,
    daemon: Daemon,
    client: Client,
}

impl Bench {
    /// Runs the attack on the session `victim` while the bystander's transfer is under way; `check` says what must come
    /// of it.
    async fn run(script: Script, attack: Attack, ceiling: u64, check: impl AsyncFnOnce(&Self)) {
        let bench = Self::start(script, attack).await;
        bench
            .until("bystander", "attached", |session| session.phase == Phase::Attached)
            .await;
        let address = bench.daemon.listener().await.unwrap();
        let transfer = async {
            let socket = TcpStream::connect(address).await.unwrap();
            exchange(socket, LOAD, &bench.destination.progress).await.unwrap()
        };
        let attacked = async {
            bench.service.release();
            check(&bench).await;
        };
        let both = async { tokio::join!(transfer, attacked) };
        let Ok((tally, ())) = tokio::time::timeout(3 * PATIENCE, both).await else {
            bench.broken("the bystander's transfer or the check does not end");
        };
        assert!(tally.is_exact(), "the bystander's transfer: {tally:?}");
        // On a machine that is busy with the flood a ping may be late, and then the bystander attaches anew.
        let starts = bench.session("bystander").await.figures.starts;
        assert_eq!(starts, 1, "the bystander lost its session");
        bench.inspect(ceiling);
    }

    async fn start(script: Script, attack: Attack) -> Self {
        let service = Service::start(script, attack).await.unwrap();
        let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
        let destination = Destination::start().await.unwrap();
        let session = |name: &str, url: &str, port: u16| {
            format!(
                "[session.{name}]\ntarget = \"i-0123456789abcdef0\"\nendpoint_url = \"{url}\"\n\
                 forward = {{ listen = \"127.0.0.1:0\", port = {port} }}\n"
            )
        };
        let config = format!(
            "[defaults]\nregion = \"eu-west-1\"\n\n{}\n{}",
            session("bystander", &simulator.endpoint_url(), destination.address.port()),
            session("victim", &service.url, 1) + "on_end = \"restart\"\ntimings = { token_reuse = \"0s\" }\n",
        );
        let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &config)
            .await
            .unwrap();
        let client = Client::new(&daemon.directory().join("autossm/control.sock"));
        Self {
            service,
            _simulator: simulator,
            destination,
            daemon,
            client,
        }
    }

    async fn session(&self, name: &str) -> SessionStatus {
        let status = tokio::time::timeout(PATIENCE, async {
            loop {
                // A machine that is busy with the flood may take longer than one request may.
                if let Ok(status) = self.client.status().await {
                    break status;
                }
            }
        });
        let Ok(status) = status.await else {
            self.broken("the control socket does not answer");
        };
        status
            .sessions
            .into_iter()
            .find(|session| session.name == name)
            .unwrap()
    }

    /// Waits until the session looks as described.
    async fn until(&self, name: &str, what: &str, mut holds: impl FnMut(&SessionStatus) -> bool) -> SessionStatus {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            loop {
                ticks.tick().await;
                let session = self.session(name).await;
                if holds(&session) {
                    return session;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(session) => session,
            Err(_) => self.broken(&format!("{name}: {what}: never")),
        }
    }

    /// So many frames were ignored, no more, and nothing else has come of them.
    async fn victim_ignores(&self, all: u64) {
        let session = self
            .until("victim", "all ignored", |session| session.figures.ignored >= all)
            .await;
        assert_eq!(
            (session.figures.ignored, session.figures.drops, session.figures.starts),
            (all, 0, 1)
        );
    }

    /// The victim's session is up.
    async fn victim_attached(&self) {
        self.until("victim", "attached", |session| session.phase == Phase::Attached)
            .await;
    }

    /// A local client of the victim's listener.
    async fn victim_client(&self) -> TcpStream {
        let session = self
            .until("victim", "a listener", |session| !session.listeners.is_empty())
            .await;
        TcpStream::connect(&session.listeners[0]).await.unwrap()
    }

    /// Waits until the log says so: causes pass too fast for status.
    async fn logged(&self, text: &str) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            while !self.daemon.log().contains(text) {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            self.broken(&format!("{text:?} is never logged"));
        }
    }

    /// What must hold after every attack.
    fn inspect(&self, ceiling: u64) {
        let log = self.daemon.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(!log.contains(TOKEN), "a token in the log:\n{log}");
        assert!(
            !log.chars().any(|c| c.is_control() && c != '\n'),
            "control characters in the log:\n{log}"
        );
        let longest = log.lines().map(str::len).max().unwrap_or_default();
        assert!(longest < 2000, "a line of {longest} bytes in the log");
        let peak = peak_memory(self.daemon.pid().unwrap());
        assert!(peak <= ceiling, "{peak} MiB resident, {ceiling} allowed; log:\n{log}");
    }

    fn broken(&self, what: &str) -> ! {
        panic!("{what}; the daemon's log:\n{}", self.daemon.log())
    }
}

/// The most resident memory a process has ever had, MiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}
