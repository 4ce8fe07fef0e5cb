//! An accepted local connection, whatever its family.

use std::io::{self, IoSlice};

use bytes::BufMut;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

use super::ProxiedStream;

/// A connected stream socket.
#[derive(Debug)]
pub enum LocalSocket {
    /// A TCP connection, `TCP_NODELAY` set.
    Tcp(TcpStream),
    /// A connection to a Unix socket.
    Unix(UnixStream),
    /// What `autossm proxy` brings.
    Proxied(ProxiedStream),
}

impl LocalSocket {
    /// Waits until one of the interests is there; spurious answers are possible.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
            Self::Proxied(proxied) => proxied.stream.ready(interest).await,
        }
    }

    /// Returns when nothing that is written can reach the client any more, as far as that shows without reading or
    /// writing. Cancel safe.
    pub(super) async fn hung_up(&self) {
        match self {
            Self::Tcp(_) | Self::Unix(_) => std::future::pending().await,
            Self::Proxied(proxied) => proxied.hung_up().await,
        }
    }

    /// Reads what is there; 0 is the end of the peer's stream.
    pub(super) fn try_read(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            Self::Unix(stream) => stream.try_read_buf(buffer),
            Self::Proxied(proxied) => proxied.stream.try_read_buf(buffer),
        }
    }

    /// Writes what the socket takes now.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(slices),
            Self::Unix(stream) => stream.try_write_vectored(slices),
            Self::Proxied(proxied) => proxied.stream.try_write_vectored(slices),
        }
    }

    /// Ends our direction; the peer reads what is left, then the end.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => shutdown(stream, Shutdown::Write)?,
            Self::Unix(stream) => shutdown(stream, Shutdown::Write)?,
            Self::Proxied(proxied) => shutdown(&proxied.stream, Shutdown::Write)?,
        }
        Ok(())
    }

    /// Closes so that the peer sees a reset at once. A Unix socket has no reset: its peer sees the end.
    pub(super) fn reset(self) {
        if let Self::Tcp(stream) = self
            && let Err(error) = stream.set_zero_linger()
        {
            // The close that follows still ends the connection, only less abruptly.
            tracing::debug!(%error, "local connection cannot be reset, closing it");
        }
    }
}
