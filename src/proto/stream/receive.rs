//! The receiving half: orders messages, removes duplicates, and acknowledges every one of them, again and again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::wire::{PayloadType, Uuid};

/// Acknowledges repeated at every attach. The agent resends only its oldest unacknowledged message, ten times a
/// second; every acknowledge lost in a drop would cost a tenth of a second, and the client can mend those.
pub const REPEATED: usize = 2000;
/// A number this far above the expected one cannot come from an agent, whose own list holds 100 000.
const MAX_AHEAD: u64 = 1 << 17;
/// What a held message costs beside its payload: the rest of its frame, its place in the map, its allocation.
const HELD_OVERHEAD: usize = 256;
/// Acknowledges that may wait for the socket before reading stops.
const MAX_PENDING: usize = 100_000;

/// A received message, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub number: u64,
    /// How to read it.
    pub payload_type: PayloadType,
    /// Its bytes.
    pub payload: Bytes,
}

/// What became of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was not there before: it is kept and will be acknowledged.
    Fresh,
    /// It came before: it will be acknowledged again.
    Duplicate,
    /// Its number makes no sense; nothing is acknowledged.
    Absurd,
}

/// An acknowledge to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingAck {
    /// The number acknowledged.
    pub number: u64,
    /// The id of the message that carried it.
    pub message_id: Uuid,
}

/// Orders what comes and remembers what must be acknowledged.
#[derive(Clone, Debug, Default)]
pub struct ReceiveBuffer {
    /// The lowest number not delivered.
    expected: u64,
    /// Nobody knows where output begins: nothing is delivered yet.
    beginning: bool,
    held: BTreeMap<u64, (PayloadType, Bytes)>,
    held_bytes: usize,
    /// In the order they are written.
    pending: VecDeque<PendingAck>,
    /// The numbers in `pending`.
    waiting: BTreeSet<u64>,
    /// The last numbers received, oldest first.
    recent: VecDeque<PendingAck>,
}

impl ReceiveBuffer {
    /// A buffer that goes on where a journal ends.
    pub fn restored(expected: u64, recent: impl IntoIterator<Item = PendingAck>) -> Self {
        Self {
            expected,
            recent: recent.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A buffer of a session that another client has left: [`ReceiveBuffer::begin`] says where it goes on.
    pub fn beginning() -> Self {
        Self {
            beginning: true,
            ..Self::default()
        }
    }

    /// Whether that is not known yet.
    pub const fn is_beginning(&self) -> bool {
        self.beginning
    }

    /// From now on the lowest number that is held is the next one: what is missing before it never comes. None while
    /// there is none.
    pub fn begin(&mut self) -> Option<u64> {
        let lowest = *self.held.keys().next()?;
        (self.beginning, self.expected) = (false, lowest);
        Some(lowest)
    }

    /// Takes back an out-of-order message from a journal.
    pub fn hold_restored(&mut self, number: u64, payload_type: PayloadType, payload: Bytes) {
        self.held_bytes = self.held_bytes.saturating_add(payload.len());
        self.held.insert(number, (payload_type, payload));
    }

    /// The lowest number not delivered.
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// Whether a message of such a type is held because an earlier one is missing.
    pub fn holds(&self, such: impl Fn(PayloadType) -> bool) -> bool {
        self.held.values().any(|(payload_type, _)| such(*payload_type))
    }

    /// Payload bytes held because an earlier message is missing.
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Memory held because an earlier message is missing, bookkeeping included.
    pub fn held_memory(&self) -> usize {
        self.held_bytes
            .saturating_add(self.held.len().saturating_mul(HELD_OVERHEAD))
    }

    /// Whether too many acknowledges wait to be written.
    pub fn is_flooded(&self) -> bool {
        self.pending.len() >= MAX_PENDING
    }

    /// Takes a message.
    pub fn receive(&mut self, number: i64, message_id: Uuid, payload_type: PayloadType, payload: Bytes) -> Arrival {
        let Ok(number) = u64::try_from(number) else {
            return Arrival::Absurd;
        };
        let first = if self.beginning {
            self.held.keys().next().copied().unwrap_or(number)
        } else {
            self.expected
        };
        if number.saturating_sub(first) > MAX_AHEAD {
            return Arrival::Absurd;
        }
        let ack = PendingAck { number, message_id };
        self.recent.push_back(ack);
        if self.recent.len() > REPEATED {
            self.recent.pop_front();
        }
        self.schedule(ack);
        if number < self.expected || self.held.contains_key(&number) {
            return Arrival::Duplicate;
        }
        self.held_bytes = self.held_bytes.saturating_add(payload.len());
        self.held.insert(number, (payload_type, payload));
        Arrival::Fresh
    }

    /// The next message in order.
    pub fn poll(&mut self) -> Option<Delivered> {
        if self.beginning {
            return None;
        }
        let (payload_type, payload) = self.held.remove(&self.expected)?;
        let number = self.expected;
        self.expected = number.saturating_add(1);
        self.held_bytes = self.held_bytes.saturating_sub(payload.len());
        Some(Delivered {
            number,
            payload_type,
            payload,
        })
    }

    /// The next acknowledge to write.
    pub fn poll_ack(&mut self) -> Option<PendingAck> {
        let ack = self.pending.pop_front()?;
        self.waiting.remove(&ack.number);
        Some(ack)
    }

    /// A new websocket: the last numbers are acknowledged again, lowest first, before anything else.
    pub fn handle_attached(&mut self) {
        let mut all: BTreeSet<PendingAck> = self.pending.drain(..).collect();
        all.extend(self.recent.iter().copied());
        self.waiting.clear();
        for ack in all {
            self.schedule(ack);
        }
    }

    fn schedule(&mut self, ack: PendingAck) {
        if self.waiting.insert(ack.number) {
            self.pending.push_back(ack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut ReceiveBuffer, number: i64) -> Arrival {
        buffer.receive(number, Uuid::default(), PayloadType::OUTPUT, Bytes::from_static(b"x"))
    }

    fn acks(buffer: &mut ReceiveBuffer) -> Vec<u64> {
        std::iter::from_fn(|| buffer.poll_ack()).map(|ack| ack.number).collect()
    }

    fn numbers(buffer: &mut ReceiveBuffer) -> Vec<u64> {
        std::iter::from_fn(|| buffer.poll())
            .map(|message| message.number)
            .collect()
    }

    #[test]
    fn orders_and_removes_duplicates_and_acknowledges_all() {
        let mut buffer = ReceiveBuffer::default();
        for number in [2, 0, 2] {
            receive(&mut buffer, number);
        }
        assert_eq!(numbers(&mut buffer), [0]);
        assert_eq!(acks(&mut buffer), [2, 0]);
        receive(&mut buffer, 1);
        assert_eq!(numbers(&mut buffer), [1, 2]);
        assert_eq!(receive(&mut buffer, 0), Arrival::Duplicate);
        assert_eq!(acks(&mut buffer), [1, 0], "a duplicate is acknowledged again");
        assert_eq!(buffer.held_bytes(), 0);
    }

    #[test]
    fn an_attach_repeats_the_last_numbers_first() {
        let mut buffer = ReceiveBuffer::default();
        for number in 0..3000 {
            receive(&mut buffer, number);
        }
        let written: Vec<u64> = (0..2500)
            .filter_map(|_| buffer.poll_ack())
            .map(|ack| ack.number)
            .collect();
        assert_eq!(written.len(), 2500);
        buffer.handle_attached();
        assert_eq!(acks(&mut buffer), (1000..3000).collect::<Vec<u64>>());
    }

    #[test]
    fn absurd_numbers_are_neither_kept_nor_acknowledged() {
        let mut buffer = ReceiveBuffer::default();
        for number in [-1, i64::MIN, i64::MAX, 1 << 30, (1 << 17) + 1] {
            assert_eq!(receive(&mut buffer, number), Arrival::Absurd);
        }
        assert_eq!((buffer.held_bytes(), acks(&mut buffer)), (0, vec![]));
    }

    #[test]
    fn held_messages_without_bytes_cost_memory_too() {
        let mut buffer = ReceiveBuffer::default();
        for number in 1..=1000 {
            buffer.receive(number, Uuid::default(), PayloadType::OUTPUT, Bytes::new());
        }
        assert_eq!(buffer.held_bytes(), 0);
        assert!(buffer.held_memory() >= 1000 * 200);
        buffer.receive(0, Uuid::default(), PayloadType::OUTPUT, Bytes::new());
        assert_eq!((numbers(&mut buffer).len(), buffer.held_memory()), (1001, 0));
    }
}
