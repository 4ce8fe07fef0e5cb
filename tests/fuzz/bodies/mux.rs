//! The multiplexer: the decoder in every chunking, and operations against a model of both sides.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::local::{WorkloadEvent, WorkloadLimits};
use autossm_proto::mux::{Decoder, FrameCommand, InvalidFrame, Item, Message, Mux, put_frame};
use autossm_proto::session::LocalId;
use bytes::{Bytes, BytesMut};

use super::cursor::Cursor;

const LIMITS: WorkloadLimits = WorkloadLimits {
    payload: 1024,
    per_stream: 4096,
    total: 8192,
    fin_grace: Duration::from_secs(10),
};

pub(crate) fn run(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    if cursor.byte().is_multiple_of(4) {
        chunking(cursor);
    } else {
        operations(cursor);
    }
}

/// What a stretch of bytes means, however it was cut.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    items: Vec<(char, u32, Vec<u8>)>,
    error: Option<InvalidFrame>,
}

impl Meaning {
    /// Says whether the decoder can go on.
    fn feed(&mut self, decoder: &mut Decoder, mut bytes: Bytes) -> bool {
        loop {
            let (kind, stream, data) = match decoder.next(&mut bytes) {
                Ok(Some(Item::Data { stream, bytes })) => ('d', stream, bytes.to_vec()),
                Ok(Some(Item::Syn { stream })) => ('s', stream, Vec::new()),
                Ok(Some(Item::Fin { stream })) => ('f', stream, Vec::new()),
                Ok(Some(Item::Nop)) => ('n', 0, Vec::new()),
                Ok(None) => return true,
                Err(error) => {
                    self.error = Some(error);
                    return false;
                }
            };
            match self.items.last_mut() {
                Some((last, of, so_far)) if (*last, *of, kind) == ('d', stream, 'd') => so_far.extend(data),
                _ => self.items.push((kind, stream, data)),
            }
        }
    }
}

fn chunking(mut cursor: Cursor<'_>) {
    let cuts: Vec<usize> = (0..4).map(|_| usize::from(cursor.byte()).max(1)).collect();
    let wire = Bytes::copy_from_slice(cursor.bytes(usize::MAX));
    let (mut whole, mut cut) = (Meaning::default(), Meaning::default());
    whole.feed(&mut Decoder::default(), wire.clone());
    let (mut decoder, mut rest) = (Decoder::default(), wire);
    for length in cuts.iter().cycle() {
        let piece = rest.split_to((*length).min(rest.len()));
        if !cut.feed(&mut decoder, piece) || rest.is_empty() {
            break;
        }
    }
    assert_eq!(whole, cut);
}

/// One local connection as its two ends see it.
#[derive(Debug, Default)]
struct Local {
    stream: u32,
    /// Taken from the local side, and what has come out of it in frames.
    sent: Vec<u8>,
    framed: Vec<u8>,
    /// Sent by the far side, and what was handed over of it.
    far: Vec<u8>,
    got: Vec<u8>,
    unwritten: usize,
    local_eof: bool,
    far_fin: bool,
    reset: bool,
    ended: bool,
}

struct World {
    mux: Mux,
    now: Timestamp,
    number: u64,
    locals: BTreeMap<LocalId, Local>,
    /// The agent's parser, over everything that was built.
    agent: Decoder,
    /// Bytes of the far side that are framed and not delivered.
    wire: BytesMut,
    /// Garbage was sent: the far side's bytes mean nothing from here on.
    garbled: bool,
}

fn operations(mut cursor: Cursor<'_>) {
    let mut world = World {
        mux: Mux::new(LIMITS),
        now: Timestamp::ZERO,
        number: 0,
        locals: BTreeMap::new(),
        agent: Decoder::default(),
        wire: BytesMut::new(),
        garbled: false,
    };
    while !cursor.is_empty() {
        if !world.step(&mut cursor) {
            return;
        }
        world.drain();
    }
    world.finish();
}

impl World {
    /// Says whether the multiplexer can go on.
    fn step(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let operation = cursor.byte();
        let local = LocalId(u64::from(cursor.byte() % 8));
        match operation % 12 {
            0 => self.open(local),
            1 => self.local_data(local, usize::from(cursor.short())),
            2 => {
                self.mux.handle_local_eof(local, self.now);
                self.with(local, |local| local.local_eof = true);
            }
            3 => {
                self.mux.handle_local_reset(local);
                self.with(local, |local| local.reset = true);
            }
            4 => {
                let bytes = usize::from(cursor.short());
                let written = self.locals.get_mut(&local).map_or(0, |local| {
                    let written = bytes.min(local.unwritten);
                    local.unwritten -= written;
                    written
                });
                self.mux.handle_local_written(local, written);
            }
            5 => {
                self.build();
            }
            6 => {
                self.now = self.now.after(Duration::from_millis(u64::from(cursor.short())));
                let open = !cursor.byte().is_multiple_of(4);
                self.mux.handle_acknowledged(self.number, open, self.now);
                if self.mux.handle_timeout(self.number, self.number, self.now) {
                    // The message it asks for, which releases the FINs once it is acknowledged.
                    self.number += 1;
                }
                let overdue = self.mux.fin_at(self.number).is_some_and(|at| at <= self.now);
                assert!(!overdue, "a FIN is due after its time-out was handled");
            }
            7 => self.far_data(local, usize::from(cursor.short())),
            8 => self.far_fin(local),
            9 => put_frame(&mut self.wire, FrameCommand::Syn, u32::from(cursor.short()), &[]),
            10 => self.mux.handle_refused(),
            _ if operation > 250 => {
                self.garbled = true;
                let garbage = usize::from(cursor.byte());
                self.wire.extend_from_slice(cursor.bytes(garbage));
            }
            _ => {
                let length = usize::from(cursor.short()).min(self.wire.len());
                let payload = self.wire.split_to(length).freeze();
                let taken = self.mux.handle_payload(payload, self.now);
                assert!(self.garbled || taken.is_ok(), "{taken:?}");
                return taken.is_ok();
            }
        }
        true
    }

    fn with(&mut self, local: LocalId, change: impl FnOnce(&mut Local)) {
        if let Some(local) = self.locals.get_mut(&local) {
            change(local);
        }
    }

    fn open(&mut self, id: LocalId) {
        if self.locals.contains_key(&id) {
            return;
        }
        if let Some(stream) = self.mux.open(id, self.now) {
            let local = Local {
                stream,
                ..Local::default()
            };
            self.locals.insert(id, local);
        }
    }

    fn local_data(&mut self, id: LocalId, length: usize) {
        let room = self.mux.room(id);
        let bytes: Vec<u8> = (0..length.min(room)).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let taken = self.mux.handle_local_data(id, Bytes::from(bytes.clone()), self.now);
        let local = self.locals.get_mut(&id);
        match (taken, local) {
            (Some(stream), Some(local)) => {
                assert_eq!(stream, local.stream);
                assert!(!local.reset && !local.ended && !local.local_eof);
                local.sent.extend(bytes);
            }
            (Some(_), None) => panic!("bytes taken for a connection that is not there"),
            (None, _) => {}
        }
    }

    fn build(&mut self) -> bool {
        let silent = !self.mux.has_frames();
        let Some(message) = self.mux.build(self.number) else {
            return false;
        };
        assert!(!silent, "a message without frames");
        self.number += 1;
        self.check_message(&message);
        true
    }

    /// What the agent's parser makes of the message is what was taken.
    fn check_message(&mut self, message: &Message) {
        assert!(message.payload.len() <= LIMITS.payload);
        assert!(message.kind.resend_form(&message.payload).len() <= LIMITS.payload);
        let mut payload = message.payload.clone();
        while let Some(item) = self.agent.next(&mut payload).unwrap() {
            if let Item::Data { stream, bytes } = item {
                let local = self.locals.values_mut().find(|local| local.stream == stream);
                let local = local.unwrap_or_else(|| panic!("stream {stream} was never opened"));
                local.framed.extend_from_slice(&bytes);
                assert!(local.sent.starts_with(&local.framed), "other bytes than were taken");
            }
        }
    }

    fn far_data(&mut self, id: LocalId, length: usize) {
        let Some(local) = self.locals.get_mut(&id) else {
            // A stream that does not exist: swallowed.
            return put_frame(&mut self.wire, FrameCommand::Psh, 9999, &vec![7; length]);
        };
        let data: Vec<u8> = (0..length).map(|i| u8::try_from(i % 253).unwrap()).collect();
        put_frame(&mut self.wire, FrameCommand::Psh, local.stream, &data);
        if !local.far_fin {
            local.far.extend(data);
        }
    }

    fn far_fin(&mut self, id: LocalId) {
        if let Some(local) = self.locals.get_mut(&id) {
            put_frame(&mut self.wire, FrameCommand::Fin, local.stream, &[]);
            local.far_fin = true;
        }
    }

    fn drain(&mut self) {
        let events: VecDeque<WorkloadEvent> = std::iter::from_fn(|| self.mux.poll_event()).collect();
        for event in events {
            let (WorkloadEvent::Data { local, .. }
            | WorkloadEvent::StdErr { local, .. }
            | WorkloadEvent::Exit { local, .. }
            | WorkloadEvent::Finished { local }
            | WorkloadEvent::Reset { local, .. }
            | WorkloadEvent::Room { local }) = &event;
            let state = self.locals.get_mut(local).unwrap();
            assert!(
                !state.ended || matches!(event, WorkloadEvent::Room { .. }),
                "{event:?} after the end"
            );
            match event {
                WorkloadEvent::Data { bytes, .. } => {
                    assert!(!bytes.is_empty());
                    state.got.extend_from_slice(&bytes);
                    state.unwritten += bytes.len();
                    assert!(self.garbled || state.far.starts_with(&state.got));
                }
                WorkloadEvent::Finished { .. } | WorkloadEvent::Reset { .. } => state.ended = true,
                WorkloadEvent::StdErr { .. } | WorkloadEvent::Exit { .. } => panic!("of a shell only"),
                WorkloadEvent::Room { .. } => {}
            }
        }
    }

    /// Everything is written and framed: nothing may be left over.
    fn finish(&mut self) {
        if !self.garbled {
            let payload = self.wire.split().freeze();
            self.mux.handle_payload(payload, self.now).unwrap();
        }
        self.drain();
        let ids: Vec<LocalId> = self.locals.keys().copied().collect();
        for _ in 0..100_000 {
            let mut moved = self.build();
            for id in &ids {
                let written = self
                    .locals
                    .get_mut(id)
                    .map_or(0, |local| std::mem::take(&mut local.unwritten));
                self.mux.handle_local_written(*id, written);
                moved |= written > 0;
            }
            self.drain();
            if !moved {
                break;
            }
        }
        for local in self.locals.values().filter(|local| !local.reset && !self.garbled) {
            // A FIN of this side closes the stream at once: what was on its way then is dropped.
            assert!(local.ended || local.got == local.far, "{local:?}");
            assert!(local.far_fin || local.ended || local.framed == local.sent, "{local:?}");
        }
        assert!(!self.mux.is_full(), "full although everything is written");
    }
}
