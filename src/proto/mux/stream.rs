//! One smux stream: one local connection.

use std::collections::VecDeque;

use bytes::Bytes;

use super::output::Output;
use crate::Timestamp;
use crate::session::LocalId;

/// Bytes taken from a local connection and not yet framed.
pub(super) const INPUT: usize = 64 << 10;

/// What a journal knows of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredStream {
    /// The local connection.
    pub local: LocalId,
    /// The SYN was framed.
    pub opened: bool,
    /// Taken from the local connection and not framed.
    pub input: VecDeque<Bytes>,
    /// Received and not written to the local connection.
    pub output: VecDeque<Bytes>,
    /// The local side has closed its half.
    pub local_eof: bool,
    /// The local side is gone.
    pub local_reset: bool,
    /// The agent has sent a FIN.
    pub far_fin: bool,
    /// Bytes ever received.
    pub received: u64,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) local: LocalId,
    pub(super) opened: bool,
    input: VecDeque<Bytes>,
    pub(super) input_bytes: usize,
    pub(super) output: Output,
    pub(super) local_eof: bool,
    pub(super) local_reset: bool,
    pub(super) far_fin: bool,
    /// The agent could not reach the destination.
    pub(super) refused: bool,
    /// The local connection has been told the end; the stream stays until everything is written.
    pub(super) told: bool,
    pub(super) received: u64,
    /// The last message with bytes of this stream.
    pub(super) last_number: Option<u64>,
    /// The last sign of activity: bytes either way, or the local half-close.
    pub(super) active_at: Timestamp,
    /// The message whose acknowledge shows that silence up to the end of the grace period was silence, not a dead link.
    pub(super) fin_proof: Option<u64>,
    /// Room was zero when it was last asked for: say when it is positive again.
    pub(super) starved: bool,
}

impl Stream {
    pub(super) fn new(local: LocalId, now: Timestamp) -> Self {
        Self {
            local,
            opened: false,
            input: VecDeque::new(),
            input_bytes: 0,
            output: Output::default(),
            local_eof: false,
            local_reset: false,
            far_fin: false,
            refused: false,
            told: false,
            received: 0,
            last_number: None,
            active_at: now,
            fin_proof: None,
            starved: true,
        }
    }

    pub(super) fn restored(stream: RestoredStream, last_number: Option<u64>, now: Timestamp) -> Self {
        let total = |queue: &VecDeque<Bytes>| queue.iter().map(Bytes::len).fold(0, usize::saturating_add);
        Self {
            opened: stream.opened,
            input_bytes: total(&stream.input),
            input: stream.input,
            output: stream.output.into_iter().collect(),
            local_eof: stream.local_eof,
            local_reset: stream.local_reset,
            far_fin: stream.far_fin,
            received: stream.received,
            last_number,
            ..Self::new(stream.local, now)
        }
    }

    /// A sign of activity: a held-back FIN waits for another grace period.
    pub(super) const fn touch(&mut self, now: Timestamp) {
        self.active_at = now;
        self.fin_proof = None;
    }

    /// Bytes the stream would take from its local connection.
    pub(super) const fn room(&self) -> usize {
        if self.local_eof || self.local_reset || self.far_fin {
            0
        } else {
            INPUT.saturating_sub(self.input_bytes)
        }
    }

    /// Takes bytes of the local connection.
    pub(super) fn take_input(&mut self, bytes: Bytes) {
        self.input_bytes = self.input_bytes.saturating_add(bytes.len());
        self.input.push_back(bytes);
    }

    /// The next bytes to frame, at most `limit` of them.
    pub(super) fn next_input(&mut self, limit: usize) -> Option<Bytes> {
        let front = self.input.front_mut()?;
        let bytes = if front.len() <= limit {
            self.input.pop_front()?
        } else {
            front.split_to(limit)
        };
        self.input_bytes = self.input_bytes.saturating_sub(bytes.len());
        Some(bytes)
    }

    /// Forgets what was taken and not framed.
    pub(super) fn drop_input(&mut self) {
        self.input.clear();
        self.input_bytes = 0;
    }

    /// Takes bytes from the agent.
    pub(super) fn take_output(&mut self, bytes: Bytes) {
        self.received = self
            .received
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.output.push(bytes);
    }

    /// There is something to frame right now.
    pub(super) fn has_input(&self) -> bool {
        !self.opened || !self.input.is_empty()
    }
}
