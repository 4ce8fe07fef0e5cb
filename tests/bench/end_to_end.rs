//! autossm beside raw TCP over the same path: 10 ms of network each way, one run.
//!
//! `cargo bench --bench end_to_end`. It prints what it measured and how; nothing is asserted.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark: it reads the clock and may fail loudly"
)]

mod relay;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use autossm_sim::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use relay::Relay;
use support::daemon::{Daemon, config};
use support::measure::{cpu, resident, round_trip};

const EACH_WAY: Duration = Duration::from_millis(10);
const UPLOAD: usize = 100_000_000;
const DOWNLOAD: usize = 5_000_000;

/// What one path does.
struct Figures {
    upload: f64,
    download: f64,
    round_trip: Duration,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let (destination, _serving) = destination().await;
    let free = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let raw = Relay::start(free().await, destination, EACH_WAY).unwrap();
    let front = free().await;
    let settings = autossm_sim::Config {
        advertise: Some(front.local_addr().unwrap()),
        ..Default::default()
    };
    let simulator = Simulator::start(settings).await.unwrap();
    let _relay = Relay::start(front, simulator.data_channel_address(), EACH_WAY).unwrap();
    say("path: client - relay with 10 ms each way - destination; autossm sits in front of the relay, the simulator");
    say("behind it; all on loopback of one machine, one connection, payload 1024 bytes\n");
    say(&format!(
        "{:<26} {:>12} {:>12} {:>14}",
        "", "upload", "download", "round trip p50"
    ));
    let plain = measure(raw.address, DOWNLOAD * 10).await;
    report("raw TCP", &plain);
    for payload in [1024, 8192, 32768] {
        let text = config(
            &simulator.endpoint_url(),
            destination.port(),
            &format!("payload_limit = {payload}\n"),
        );
        let daemon = Daemon::start(Path::new(env!("CARGO_BIN_EXE_autossm")), &[], &text)
            .await
            .unwrap();
        daemon.attached().await.unwrap();
        let pid = daemon.pid().unwrap();
        let idle = resident(pid);
        let before = cpu(pid);
        let forward = measure(daemon.listener().await.unwrap(), DOWNLOAD).await;
        report(&format!("autossm, payload {payload}"), &forward);
        let added = forward.round_trip.saturating_sub(plain.round_trip);
        let moved = (UPLOAD + DOWNLOAD) as f64 / 1e6;
        say(&format!(
            "    added round trip {:.3} ms, resident {:.1} MB idle and {:.1} MB after, processor {:.1} ms per MB",
            added.as_secs_f64() * 1e3,
            idle,
            resident(pid),
            (cpu(pid) - before) * 1e3 / moved,
        ));
        daemon.terminate().await.unwrap();
    }
    say("\nan agent sends at most 1024 bytes a millisecond, whatever the client does: that is the download");
    simulator.shutdown().await;
}

fn say(line: &str) {
    let _closed = writeln!(std::io::stdout(), "{line}");
}

fn report(name: &str, figures: &Figures) {
    say(&format!(
        "{name:<26} {:>7.1} MB/s {:>7.2} MB/s {:>11.3} ms",
        figures.upload,
        figures.download,
        figures.round_trip.as_secs_f64() * 1e3,
    ));
}

/// A server: the first byte says what it does. `u`: read a length and so many bytes, answer one byte. `d`: read a
/// length and send so many bytes. `e`: echo.
async fn destination() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                // A client that leaves ends its connection.
                let _left = serve(&mut socket).await;
            });
        }
    });
    (address, tasks)
}

async fn serve(socket: &mut TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 256 << 10];
    match socket.read_u8().await? {
        b'u' => {
            let mut left = socket.read_u64().await?;
            while left > 0 {
                left -= socket.read(&mut buffer).await? as u64;
            }
            socket.write_all(b".").await
        }
        b'd' => {
            let mut left = usize::try_from(socket.read_u64().await?).unwrap();
            while left > 0 {
                let length = left.min(buffer.len());
                socket.write_all(&buffer[..length]).await?;
                left -= length;
            }
            socket.read_u8().await.map(|_| ())
        }
        _ => loop {
            let length = socket.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            socket.write_all(&buffer[..length]).await?;
        },
    }
}

async fn open(address: SocketAddr, mode: u8) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(&[mode]).await.unwrap();
    socket
}

async fn measure(address: SocketAddr, download: usize) -> Figures {
    // The first upload warms both paths up: their windows are open afterwards.
    upload(address, UPLOAD / 10).await;
    Figures {
        upload: upload(address, UPLOAD).await,
        download: download_rate(address, download).await,
        round_trip: round_trip(&mut open(address, b'e').await).await,
    }
}

async fn upload(address: SocketAddr, total: usize) -> f64 {
    let mut socket = open(address, b'u').await;
    let chunk = vec![7; 64 << 10];
    let started = Instant::now();
    socket.write_u64(total as u64).await.unwrap();
    let mut left = total;
    while left > 0 {
        let length = left.min(chunk.len());
        socket.write_all(&chunk[..length]).await.unwrap();
        left -= length;
    }
    socket.read_u8().await.unwrap();
    total as f64 / 1e6 / started.elapsed().as_secs_f64()
}

async fn download_rate(address: SocketAddr, total: usize) -> f64 {
    let mut socket = open(address, b'd').await;
    let mut buffer = vec![0; 256 << 10];
    let started = Instant::now();
    socket.write_u64(total as u64).await.unwrap();
    let mut left = total;
    while left > 0 {
        left -= socket.read(&mut buffer).await.unwrap();
    }
    let rate = total as f64 / 1e6 / started.elapsed().as_secs_f64();
    socket.write_all(b".").await.unwrap();
    rate
}
