//! A destination and its clients: both directions at once, every byte checked at both ends.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::pattern::{Tally, fill};

/// What one connection moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Names the connection and its streams.
    pub(crate) key: u64,
    /// Bytes from the client to the destination.
    pub(crate) up: u64,
    /// Bytes the other way.
    pub(crate) down: u64,
    /// Bytes a second each way; 0 is as fast as possible.
    pub(crate) pace: u64,
}

/// How far all connections are, for showing it live.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes that arrived at the destination.
    pub(crate) up: AtomicU64,
    /// Bytes that arrived at the clients.
    pub(crate) down: AtomicU64,
}

/// A server that sends and checks patterns. It ends with its value.
#[derive(Debug)]
pub(crate) struct Destination {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Live figures.
    pub(crate) progress: Arc<Progress>,
    tallies: Arc<Mutex<HashMap<u64, Tally>>>,
    _tasks: JoinSet<()>,
}

const HEADER: usize = 32;

impl Destination {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let progress = Arc::new(Progress::default());
        let tallies = Arc::new(Mutex::new(HashMap::new()));
        let mut tasks = JoinSet::new();
        let (shared, counted) = (Arc::clone(&tallies), Arc::clone(&progress));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (tallies, progress) = (Arc::clone(&shared), Arc::clone(&counted));
                connections.spawn(async move {
                    if let Ok((key, tally)) = serve(socket, &progress).await {
                        tallies.lock().unwrap().insert(key, tally);
                    }
                });
            }
        });
        Ok(Self {
            address,
            progress,
            tallies,
            _tasks: tasks,
        })
    }

    /// What arrived over the connection with this key, once it is complete or broken.
    pub(crate) fn tally(&self, key: u64) -> Option<Tally> {
        self.tallies.lock().unwrap().get(&key).copied()
    }
}

async fn serve(mut socket: TcpStream, progress: &Progress) -> io::Result<(u64, Tally)> {
    socket.set_nodelay(true)?;
    let mut header = [0; HEADER];
    socket.read_exact(&mut header).await?;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let load = Load {
        key: number(0),
        up: number(8),
        down: number(16),
        pace: number(24),
    };
    let (reader, mut writer) = socket.split();
    let mut tally = Tally::default();
    let (received, sent) = tokio::join!(
        receive(reader, up_key(load), load.up, &progress.up, &mut tally),
        send(&mut writer, down_key(load), load.down, load.pace),
    );
    // The client ends first, so that the destination's end cannot cut anything off. What a broken connection has
    // brought is told too: that much must be right.
    if let Err(error) = received.and(sent) {
        tracing::debug!(%error, load.key, "a connection to the destination broke");
    }
    Ok((load.key, tally))
}

/// Moves a load over `socket` and checks what comes back.
pub(crate) async fn exchange(socket: TcpStream, load: Load, progress: &Progress) -> io::Result<Tally> {
    let mut tally = Tally::default();
    exchange_into(socket, load, progress, &mut tally).await?;
    Ok(tally)
}

/// The same; what has come back is in `tally` also when the connection breaks.
pub(crate) async fn exchange_into(
    socket: TcpStream,
    load: Load,
    progress: &Progress,
    tally: &mut Tally,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    exchange_over(socket, load, progress, tally).await
}

/// The same over any kind of socket.
pub(crate) async fn exchange_over(
    socket: impl AsyncRead + AsyncWrite,
    load: Load,
    progress: &Progress,
    tally: &mut Tally,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(socket);
    let mut header = Vec::with_capacity(HEADER);
    for number in [load.key, load.up, load.down, load.pace] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    writer.write_all(&header).await?;
    let (received, sent) = tokio::join!(
        receive(reader, down_key(load), load.down, &progress.down, tally),
        send(&mut writer, up_key(load), load.up, load.pace),
    );
    sent.and(received)
}

const fn up_key(load: Load) -> u64 {
    load.key.wrapping_mul(2)
}

const fn down_key(load: Load) -> u64 {
    load.key.wrapping_mul(2).wrapping_add(1)
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), key: u64, total: u64, pace: u64) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut offset = 0;
    let chunk_time = (buffer.len() as u64 * 1000)
        .checked_div(pace)
        .map(|ms| Duration::from_millis(ms.max(1)));
    let mut ticks = chunk_time.map(tokio::time::interval);
    while offset < total {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let length = buffer.len().min(usize::try_from(total - offset).unwrap_or(usize::MAX));
        fill(key, offset, &mut buffer[..length]);
        writer.write_all(&buffer[..length]).await?;
        offset += length as u64;
    }
    Ok(())
}

async fn receive(
    mut reader: impl AsyncRead + Unpin,
    key: u64,
    total: u64,
    progress: &AtomicU64,
    tally: &mut Tally,
) -> io::Result<()> {
    tally.expected = total;
    let mut buffer = vec![0; 64 << 10];
    while tally.received < total {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        tally.take(key, &buffer[..length]);
        progress.fetch_add(length as u64, Ordering::Relaxed);
    }
    Ok(())
}
