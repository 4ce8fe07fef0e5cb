//! The state that records add up to.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::shell::TerminalState;
use super::stream::StreamState;
use super::{Record, SentBody};
use crate::channel::{RestoredChannel, Settle, adopted_handshake, disconnect, harmless};
use crate::handshake::{Carriage, Handshake};
use crate::local::RestoredStream;
use crate::mux::{Decoder, FrameCommand, FramePart, Item, Kind, put_frame};
use crate::raw::RAW_STREAM;
use crate::session::LocalId;
use crate::shell::Source;
use crate::stream::{Form, Identity, PendingAck, REPEATED, ReceiveBuffer, ReliableStream, SendBuffer};
use crate::wire::{PayloadType, Uuid, exit_code};

/// A message that may not be acknowledged yet.
#[derive(Clone, Debug)]
struct SentMessage {
    payload_type: PayloadType,
    payload: Bytes,
    form: Form,
}

/// What the records of a session add up to.
#[derive(Clone, Debug)]
pub struct State {
    session: Option<(String, Uuid)>,
    client_version: String,
    pub(super) handshake: Handshake,
    response_due: Option<Bytes>,
    /// A challenge of the agent that is not answered.
    challenge_due: Option<String>,
    settle: Settle,
    next_number: u64,
    backlog: BTreeMap<u64, SentMessage>,
    built: u64,
    expected: u64,
    /// Adopted, and nobody knows where its output begins.
    beginning: bool,
    held: BTreeMap<u64, (PayloadType, Bytes)>,
    recent: VecDeque<PendingAck>,
    decoder: Decoder,
    next_stream: u32,
    pub(super) streams: BTreeMap<u32, StreamState>,
    /// What came in a raw session before any local connection was there.
    pub(super) early: VecDeque<Bytes>,
    /// What only a shell has.
    pub(super) terminal: TerminalState,
    /// The message that told the agent of a raw session that its connection is over.
    pub(super) parted: Option<u64>,
    /// Local connections whose session is over, and which still get what is left.
    pub(super) finishing: BTreeMap<LocalId, StreamState>,
    /// The first and the last local connection that got a stream in this AWS session.
    pub(super) opened: Option<(LocalId, LocalId)>,
    /// The last that got one in an earlier AWS session.
    pub(super) lost: Option<LocalId>,
}

impl State {
    /// The state before any record; `client_version` as in the session's configuration.
    pub fn new(client_version: String) -> Self {
        Self {
            session: None,
            client_version,
            handshake: Handshake::AwaitingRequest,
            response_due: None,
            challenge_due: None,
            settle: Settle::NotYet,
            next_number: 0,
            backlog: BTreeMap::new(),
            built: 0,
            expected: 0,
            beginning: false,
            held: BTreeMap::new(),
            recent: VecDeque::new(),
            decoder: Decoder::default(),
            next_stream: 3,
            streams: BTreeMap::new(),
            early: VecDeque::new(),
            terminal: TerminalState::default(),
            parted: None,
            finishing: BTreeMap::new(),
            opened: None,
            lost: None,
        }
    }

    /// Nothing of the AWS session is left but the memory of whom it served.
    fn forget_session(&mut self) {
        let lost = self.opened.map(|(_, last)| last).or(self.lost);
        let mut finishing = std::mem::take(&mut self.finishing);
        let streams = std::mem::take(&mut self.streams).into_values();
        let ended = streams.filter(|state| self.carriage() != Carriage::Multiplexed && state.stream.far_fin);
        finishing.extend(ended.map(|state| (state.stream.local, state)));
        *self = Self {
            lost,
            finishing,
            ..Self::new(std::mem::take(&mut self.client_version))
        };
    }

    /// The session to resume, and the client's id in it; none before the first and after the last record of one.
    pub fn session(&self) -> Option<(&str, Uuid)> {
        self.session.as_ref().map(|(id, client)| (id.as_str(), *client))
    }

    /// Adds a record.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Started { session_id, client_id } => {
                self.forget_session();
                self.session = Some((session_id, client_id));
            }
            Record::Ended => self.forget_session(),
            Record::Finished { stream } => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.stream.far_fin = true;
                }
            }
            Record::Adopted { number, carriage } => {
                self.next_number = number;
                self.handshake = adopted_handshake(carriage);
                self.settle = Settle::Done;
                self.beginning = true;
            }
            Record::OutputBegins { number } => {
                (self.beginning, self.expected) = (false, number);
                self.deliver_held();
            }
            Record::Opened { stream, local } => self.open(stream, local),
            Record::Input { stream, bytes } => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.stream.input.push_back(bytes);
                }
            }
            Record::LocalEof { stream } => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.stream.local_eof = true;
                }
            }
            Record::LocalReset { stream } => self.reset(stream),
            Record::Written { stream, bytes } => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.handle_written(bytes);
                }
                self.forget_finished(stream);
                self.forget_runs();
            }
            Record::Sent {
                number,
                payload_type,
                body,
            } => self.send(number, payload_type, body),
            Record::Acknowledged { number } => {
                self.backlog.remove(&number);
                if self.settle == Settle::Waiting(number) {
                    self.settle = Settle::Done;
                }
            }
            Record::Received {
                number,
                message_id,
                payload_type,
                payload,
            } => {
                self.recent.push_back(PendingAck { number, message_id });
                if self.recent.len() > REPEATED {
                    self.recent.pop_front();
                }
                self.held.insert(number, (payload_type, payload));
                self.deliver_held();
            }
        }
    }

    fn deliver_held(&mut self) {
        if self.beginning {
            return;
        }
        while let Some((payload_type, payload)) = self.held.remove(&self.expected) {
            self.expected = self.expected.saturating_add(1);
            self.deliver(payload_type, payload);
        }
    }

    /// The data channel as it was.
    pub(crate) fn channel(&self, identity: Identity) -> RestoredChannel {
        let agreed = self.handshake.agreement();
        let answers = agreed.and_then(|agreed| agreed.agent.acknowledges_duplicates());
        let first = self.backlog.keys().next().copied().unwrap_or(self.next_number);
        let mut send = SendBuffer::restored(first, answers);
        for number in first..self.next_number {
            match self.backlog.get(&number) {
                Some(sent) => {
                    send.push_restored(sent.payload_type, sent.payload.clone(), sent.form, false);
                }
                None => send.push_restored(PayloadType::OUTPUT, Bytes::new(), Form::Same, true),
            }
        }
        let mut receive = if self.beginning {
            ReceiveBuffer::beginning()
        } else {
            ReceiveBuffer::restored(self.expected, self.recent.iter().copied())
        };
        for (number, (payload_type, payload)) in &self.held {
            receive.hold_restored(*number, *payload_type, payload.clone());
        }
        RestoredChannel {
            stream: ReliableStream::restored(identity, send, receive),
            handshake: self.handshake.clone(),
            settle: self.settle,
            response_due: self.response_due.clone(),
            challenge_due: self.challenge_due.clone(),
        }
    }

    /// The multiplexer as it was: decoder, next stream, messages built; and its streams.
    pub(crate) fn mux(&self) -> ((Decoder, u32, u64), Vec<(u32, RestoredStream)>) {
        let streams = self
            .streams
            .iter()
            .map(|(id, state)| (*id, state.stream.clone()))
            .collect();
        ((self.decoder.clone(), self.next_stream, self.built), streams)
    }

    fn open(&mut self, stream: u32, local: LocalId) {
        let single = self.carriage() != Carriage::Multiplexed;
        let early = std::mem::take(&mut self.early);
        let received = early.iter().map(Bytes::len).fold(0, usize::saturating_add);
        self.next_stream = self.next_stream.max(stream.saturating_add(2));
        self.opened = Some((self.opened.map_or(local, |(first, _)| first), local));
        let restored = RestoredStream {
            local,
            opened: single,
            input: VecDeque::new(),
            output: early,
            local_eof: false,
            local_reset: false,
            far_fin: false,
            received: u64::try_from(received).unwrap_or(u64::MAX),
        };
        self.streams.insert(
            stream,
            StreamState {
                stream: restored,
                written: 0,
            },
        );
    }

    fn reset(&mut self, stream: u32) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        state.stream.input.clear();
        state.stream.output.clear();
        state.stream.local_reset = true;
        if state.stream.far_fin || !state.stream.opened {
            self.streams.remove(&stream);
        }
    }

    fn send(&mut self, number: u64, payload_type: PayloadType, body: SentBody) {
        self.next_number = number.saturating_add(1);
        let (payload, form) = match body {
            SentBody::Bytes(bytes) => (bytes, Form::Same),
            SentBody::Frames(parts) => {
                let kind = Kind::of(self.built);
                self.built = self.built.saturating_add(1);
                (kind.first_form(&self.frame(&parts)), Form::Mux(kind))
            }
            SentBody::Input(length) => {
                let state = self.streams.get_mut(&RAW_STREAM);
                (
                    state.map(|state| state.take_input(length)).unwrap_or_default(),
                    Form::Same,
                )
            }
        };
        if self.carriage() == Carriage::Raw && payload_type == PayloadType::FLAG && payload == disconnect() {
            self.parted = Some(number);
            self.streams.remove(&RAW_STREAM);
        }
        if payload_type == PayloadType::SIZE {
            self.terminal.told = serde_json::from_slice(&payload).ok();
        }
        if payload_type == PayloadType::HANDSHAKE_RESPONSE {
            self.response_due = None;
            self.handshake = self.handshake.clone().handle_sent(&payload, &self.client_version);
        } else if payload_type == PayloadType::ENC_CHALLENGE_RESPONSE {
            self.challenge_due = None;
        }
        if self.settle == Settle::NotYet && payload_type == PayloadType::FLAG && payload == harmless() {
            self.settle = Settle::Waiting(number);
        }
        self.backlog.insert(
            number,
            SentMessage {
                payload_type,
                payload,
                form,
            },
        );
    }

    /// Builds the frames again, taking their data from the streams' input.
    fn frame(&mut self, parts: &[FramePart]) -> Bytes {
        let mut frames = BytesMut::new();
        for part in parts {
            let data = match self.streams.get_mut(&part.stream) {
                Some(state) => state.take_input(part.length),
                None => Bytes::new(),
            };
            put_frame(&mut frames, part.command, part.stream, &data);
            match part.command {
                FrameCommand::Syn => {
                    if let Some(state) = self.streams.get_mut(&part.stream) {
                        state.stream.opened = true;
                    }
                }
                FrameCommand::Fin => {
                    self.streams.remove(&part.stream);
                }
                FrameCommand::Psh | FrameCommand::Nop => {}
            }
        }
        frames.freeze()
    }

    fn deliver(&mut self, payload_type: PayloadType, mut payload: Bytes) {
        match payload_type {
            PayloadType::HANDSHAKE_REQUEST | PayloadType::HANDSHAKE_COMPLETE | PayloadType::ENC_CHALLENGE_REQUEST => {
                if let Ok(step) = self
                    .handshake
                    .clone()
                    .handle(payload_type, &payload, &self.client_version)
                {
                    self.handshake = step.next;
                    self.response_due = step.response.or_else(|| self.response_due.take());
                    self.challenge_due = step.challenge.or_else(|| self.challenge_due.take());
                }
            }
            PayloadType::OUTPUT if self.handshake == Handshake::AwaitingRequest => {
                self.handshake = Handshake::absent();
                self.take_shell(Source::Stdout, payload);
            }
            PayloadType::OUTPUT if self.carriage() == Carriage::Raw => self.take_raw(payload),
            PayloadType::OUTPUT if self.carriage() == Carriage::Shell => self.take_shell(Source::Stdout, payload),
            PayloadType::STD_ERR if self.carriage() == Carriage::Shell => self.take_shell(Source::Stderr, payload),
            PayloadType::EXIT_CODE if self.carriage() == Carriage::Shell => self.terminal.exit = exit_code(&payload),
            PayloadType::OUTPUT => {
                while let Ok(Some(item)) = self.decoder.next(&mut payload) {
                    self.take(item);
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Data { stream, bytes } => {
                if let Some(StreamState { stream, .. }) = self.streams.get_mut(&stream)
                    && !stream.local_reset
                    && !stream.far_fin
                {
                    stream.received = stream
                        .received
                        .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    stream.output.push_back(bytes);
                }
            }
            Item::Fin { stream } => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.stream.far_fin = true;
                    state.stream.input.clear();
                }
                self.forget_finished(stream);
            }
            Item::Syn { .. } | Item::Nop => {}
        }
    }

    /// A stream that the agent has closed is done once the local connection has everything.
    fn forget_finished(&mut self, id: u32) {
        if let Some(StreamState { stream, .. }) = self.streams.get(&id)
            && stream.far_fin
            && stream.output.is_empty()
        {
            self.streams.remove(&id);
        }
    }
}
