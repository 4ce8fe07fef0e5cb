//! The applications that use the forward, and their sockets.

use std::collections::VecDeque;

use autossm_proto::Timestamp;
use autossm_proto::session::{LocalId, ResetCause};
use bytes::Bytes;

use crate::plan::{Manner, Plan};
use crate::rng::Pattern;

/// What the application may write ahead of autossm's reading.
const SOCKET: u64 = 64 << 10;

/// How a connection ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All data, then the end.
    Finished,
    Reset(ResetCause),
    /// The client itself reset it.
    Own,
}

/// One local connection: the application, its socket, and what the driver holds for it.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) key: usize,
    pub(crate) plan: Plan,
    pub(crate) id: LocalId,
    /// Written into the socket by the application.
    pub(crate) available: u64,
    /// Taken out of the socket: recorded as input.
    pub(crate) consumed: u64,
    pub(crate) eof_told: bool,
    /// Given to the socket and read by the application.
    pub(crate) written: u64,
    /// In the driver's memory.
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) queued: usize,
    /// The session said that no more will come.
    pub(crate) finishing: bool,
    pub(crate) end: Option<End>,
    next_write: Timestamp,
    next_read: Timestamp,
}

impl Local {
    pub(crate) const fn new(key: usize, plan: Plan, id: LocalId, now: Timestamp) -> Self {
        Self {
            key,
            plan,
            id,
            available: 0,
            consumed: 0,
            eof_told: false,
            written: 0,
            queue: VecDeque::new(),
            queued: 0,
            finishing: false,
            end: None,
            next_write: now,
            next_read: now,
        }
    }

    /// The application writes if it wants to.
    pub(crate) fn step_write(&mut self, now: Timestamp) {
        if self.write_at().is_some_and(|at| at <= now) {
            let left = self.plan.upload - self.available;
            let room = SOCKET - (self.available - self.consumed);
            self.available += left.min(room).min(self.plan.write_chunk as u64);
            self.next_write = now.after(self.plan.gap);
        }
    }

    /// The application reads if it wants to; gives what has left the driver's memory.
    pub(crate) fn step_read(&mut self, now: Timestamp) -> usize {
        if self.read_at().is_none_or(|at| at > now) {
            return 0;
        }
        let mut taken = 0;
        while taken < self.plan.read_chunk {
            let Some(front) = self.queue.front_mut() else {
                break;
            };
            let piece = front.split_to(front.len().min(self.plan.read_chunk - taken));
            if front.is_empty() {
                self.queue.pop_front();
            }
            let name = format!("download of connection {}", self.key);
            Pattern::down(self.key).check(&name, self.written, &piece);
            self.written += piece.len() as u64;
            taken += piece.len();
        }
        self.queued -= taken;
        assert!(self.written <= self.plan.download, "more came back than was sent");
        self.next_read = now.after(self.plan.gap);
        if let Some((at, wait)) = self.plan.stall
            && self.written >= at
        {
            self.plan.stall = None;
            self.next_read = now.after(wait);
        }
        taken
    }

    /// Whether it is time for the client to reset the connection.
    pub(crate) fn wants_reset(&self) -> bool {
        matches!(self.plan.manner, Manner::Reset(at) if self.written >= at && self.consumed > 0)
    }

    /// Whether the client's half is closed in the socket and autossm has read up to there.
    pub(crate) const fn shows_eof(&self) -> bool {
        let closes = matches!(self.plan.manner, Manner::HalfClose | Manner::WaitsForEof);
        closes && self.consumed == self.plan.upload && !self.eof_told
    }

    pub(crate) fn finish(&mut self) {
        if self.finishing && self.queue.is_empty() {
            self.end = Some(End::Finished);
        }
    }

    fn write_at(&self) -> Option<Timestamp> {
        let wants = self.end.is_none()
            && !self.finishing
            && self.available < self.plan.upload
            && self.available - self.consumed < SOCKET;
        wants.then_some(self.next_write)
    }

    fn read_at(&self) -> Option<Timestamp> {
        (self.end.is_none() && !self.queue.is_empty()).then_some(self.next_read)
    }

    /// When the application does something by itself.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        [self.write_at(), self.read_at()].into_iter().flatten().min()
    }
}
