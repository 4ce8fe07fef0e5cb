//! A TCP relay that delays every byte by a fixed time each way and limits nothing else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Chunks on their way; with 64 KiB each far more than any bandwidth-delay product here.
const ON_THE_WAY: usize = 4096;

/// A relay; it ends with its value.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Relays connections to `listener` on to `target`.
    pub(crate) fn start(listener: TcpListener, target: SocketAddr, each_way: Duration) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(async move {
                    // A connection that breaks is the measured program's business.
                    let _broken = relay(near, target, each_way).await;
                });
            }
        });
        Ok(Self { address, _tasks: tasks })
    }
}

async fn relay(near: TcpStream, target: SocketAddr, each_way: Duration) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    let there = delay(near_reader, far_writer, each_way);
    let back = delay(far_reader, near_writer, each_way);
    let (there, back) = tokio::join!(there, back);
    there.and(back)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark's network needs a clock of its own"
)]
async fn delay(
    mut reader: impl AsyncReadExt + Unpin,
    mut writer: impl AsyncWriteExt + Unpin,
    each_way: Duration,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = reader.read(&mut buffer).await?;
            let chunk = buffer[..length].to_vec();
            if length == 0 || sender.send((Instant::now() + each_way, chunk)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            writer.write_all(&chunk).await?;
        }
        writer.shutdown().await
    };
    let (read, wrote) = tokio::join!(reading, writing);
    read.and(wrote)
}
