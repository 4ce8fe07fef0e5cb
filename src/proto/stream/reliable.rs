//! The two halves together: frames in, frames out.

use std::time::Duration;

use bytes::Bytes;

use super::receive::{Arrival, ReceiveBuffer};
use super::{Delivered, Form, PendingAck, RttEstimator, SendBuffer, Window};
use crate::Timestamp;
use crate::wire::{AcknowledgeBody, ClientMessage, MessageType, PayloadType, Uuid};

/// A message of so few bytes is never too much for the window.
const TINY: usize = 16;
/// The timer takes at most 2 to the power of this many messages for lost at once.
const MOST_DOUBTED: u32 = 8;

/// Names messages: ids from a seed, dates from the offset of the boot-time clock to Unix time.
#[derive(Clone, Debug)]
pub struct Identity {
    state: u64,
    unix_at_zero: Duration,
}

impl Identity {
    /// `unix_at_zero` is the Unix time at [`Timestamp::ZERO`].
    pub const fn new(seed: u64, unix_at_zero: Duration) -> Self {
        Self {
            state: seed,
            unix_at_zero,
        }
    }

    /// A source of other ids, for another part of the same session.
    pub const fn fork(&mut self) -> Self {
        Self {
            state: self.next_number(),
            unix_at_zero: self.unix_at_zero,
        }
    }

    /// The next id.
    pub const fn next_id(&mut self) -> Uuid {
        let high = self.next_number();
        Uuid::from_random(high, self.next_number())
    }

    /// SplitMix64: ids need to differ, not to be secret.
    const fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Unix milliseconds, never 0, which both of AWS's programs refuse.
    fn created_date(&self, now: Timestamp) -> u64 {
        let unix = self.unix_at_zero.saturating_add(now.since(Timestamp::ZERO));
        u64::try_from(unix.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// What a received message means to the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOutput {
    /// A numbered message was taken for the first time; it may not be its turn yet.
    Received {
        /// The message.
        message: Delivered,
        /// The id that its acknowledge names.
        message_id: Uuid,
    },
    /// A message sent before was acknowledged for the first time.
    Acknowledged {
        /// Its number.
        number: u64,
    },
    /// Nothing new.
    Nothing,
}

/// Numbers, keeps, resends, orders, removes duplicates, acknowledges.
#[derive(Clone, Debug)]
pub struct ReliableStream {
    send: SendBuffer,
    receive: ReceiveBuffer,
    rtt: RttEstimator,
    window: Window,
    identity: Identity,
    /// When the retransmission timer was last set: a first message went out, or something was acknowledged.
    timer_since: Timestamp,
    resent: u64,
    duplicates: u64,
    absurd: u64,
}

impl ReliableStream {
    /// An empty stream.
    pub fn new(identity: Identity) -> Self {
        Self::restored(identity, SendBuffer::default(), ReceiveBuffer::default())
    }

    /// A stream that goes on where a journal ends.
    pub fn restored(identity: Identity, send: SendBuffer, receive: ReceiveBuffer) -> Self {
        Self {
            send,
            receive,
            rtt: RttEstimator::default(),
            window: Window::default(),
            identity,
            timer_since: Timestamp::ZERO,
            resent: 0,
            duplicates: 0,
            absurd: 0,
        }
    }

    /// The sending half.
    pub const fn send(&self) -> &SendBuffer {
        &self.send
    }

    /// The receiving half.
    pub const fn received(&self) -> &ReceiveBuffer {
        &self.receive
    }

    /// Round-trip time and timer.
    pub const fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// Messages sent again, messages received again, messages and acknowledges with senseless numbers.
    pub const fn counters(&self) -> (u64, u64, u64) {
        (self.resent, self.duplicates, self.absurd)
    }

    /// Tells whether the agent acknowledges duplicates (it does from 3.2.1041.0).
    pub const fn set_answers_duplicates(&mut self, answers: bool) {
        self.send.set_answers_duplicates(answers);
    }

    /// Draws an id from the stream's source.
    pub const fn next_id(&mut self) -> Uuid {
        self.identity.next_id()
    }

    /// A source of other ids, for a stream that takes this one's place.
    pub const fn fork_identity(&mut self) -> Identity {
        self.identity.fork()
    }

    /// A message under a number of the caller's choice, which is not kept.
    pub fn unlisted(
        &mut self,
        number: u64,
        payload_type: PayloadType,
        payload: Bytes,
        now: Timestamp,
    ) -> ClientMessage {
        ClientMessage {
            message_type: MessageType::InputStreamData,
            schema_version: 1,
            created_date: self.identity.created_date(now),
            sequence_number: i64::try_from(number).unwrap_or(i64::MAX),
            flags: 0,
            message_id: self.identity.next_id(),
            payload_type,
            payload,
        }
    }

    /// Output of an adopted session goes on with the lowest number that is there. None when there is none.
    pub fn begin_output(&mut self) -> Option<u64> {
        self.receive.begin()
    }

    /// Keeps a message for sending; returns its number.
    pub fn push(&mut self, payload_type: PayloadType, payload: Bytes, form: Form) -> u64 {
        self.send.push(payload_type, payload, form)
    }

    /// A new websocket.
    pub fn handle_attached(&mut self, now: Timestamp) {
        self.send.handle_attached();
        self.receive.handle_attached();
        self.rtt.forget_backoff();
        self.window.restart();
        self.timer_since = now;
    }

    /// Takes a numbered message from the agent.
    pub fn handle_data(&mut self, message: ClientMessage) -> StreamOutput {
        let ClientMessage {
            sequence_number,
            message_id,
            payload_type,
            payload,
            ..
        } = message;
        match self
            .receive
            .receive(sequence_number, message_id, payload_type, payload.clone())
        {
            Arrival::Fresh => {
                let number = u64::try_from(sequence_number).unwrap_or_default();
                StreamOutput::Received {
                    message: Delivered {
                        number,
                        payload_type,
                        payload,
                    },
                    message_id,
                }
            }
            Arrival::Duplicate => {
                self.duplicates = self.duplicates.saturating_add(1);
                StreamOutput::Nothing
            }
            Arrival::Absurd => {
                self.absurd = self.absurd.saturating_add(1);
                StreamOutput::Nothing
            }
        }
    }

    /// Takes an acknowledge from the agent, which matters by its number alone.
    pub fn handle_acknowledge(&mut self, body: &AcknowledgeBody, now: Timestamp) -> StreamOutput {
        let Ok(number) = u64::try_from(body.acknowledged_message_sequence_number) else {
            self.absurd = self.absurd.saturating_add(1);
            return StreamOutput::Nothing;
        };
        let in_flight = self.send.in_flight();
        if number >= self.send.next_number() {
            self.absurd = self.absurd.saturating_add(1);
            return StreamOutput::Nothing;
        }
        let acknowledged = self.send.acknowledge(number, now);
        if !acknowledged.fresh {
            return StreamOutput::Nothing;
        }
        if let Some(sent_at) = acknowledged.sent_once_at {
            let rtt = now.since(sent_at);
            self.rtt.sample(rtt);
            self.window.handle_acknowledged(acknowledged.bytes, in_flight, rtt, now);
        }
        self.timer_since = now;
        StreamOutput::Acknowledged { number }
    }

    /// See [`SendBuffer::take_retired`].
    pub fn take_retired(&mut self) -> Vec<u64> {
        self.send.take_retired()
    }

    /// The next message in order.
    pub fn poll_delivered(&mut self) -> Option<Delivered> {
        self.receive.poll()
    }

    /// Whether a new message may be built now: nothing older waits, and window and span have room.
    pub fn wants_new(&self, size: usize) -> bool {
        self.send.next_size().is_none() && self.send.has_span() && self.fits(size)
    }

    /// The next message to write: acknowledges first, then lost messages, then what is not on this websocket yet.
    /// `hold` keeps everything but acknowledges and timed-out messages back (the agent is away).
    pub fn poll_transmit(&mut self, hold: bool, now: Timestamp) -> Option<ClientMessage> {
        if let Some(ack) = self.receive.poll_ack() {
            return self.acknowledge(ack, now);
        }
        if hold && !self.send.has_lost() {
            return None;
        }
        let size = self.send.next_size()?;
        if !self.send.has_lost() && !self.fits(size) {
            return None;
        }
        if !self.send.is_flying() {
            self.timer_since = now;
        }
        let outgoing = self.send.poll(now)?;
        if outgoing.resent {
            self.resent = self.resent.saturating_add(1);
        }
        Some(self.unlisted(outgoing.number, outgoing.payload_type, outgoing.payload, now))
    }

    /// When the oldest message on its way is sent again.
    pub fn retransmit_at(&self, proven: bool) -> Option<Timestamp> {
        self.send
            .is_flying()
            .then(|| self.timer_since.after(self.rtt.rto(proven)))
    }

    /// Fires the retransmission timer if it is due, and says so.
    pub fn handle_timeout(&mut self, proven: bool, now: Timestamp) -> bool {
        let due = self.retransmit_at(proven).is_some_and(|at| at <= now);
        if due {
            // Each timer without a sample in between doubts twice as many: else a lost flight that nothing contradicts
            // came back one message a timer, and those wait up to a minute.
            self.send.handle_timer(1 << self.rtt.backed_off().min(MOST_DOUBTED));
            self.rtt.back_off();
            self.timer_since = now;
        }
        due
    }

    /// For a time nothing could be heard: the timer starts anew.
    pub const fn excuse_silence(&mut self, now: Timestamp) {
        self.timer_since = now;
        self.send.excuse_silence(now);
    }

    /// An empty flight always takes one message, so that no size can block the stream; a full one takes what weighs
    /// nothing, so that a lost one can be found out.
    fn fits(&self, size: usize) -> bool {
        size <= TINY || self.send.in_flight() == 0 || self.send.in_flight().saturating_add(size) <= self.window.size()
    }

    fn acknowledge(&mut self, ack: PendingAck, now: Timestamp) -> Option<ClientMessage> {
        let number = i64::try_from(ack.number).unwrap_or(i64::MAX);
        let body = AcknowledgeBody {
            acknowledged_message_type: MessageType::OutputStreamData.name().to_owned(),
            acknowledged_message_id: ack.message_id,
            acknowledged_message_sequence_number: number,
            is_sequential_message: true,
        };
        Some(ClientMessage {
            message_type: MessageType::Acknowledge,
            schema_version: 1,
            created_date: self.identity.created_date(now),
            sequence_number: 0,
            flags: 3,
            message_id: self.identity.next_id(),
            payload_type: PayloadType::NONE,
            payload: Bytes::from(serde_json::to_vec(&body).ok()?),
        })
    }
}
