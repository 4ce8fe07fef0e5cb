//! Operations against a whole session: whatever the service, the control plane, the clock and the local connections
//! do, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::journal::{Record, State};
use autossm_proto::mux::{FrameCommand, put_frame};
use autossm_proto::session::{
    Attempt, Command, DropCause, Epoch, Event, Failure, Inbound, LocalId, Outcome, ResumeGrant, Secret, Session,
    SessionConfig, Transmit,
};
use autossm_proto::wire::{AcknowledgeBody, ClientMessage, MessageType, PayloadType, Uuid};
use bytes::{Bytes, BytesMut};

#[path = "session_answers.rs"]
mod answers;

use super::cursor::Cursor;
use answers::{CANARY, Steady, change, class, config, grant, key, long, preferences, request};

/// A timer that asks again this often without time passing spins.
const TURNS: usize = 50;

struct World {
    session: Session,
    raw: bool,
    journal: State,
    now: Timestamp,
    calls: Vec<Command>,
    epoch: Epoch,
    /// A text frame has opened this epoch's websocket.
    opened: bool,
    pings: Vec<Bytes>,
    /// Next number of the agent's messages, and the highest number the client has used.
    next: i64,
    used: i64,
    locals: BTreeMap<LocalId, usize>,
    ended: BTreeSet<LocalId>,
}

pub(crate) fn run(data: &[u8]) {
    for (raw, once) in [(false, false), (true, false), (true, true)] {
        run_as(data, raw, once);
    }
}

fn run_as(data: &[u8], raw: bool, once: bool) {
    let config = SessionConfig {
        once,
        ..config(data.last().copied().unwrap_or_default())
    };
    let version = config.client_version.clone();
    let mut world = World {
        session: Session::new(config.clone(), Box::new(Steady), 1, Duration::from_secs(1_700_000_000)),
        raw,
        journal: State::new(version),
        now: Timestamp::from_nanos(1),
        calls: Vec::new(),
        epoch: Epoch(0),
        opened: false,
        pings: Vec::new(),
        next: 0,
        used: -1,
        locals: BTreeMap::new(),
        ended: BTreeSet::new(),
    };
    let mut cursor = Cursor::new(data);
    world.session.start(world.now);
    while !cursor.is_empty() {
        world.step(&mut cursor);
        world.drain();
    }
    world.settle();
    assert!(!format!("{:?} {:?}", world.session, world.session.snapshot()).contains(CANARY));
    // A new process takes over what has not ended, or has ended and not written everything.
    let ended = std::mem::take(&mut world.ended);
    world
        .locals
        .retain(|local, unwritten| *unwritten > 0 || !ended.contains(local));
    let locals: Vec<LocalId> = world.locals.keys().copied().collect();
    let fresh = Session::new(config, Box::new(Steady), 2, Duration::from_secs(1_700_000_000));
    world.session = fresh.restore(&world.journal, locals, world.now);
    world.session.start(world.now);
    world.drain();
    world.settle();
}

impl World {
    fn step(&mut self, cursor: &mut Cursor<'_>) {
        let operation = cursor.byte();
        match operation % 16 {
            0 => self.lifecycle(cursor.byte()),
            1 | 2 => self.answer(cursor.byte()),
            3 => {
                let wait = Duration::from_millis(u64::from(cursor.short())) * u32::from(cursor.byte() % 8 + 1);
                self.now = self.now.after(wait);
                self.settle();
            }
            4 => {
                let length = usize::from(cursor.byte());
                let frame = Bytes::copy_from_slice(cursor.bytes(length));
                self.inbound(Inbound::Binary(frame));
            }
            5 => self.numbered(cursor),
            6 => self.acknowledge(cursor),
            7 => self.handshake(),
            8 => {
                let pong = self.pings.pop().filter(|_| !cursor.byte().is_multiple_of(4));
                self.inbound(Inbound::Pong(pong.unwrap_or_default()));
            }
            9 => self.session.handle_dropped(self.epoch, DropCause::Reset, self.now),
            10 => self.smux(cursor),
            11 => {
                let local = self.session.open_local(self.now);
                self.locals.insert(local, 0);
            }
            12 => self.local(cursor),
            13 => self.service(cursor),
            14 => self.session.handle_flushed(self.epoch, self.now),
            _ => self.transmit(usize::from(cursor.byte())),
        }
    }

    fn lifecycle(&mut self, choice: u8) {
        match choice % 8 {
            0 => self.session.stop(self.now),
            1 => self.session.reconnect(self.now),
            2 => self.session.handle_network(change(choice), self.now),
            3 => self.session.handle_slept(Duration::from_secs(choice.into()), self.now),
            4 => self.session.handle_address_gone(self.epoch, self.now),
            5 => self.session.start_now(self.now),
            _ => self.session.start(self.now),
        }
    }

    /// The driver carries out the oldest command, well or badly, or answers one that nobody asked.
    fn answer(&mut self, choice: u8) {
        if self.calls.is_empty() {
            let attempt = Attempt(u64::from(choice));
            let outcome = Outcome::Dialed {
                attempt,
                epoch: Epoch(u64::from(choice)),
            };
            return self.session.handle_outcome(outcome, self.now);
        }
        let failure = |attempt| Outcome::Failed {
            attempt,
            failure: Failure {
                class: class(choice),
                text: "refused".to_owned(),
            },
        };
        let call = self.calls.remove(0);
        if let Command::Start { attempt, .. } | Command::Resume { attempt, .. } = call {
            self.session.handle_turn(attempt, self.now);
            if choice.is_multiple_of(16) {
                // Its turn, but no answer yet.
                return self.calls.insert(0, call);
            }
        }
        let outcome = match call {
            Command::Start { attempt, .. }
            | Command::Resume { attempt, .. }
            | Command::FetchKey { attempt, .. }
            | Command::Dial { attempt, .. }
                if choice >= 200 =>
            {
                failure(attempt)
            }
            Command::Start { attempt, .. } => Outcome::Started {
                attempt,
                grant: grant(),
            },
            Command::Resume { attempt, .. } => Outcome::Resumed {
                attempt,
                grant: ResumeGrant {
                    token: (!choice.is_multiple_of(8)).then(|| Secret::new(CANARY.to_owned())),
                    stream_url: (choice % 16 > 8).then(|| "wss://other.example/".to_owned()),
                },
            },
            Command::Dial { attempt, epoch, .. } => {
                (self.epoch, self.opened) = (epoch, false);
                self.pings.clear();
                Outcome::Dialed { attempt, epoch }
            }
            Command::FetchKey { attempt, .. } => Outcome::Key { attempt, grant: key() },
            Command::ReadPreferences => return self.session.handle_preferences(preferences(choice), self.now),
            Command::Abandon { .. } | Command::Close { .. } | Command::Terminate { .. } => return,
        };
        self.session.handle_outcome(outcome, self.now);
    }

    fn inbound(&mut self, frame: Inbound) {
        self.session.handle_inbound(self.epoch, frame, self.now);
    }

    fn message(&mut self, message_type: MessageType, sequence_number: i64, payload_type: PayloadType, payload: Bytes) {
        let message = ClientMessage {
            message_type,
            schema_version: 1,
            created_date: 1,
            sequence_number,
            flags: 0,
            message_id: Uuid::from_random(sequence_number.cast_unsigned(), 1),
            payload_type,
            payload,
        };
        if let Ok(frame) = message.encode() {
            self.inbound(Inbound::Binary(frame));
        }
    }

    /// A message of the agent, in turn or not.
    fn numbered(&mut self, cursor: &mut Cursor<'_>) {
        let place = cursor.byte();
        let number = match place {
            0..=127 => self.next,
            128..=220 => self.next.wrapping_add(i64::from(place) - 150),
            221..=240 => self.next.wrapping_add(i64::from(place) << 14),
            _ => long(cursor),
        };
        let payload_type = PayloadType(u32::from(cursor.byte() % 16));
        let length = usize::from(cursor.byte());
        let payload = Bytes::copy_from_slice(cursor.bytes(length));
        self.message(MessageType::OutputStreamData, number, payload_type, payload);
        if number == self.next {
            self.next += 1;
        }
    }

    fn acknowledge(&mut self, cursor: &mut Cursor<'_>) {
        let place = cursor.byte();
        let number = if place < 240 {
            self.used - i64::from(place % 16)
        } else {
            long(cursor)
        };
        let body = AcknowledgeBody {
            acknowledged_message_type: "input_stream_data".to_owned(),
            acknowledged_message_id: Uuid::from_random(1, 2),
            acknowledged_message_sequence_number: number,
            is_sequential_message: true,
        };
        let payload = Bytes::from(serde_json::to_vec(&body).unwrap());
        self.message(MessageType::Acknowledge, 0, PayloadType::NONE, payload);
    }

    /// The agent's whole handshake, and time enough for the gap after it.
    fn handshake(&mut self) {
        self.transmit(8);
        let next = self.next;
        let request = request(self.raw);
        let output = MessageType::OutputStreamData;
        self.message(output, next, PayloadType::HANDSHAKE_REQUEST, request);
        let complete = Bytes::from_static(b"{}");
        self.message(output, next + 1, PayloadType::HANDSHAKE_COMPLETE, complete);
        self.next += 2;
        self.drain();
        self.transmit(8);
        self.now = self.now.after(Duration::from_millis(60));
        for number in 0..=self.used.min(64) {
            self.acknowledge(&mut Cursor::new(&[vec![240], number.to_be_bytes().to_vec()].concat()));
        }
    }

    /// Frames of the multiplexer in the agent's next message.
    fn smux(&mut self, cursor: &mut Cursor<'_>) {
        let mut frames = BytesMut::new();
        for _ in 0..=cursor.byte() % 4 {
            let stream = u32::from(cursor.byte() % 8) * 2 + 1;
            match cursor.byte() % 8 {
                0 => put_frame(&mut frames, FrameCommand::Fin, stream, &[]),
                1 => put_frame(&mut frames, FrameCommand::Syn, stream, &[]),
                2 => put_frame(&mut frames, FrameCommand::Nop, stream, &[]),
                _ => put_frame(
                    &mut frames,
                    FrameCommand::Psh,
                    stream,
                    &vec![1; usize::from(cursor.short() % 2048)],
                ),
            }
        }
        let next = self.next;
        self.message(
            MessageType::OutputStreamData,
            next,
            PayloadType::OUTPUT,
            frames.freeze(),
        );
        self.next += 1;
    }

    fn local(&mut self, cursor: &mut Cursor<'_>) {
        let Some(local) = self
            .locals
            .keys()
            .nth(usize::from(cursor.byte()) % self.locals.len().max(1))
            .copied()
        else {
            return;
        };
        match cursor.byte() % 5 {
            0 => self.session.handle_local_eof(local, self.now),
            1 => self.session.handle_local_reset(local, self.now),
            2 => {
                let unwritten = self.locals.get_mut(&local).map(std::mem::take).unwrap_or_default();
                self.session.handle_local_written(local, unwritten, self.now);
            }
            _ => {
                let length = usize::from(cursor.short()).min(self.session.local_room(local));
                self.session
                    .handle_local_data(local, Bytes::from(vec![2; length]), self.now);
            }
        }
    }

    /// The service's own messages.
    fn service(&mut self, cursor: &mut Cursor<'_>) {
        let (message_type, text) = match cursor.byte() % 6 {
            0 => (MessageType::ChannelClosed, r#"{"SessionId":"other-1","Output":"bye"}"#),
            1 => (MessageType::ChannelClosed, r#"{"SessionId":"ada-1","Output":"bye"}"#),
            2 => (MessageType::PausePublication, "{}"),
            3 => (MessageType::StartPublication, "{}"),
            4 => (MessageType::AgentSessionState, "{}"),
            _ => (MessageType::InputStreamData, "x"),
        };
        self.message(message_type, 0, PayloadType::NONE, Bytes::from_static(text.as_bytes()));
    }

    fn transmit(&mut self, most: usize) {
        for _ in 0..most {
            let Some(frame) = self.session.poll_transmit(self.now) else {
                break;
            };
            assert!(!format!("{frame:?}").contains(CANARY));
            match frame {
                Transmit::Text(_) => {
                    assert!(!self.opened, "a websocket is opened once");
                    self.opened = true;
                }
                Transmit::Binary(frame) => {
                    assert!(self.opened, "data before OpenDataChannel");
                    let message = ClientMessage::decode(&frame).unwrap();
                    if message.message_type == MessageType::InputStreamData {
                        self.used = self.used.max(message.sequence_number);
                    }
                }
                Transmit::Ping(payload) => self.pings.push(payload),
            }
            self.drain();
        }
    }

    /// Does what is due now: that must come to an end.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            self.drain();
            let Some(wakeup) = self.session.poll_timeout().filter(|wakeup| wakeup.at <= self.now) else {
                return;
            };
            self.session.handle_timeout(self.now);
            self.transmit(4);
            let _reason = wakeup.reason;
        }
        panic!("a timer asks again and again: {:?}", self.session.poll_timeout());
    }

    fn drain(&mut self) {
        while let Some(record) = self.session.poll_record() {
            if matches!(record, Record::Started { .. }) {
                (self.next, self.used) = (0, -1);
            }
            assert!(!format!("{record:?}").contains(CANARY));
            self.journal.apply(record);
        }
        while let Some(command) = self.session.poll_command() {
            assert!(!format!("{command:?}").contains(CANARY));
            self.calls.push(command);
        }
        while let Some(event) = self.session.poll_event() {
            let (local, end) = match event {
                Event::Phase { .. } => continue,
                Event::Data { local, bytes } | Event::StdErr { local, bytes } => {
                    assert!(!bytes.is_empty());
                    *self.locals.entry(local).or_default() += bytes.len();
                    (local, false)
                }
                Event::Finished { local } | Event::Reset { local, .. } => (local, true),
                Event::Room { .. } | Event::Exit { .. } => continue,
            };
            assert!(!self.ended.contains(&local), "an event after the end of {local:?}");
            if end {
                self.ended.insert(local);
            }
        }
    }
}
