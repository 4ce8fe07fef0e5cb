//! Shells through the real program: the daemon holds them over drops, `autossm attach` shows them on a real terminal (a pty whose
//! other end is a terminal model), ptys of the simulator's agent behind them.
//!
//! With `AUTOSSM_INTEROP_SHELL_AGENT` AWS's own agent takes the place of the simulator's: a program that is started as
//! `tests/interop/main.rs` says, and serves the document it is named as a session of that kind; as root it runs them elevated. Tests of what
//! only the simulator's agent can be told to do are skipped then.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "test code")]

mod adopt;
mod attach;
mod encrypted;
mod exec;
mod programs;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod user;

use std::path::{Path, PathBuf};

use autossm::status::SessionStatus;
use autossm_sim::{Config, Fault, LinkFault, Port, PortFault, Side, Simulator};
use rustix::process::{Pid, Signal, kill_process};

use support::daemon::Daemon;

/// Detection faster than the defaults, so that the tests are not spent waiting for pings.
const QUICK: &str = "timings = { ping_interval = \"2s\", ping_timeout = \"2s\" }\n";

/// A simulator and a daemon in front of it that holds one shell, `build`.
struct Bench {
    simulator: Simulator,
    daemon: Daemon,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Config::default(), "shell = {}").await
    }

    /// With these keys of the session.
    async fn with(mut config: Config, keys: &str) -> Self {
        config.agent_program = agent_program();
        let simulator = Simulator::start(config).await.unwrap();
        let text = format!(
            "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n{QUICK}\n[session.build]\ntarget = \
             \"i-0123456789abcdef0\"\n{keys}\n",
            simulator.endpoint_url()
        );
        let kms = simulator.endpoint_url();
        let environment = [("AWS_ENDPOINT_URL_KMS", kms.as_str())];
        let daemon = Daemon::with(program(), &[], &["--log", "debug"], &environment, &text)
            .await
            .unwrap();
        Self { simulator, daemon }
    }

    async fn attached(&self) -> SessionStatus {
        self.daemon.attached().await.unwrap()
    }

    async fn inject(&self, fault: Fault) {
        self.simulator.inject(fault).await.unwrap();
    }

    /// Cuts the client's link, and lets nobody come back for so long.
    async fn cut(&self, for_ms: u64) {
        if for_ms > 0 {
            self.inject(Fault::Port {
                port: Port::DataChannel,
                fault: PortFault::Refuse,
                for_ms: Some(for_ms),
            })
            .await;
        }
        self.inject(Fault::Link {
            session: None,
            side: Side::Client,
            fault: LinkFault::Reset,
        })
        .await;
    }
}

/// The agent that takes the place of the simulator's.
fn agent_program() -> Option<PathBuf> {
    let named = std::env::var_os("AUTOSSM_INTEROP_SHELL_AGENT");
    named.filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Says that a test is skipped, because what it sets up is known to the simulator's own agent and client only.
fn skips_outside_agents() -> bool {
    let outside = agent_program().is_some();
    if outside {
        support::skipped("is about the simulator's own agent");
    }
    outside
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_autossm"))
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}
