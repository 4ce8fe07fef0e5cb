//! autossm beside AWS's plugin, both with AWS's agent: the same simulator, the same path with 10 ms each way, one run.
//!
//! It asserts nothing about speed and is run by itself: `cargo test --test interop -- --ignored --nocapture figures`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::bench::{Far, PATIENCE};
use crate::common::{Echo, echo};
use crate::plugin::Forward;
use crate::programs::{AGENT, PLUGIN, program, report};
use crate::relay::Relay;
use crate::support::daemon::{Daemon, config};
use crate::support::measure::{cpu, resident, round_trip};
use crate::support::traffic::Load;

const EACH_WAY: Duration = Duration::from_millis(10);
const BYTES: u64 = 10_000_000;
/// An optimized autossm.
const AUTOSSM: &str = "AUTOSSM_INTEROP_AUTOSSM";

/// A simulator with AWS's agent behind a relay, and an echo beside its destination.
struct Path10 {
    far: Far,
    echo: Echo,
    _relay: Relay,
}

impl Path10 {
    async fn start(agent: PathBuf) -> Self {
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = Far::behind(Some(agent), Some(front.local_addr().unwrap())).await;
        let relay = Relay::start(front, far.simulator.data_channel_address(), EACH_WAY).unwrap();
        let echo = echo().await;
        Self {
            far,
            echo,
            _relay: relay,
        }
    }

    /// autossm with one forward.
    async fn daemon(&self, autossm: &Path, payload: u32, port: u16) -> Daemon {
        let text = config(
            &self.far.simulator.endpoint_url(),
            port,
            &format!("payload_limit = {payload}\n"),
        );
        let daemon = Daemon::start(autossm, &[], &text).await.unwrap();
        daemon.attached().await.unwrap();
        daemon
    }

    /// Upload and download in MB/s.
    async fn rates(&self, address: SocketAddr) -> (f64, f64) {
        let mut rates = Vec::new();
        // The first one warms the path up.
        for (key, up, down) in [(1, BYTES / 10, 0), (2, BYTES, 0), (3, 0, BYTES)] {
            let load = Load { key, up, down, pace: 0 };
            let (_, _, took) = self
                .far
                .finish(self.far.transfer(address, load), PATIENCE)
                .await
                .unwrap();
            rates.push((up + down) as f64 / 1e6 / took.as_secs_f64());
        }
        (rates[1], rates[2])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_side_by_side() {
    let (Some(agent), Some(plugin), Some(autossm)) = (program(AGENT), program(PLUGIN), program(AUTOSSM)) else {
        return;
    };
    let direct = echo().await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = SocketAddr::from(([127, 0, 0, 1], direct.port));
    let raw = Relay::start(front, target, EACH_WAY).unwrap();
    let plain = question(TcpStream::connect(raw.address).await.unwrap()).await;
    report(&format!("raw TCP: round trip {:.2} ms", millis(plain)));
    for payload in [1024, 8192] {
        with_autossm(&agent, &autossm, payload, plain).await;
    }
    with_plugin(&agent, &plugin, plain).await;
}

async fn with_autossm(agent: &Path, autossm: &Path, payload: u32, plain: Duration) {
    let path = Path10::start(agent.to_owned()).await;
    let daemon = path.daemon(autossm, payload, path.far.destination.address.port()).await;
    let pid = daemon.pid().unwrap();
    let (idle, before) = (resident(pid), cpu(pid));
    let rates = path.rates(daemon.listener().await.unwrap()).await;
    let (used, after) = (cpu(pid) - before, resident(pid));
    let echo = path.daemon(autossm, payload, path.echo.port).await;
    let took = question(TcpStream::connect(echo.listener().await.unwrap()).await.unwrap()).await;
    let added = took.saturating_sub(plain);
    say(&format!("autossm, payload {payload}"), rates, added, idle, after, used);
}

async fn with_plugin(agent: &Path, plugin: &Path, plain: Duration) {
    let path = Path10::start(agent.to_owned()).await;
    let forward = Forward::start(plugin, &path.far, path.far.destination.address.port()).await;
    drop(forward.connect().await);
    let pid = forward.plugin.id().unwrap();
    let (idle, before) = (resident(pid), cpu(pid));
    let rates = path.rates(forward.address).await;
    let (used, after) = (cpu(pid) - before, resident(pid));
    let echo = Forward::start(plugin, &path.far, path.echo.port).await;
    let took = question(echo.connect().await).await;
    say("AWS's plugin", rates, took.saturating_sub(plain), idle, after, used);
}

fn say(who: &str, (up, down): (f64, f64), added: Duration, idle: f64, after: f64, used: f64) {
    let moved = BYTES as f64 * 2.1 / 1e6;
    report(&format!(
        "{who}: upload {up:.2} MB/s, download {down:.2} MB/s, added round trip {:.2} ms, resident {idle:.1} then \
         {after:.1} MB, processor {:.1} ms per MB",
        millis(added),
        used * 1e3 / moved,
    ));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The round trip of small writes over this connection.
async fn question(mut socket: TcpStream) -> Duration {
    socket.set_nodelay(true).unwrap();
    round_trip(&mut socket).await
}
