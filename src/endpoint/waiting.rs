//! A client whose connection has no stream yet, because its session is away: nothing is read of it, and yet it must be
//! noticed that it has given up, or it would be served when nobody waits any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::time::{Sleep, sleep};

use super::LocalSocket;

/// A client that has sent something and then closed may have ended its direction only, and waits for the answer. After
/// this long it counts as one that does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the client to give up.
#[derive(Debug)]
pub(super) struct Waiting {
    /// A second registration: to wait for the client's end must not touch what the socket knows of itself. None when no
    /// descriptor is left; the client is then served late.
    watch: Option<AsyncFd<OwnedFd>>,
    /// A Unix socket tells an end of one direction from an end of both.
    tells_both: bool,
    /// Runs since the client has closed, until it counts as one that has given up.
    closed: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    /// Of a connection that nothing has been read of.
    pub(super) fn of(socket: &LocalSocket) -> Self {
        let (watch, tells_both) = match socket {
            LocalSocket::Tcp(stream) => (watch(stream.as_fd()), false),
            LocalSocket::Unix(stream) => (watch(stream.as_fd()), true),
            // Its end is noticed at any time.
            LocalSocket::Proxied(_) => return Self::over(),
        };
        Self {
            watch: watch.ok(),
            tells_both,
            closed: None,
        }
    }

    /// The connection has its stream.
    pub(super) const fn over() -> Self {
        Self {
            watch: None,
            tells_both: false,
            closed: None,
        }
    }

    /// Returns when the client counts as one that has given up. Cancel safe.
    pub(super) async fn given_up(&mut self) {
        let Some(watch) = &self.watch else {
            return std::future::pending().await;
        };
        closed(watch, Interest::READABLE, Ready::is_read_closed).await;
        let late = self.closed.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if self.tells_both {
            tokio::select! {
                () = closed(watch, Interest::WRITABLE, Ready::is_write_closed) => {}
                () = late.as_mut() => return,
            }
        }
        if has_sent(watch.as_fd()) {
            late.await;
        }
    }
}

/// Returns when the direction is closed.
async fn closed(watch: &AsyncFd<OwnedFd>, interest: Interest, is_closed: fn(Ready) -> bool) {
    while let Ok(mut guard) = watch.ready(interest).await {
        if is_closed(guard.ready()) {
            return;
        }
        guard.clear_ready();
    }
    std::future::pending::<()>().await;
}

/// Whether there is something that was never read.
fn has_sent(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0; 1];
    let peeked = recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    peeked.is_ok_and(|(count, _)| count > 0)
}

#[expect(
    deprecated,
    reason = "its replacement is unsafe, for types that close their file; this one is closed with its watch"
)]
fn watch(socket: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket.try_clone_to_owned()?, Interest::READABLE | Interest::WRITABLE)
}
