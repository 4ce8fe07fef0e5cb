//! A machine with ada's configuration, a simulator of AWS and a destination, all on the same loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use autossm::status::DaemonStatus;
use autossm_sim::Simulator;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::machine::{Kind, Machine};
use crate::support::daemon::config;
use crate::support::pattern::Tally;
use crate::support::traffic::{Destination, Load, exchange};

/// Where ada's forward listens inside is told by the daemon; it is the same loopback outside.
pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) simulator: Simulator,
    pub(crate) destination: Destination,
    pub(crate) config: String,
}

const KEYS: &str = "[default]\nregion = eu-west-1\naws_access_key_id = AKIDEXAMPLE\n\
    aws_secret_access_key = not-a-secret\naws_session_token = not-a-token\n";

impl Bench {
    /// None, said loudly, where there can be no such machine.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        Self::with(kind, KEYS).await
    }

    /// With these as ada's `~/.aws/config`.
    pub(crate) async fn with(kind: Kind, aws_config: &str) -> Option<Self> {
        let machine = Machine::start(kind).await?;
        let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
        let destination = Destination::start().await.unwrap();
        let config = config(&simulator.endpoint_url(), destination.address.port(), "");
        machine.write(".aws/config", aws_config);
        machine.write(".config/autossm/config.toml", &config);
        if kind == Kind::User {
            // There is no journal.
            machine.drop_in("50-log", "[Service]\nStandardError=append:%h/log\n");
        }
        Some(Self {
            machine,
            simulator,
            destination,
            config,
        })
    }

    pub(crate) async fn attached(&self) {
        self.machine.succeed("autossm wait demo --for up --timeout 100s").await;
    }

    pub(crate) async fn listener(&self) -> SocketAddr {
        let json = self.machine.succeed("autossm status --json").await;
        let status: DaemonStatus = serde_json::from_str(&json).unwrap();
        status.sessions[0].listeners[0].parse().unwrap()
    }

    /// Bytes both ways over one connection, as a task.
    pub(crate) async fn transfer(&self, bytes: u64, pace: u64) -> JoinHandle<std::io::Result<Tally>> {
        let (address, progress) = (self.listener().await, Arc::clone(&self.destination.progress));
        let load = Load {
            key: bytes,
            up: bytes,
            down: bytes,
            pace,
        };
        #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
        tokio::spawn(async move { exchange(TcpStream::connect(address).await?, load, &progress).await })
    }
}
