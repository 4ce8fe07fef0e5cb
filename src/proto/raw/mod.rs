//! A session that carries the bytes of one connection as they are: SSH's document, other port documents without a
//! multiplexer, and agents too old to have one.
//!
//! The agent opens its connection to the destination by itself when the session begins, so output may come before any
//! local connection is there. There is no frame around the bytes: the connection's end is the session's end, a local
//! close is told by the flag DisconnectToPort, and a message that the agent hands over twice cannot be made harmless.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Timestamp;
use crate::local::{Only, RestoredStream, Stream, WorkloadEvent, WorkloadLimits};
use crate::session::{LocalId, ResetCause};

/// The one stream's name in the journal; the multiplexer's begin with 3.
pub const RAW_STREAM: u32 = 1;

/// What a journal knows of a raw session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredRaw {
    /// The local connection, unless it is over.
    pub stream: Option<RestoredStream>,
    /// Some local connection has had the session.
    pub taken: bool,
    /// Came before any local connection.
    pub early: VecDeque<Bytes>,
    /// The number of the message that says that the connection is over, if it was sent.
    pub parted: Option<u64>,
}

/// A message to number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawMessage {
    /// Bytes of the local connection.
    Input(Bytes),
    /// The connection is over.
    Disconnect,
}

/// How far the local connection's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// It goes on.
    NotYet,
    /// The local side has closed its half: the agent cannot close one half, so it is not told yet.
    HeldBack,
    /// The agent is to be told.
    Due,
    /// The agent was told in the message with this number.
    Told(u64),
}

/// The client's side of a raw session.
#[derive(Debug)]
pub struct Raw {
    limits: WorkloadLimits,
    only: Only,
    parting: Parting,
    /// The agent could not reach the destination.
    refused: bool,
    events: VecDeque<WorkloadEvent>,
    /// The oldest unacknowledged number as last told.
    acknowledged: u64,
}

impl Raw {
    /// A raw session that has just begun.
    pub fn new(limits: WorkloadLimits) -> Self {
        Self {
            limits,
            only: Only::default(),
            parting: Parting::NotYet,
            refused: false,
            events: VecDeque::new(),
            acknowledged: 0,
        }
    }

    /// Goes on where a journal ends; `next_number` is the number of the session's next message.
    pub fn restore(limits: WorkloadLimits, restored: RestoredRaw, next_number: u64, now: Timestamp) -> Self {
        let mut raw = Self {
            only: Only::restored(restored.taken, restored.early),
            parting: restored.parted.map_or(Parting::NotYet, Parting::Told),
            ..Self::new(limits)
        };
        let Some(restored) = restored.stream else {
            return raw;
        };
        let ended = restored.far_fin;
        let mut stream = Stream::restored(restored, next_number.checked_sub(1), now);
        (stream.opened, stream.far_fin) = (true, false);
        if raw.parting == Parting::NotYet {
            raw.parting = match (stream.local_reset, stream.local_eof) {
                (true, _) => Parting::Due,
                (false, true) => Parting::HeldBack,
                (false, false) => Parting::NotYet,
            };
        }
        if stream.room() > 0 {
            raw.events.push_back(WorkloadEvent::Room { local: stream.local });
        }
        raw.only.stream = Some(stream);
        raw.hand_over();
        if ended {
            raw.handle_far_end(true);
        }
        raw
    }

    /// Gives the session to a local connection; none but the first gets it.
    pub fn open(&mut self, local: LocalId, now: Timestamp) -> Option<u32> {
        if !self.only.open(local, now) {
            return None;
        }
        self.events.push_back(WorkloadEvent::Room { local });
        self.hand_over();
        Some(RAW_STREAM)
    }

    /// Whether a local connection has ever had the session.
    pub const fn is_taken(&self) -> bool {
        self.only.is_taken()
    }

    /// The local connection, if it has not been told its end and does not know it by itself.
    pub fn local(&self) -> Option<LocalId> {
        self.only.local()
    }

    /// Whether a connection is open, or its end not yet known to the agent.
    pub const fn is_open(&self) -> bool {
        self.only.stream.is_some()
    }

    /// Whether the agent knows that the connection is over: the session has no more use.
    pub const fn is_over(&self) -> bool {
        matches!(self.parting, Parting::Told(number) if number < self.acknowledged)
    }

    /// Bytes it would take from its local connection now.
    pub fn room(&self, local: LocalId) -> usize {
        self.only.room(local)
    }

    /// Bytes taken from the local connection and in no message yet.
    pub fn unframed(&self) -> usize {
        self.only.unframed()
    }

    /// Whether the local connection leaves so much untaken that reading must stop.
    pub fn is_full(&self) -> bool {
        self.only.untaken() >= self.limits.per_stream
    }

    /// Takes bytes of the local connection; says whether they belong to the session.
    pub fn handle_local_data(&mut self, local: LocalId, bytes: Bytes, now: Timestamp) -> bool {
        self.only.handle_local_data(local, bytes, now)
    }

    /// The local side has closed its half; says whether that is news.
    pub fn handle_local_eof(&mut self, local: LocalId, now: Timestamp) -> bool {
        let Some(stream) = self.only.get(local) else {
            return false;
        };
        if std::mem::replace(&mut stream.local_eof, true) || stream.local_reset {
            return false;
        }
        stream.touch(now);
        self.parting = Parting::HeldBack;
        true
    }

    /// The local side is gone: what was not sent is dropped, the agent is told; says whether that is news.
    pub fn handle_local_reset(&mut self, local: LocalId) -> bool {
        if !self.only.handle_local_reset(local) {
            return false;
        }
        if !matches!(self.parting, Parting::Told(_)) {
            self.parting = Parting::Due;
        }
        true
    }

    /// The local side has written so many of the bytes it was handed; says whether it is known.
    pub fn handle_local_written(&mut self, local: LocalId, bytes: usize) -> bool {
        let Some(stream) = self.only.get(local) else {
            return false;
        };
        stream.output.handle_written(bytes);
        self.hand_over();
        true
    }

    /// Everything below this number is acknowledged; `open` says whether answers could come.
    pub fn handle_acknowledged(&mut self, oldest_unacknowledged: u64, open: bool, now: Timestamp) {
        let before = std::mem::replace(&mut self.acknowledged, oldest_unacknowledged);
        if self.parting == Parting::HeldBack
            && before != oldest_unacknowledged
            && let Some(stream) = &mut self.only.stream
            && stream.handle_acknowledged(&(before..oldest_unacknowledged), open, now)
        {
            self.parting = Parting::Due;
        }
        if self.is_over() {
            self.only.stream = None;
        }
    }

    /// Answers can come again, or the agent is still sending old ones: until now, silence meant nothing.
    pub const fn handle_late(&mut self, now: Timestamp) {
        if let (Parting::HeldBack, Some(stream)) = (self.parting, &mut self.only.stream) {
            stream.touch(now);
        }
    }

    /// The agent could not reach the destination; the session's end follows.
    pub const fn handle_refused(&mut self) {
        self.refused = true;
    }

    /// Takes the payload of an Output message from the agent.
    pub fn handle_payload(&mut self, payload: Bytes, now: Timestamp) {
        let Some(stream) = &mut self.only.stream else {
            if !self.only.is_taken() {
                self.only.early.push(payload);
            }
            return;
        };
        if stream.local_reset || stream.told {
            return;
        }
        if stream.local_eof {
            // Its end was about to be told: not while answers still come.
            self.parting = Parting::HeldBack;
        }
        stream.touch(now);
        stream.take_output(payload);
        self.hand_over();
    }

    /// The agent has ended the session, and nothing it sent before is missing: the local connection gets the rest and
    /// the end, or a reset when the destination has said nothing: because it was never reached, or because the session
    /// ended before it was `ready`, which may mean the same or not. True if there was one to tell.
    pub fn handle_far_end(&mut self, ready: bool) -> bool {
        let Some(local) = self.local() else {
            return false;
        };
        let Some(stream) = &mut self.only.stream else {
            return false;
        };
        stream.told = true;
        if (self.refused || !ready) && stream.received == 0 {
            let cause = if self.refused {
                ResetCause::DestinationRefused
            } else {
                ResetCause::SessionEnded
            };
            self.events.push_back(WorkloadEvent::Reset { local, cause });
        } else {
            let rest = stream.output.take_rest();
            let data = rest.into_iter().map(|bytes| WorkloadEvent::Data { local, bytes });
            self.events.extend(data);
            self.events.push_back(WorkloadEvent::Finished { local });
        }
        true
    }

    /// Builds the next message, which gets this number.
    pub fn build(&mut self, next_number: u64) -> Option<RawMessage> {
        if let Some((bytes, roomy)) = self.only.next_input(self.limits.payload, next_number) {
            self.events.extend(roomy.map(|local| WorkloadEvent::Room { local }));
            return Some(RawMessage::Input(bytes));
        }
        let stream = self.only.stream.as_mut()?;
        if self.parting != Parting::Due {
            return None;
        }
        self.parting = Parting::Told(next_number);
        if !stream.local_reset && !std::mem::replace(&mut stream.told, true) {
            self.events.push_back(WorkloadEvent::Finished { local: stream.local });
        }
        Some(RawMessage::Disconnect)
    }

    /// When the grace period of a held-back end is over, given the oldest unacknowledged number.
    pub fn end_at(&self, oldest_unacknowledged: u64) -> Option<Timestamp> {
        let stream = self
            .only
            .stream
            .as_ref()
            .filter(|_| self.parting == Parting::HeldBack)?;
        stream.end_due(oldest_unacknowledged, self.limits.fin_grace)
    }

    /// Looks whether that is so. True asks the caller to send a message, which gets `next_number`: its acknowledge
    /// releases the end, unless something comes before.
    pub fn handle_timeout(&mut self, oldest_unacknowledged: u64, next_number: u64, now: Timestamp) -> bool {
        let due = self.end_at(oldest_unacknowledged).is_some_and(|at| at <= now);
        if let Some(stream) = self.only.stream.as_mut().filter(|_| due) {
            stream.fin_proof = Some(next_number);
        }
        due
    }

    /// The next thing a local connection must be told.
    pub fn poll_event(&mut self) -> Option<WorkloadEvent> {
        self.events.pop_front()
    }

    fn hand_over(&mut self) {
        let Some(stream) = self.only.stream.as_mut().filter(|stream| !stream.told) else {
            return;
        };
        while let Some(bytes) = stream.output.poll() {
            let local = stream.local;
            self.events.push_back(WorkloadEvent::Data { local, bytes });
        }
    }
}
