//! The state that records add up to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::stream::StreamState;
use super::{Record, SentBody};
use crate::channel::{RestoredChannel, Settle, harmless};
use crate::handshake::Handshake;
use crate::mux::{Decoder, FrameCommand, FramePart, Item, Kind, RestoredStream, put_frame};
use crate::session::LocalId;
use crate::stream::{Form, Identity, PendingAck, REPEATED, ReceiveBuffer, ReliableStream, SendBuffer};
use crate::wire::{PayloadType, Uuid};

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
    handshake: Handshake,
    response_due: Option<Bytes>,
    settle: Settle,
    next_number: u64,
    backlog: BTreeMap<u64, SentMessage>,
    built: u64,
    expected: u64,
    held: BTreeMap<u64, (PayloadType, Bytes)>,
    recent: VecDeque<PendingAck>,
    decoder: Decoder,
    next_stream: u32,
    streams: BTreeMap<u32, StreamState>,
    /// The first and the last local connection that got a stream in this AWS session.
    opened: Option<(LocalId, LocalId)>,
    /// The last that got one in an earlier AWS session.
    lost: Option<LocalId>,
}

/// What becomes of a local connection that survived the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalFate {
    /// Its stream goes on.
    GoesOn,
    /// Its stream has ended, everything is written: close it.
    Finished,
    /// Its session has ended: reset it.
    Lost,
    /// It never had a stream: it waits for one.
    Waits,
}

impl State {
    /// The state before any record; `client_version` as in the session's configuration.
    pub fn new(client_version: String) -> Self {
        Self {
            session: None,
            client_version,
            handshake: Handshake::AwaitingRequest,
            response_due: None,
            settle: Settle::NotYet,
            next_number: 0,
            backlog: BTreeMap::new(),
            built: 0,
            expected: 0,
            held: BTreeMap::new(),
            recent: VecDeque::new(),
            decoder: Decoder::default(),
            next_stream: 3,
            streams: BTreeMap::new(),
            opened: None,
            lost: None,
        }
    }

    /// What becomes of a local connection. They got their streams in the order of their numbers.
    pub fn fate(&self, local: LocalId) -> LocalFate {
        if self.streams.values().any(|state| state.stream.local == local) {
            return LocalFate::GoesOn;
        }
        match self.opened {
            Some((first, last)) if (first..=last).contains(&local) => LocalFate::Finished,
            _ if self.lost.is_some_and(|last| local <= last) => LocalFate::Lost,
            _ => LocalFate::Waits,
        }
    }

    /// The streams whose local connection is none of these.
    pub fn streams_without(&self, locals: &BTreeSet<LocalId>) -> Vec<u32> {
        let missing = self
            .streams
            .iter()
            .filter(|(_, state)| !locals.contains(&state.stream.local));
        missing.map(|(id, _)| *id).collect()
    }

    /// The last local connection that ever got a stream.
    pub fn last_local(&self) -> Option<LocalId> {
        self.opened.map(|(_, last)| last).max(self.lost)
    }

    /// Nothing of the AWS session is left but the memory of whom it served.
    fn forget_session(&mut self) {
        let lost = self.opened.map(|(_, last)| last).or(self.lost);
        *self = Self {
            lost,
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
                while let Some((payload_type, payload)) = self.held.remove(&self.expected) {
                    self.expected = self.expected.saturating_add(1);
                    self.deliver(payload_type, payload);
                }
            }
        }
    }

    /// What has been written to local connections, as far as their sockets tell: it may be more than was recorded.
    pub fn correct_written(&mut self, written: impl Fn(LocalId) -> u64) {
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for id in ids {
            if let Some(state) = self.streams.get_mut(&id) {
                let unrecorded = written(state.stream.local).saturating_sub(state.written);
                state.handle_written(unrecorded);
            }
        }
    }

    /// The data channel as it was.
    pub(crate) fn channel(&self, identity: Identity) -> RestoredChannel {
        let silent = self
            .handshake
            .agreement()
            .is_some_and(|agreed| !agreed.agent.acknowledges_duplicates());
        let first = self.backlog.keys().next().copied().unwrap_or(self.next_number);
        let mut send = SendBuffer::restored(first, silent);
        for number in first..self.next_number {
            match self.backlog.get(&number) {
                Some(sent) => {
                    send.push_restored(sent.payload_type, sent.payload.clone(), sent.form, false);
                }
                None => send.push_restored(PayloadType::OUTPUT, Bytes::new(), Form::Same, true),
            }
        }
        let mut receive = ReceiveBuffer::restored(self.expected, self.recent.iter().copied());
        for (number, (payload_type, payload)) in &self.held {
            receive.hold_restored(*number, *payload_type, payload.clone());
        }
        RestoredChannel {
            stream: ReliableStream::restored(identity, send, receive),
            handshake: self.handshake.clone(),
            settle: self.settle,
            response_due: self.response_due.clone(),
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
        self.next_stream = self.next_stream.max(stream.saturating_add(2));
        self.opened = Some((self.opened.map_or(local, |(first, _)| first), local));
        let restored = RestoredStream {
            local,
            opened: false,
            input: VecDeque::new(),
            output: VecDeque::new(),
            local_eof: false,
            local_reset: false,
            far_fin: false,
            received: 0,
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
        };
        if payload_type == PayloadType::HANDSHAKE_RESPONSE {
            self.response_due = None;
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
            PayloadType::HANDSHAKE_REQUEST | PayloadType::HANDSHAKE_COMPLETE => {
                if let Ok(step) = self
                    .handshake
                    .clone()
                    .handle(payload_type, &payload, &self.client_version)
                {
                    self.handshake = step.next;
                    self.response_due = step.response.or_else(|| self.response_due.take());
                }
            }
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
