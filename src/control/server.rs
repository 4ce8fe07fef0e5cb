//! Serves the control API. No client can stall it: each connection has a deadline, their number has a bound, and where all
//! places are taken, who is slow to ask loses his to the next one.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::map_request;
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ControlHandle;
use super::places::{Asked, Places};
use super::proxy::Upgrading;
use super::routes::{LongLived, router};
use super::socket::ControlSocket;
use super::stall::Impatient;

/// Clients at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 32;
/// A client that sends no whole request head within this is gone.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// No connection lives longer, unless it reads events or waits for a reload.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// What connections get at the end, for an answer or a last event.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes of a request's head; ours have about 100.
const LARGEST_HEAD: usize = 8 * 1024;
/// After accepting has failed, out of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers clients of `socket` until `cancelled`; then gives those there are a moment, and removes the socket.
pub async fn serve(socket: ControlSocket, handle: impl ControlHandle, cancelled: CancellationToken) {
    let router = router(handle, cancelled.clone());
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let spare = Spare::default();
    let mut failing = false;
    let mut connections = JoinSet::new();
    let mut places = Places::default();
    loop {
        // Finished connections are reaped here; there are never more than MOST_CONNECTIONS and the one that came.
        while connections.try_join_next().is_some() {}
        let next = async {
            let stream = accept(&socket, &spare, &mut failing).await?;
            let mut permit = std::pin::pin!(Arc::clone(&permits).acquire_owned());
            loop {
                tokio::select! {
                    biased;
                    permit = &mut permit => return Some((stream, permit.ok()?)),
                    () = places.make_room() => {}
                }
            }
        };
        tokio::select! {
            () = cancelled.cancelled() => break,
            next = next => if let Some((stream, permit)) = next {
                let (router, spare, asked) = (router.clone(), spare.clone(), Asked::default());
                let noted = asked.clone();
                let client = connections.spawn(async move {
                    serve_connection(stream, router, noted, permit).await;
                    // At once: the descriptor that is free now is wanted by local connections too.
                    spare.hold();
                });
                places.take(client, asked);
            },
        }
    }
    let last_words = async { while connections.join_next().await.is_some() {} };
    if timeout(LAST_WORDS, last_words).await.is_err() {
        tracing::debug!("closing control connections that linger");
    }
    connections.shutdown().await;
}

/// A file descriptor held back: when local connections have used up all others, whoever asks for the status is still
/// answered.
#[derive(Clone, Debug, Default)]
struct Spare(Arc<Mutex<Option<File>>>);

impl Spare {
    fn hold(&self) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            // There will be another moment, if there is none to spare now.
            *file = File::open("/dev/null").ok();
        }
    }

    /// Whether one more descriptor is free now.
    fn release(&self) -> bool {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.take().is_some()
    }
}

/// The next client that may be one; none when this one may not or there was none.
async fn accept(socket: &ControlSocket, spare: &Spare, failing: &mut bool) -> Option<UnixStream> {
    spare.hold();
    match socket.listener().accept().await {
        Ok((stream, _)) => {
            *failing = false;
            is_ours(&stream).then_some(stream)
        }
        Err(error) if is_exhausted(&error) && spare.release() => {
            // Without a pause: a local connection would take the place.
            let (stream, _) = socket.listener().accept().await.ok()?;
            is_ours(&stream).then_some(stream)
        }
        Err(error) => {
            if !std::mem::replace(failing, true) {
                tracing::warn!(%error, "cannot accept control connections now, retrying");
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Out of file descriptors.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno == Some(Errno::MFILE) || errno == Some(Errno::NFILE)
}

/// The socket's mode keeps others out already; this holds when somebody has changed it.
fn is_ours(stream: &UnixStream) -> bool {
    match stream.peer_cred() {
        Ok(peer) if is_allowed(peer.uid(), rustix::process::geteuid().as_raw()) => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused a control connection of another user");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "refused a control connection of an unknown user");
            false
        }
    }
}

/// Only the daemon's own user; not root either, since in a user namespace every foreign uid may look alike.
pub(super) const fn is_allowed(peer: u32, own: u32) -> bool {
    peer == own
}

async fn serve_connection(stream: UnixStream, router: Router, asked: Asked, _permit: OwnedSemaphorePermit) {
    let (long, upgrading) = (LongLived::default(), Upgrading::default());
    let service = TowerToHyperService::new(
        router
            .layer(Extension(long.clone()))
            .layer(Extension(upgrading.clone()))
            .layer(map_request(move |request: Request| {
                let request = request.map(|body| asked.watch(body));
                async move { request }
            })),
    );
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(LARGEST_HEAD)
        // A client that has more to ask connects again: so none can stay for ever.
        .keep_alive(false)
        .serve_connection(TokioIo::new(Impatient::new(stream)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = match timeout(CONNECTION_TIMEOUT, &mut connection).await {
        Ok(ended) => ended,
        // It ends with its client, or when that does not read.
        Err(_) if long.get() => connection.await,
        Err(_) => return tracing::debug!("a control connection took too long"),
    };
    if let Err(error) = ended {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(%error, cause, "a control connection failed");
    }
    upgrading.finish().await;
}
