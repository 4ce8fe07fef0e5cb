//! What benchmarks measure of a connection and of a process.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Questions and answers for one figure.
const PINGS: usize = 200;

/// The median of many one-byte questions and answers, one after the other.
#[expect(clippy::disallowed_methods, reason = "it measures")]
pub(crate) async fn round_trip(socket: &mut TcpStream) -> Duration {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let started = Instant::now();
        socket.write_all(b"?").await.unwrap();
        socket.read_u8().await.unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[PINGS / 2]
}

/// Resident memory of a process, MB.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1e3
}

/// Processor time of a process, seconds; the kernel counts it in hundredths.
pub(crate) fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
