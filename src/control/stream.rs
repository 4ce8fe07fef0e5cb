//! The server's end of the stream of events.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Subscription;
use crate::status::{Event, EventLine};

/// One reader.
#[derive(Debug)]
struct Reader {
    first: VecDeque<EventLine>,
    /// None once the stream is over.
    rest: Option<Receiver<EventLine>>,
    last_ms: u64,
    ended: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// One line an event until `ended`; a reader that was too slow is told so and dropped. `place` is given back then.
pub(super) fn body(subscription: Subscription, place: OwnedSemaphorePermit, ended: CancellationToken) -> Body {
    let reader = Reader {
        first: subscription.first.into(),
        rest: Some(subscription.rest),
        last_ms: 0,
        ended,
        _place: place,
    };
    let lines = futures_util::stream::unfold(reader, async |mut reader| {
        let line = reader.next().await?;
        Some((Ok::<_, Infallible>(line), reader))
    });
    Body::from_stream(lines)
}

impl Reader {
    /// The next event, or that some were missed. What happened before the end is still told.
    async fn follow(&mut self) -> Option<Result<EventLine, RecvError>> {
        let rest = self.rest.as_mut()?;
        tokio::select! {
            biased;
            event = rest.recv() => Some(event),
            () = self.ended.cancelled() => None,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let line = match self.first.pop_front() {
            Some(line) => line,
            None => match self.follow().await? {
                Ok(line) => line,
                Err(RecvError::Lagged(count)) => {
                    tracing::info!(count, "a reader of events was too slow and is dropped");
                    self.rest = None;
                    EventLine {
                        unix_ms: self.last_ms,
                        event: Event::Missed { count },
                    }
                }
                Err(RecvError::Closed) => return None,
            },
        };
        self.last_ms = line.unix_ms;
        match serde_json::to_vec(&line) {
            Ok(mut text) => {
                text.push(b'\n');
                Some(text.into())
            }
            Err(error) => {
                tracing::error!(%error, "an event cannot be written; please report this");
                None
            }
        }
    }
}
