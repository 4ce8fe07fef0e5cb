//! The core's frames over the one live websocket.

use std::task::{Context, Poll};

use autossm_proto::Timestamp;
use autossm_proto::session::{DropCause, Epoch, Inbound, Reading, Session};

use super::trace;
use crate::transport::{Transport, has_address};

/// Frames read in one turn, so that writing and local connections get theirs.
const READ_BATCH: usize = 256;
/// The same in bytes: the session must see what came before it can say that it is too much.
const READ_BATCH_BYTES: usize = 1 << 20;

/// The websocket of the session's present epoch, while there is one.
#[derive(Debug)]
pub(super) struct Link {
    /// Whose it is, for the log.
    session: String,
    transport: Option<Transport>,
    writing: Writing,
}

/// How far writing is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Writing {
    /// Nothing is in the websocket's queue, and the core had nothing to send.
    #[default]
    Idle,
    /// The core had no more, but the queue has not left yet.
    Flushing,
    /// The queue is full; the core may have more.
    Blocked,
    /// The core may have more; the turn was over.
    Paused,
    /// It is over. What has arrived before is still read, and may hold a better cause.
    Failed(DropCause),
}

/// What one look at the websocket found, apart from the frames.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LinkNews {
    /// Everything sent so far has left the queue.
    pub(super) flushed: bool,
    /// The websocket is over; nothing more will be read.
    pub(super) dropped: Option<DropCause>,
    /// More can be written.
    writable: bool,
}

fn size(frame: &Inbound) -> usize {
    match frame {
        Inbound::Binary(bytes) | Inbound::Pong(bytes) => bytes.len(),
        Inbound::Other => 0,
    }
}

impl Link {
    /// Without a websocket.
    pub(super) fn new(session: &str) -> Self {
        Self {
            session: session.to_owned(),
            transport: None,
            writing: Writing::default(),
        }
    }

    /// Drives this websocket from now on; one that was there before is aborted.
    pub(super) fn attach(&mut self, transport: Transport) {
        self.abort();
        self.transport = Some(transport);
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.transport.as_ref().map(Transport::epoch)
    }

    /// Whether the present websocket's local address is no longer this machine's.
    pub(super) fn has_lost_its_address(&self) -> bool {
        let address = self.transport.as_ref().and_then(Transport::local_address);
        address.is_some_and(|address| !has_address(address))
    }

    /// Drops the websocket of this epoch at once; another one stays.
    pub(super) fn close(&mut self, epoch: Epoch) {
        if self.epoch() == Some(epoch) {
            self.abort();
        }
    }

    fn abort(&mut self) {
        self.writing = Writing::Idle;
        if let Some(transport) = self.transport.take() {
            transport.abort();
        }
    }

    /// Waits for the websocket: frames, as many as `reading` allows, go to `inbox`. Cancel safe.
    pub(super) async fn news(&mut self, reading: Reading, now: Timestamp, inbox: &mut Vec<Inbound>) -> LinkNews {
        let limit = match reading {
            Reading::Open => READ_BATCH,
            Reading::At(time) if time <= now => 1,
            Reading::At(_) | Reading::Stopped => 0,
        };
        std::future::poll_fn(|context| self.poll_news(limit, inbox, context)).await
    }

    fn poll_news(&mut self, limit: usize, inbox: &mut Vec<Inbound>, context: &mut Context<'_>) -> Poll<LinkNews> {
        let mut news = LinkNews::default();
        let Some(transport) = &mut self.transport else {
            return Poll::Pending;
        };
        match &self.writing {
            Writing::Idle | Writing::Failed(_) => {}
            Writing::Paused => news.writable = true,
            Writing::Flushing => match transport.poll_flush(context) {
                Poll::Ready(Ok(())) => {
                    self.writing = Writing::Idle;
                    news.flushed = true;
                }
                Poll::Ready(Err(cause)) => self.writing = Writing::Failed(cause),
                Poll::Pending => {}
            },
            Writing::Blocked => match transport.poll_ready(context) {
                Poll::Ready(Ok(())) => {
                    self.writing = Writing::Paused;
                    news.writable = true;
                }
                Poll::Ready(Err(cause)) => self.writing = Writing::Failed(cause),
                Poll::Pending => {}
            },
        }
        let mut bytes = 0;
        while inbox.len() < limit && bytes < READ_BATCH_BYTES {
            match transport.poll_receive(context) {
                Poll::Ready(Ok(frame)) => {
                    bytes += size(&frame);
                    trace::received(&self.session, &frame);
                    inbox.push(frame);
                }
                Poll::Ready(Err(cause)) => {
                    news.dropped = Some(cause);
                    break;
                }
                Poll::Pending => break,
            }
        }
        if let Writing::Failed(cause) = &self.writing
            && limit == 0
        {
            news.dropped = Some(cause.clone());
        }
        if inbox.is_empty() && news == LinkNews::default() {
            Poll::Pending
        } else {
            Poll::Ready(news)
        }
    }

    /// Sends what the core has, up to `budget` frames, then flushes once; how many frames.
    pub(super) async fn send(&mut self, session: &mut Session, now: Timestamp, budget: usize) -> usize {
        // Ready at once; only the task's waker is needed from it.
        std::future::poll_fn(|context| Poll::Ready(self.poll_send(session, now, budget, context))).await
    }

    fn poll_send(&mut self, session: &mut Session, now: Timestamp, budget: usize, context: &mut Context<'_>) -> usize {
        let mut sent = 0;
        let Some(transport) = &mut self.transport else {
            return sent;
        };
        if matches!(self.writing, Writing::Failed(_)) {
            return sent;
        }
        let unflushed = self.writing != Writing::Idle;
        self.writing = loop {
            if sent >= budget {
                break Writing::Paused;
            }
            match transport.poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(cause)) => break Writing::Failed(cause),
                Poll::Pending => break Writing::Blocked,
            }
            let Some(frame) = session.poll_transmit(now) else {
                break Writing::Flushing;
            };
            trace::sent(&self.session, &frame);
            if let Err(cause) = transport.start_send(frame) {
                break Writing::Failed(cause);
            }
            sent += 1;
        };
        let gathered = self.writing == Writing::Flushing || self.writing == Writing::Paused;
        if !gathered {
            return sent;
        }
        if sent == 0 && !unflushed {
            self.writing = Writing::Idle;
            return sent;
        }
        match transport.poll_flush(context) {
            Poll::Ready(Ok(())) => {
                session.handle_flushed(transport.epoch(), now);
                if self.writing == Writing::Flushing {
                    self.writing = Writing::Idle;
                }
            }
            Poll::Ready(Err(cause)) => self.writing = Writing::Failed(cause),
            Poll::Pending => {}
        }
        sent
    }
}
