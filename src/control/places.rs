//! Who has a place among the clients that are served at once, and who loses it to somebody who waits.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};

/// What a client has to send its request, however many wait: a hundred who ask at once are no slow clients.
const GRACE: Duration = Duration::from_millis(500);

/// Set when a client has sent its whole request: from then on it is the server that is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The request, whose end is noted; its head is there.
    pub(super) fn watch(&self, body: Body) -> Body {
        if body.is_end_stream() {
            self.set();
            return body;
        }
        let asked = self.clone();
        Body::new(Watched { body, asked })
    }
}

/// Those that are served, oldest first.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    client: AbortHandle,
    asked: Asked,
    grace: Pin<Box<Sleep>>,
}

impl Places {
    pub(super) fn take(&mut self, client: AbortHandle, asked: Asked) {
        self.0.retain(|place| !place.client.is_finished());
        let grace = Box::pin(sleep(GRACE));
        self.0.push(Place { client, asked, grace });
    }

    /// Closes the connection that has been sending its request for the longest time, once it has had time enough; without one it
    /// never returns. Cancel safe.
    pub(super) async fn make_room(&mut self) {
        loop {
            self.0.retain(|place| !place.client.is_finished());
            let Some(at) = self.0.iter().position(|place| !place.asked.get()) else {
                return std::future::pending().await;
            };
            let Some(place) = self.0.get_mut(at) else { return };
            place.grace.as_mut().await;
            if !place.asked.get() {
                tracing::debug!("a control connection that was slow to ask has lost its place");
                self.0.remove(at).client.abort();
                return;
            }
        }
    }
}

/// A request's body whose end is noted.
#[derive(Debug)]
struct Watched {
    body: Body,
    asked: Asked,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.asked.set();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
