//! A link over a real websocket: the current one, and the two lanes its frames pass through.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::socket::{Farewell, Incoming, PeerSocket};
use crate::counters::Counters;
use crate::fault::{Disturbance, LinkFault, Side, Way};
use crate::lane::{Frame, Lane};

/// Frames read from a socket before others get their turn.
const READ_BATCH: usize = 64;

/// The link of a client, or of an agent outside. Without a socket both lanes are empty.
#[derive(Debug)]
pub(crate) struct SocketLink {
    side: Side,
    socket: Option<PeerSocket>,
    /// Towards the service.
    pub(crate) up: Lane,
    /// From the service.
    pub(crate) down: Lane,
    /// Connections that are on their way out.
    ending: JoinSet<()>,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Something moved; there may be more.
    pub(crate) progress: bool,
    /// The other side has gone.
    pub(crate) gone: bool,
}

impl SocketLink {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            socket: None,
            up: Lane::default(),
            down: Lane::default(),
            ending: JoinSet::new(),
        }
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// A new websocket; true when it took over from another one.
    pub(crate) fn attach(&mut self, socket: PeerSocket) -> bool {
        let farewell = Farewell::Close {
            code: 1000,
            reason: "another websocket has taken its place".to_owned(),
        };
        let took_over = self.end(farewell);
        self.socket = Some(socket);
        took_over
    }

    /// Ends the connection if there is one; what has not reached the socket is lost.
    pub(crate) fn end(&mut self, farewell: Farewell) -> bool {
        let stalled = self.down.is_stalled();
        self.up.cut();
        self.down.cut();
        let Some(socket) = self.socket.take() else {
            return false;
        };
        // A stalled connection must not suddenly deliver what was held back.
        let farewell = if stalled { Farewell::Reset } else { farewell };
        self.ending.spawn(socket.end(farewell));
        true
    }

    /// Whether no ended connection is still busy ending.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.ending.poll_join_next(cx) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads frames into the lane towards the service.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant, counters: &Counters) -> Moved {
        let mut moved = Moved::default();
        for _ in 0..READ_BATCH {
            let Some(socket) = self.socket.as_mut().filter(|_| self.up.has_room()) else {
                break;
            };
            let Poll::Ready(incoming) = socket.poll_incoming(cx) else {
                break;
            };
            moved.progress = true;
            match incoming {
                Ok(Incoming::Binary(frame)) => {
                    if self.side == Side::Client {
                        counters.messages_from_client.up();
                        counters.bytes_from_client.add(frame.len());
                    }
                    self.up.push(Frame::Message(frame), now);
                }
                Ok(Incoming::Ping(pong)) => self.up.push(Frame::Pong(pong), now),
                Ok(Incoming::Text(_) | Incoming::Other) => {}
                Err(error) => {
                    tracing::debug!(%error, side = ?self.side, "connection is over");
                    moved.gone = true;
                    self.leave();
                    break;
                }
            }
        }
        moved
    }

    /// Writes the lane from the service to the socket.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant, counters: &Counters) -> Moved {
        let mut moved = Moved::default();
        let Some(socket) = &mut self.socket else {
            return moved;
        };
        if self.down.is_stalled() {
            return moved;
        }
        while socket.has_room()
            && let Some(frame) = self.down.pop(now)
        {
            moved.progress = true;
            match frame {
                Frame::Message(frame) => {
                    if self.side == Side::Client {
                        counters.messages_to_client.up();
                        counters.bytes_to_client.add(frame.len());
                    }
                    // A closing websocket is noticed by the next read.
                    if let Err(error) = socket.send(frame) {
                        tracing::debug!(%error, "message not sent");
                    }
                }
                Frame::Pong(pong) => socket.send_raw(&pong),
            }
        }
        match socket.poll_flush(cx) {
            Poll::Ready(Ok(wrote)) => moved.progress |= wrote,
            Poll::Pending => {}
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, side = ?self.side, "connection is over");
                moved.gone = true;
                self.leave();
            }
        }
        moved
    }

    /// Queues a message of the service itself.
    pub(crate) fn push(&mut self, frame: Bytes, now: Instant) {
        if self.socket.is_some() {
            self.down.push(Frame::Message(frame), now);
        }
    }

    /// Says a last word, then closes.
    pub(crate) fn close_with(&mut self, last: Option<Bytes>) {
        if let Some(socket) = &mut self.socket {
            let mut frames: Vec<Frame> = std::iter::from_fn(|| self.down.take()).collect();
            frames.extend(last.map(Frame::Message));
            for frame in frames {
                if let Frame::Message(frame) = frame
                    && let Err(error) = socket.send(frame)
                {
                    tracing::debug!(%error, "message not sent");
                }
            }
        }
        self.end(Farewell::Close {
            code: 1000,
            reason: String::new(),
        });
    }

    /// Does what happens to a websocket; true when it is gone.
    pub(crate) fn fault(&mut self, fault: LinkFault, now: Instant) -> bool {
        let farewell = match fault {
            LinkFault::Close { code, reason } => Farewell::Close { code, reason },
            LinkFault::Reset | LinkFault::Away { .. } => Farewell::Reset,
            LinkFault::Fin => Farewell::Fin,
            LinkFault::CloseMidFrame { reset } => Farewell::MidFrame { reset },
            LinkFault::Traffic(disturbance) => {
                self.disturb(&disturbance, now);
                return false;
            }
            LinkFault::Heal => {
                self.up.heal();
                self.down.heal();
                return false;
            }
            LinkFault::ResetBeforeAcknowledge => {
                tracing::warn!(side = ?self.side, "only the simulator's own agent knows this fault, ignored");
                return false;
            }
        };
        self.end(farewell)
    }

    fn disturb(&mut self, disturbance: &Disturbance, now: Instant) {
        let until = disturbance.for_ms.map(|ms| now + std::time::Duration::from_millis(ms));
        if disturbance.way != Way::FromService {
            self.up.disturb(disturbance.traffic, until, disturbance.persist);
        }
        if disturbance.way != Way::ToService {
            self.down.disturb(disturbance.traffic, until, disturbance.persist);
        }
    }

    /// The other side has ended the connection: what it sent before is still delivered.
    fn leave(&mut self) {
        self.socket = None;
        self.down.cut();
        self.up.finish();
    }
}
