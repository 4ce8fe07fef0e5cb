//! All streams of a session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::frame::{Decoder, InvalidFrame, Item};
use super::guard::STREAM_LIMIT;
use crate::Timestamp;
use crate::local::{RestoredStream, Stream, WorkloadEvent, WorkloadLimits};
use crate::session::{LocalId, ResetCause};

/// xtaci/smux clients count 1 + 2 before the first use.
const FIRST_STREAM: u32 = 3;
/// Bytes taken from all local connections and not framed.
pub(super) const TOTAL_INPUT: usize = 2 << 20;
/// What a stream may take beyond that when it has nothing waiting.
const LEAST_INPUT: usize = 4 << 10;
/// Closed streams whose end by the agent is still recognised.
const REMEMBERED: usize = 256;

/// The client's side of one smux session.
#[derive(Debug)]
pub struct Mux {
    pub(super) limits: WorkloadLimits,
    pub(super) streams: BTreeMap<u32, Stream>,
    by_local: BTreeMap<LocalId, u32>,
    next_stream: u32,
    decoder: Decoder,
    /// Streams with something to frame, in turn.
    pub(super) ready: VecDeque<u32>,
    /// The members of `ready`.
    queued: BTreeSet<u32>,
    /// Streams whose local side has closed its half and whose FIN is held back.
    pub(super) half_closed: BTreeSet<u32>,
    /// FINs to frame.
    pub(super) fins: VecDeque<u32>,
    pub(super) input_bytes: usize,
    untaken: usize,
    /// Output messages built so far: their index decides the kind.
    pub(super) built: u64,
    /// Destinations refused whose FIN has not come yet; the flag names no stream.
    refused: u32,
    /// Streams closed here before anything came back: one of them may be the one that was refused.
    gone: VecDeque<u32>,
    pub(super) events: VecDeque<WorkloadEvent>,
    /// The oldest unacknowledged number as last told.
    acknowledged: u64,
}

impl Mux {
    /// A new smux session.
    pub fn new(limits: WorkloadLimits) -> Self {
        Self {
            limits,
            streams: BTreeMap::new(),
            by_local: BTreeMap::new(),
            next_stream: FIRST_STREAM,
            decoder: Decoder::default(),
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            half_closed: BTreeSet::new(),
            fins: VecDeque::new(),
            input_bytes: 0,
            untaken: 0,
            built: 0,
            refused: 0,
            gone: VecDeque::new(),
            events: VecDeque::new(),
            acknowledged: 0,
        }
    }

    /// Goes on where a journal ends; `next_number` is the number of the session's next message.
    pub fn restore(
        limits: WorkloadLimits,
        (decoder, next_stream, built): (Decoder, u32, u64),
        streams: impl IntoIterator<Item = (u32, RestoredStream)>,
        next_number: u64,
        now: Timestamp,
    ) -> Self {
        let mut mux = Self {
            decoder,
            next_stream,
            built,
            ..Self::new(limits)
        };
        for (id, restored) in streams {
            let stream = Stream::restored(restored, next_number.checked_sub(1), now);
            mux.by_local.insert(stream.local, id);
            mux.input_bytes = mux.input_bytes.saturating_add(stream.input_bytes);
            mux.untaken = mux.untaken.saturating_add(stream.output.untaken());
            if stream.local_reset {
                mux.fins.push_back(id);
            } else if stream.local_eof {
                mux.half_closed.insert(id);
            }
            if stream.room() > 0 {
                mux.events.push_back(WorkloadEvent::Room { local: stream.local });
            }
            mux.streams.insert(id, stream);
            mux.make_ready(id);
            mux.hand_over(id);
        }
        mux
    }

    /// Opens a stream; its SYN goes out with the next message. None when this session has no ids left.
    pub fn open(&mut self, local: LocalId, now: Timestamp) -> Option<u32> {
        let id = self.next_stream;
        if id >= STREAM_LIMIT.saturating_sub(2) {
            return None;
        }
        self.next_stream = id.saturating_add(2);
        self.streams.insert(id, Stream::new(local, now));
        self.by_local.insert(local, id);
        self.make_ready(id);
        self.events.push_back(WorkloadEvent::Room { local });
        Some(id)
    }

    /// The stream of a local connection.
    pub fn stream_of(&self, local: LocalId) -> Option<u32> {
        self.by_local.get(&local).copied()
    }

    /// Every local connection that has a stream and has not been told its end.
    pub fn locals(&self) -> impl Iterator<Item = LocalId> + '_ {
        let open = self
            .streams
            .values()
            .filter(|stream| !stream.told && !stream.local_reset);
        open.map(|stream| stream.local)
    }

    /// Streams that are open.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Bytes the stream would take from its local connection now.
    pub fn room(&self, local: LocalId) -> usize {
        let stream = self.by_local.get(&local).and_then(|id| self.streams.get(id));
        stream.map_or(0, |stream| self.room_of(stream))
    }

    /// A stream without input of its own always has some room, however much the others have taken.
    fn room_of(&self, stream: &Stream) -> usize {
        let least = if stream.input_bytes == 0 { LEAST_INPUT } else { 0 };
        stream
            .room()
            .min(TOTAL_INPUT.saturating_sub(self.input_bytes).max(least))
    }

    /// Bytes taken from local connections and in no message yet.
    pub const fn unframed(&self) -> usize {
        self.input_bytes
    }

    /// Whether local connections leave so much untaken that reading must stop.
    pub fn is_full(&self) -> bool {
        let per_stream = self.limits.per_stream;
        self.untaken >= self.limits.total
            || (self.untaken >= per_stream
                && self
                    .streams
                    .values()
                    .any(|stream| stream.output.untaken() >= per_stream))
    }

    /// Takes bytes of a local connection; returns its stream.
    pub fn handle_local_data(&mut self, local: LocalId, bytes: Bytes, now: Timestamp) -> Option<u32> {
        let id = self.stream_of(local)?;
        let stream = self.streams.get_mut(&id)?;
        if stream.local_reset || stream.local_eof || stream.far_fin || bytes.is_empty() {
            return None;
        }
        stream.touch(now);
        self.input_bytes = self.input_bytes.saturating_add(bytes.len());
        stream.take_input(bytes);
        // Ask for room events once the connection can no longer fill the next read.
        stream.starved = true;
        self.make_ready(id);
        Some(id)
    }

    /// The local side has closed its half: FIN is held back, because it would close the whole stream.
    pub fn handle_local_eof(&mut self, local: LocalId, now: Timestamp) -> Option<u32> {
        let id = self.stream_of(local)?;
        let stream = self.streams.get_mut(&id)?;
        if std::mem::replace(&mut stream.local_eof, true) {
            // Its FIN may be on its way: a second hold would keep it from being taken back.
            return None;
        }
        stream.touch(now);
        self.half_closed.insert(id);
        Some(id)
    }

    /// The local side is gone: FIN goes out at once, what it had sent and was not framed is dropped like a kernel does.
    pub fn handle_local_reset(&mut self, local: LocalId) -> Option<u32> {
        let id = self.stream_of(local)?;
        let stream = self.streams.get_mut(&id)?;
        self.input_bytes = self.input_bytes.saturating_sub(stream.input_bytes);
        self.untaken = self.untaken.saturating_sub(stream.output.untaken());
        stream.drop_input();
        stream.output.clear();
        stream.local_reset = true;
        self.half_closed.remove(&id);
        if stream.far_fin || !stream.opened {
            self.remove(id);
        } else {
            self.fins.push_back(id);
        }
        Some(id)
    }

    /// The local side has written so many of the bytes it was handed.
    pub fn handle_local_written(&mut self, local: LocalId, bytes: usize) -> Option<u32> {
        let id = self.stream_of(local)?;
        let stream = self.streams.get_mut(&id)?;
        let before = stream.output.untaken();
        stream.output.handle_written(bytes);
        self.untaken = self
            .untaken
            .saturating_sub(before.saturating_sub(stream.output.untaken()));
        self.hand_over(id);
        Some(id)
    }

    /// Everything below this number is acknowledged. For a held-back FIN that is a sign of activity: the quiet time
    /// begins when the far side has everything. And it may be the proof that a FIN waits for; `open` says whether
    /// answers could come.
    pub fn handle_acknowledged(&mut self, oldest_unacknowledged: u64, open: bool, now: Timestamp) {
        let before = std::mem::replace(&mut self.acknowledged, oldest_unacknowledged);
        if before == oldest_unacknowledged {
            return;
        }
        let fresh = before..oldest_unacknowledged;
        let mut proven = Vec::new();
        for id in &self.half_closed {
            if let Some(stream) = self.streams.get_mut(id)
                && stream.handle_acknowledged(&fresh, open, now)
            {
                proven.push(*id);
            }
        }
        for id in proven {
            self.half_closed.remove(&id);
            self.fins.push_back(id);
        }
    }

    /// Answers can come again, or the agent is still sending old ones: until now, silence meant nothing.
    pub fn handle_late(&mut self, now: Timestamp) {
        for id in &self.half_closed {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.touch(now);
            }
        }
    }

    /// The agent could not reach a destination; its FIN follows.
    pub const fn handle_refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// Takes the payload of an Output message from the agent.
    ///
    /// # Errors
    /// [`InvalidFrame`]: the smux session is lost, and the session with it.
    pub fn handle_payload(&mut self, mut payload: Bytes, now: Timestamp) -> Result<(), InvalidFrame> {
        let whole = payload.len();
        while let Some(item) = self.decoder.next(&mut payload)? {
            match item {
                // An agent opens no streams.
                Item::Nop | Item::Syn { .. } => {}
                // A slice keeps the whole message in memory: what is less than half of it gets its own.
                Item::Data { stream, bytes } if bytes.len() < whole / 2 => {
                    self.handle_data(stream, Bytes::copy_from_slice(&bytes), now);
                }
                Item::Data { stream, bytes } => self.handle_data(stream, bytes, now),
                Item::Fin { stream } => self.handle_far_fin(stream),
            }
        }
        Ok(())
    }

    /// The next thing a local connection must be told.
    pub fn poll_event(&mut self) -> Option<WorkloadEvent> {
        self.events.pop_front()
    }

    fn handle_data(&mut self, id: u32, bytes: Bytes, now: Timestamp) {
        // Data for a stream that is closed here is normal: it was on its way.
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.local_reset || stream.far_fin {
            return;
        }
        if stream.local_eof && self.half_closed.insert(id) {
            // Its FIN was about to go out: not while answers still come.
            self.fins.retain(|fin| *fin != id);
        }
        stream.touch(now);
        self.untaken = self.untaken.saturating_add(bytes.len());
        stream.take_output(bytes);
        self.hand_over(id);
    }

    fn handle_far_fin(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            if let Some(place) = self.gone.iter().position(|gone| *gone == id) {
                self.gone.remove(place);
                self.refused = self.refused.saturating_sub(1);
            }
            return;
        };
        if stream.received == 0 && self.refused > 0 {
            self.refused = self.refused.saturating_sub(1);
            stream.refused = true;
        }
        stream.far_fin = true;
        self.input_bytes = self.input_bytes.saturating_sub(stream.input_bytes);
        stream.drop_input();
        self.half_closed.remove(&id);
        self.hand_over(id);
    }

    /// Hands bytes to the local connection, and tells it about the end once all were handed over.
    fn hand_over(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let local = stream.local;
        while let Some(bytes) = stream.output.poll() {
            self.events.push_back(WorkloadEvent::Data { local, bytes });
        }
        if stream.far_fin && stream.output.is_handed_over() {
            let written = stream.output.untaken() == 0;
            if !std::mem::replace(&mut stream.told, true) {
                self.events.push_back(if stream.refused {
                    WorkloadEvent::Reset {
                        local,
                        cause: ResetCause::DestinationRefused,
                    }
                } else {
                    WorkloadEvent::Finished { local }
                });
            }
            if written {
                self.remove(id);
            }
        }
    }

    fn make_ready(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(Stream::has_input) && self.queued.insert(id) {
            self.ready.push_back(id);
        }
    }

    pub(super) fn unready(&mut self, id: u32) {
        if self.queued.remove(&id) {
            self.ready.retain(|ready| *ready != id);
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.unready(id);
        self.half_closed.remove(&id);
        self.fins.retain(|fin| *fin != id);
        if let Some(stream) = self.streams.remove(&id) {
            self.by_local.remove(&stream.local);
            if stream.received == 0 && !stream.far_fin {
                if self.gone.len() >= REMEMBERED {
                    self.gone.pop_front();
                }
                self.gone.push_back(id);
            }
            self.input_bytes = self.input_bytes.saturating_sub(stream.input_bytes);
            self.untaken = self.untaken.saturating_sub(stream.output.untaken());
        }
    }
}
