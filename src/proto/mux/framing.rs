//! What goes out: frames packed into messages, and FINs held back.

use bytes::BytesMut;

use super::api::{FramePart, Message};
use super::frame::{FrameCommand, HEADER, MAX_DATA, put_frame};
use super::guard::{HEADROOM, Kind};
use super::session::{Mux, TOTAL_INPUT};
use crate::Timestamp;
use crate::local::{INPUT, WorkloadEvent};

impl Mux {
    /// Builds the next message: whole frames of the streams whose turn it is, as many as fit.
    pub fn build(&mut self, next_number: u64) -> Option<Message> {
        let limit = self.limits.payload.saturating_sub(HEADROOM);
        let mut frames = BytesMut::with_capacity(limit);
        let mut parts = Vec::new();
        while frames.len().saturating_add(HEADER) <= limit {
            if let Some(id) = self.fins.pop_front() {
                put_frame(&mut frames, FrameCommand::Fin, id, &[]);
                parts.push(FramePart {
                    command: FrameCommand::Fin,
                    stream: id,
                    length: 0,
                });
                self.finish_closed(id);
                continue;
            }
            let Some(id) = self.ready.front().copied() else {
                break;
            };
            if !self.frame_one(id, limit, next_number, &mut frames, &mut parts) {
                break;
            }
        }
        if parts.is_empty() {
            return None;
        }
        // The next message begins with another stream.
        if self.ready.len() > 1 {
            self.ready.rotate_left(1);
        }
        let kind = Kind::of(self.built);
        self.built = self.built.saturating_add(1);
        Some(Message {
            payload: kind.first_form(&frames),
            kind,
            parts,
        })
    }

    /// Whether a message could be built.
    pub fn has_frames(&self) -> bool {
        !self.ready.is_empty() || !self.fins.is_empty()
    }

    /// When the grace period of the next held-back FIN is over, given the oldest unacknowledged number.
    pub fn fin_at(&self, oldest_unacknowledged: u64) -> Option<Timestamp> {
        let due = self
            .half_closed
            .iter()
            .filter_map(|id| self.fin_due(*id, oldest_unacknowledged));
        due.min()
    }

    /// Looks for FINs whose grace period is over. True asks the caller to send a message, which gets `next_number`:
    /// its acknowledge releases them, unless something comes before. Without it, silence could be a dead link.
    pub fn handle_timeout(&mut self, oldest_unacknowledged: u64, next_number: u64, now: Timestamp) -> bool {
        let due = |id: &u32| self.fin_due(*id, oldest_unacknowledged).is_some_and(|at| at <= now);
        let ids: Vec<u32> = self.half_closed.iter().copied().filter(due).collect();
        for id in &ids {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.fin_proof = Some(next_number);
            }
        }
        !ids.is_empty()
    }

    /// All bytes are acknowledged and nothing has come for the grace period.
    fn fin_due(&self, id: u32, oldest_unacknowledged: u64) -> Option<Timestamp> {
        let stream = self.streams.get(&id)?;
        stream.end_due(oldest_unacknowledged, self.limits.fin_grace)
    }

    /// Frames the SYN or some data of a stream; false when there is no space for it.
    fn frame_one(
        &mut self,
        id: u32,
        limit: usize,
        number: u64,
        frames: &mut BytesMut,
        parts: &mut Vec<FramePart>,
    ) -> bool {
        let space = limit.saturating_sub(frames.len()).saturating_sub(HEADER);
        let Some(stream) = self.streams.get_mut(&id) else {
            self.unready(id);
            return true;
        };
        if !stream.opened {
            put_frame(frames, FrameCommand::Syn, id, &[]);
            parts.push(FramePart {
                command: FrameCommand::Syn,
                stream: id,
                length: 0,
            });
            stream.opened = true;
        } else if space == 0 {
            return false;
        } else if let Some(data) = stream.next_input(space.min(MAX_DATA)) {
            put_frame(frames, FrameCommand::Psh, id, &data);
            parts.push(FramePart {
                command: FrameCommand::Psh,
                stream: id,
                length: data.len(),
            });
            self.input_bytes = self.input_bytes.saturating_sub(data.len());
        }
        stream.last_number = Some(number);
        let shared = self.input_bytes < TOTAL_INPUT || stream.input_bytes == 0;
        if stream.starved && shared && stream.room() >= INPUT / 2 {
            stream.starved = false;
            self.events.push_back(WorkloadEvent::Room { local: stream.local });
        }
        if !stream.has_input() {
            self.unready(id);
        }
        true
    }

    /// The stream's FIN was framed: it no longer exists here.
    fn finish_closed(&mut self, id: u32) {
        if let Some(stream) = self.streams.get(&id)
            && !stream.local_reset
            && !stream.told
        {
            self.events.push_back(WorkloadEvent::Finished { local: stream.local });
        }
        self.remove(id);
    }
}
