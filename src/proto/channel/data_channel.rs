//! [`DataChannel`].

use std::collections::VecDeque;

use bytes::Bytes;

use super::ChannelEvent;
use super::adoption::Adoption;
use super::encryption::Encrypted;
use super::hearing::Hearing;
use super::lateness::Lateness;
use super::settle::{GAP, Settle};
use crate::handshake::{Carriage, Handshake};
use crate::journal::Record;
use crate::session::{Secret, Transmit};
use crate::stream::{Delivered, ReliableStream, StreamOutput};
use crate::time::{Reason, Timestamp, Wakeup, earliest};
use crate::wire::{
    AcknowledgeBody, ChannelClosedBody, ClientMessage, MessageType, OpenDataChannelBody, PayloadType, Uuid, exit_code,
};

/// What a journal knows of a data channel.
#[derive(Debug)]
pub struct RestoredChannel {
    /// Numbers, backlog, reorder buffer.
    pub stream: ReliableStream,
    /// How far the handshake was.
    pub handshake: Handshake,
    /// How far it was settled.
    pub settle: Settle,
    /// An answer that was due and not sent.
    pub response_due: Option<Bytes>,
    /// A challenge that was not answered.
    pub challenge_due: Option<String>,
}

/// One session's data channel.
#[derive(Debug)]
pub struct DataChannel {
    pub(super) stream: ReliableStream,
    /// `None` only while a transition consumes it.
    pub(super) handshake: Option<Handshake>,
    pub(super) encrypted: Encrypted,
    pub(super) adoption: Adoption,
    pub(super) settle: Settle,
    /// Until when the gap may last.
    gap_until: Timestamp,
    pub(super) client_id: Uuid,
    pub(super) client_version: String,
    /// OpenDataChannel, until it is written: it goes before everything else.
    opening: Option<Secret>,
    agent_away: bool,
    lateness: Lateness,
    ignored: u64,
    pub(super) events: VecDeque<ChannelEvent>,
    pub(super) records: VecDeque<Record>,
}

impl DataChannel {
    /// The data channel of a session that has just been started.
    pub fn new(stream: ReliableStream, client_id: Uuid, client_version: String) -> Self {
        let restored = RestoredChannel {
            stream,
            handshake: Handshake::AwaitingRequest,
            settle: Settle::NotYet,
            response_due: None,
            challenge_due: None,
        };
        Self::restored(restored, client_id, client_version)
    }

    /// Goes on where a journal ends.
    pub fn restored(restored: RestoredChannel, client_id: Uuid, client_version: String) -> Self {
        let mut channel = Self {
            stream: restored.stream,
            handshake: Some(restored.handshake),
            encrypted: Encrypted::restored(restored.challenge_due),
            adoption: Adoption::default(),
            settle: restored.settle,
            gap_until: Timestamp::ZERO,
            client_id,
            client_version,
            opening: None,
            agent_away: false,
            lateness: Lateness::default(),
            ignored: 0,
            events: VecDeque::new(),
            records: VecDeque::new(),
        };
        channel.apply_features();
        if let Some(response) = restored.response_due {
            channel.push(PayloadType::HANDSHAKE_RESPONSE, response);
        }
        channel.want_key();
        channel.begin_settling();
        channel
    }

    /// The reliable stream, to look at.
    pub const fn stream(&self) -> &ReliableStream {
        &self.stream
    }

    /// The handshake, to look at.
    pub const fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_ref()
    }

    /// Whether data may flow.
    pub fn is_ready(&self) -> bool {
        self.settle == Settle::Done
    }

    /// Whether the service says that the agent is away.
    pub const fn is_agent_away(&self) -> bool {
        self.agent_away
    }

    /// Frames that were damaged or made no sense.
    pub const fn ignored(&self) -> u64 {
        let (_, _, absurd) = self.stream.counters();
        self.ignored.saturating_add(absurd)
    }

    /// One more frame made no sense, which only the session could tell.
    pub const fn count_ignored(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }

    /// A new websocket is open: the token goes out first, then acknowledges, then the backlog.
    pub fn handle_attached(&mut self, token: &Secret, now: Timestamp) {
        let body = OpenDataChannelBody {
            message_schema_version: "1.0".to_owned(),
            request_id: self.stream.next_id(),
            token_value: token.expose().to_owned(),
            client_id: self.client_id,
            client_version: self.client_version.clone(),
        };
        self.opening = serde_json::to_string(&body).ok().map(Secret::new);
        self.agent_away = false;
        self.stream.handle_attached(now);
        self.restart_adoption(now);
        let answers = self.stream.send().answers_duplicates() == Some(true);
        // Something must be acknowledged to prove the attach; and an old agent says nothing about what it has
        // processed before, so that only the acknowledge of a later message retires it.
        if self.takes_witnesses() && (self.stream.send().is_empty() || !answers) {
            self.push_harmless();
        }
    }

    /// The machine has slept, or nothing was read: what seems overdue was not late.
    pub fn excuse_silence(&mut self, now: Timestamp) {
        self.stream.excuse_silence(now);
        self.excuse_hole(now);
    }

    /// The websocket is gone.
    pub fn handle_detached(&mut self) {
        self.opening = None;
    }

    /// Whether OpenDataChannel has been handed out for writing: the token is spent then.
    pub const fn has_opened(&self) -> bool {
        self.opening.is_none()
    }

    /// Takes a binary frame.
    pub fn handle_frame(&mut self, frame: &Bytes, now: Timestamp) {
        let decoded = ClientMessage::decode(frame).ok();
        let Some(message) = decoded.and_then(|message| self.opened(message)) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        match message.message_type {
            MessageType::OutputStreamData => self.handle_data(message, now),
            MessageType::Acknowledge => self.handle_acknowledge(&message, now),
            MessageType::ChannelClosed => {
                let body: ChannelClosedBody = serde_json::from_slice(&message.payload).unwrap_or_default();
                let reason = body.output.filter(|output| !output.trim().is_empty());
                let session_id = body.session_id;
                self.events.push_back(ChannelEvent::Ended { session_id, reason });
            }
            MessageType::PausePublication => self.agent_away = true,
            MessageType::StartPublication => self.agent_away = false,
            MessageType::InputStreamData | MessageType::AgentSessionState | MessageType::Unknown => {
                self.ignored = self.ignored.saturating_add(1);
            }
        }
    }

    /// Whether the multiplexer may build a message now.
    pub fn wants_message(&self, payload_limit: usize) -> bool {
        self.is_ready() && !self.agent_away && self.stream.wants_new(payload_limit)
    }

    /// The next frame to write.
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit> {
        if let Some(opening) = self.opening.take() {
            return Some(Transmit::Text(opening));
        }
        if self.is_adopting() {
            return self.poll_probe(now);
        }
        let message = self.stream.poll_transmit(self.agent_away, now)?;
        let frame = self.sealed(message)?.encode();
        debug_assert!(frame.is_ok(), "what counts as sent must be sent: {frame:?}");
        frame.ok().map(Transmit::Binary)
    }

    /// The retransmission timer and those of the handshake.
    pub fn poll_timeout(&self, hearing: Hearing) -> Option<Wakeup> {
        let at = self.stream.retransmit_at(self.trusts(hearing));
        let retransmit = at.filter(|_| hearing != Hearing::Deaf).map(|at| Wakeup {
            at,
            reason: Reason::Retransmit,
        });
        let gap = Wakeup {
            at: self.gap_until,
            reason: Reason::HandshakeGap,
        };
        let adoption = self.adoption_at(hearing).map(|at| Wakeup {
            at,
            reason: Reason::Retransmit,
        });
        earliest(
            earliest(retransmit, adoption),
            (self.settle == Settle::Gap).then_some(gap),
        )
    }

    /// Fires the retransmission timer if it is due, and lets data flow once the gap after the handshake is over.
    pub fn handle_timeout(&mut self, hearing: Hearing, now: Timestamp) {
        let trusts = self.trusts(hearing);
        let fired = hearing != Hearing::Deaf && self.stream.handle_timeout(trusts, now);
        let heard = hearing == Hearing::Answers && self.takes_witnesses() && !self.agent_away;
        if fired && heard && self.stream.send().has_span_for_witness() {
            // An acknowledge of what was sent twice tells nothing. That of a later message, sent once, tells that all
            // before it are lost, and how long the path is: else a lost flight came back one message a timer.
            self.push_harmless();
        }
        self.leave_gap(now);
        self.handle_adoption_timeout(hearing, now);
    }

    /// Whether the path is known, so that the timer may be as long as it needs.
    fn trusts(&self, hearing: Hearing) -> bool {
        hearing == Hearing::Answers && self.is_ready()
    }

    /// The next thing the session must know.
    pub fn poll_event(&mut self) -> Option<ChannelEvent> {
        self.events.pop_front()
    }

    /// The next journal record.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    pub(super) fn handle_data(&mut self, message: ClientMessage, now: Timestamp) {
        self.prove();
        if self.keep_for_later(&message) {
            return;
        }
        if self.lateness.is_late(message.created_date, now) && self.events.back() != Some(&ChannelEvent::Late) {
            self.events.push_back(ChannelEvent::Late);
        }
        let StreamOutput::Received { message, message_id } = self.stream.handle_data(message) else {
            return;
        };
        let Delivered {
            number,
            payload_type,
            payload,
        } = message;
        self.records.push_back(Record::Received {
            number,
            message_id,
            payload_type,
            payload,
        });
        self.deliver_all(now);
        self.await_oldest(now);
    }

    pub(super) fn deliver_all(&mut self, now: Timestamp) {
        while let Some(delivered) = self.stream.poll_delivered() {
            self.deliver(delivered, now);
        }
    }

    fn handle_acknowledge(&mut self, message: &ClientMessage, now: Timestamp) {
        let Ok(body) = serde_json::from_slice::<AcknowledgeBody>(&message.payload) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        self.prove();
        if self.probe_acknowledged(body.acknowledged_message_sequence_number, message.created_date, now) {
            return;
        }
        self.lateness.handle_acknowledge(message.created_date, now);
        let StreamOutput::Acknowledged { number } = self.stream.handle_acknowledge(&body, now) else {
            return;
        };
        self.records.push_back(Record::Acknowledged { number });
        let retired = self.stream.take_retired().into_iter();
        self.records
            .extend(retired.map(|number| Record::Acknowledged { number }));
        let oldest = self.stream.send().oldest_unacknowledged();
        // An agent that says nothing about duplicates may have had the harmless message before a drop: it is not waited for then.
        if matches!(self.settle, Settle::Waiting(harmless) if number == harmless || oldest > harmless) {
            self.settle = Settle::Gap;
            self.leave_gap(now);
        }
    }

    fn leave_gap(&mut self, now: Timestamp) {
        if self.settle == Settle::Gap && now >= self.gap_until {
            self.settle = Settle::Done;
            self.events.push_back(ChannelEvent::Ready);
        }
    }

    /// A frame of the agent's own: it is there.
    fn prove(&mut self) {
        self.agent_away = false;
        if self.events.back() != Some(&ChannelEvent::Proven) {
            self.events.push_back(ChannelEvent::Proven);
        }
    }

    /// One message in its turn.
    fn deliver(&mut self, message: Delivered, now: Timestamp) {
        match message.payload_type {
            PayloadType::HANDSHAKE_REQUEST | PayloadType::HANDSHAKE_COMPLETE | PayloadType::ENC_CHALLENGE_REQUEST => {
                self.gap_until = now.after(GAP);
                self.step_handshake(message.payload_type, &message.payload);
            }
            PayloadType::OUTPUT if self.handshake.as_ref().is_some_and(Handshake::is_complete) => {
                self.events.push_back(ChannelEvent::Payload(message.payload));
            }
            PayloadType::OUTPUT if message.number == 0 => {
                // Only a shell without encryption begins without a handshake.
                self.handshake = Some(Handshake::absent());
                self.apply_features();
                self.events.push_back(ChannelEvent::Agreed(Carriage::Shell));
                self.events.push_back(ChannelEvent::Payload(message.payload));
                self.begin_settling();
            }
            PayloadType::OUTPUT => {
                let reason = "the agent sends output in the middle of the handshake".to_owned();
                self.events.push_back(ChannelEvent::Failed { reason });
            }
            PayloadType::STD_ERR if self.is_shell() => {
                self.events.push_back(ChannelEvent::StdErr(message.payload));
            }
            PayloadType::EXIT_CODE if self.is_shell() => match exit_code(&message.payload) {
                Some(code) => self.events.push_back(ChannelEvent::ExitCode(code)),
                None => self.count_ignored(),
            },
            PayloadType::FLAG => {
                let flag = message
                    .payload
                    .first_chunk::<4>()
                    .map(|bytes| u32::from_be_bytes(*bytes));
                if flag == Some(PayloadType::FLAG_CONNECT_TO_PORT_ERROR) {
                    self.events.push_back(ChannelEvent::Refused);
                }
            }
            _ => {}
        }
    }

    /// Whether the agent has said that it serves a shell or a command.
    pub(super) fn is_shell(&self) -> bool {
        let complete = self.handshake.as_ref().filter(|handshake| handshake.is_complete());
        let agreement = complete.and_then(Handshake::agreement);
        agreement.is_some_and(|agreement| agreement.carriage == Carriage::Shell)
    }
}
