//! One local connection as a workload keeps it: a stream of the multiplexer, or all there is.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::output::Output;
use crate::Timestamp;
use crate::session::LocalId;

/// Bytes taken from a local connection and not yet framed.
pub(crate) const INPUT: usize = 64 << 10;

/// What a journal knows of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredStream {
    /// The local connection.
    pub local: LocalId,
    /// The far side was told of it: its SYN was framed.
    pub opened: bool,
    /// Taken from the local connection and not framed.
    pub input: VecDeque<Bytes>,
    /// Received and not written to the local connection.
    pub output: VecDeque<Bytes>,
    /// The local side has closed its half.
    pub local_eof: bool,
    /// The local side is gone.
    pub local_reset: bool,
    /// The far side has ended.
    pub far_fin: bool,
    /// Bytes ever received.
    pub received: u64,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) local: LocalId,
    pub(crate) opened: bool,
    input: VecDeque<Bytes>,
    pub(crate) input_bytes: usize,
    pub(crate) output: Output,
    pub(crate) local_eof: bool,
    pub(crate) local_reset: bool,
    pub(crate) far_fin: bool,
    /// The agent could not reach the destination.
    pub(crate) refused: bool,
    /// The local connection has been told the end; the stream stays until everything is written.
    pub(crate) told: bool,
    pub(crate) received: u64,
    /// The last message with bytes of this stream.
    pub(crate) last_number: Option<u64>,
    /// The last sign of activity: bytes either way, or the local half-close.
    pub(crate) active_at: Timestamp,
    /// The message whose acknowledge shows that silence up to the end of the grace period was silence, not a dead link.
    pub(crate) fin_proof: Option<u64>,
    /// Room was zero when it was last asked for: say when it is positive again.
    pub(crate) starved: bool,
}

impl Stream {
    pub(crate) fn new(local: LocalId, now: Timestamp) -> Self {
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

    pub(crate) fn restored(stream: RestoredStream, last_number: Option<u64>, now: Timestamp) -> Self {
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
    pub(crate) const fn touch(&mut self, now: Timestamp) {
        self.active_at = now;
        self.fin_proof = None;
    }

    /// When a held-back end may go out: all bytes are acknowledged and nothing has come for the grace period.
    pub(crate) fn end_due(&self, oldest_unacknowledged: u64, grace: Duration) -> Option<Timestamp> {
        let acknowledged = self.last_number.is_none_or(|number| number < oldest_unacknowledged);
        let quiet = !self.has_input() && self.output.untaken() == 0 && acknowledged && self.fin_proof.is_none();
        quiet.then(|| self.active_at.after(grace))
    }

    /// These numbers are newly acknowledged, as are all below them: a sign of activity, or the proof that a held-back
    /// end waits for; true for the latter. `open` says whether answers could come.
    pub(crate) fn handle_acknowledged(&mut self, fresh: &Range<u64>, open: bool, now: Timestamp) -> bool {
        if self.last_number.is_some_and(|number| fresh.contains(&number)) {
            self.touch(now);
        } else if self.fin_proof.is_some_and(|number| number < fresh.end) {
            if open && self.output.untaken() == 0 {
                return true;
            }
            self.touch(now);
        }
        false
    }

    /// Bytes the stream would take from its local connection.
    pub(crate) const fn room(&self) -> usize {
        if self.local_eof || self.local_reset || self.far_fin {
            0
        } else {
            INPUT.saturating_sub(self.input_bytes)
        }
    }

    /// Takes bytes of the local connection.
    pub(crate) fn take_input(&mut self, bytes: Bytes) {
        self.input_bytes = self.input_bytes.saturating_add(bytes.len());
        self.input.push_back(bytes);
    }

    /// The next bytes to frame, at most `limit` of them.
    pub(crate) fn next_input(&mut self, limit: usize) -> Option<Bytes> {
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
    pub(crate) fn drop_input(&mut self) {
        self.input.clear();
        self.input_bytes = 0;
    }

    /// Takes bytes from the agent.
    pub(crate) fn take_output(&mut self, bytes: Bytes) {
        self.received = self
            .received
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.output.push(bytes);
    }

    /// There is something to frame right now.
    pub(crate) fn has_input(&self) -> bool {
        !self.opened || !self.input.is_empty()
    }
}
