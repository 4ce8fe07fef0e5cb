//! AWS's plugin as the client: its known defects must show with the simulator's own agent as they do with AWS's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autossm_sim::{Disturbance, Fault, LinkFault, Pick, Port, PortFault, Side, Traffic};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use crate::bench::{Far, Outcome, Transfer};
use crate::common::{call, echo};
use crate::programs::{AGENT, PLUGIN, program, report, start_plugin};
use crate::support::daemon::PATIENCE;
use crate::support::traffic::Load;

/// About 0.8 MB/s is the plugin's best.
const UP: Load = Load {
    key: 1,
    up: 2_000_000,
    down: 1000,
    pace: 0,
};
const DOWN: Load = Load {
    key: 2,
    up: 1000,
    down: 2_000_000,
    pace: 0,
};

/// How often a plugin is started that stands still by itself.
const STARTS: usize = 3;

/// A plugin that forwards to `port`; it is killed with this value.
pub(crate) struct Forward {
    pub(crate) address: SocketAddr,
    pub(crate) plugin: Child,
    _home: tempfile::TempDir,
}

impl Forward {
    pub(crate) async fn start(plugin: &Path, far: &Far, port: u16) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let request = json!({
            "Target": "i-0123456789abcdef0",
            "DocumentName": "AWS-StartPortForwardingSession",
            "Parameters": { "portNumber": [port.to_string()], "localPortNumber": [address.port().to_string()] },
        });
        let grant = call(&far.simulator.endpoint_url(), "StartSession", request.clone())
            .await
            .json();
        let home = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
        let plugin = start_plugin(plugin, home.path(), &far.simulator, &grant, &request);
        Self {
            address,
            plugin,
            _home: home,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            loop {
                ticks.tick().await;
                if let Ok(socket) = TcpStream::connect(self.address).await {
                    return socket;
                }
            }
        };
        let socket = tokio::time::timeout(PATIENCE, wait).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }
}

/// The simulator's own agent, and AWS's where there is one.
fn agents() -> Vec<(&'static str, Option<PathBuf>)> {
    let mut agents = vec![("the simulator's agent", None)];
    if let Some(agent) = program(AGENT) {
        agents.push(("AWS's agent", Some(agent)));
    }
    agents
}

#[tokio::test]
async fn ten_lines_of_1017_bytes_are_corrupted_ten_times() {
    let Some(plugin) = program(PLUGIN) else { return };
    for (name, agent) in agents() {
        let far = Far::start(agent).await;
        let echo = echo().await;
        let forward = Forward::start(&plugin, &far, echo.port).await;
        let mut socket = forward.connect().await;
        let mut line = vec![b'x'; 1017];
        line[1016] = b'\n';
        let mut corrupted = 0;
        for _ in 0..10 {
            let mut answer = vec![0; line.len()];
            socket.write_all(&line).await.unwrap();
            tokio::time::timeout(PATIENCE, socket.read_exact(&mut answer))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(answer[..1016], line[..1016], "{name}");
            corrupted += u32::from(answer[1016] == b'\r');
        }
        report(&format!("{name}: {corrupted} of 10 corrupted"));
        // A busy machine may part header and data differently, and then the newline is not alone.
        assert!(corrupted >= 5, "{name}: {corrupted}");
    }
}

fn link(side: Side, fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side,
        fault,
    }
}

fn close(side: Side) -> Fault {
    link(
        side,
        LinkFault::Close {
            code: 1000,
            reason: "Bye".to_owned(),
        },
    )
}

fn traffic(side: Side, traffic: Traffic, for_ms: Option<u64>) -> Fault {
    let disturbance = Disturbance {
        for_ms,
        persist: true,
        ..Disturbance::new(traffic)
    };
    link(side, LinkFault::Traffic(disturbance))
}

/// A load of which a third has gone. On a busy machine one plugin in fifty stands still before that, with either agent
/// and without any fault: it has what the agent sent and acknowledges no more of it.
async fn under_way(plugin: &Path, name: &str, agent: Option<PathBuf>, load: Load) -> (Far, Forward, Transfer) {
    for _ in 0..STARTS {
        let far = Far::start(agent.clone()).await;
        let forward = Forward::start(plugin, &far, far.destination.address.port()).await;
        drop(forward.connect().await);
        let transfer = far.transfer(forward.address, load);
        if far.moves((load.up + load.down) / 3).await {
            return (far, forward, transfer);
        }
        report(&format!(
            "{name}: the plugin stands still after {} bytes, no fault yet",
            far.moved()
        ));
    }
    panic!("{name}: the plugin never got under way");
}

/// What becomes of a load when the faults come after a third of it, with each agent.
async fn outcomes(load: Load, faults: &[Fault]) -> Vec<Outcome> {
    let Some(plugin) = program(PLUGIN) else {
        return Vec::new();
    };
    let mut outcomes = Vec::new();
    for (name, agent) in agents() {
        let (far, _forward, transfer) = under_way(&plugin, name, agent, load).await;
        far.inject(faults).await;
        let outcome = far.outcome(transfer).await;
        report(&format!("{name}: {outcome:?} after {} bytes", far.moved()));
        outcomes.push(outcome);
    }
    outcomes
}

/// What becomes of the load; both agents must agree. The plugin's own buffer has no room for a message whose write
/// failed, and it never acknowledges a duplicate: after a cut it is stuck, in either direction.
macro_rules! outcomes {
    ($($name:ident: $load:expr, $expected:pat, $faults:expr;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                for outcome in outcomes($load, &$faults).await {
                    assert!(matches!(outcome, $expected), "{outcome:?}");
                }
            }
        )+
    };
}

outcomes! {
    an_upload_arrives: UP, Outcome::Exact, [];
    a_download_arrives: DOWN, Outcome::Exact, [];
    an_upload_with_a_close: UP, Outcome::Stuck, [close(Side::Client)];
    a_download_with_a_close: DOWN, Outcome::Stuck, [close(Side::Client)];
    an_upload_with_a_reset: UP, Outcome::Stuck, [link(Side::Client, LinkFault::Reset)];
    a_download_with_a_reset: DOWN, Outcome::Stuck, [link(Side::Client, LinkFault::Reset)];
    an_upload_with_an_end: UP, Outcome::Stuck, [link(Side::Client, LinkFault::Fin)];
    a_download_with_an_end: DOWN, Outcome::Stuck, [link(Side::Client, LinkFault::Fin)];
    an_upload_with_3_seconds_refused: UP, Outcome::Stuck, [
        Fault::Port { port: Port::DataChannel, fault: PortFault::Refuse, for_ms: Some(3000) },
        link(Side::Client, LinkFault::Reset),
    ];
    a_download_with_3_seconds_refused: DOWN, Outcome::Stuck, [
        Fault::Port { port: Port::DataChannel, fault: PortFault::Refuse, for_ms: Some(3000) },
        link(Side::Client, LinkFault::Reset),
    ];
    an_upload_with_a_stall: UP, Outcome::Exact, [traffic(Side::Client, Traffic::Stall, Some(5000))];
    a_download_with_a_stall: DOWN, Outcome::Exact, [traffic(Side::Client, Traffic::Stall, Some(5000))];
    an_upload_with_every_50th_lost: UP, Outcome::Exact, [traffic(Side::Client, Traffic::Lose(Pick::Every(50)), None)];
    a_download_with_every_50th_lost: DOWN, Outcome::Stuck, [traffic(Side::Client, Traffic::Lose(Pick::Every(50)), None)];
    an_upload_with_100_ms: UP, Outcome::Exact, [traffic(Side::Client, Traffic::Delay { ms: 100 }, None)];
    a_download_with_100_ms: DOWN, Outcome::Exact, [traffic(Side::Client, Traffic::Delay { ms: 100 }, None)];
    an_upload_with_the_agent_reset: UP, Outcome::Exact, [link(Side::Agent, LinkFault::Reset)];
    a_download_with_the_agent_reset: DOWN, Outcome::Stuck, [link(Side::Agent, LinkFault::Reset)];
    an_upload_with_the_agent_closed: UP, Outcome::Exact, [close(Side::Agent)];
    // Whether an acknowledge is just on its way is luck.
    a_download_with_the_agent_closed: DOWN, Outcome::Exact | Outcome::Stuck, [close(Side::Agent)];
    a_download_with_spent_tokens: DOWN, Outcome::Stuck, [Fault::ExpireTokens { session: None }, close(Side::Client)];
}
