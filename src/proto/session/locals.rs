//! Local connections.

use bytes::Bytes;

use super::{Event, LocalId, Session, Work};
use crate::Timestamp;
use crate::journal::Record;
use crate::local::WorkloadEvent;
use crate::wire::SizeBody;

impl Session {
    /// A local connection was accepted. It waits until the session is attached; then it gets a stream.
    pub fn open_local(&mut self, now: Timestamp) -> LocalId {
        let local = LocalId(self.next_local);
        self.next_local = self.next_local.saturating_add(1);
        self.waiting.insert(local);
        self.wake_for_local(now);
        self.open_waiting(now);
        self.drain(now);
        local
    }

    /// Bytes the session would take from this connection now. [`Event::Room`] says when to ask again.
    pub fn local_room(&self, local: LocalId) -> usize {
        self.live.as_ref().map_or(0, |live| live.workload.room(local))
    }

    /// Whether bytes that were taken from local connections may not have reached the agent yet.
    pub fn has_undelivered(&self) -> bool {
        let Some(live) = &self.live else { return false };
        // Before the first byte is taken, what is unacknowledged is the session's own.
        let in_flight = self.figures.bytes_up > 0 && live.channel.stream().send().backlog() > 0;
        in_flight || live.workload.unframed() > 0
    }

    /// The terminal of a shell has this size from now on.
    pub fn set_size(&mut self, size: SizeBody) {
        self.size = Some(size);
        if let Some(live) = &mut self.live {
            live.workload.set_size(size);
        }
    }

    /// Takes bytes read from a local connection, at most as many as `local_room` said.
    pub fn handle_local_data(&mut self, local: LocalId, bytes: Bytes, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let Some(stream) = live.workload.handle_local_data(local, bytes.clone(), now) else {
            return;
        };
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.figures.bytes_up = self.figures.bytes_up.saturating_add(count);
        self.records.push_back(Record::Input { stream, bytes });
    }

    /// The local client has closed its half; answers may still come.
    pub fn handle_local_eof(&mut self, local: LocalId, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        if let Some(stream) = live.workload.handle_local_eof(local, now) {
            self.records.push_back(Record::LocalEof { stream });
        }
    }

    /// The local client is gone.
    pub fn handle_local_reset(&mut self, local: LocalId, now: Timestamp) {
        self.waiting.remove(&local);
        if let Some(live) = &mut self.live
            && let Some(stream) = live.workload.handle_local_reset(local)
        {
            self.records.push_back(Record::LocalReset { stream });
        }
        self.drain(now);
    }

    /// So many bytes of [`Event::Data`] have reached the local socket.
    pub fn handle_local_written(&mut self, local: LocalId, bytes: usize, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        if let Some(stream) = live.workload.handle_local_written(local, bytes) {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.records.push_back(Record::Written { stream, bytes });
        }
        self.drain(now);
    }

    /// Gives streams to the connections that wait, if data may flow now. A raw session's one connection need not wait until
    /// it may send: what the destination says first is there for it as soon as the kind of session is known.
    pub(super) fn open_waiting(&mut self, now: Timestamp) {
        let attached = matches!(&self.work, Work::Up(link) if link.proven);
        let Some(live) = self
            .live
            .as_mut()
            .filter(|live| attached && (live.channel.is_ready() || live.workload.is_single()))
        else {
            return;
        };
        while let Some(local) = self.waiting.first().copied() {
            let Some(stream) = live.workload.open(local, now) else {
                break;
            };
            self.waiting.remove(&local);
            self.records.push_back(Record::Opened { stream, local });
        }
    }

    /// Passes on what the streams have for their connections.
    pub(super) fn drain_locals(&mut self) {
        let Some(live) = &mut self.live else { return };
        while let Some(event) = live.workload.poll_event() {
            self.events.push_back(match event {
                WorkloadEvent::Data { local, bytes } => {
                    let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.figures.bytes_down = self.figures.bytes_down.saturating_add(count);
                    Event::Data { local, bytes }
                }
                WorkloadEvent::StdErr { local, bytes } => {
                    let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.figures.bytes_down = self.figures.bytes_down.saturating_add(count);
                    Event::StdErr { local, bytes }
                }
                WorkloadEvent::Exit { local, code } => Event::Exit { local, code },
                WorkloadEvent::Finished { local } => Event::Finished { local },
                WorkloadEvent::Reset { local, cause } => Event::Reset { local, cause },
                WorkloadEvent::Room { local } => Event::Room { local },
            });
        }
    }
}
