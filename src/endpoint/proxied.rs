//! The connection that an `autossm proxy` brings.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// A stream whose client may go without having been read to the end: it is noticed at once, also while nothing is read.
#[derive(Debug)]
pub struct ProxiedStream {
    pub(super) stream: UnixStream,
    /// A second registration: to wait for the client's end must not touch what the stream knows of itself.
    watch: AsyncFd<OwnedFd>,
}

impl ProxiedStream {
    /// Serves `stream`.
    ///
    /// # Errors
    /// No file descriptor is left.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe, for types that close their file; this one is closed with its watch"
    )]
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let watch = AsyncFd::with_interest(stream.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?;
        Ok(Self { stream, watch })
    }

    /// Returns when the client has closed both directions: it can be told nothing any more. Cancel safe.
    pub(super) async fn hung_up(&self) {
        while let Ok(mut guard) = self.watch.ready(Interest::WRITABLE).await {
            if guard.ready().is_write_closed() {
                return;
            }
            guard.clear_ready();
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_goes_is_noticed_and_one_that_only_ends_its_direction_is_not() {
        let (mut client, own) = UnixStream::pair().unwrap();
        let proxied = ProxiedStream::new(own).unwrap();
        client.write_all(b"unread").await.unwrap();
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, proxied.hung_up()).await.is_err());
        client.shutdown().await.unwrap();
        assert!(tokio::time::timeout(soon, proxied.hung_up()).await.is_err());
        drop(client);
        let late = Duration::from_secs(10);
        assert!(tokio::time::timeout(late, proxied.hung_up()).await.is_ok());
    }
}
