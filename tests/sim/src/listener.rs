//! A listening port that can refuse, reset or ignore new connections for a while.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fault::PortFault;

const BACKLOG: u32 = 1024;
/// Pause after a failed accept or bind.
const PAUSE: Duration = Duration::from_millis(20);

/// A change of a port's behaviour; the answer says that it has happened.
#[derive(Debug)]
pub(crate) struct PortCommand {
    /// None heals.
    pub(crate) fault: Option<PortFault>,
    pub(crate) until: Option<Instant>,
    pub(crate) done: oneshot::Sender<()>,
}

/// Accepts connections and gives each to its own task, until dropped.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    mut commands: mpsc::Receiver<PortCommand>,
    handle: impl Fn(TcpStream) -> F,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    let mut reserved = None;
    let mut fault: Option<PortFault> = None;
    let mut until: Option<Instant> = None;
    let mut connections = JoinSet::new();
    let mut silent: Vec<TcpStream> = Vec::new();
    let mut applied: Option<oneshot::Sender<()>> = None;
    loop {
        while connections.try_join_next().is_some() {}
        if fault == Some(PortFault::Refuse) {
            listener = None;
            if reserved.is_none() {
                reserved = Some(reserve(address).await);
            }
        } else if let Some(socket) = reserved.take() {
            listener = Some(socket.listen(BACKLOG)?);
        }
        if let Some(done) = applied.take()
            && done.send(()).is_err()
        {
            tracing::debug!("nobody waits for the answer any more");
        }
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(command) = command else { return Ok(()) };
                fault = command.fault;
                until = command.until;
                applied = Some(command.done);
                silent.clear();
            }
            () = sleep_until(until.unwrap_or_else(crate::clock::now)), if until.is_some() => {
                fault = None;
                until = None;
                silent.clear();
            }
            accepted = accept(listener.as_ref()) => match (accepted, fault) {
                (Ok(tcp), None) => {
                    connections.spawn(handle(tcp));
                }
                (Ok(tcp), Some(PortFault::Silent)) => silent.push(tcp),
                (Ok(tcp), Some(PortFault::AcceptThenReset | PortFault::Refuse)) => {
                    if let Err(error) = tcp.set_zero_linger() {
                        tracing::debug!(%error, "cannot arrange for a reset");
                    }
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "cannot accept, trying again");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(tcp, _)| tcp),
        None => std::future::pending().await,
    }
}

/// Binds the port without listening: connections are refused, and nobody else can take the port meanwhile.
async fn reserve(address: SocketAddr) -> TcpSocket {
    loop {
        match bind(address) {
            Ok(socket) => return socket,
            Err(error) => {
                tracing::warn!(%error, %address, "cannot keep the refused port, trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Binds and listens.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}
