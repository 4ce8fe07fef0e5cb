//! The one local connection of a session without a multiplexer.

use std::collections::VecDeque;

use bytes::Bytes;

use super::output::Output;
use super::stream::{INPUT, Stream};
use crate::Timestamp;
use crate::session::LocalId;

/// The first local connection gets the session, no other ever does; what comes before it is kept for it.
#[derive(Debug, Default)]
pub(crate) struct Only {
    /// The connection, from its opening on.
    pub(crate) stream: Option<Stream>,
    /// No connection is taken any more.
    taken: bool,
    /// What came before it.
    pub(crate) early: Output,
}

impl Only {
    /// As a journal has it; the connection itself is put in its place by the caller.
    pub(crate) fn restored(taken: bool, early: VecDeque<Bytes>) -> Self {
        Self {
            stream: None,
            taken,
            early: early.into_iter().collect(),
        }
    }

    /// Gives the session to this connection; false when one had it before.
    pub(crate) fn open(&mut self, local: LocalId, now: Timestamp) -> bool {
        if std::mem::replace(&mut self.taken, true) {
            return false;
        }
        let mut stream = Stream::new(local, now);
        stream.opened = true;
        stream.received = u64::try_from(self.early.untaken()).unwrap_or(u64::MAX);
        stream.output = std::mem::take(&mut self.early);
        self.stream = Some(stream);
        true
    }

    /// Whether a connection has ever had the session.
    pub(crate) const fn is_taken(&self) -> bool {
        self.taken
    }

    /// The connection, if it has not been told its end and does not know it by itself.
    pub(crate) fn local(&self) -> Option<LocalId> {
        let open = self
            .stream
            .as_ref()
            .filter(|stream| !stream.told && !stream.local_reset);
        open.map(|stream| stream.local)
    }

    /// Bytes it would take from this connection now.
    pub(crate) fn room(&self, local: LocalId) -> usize {
        let stream = self.stream.as_ref().filter(|stream| stream.local == local);
        stream.map_or(0, Stream::room)
    }

    /// Bytes that wait to be taken by the connection, or for one.
    pub(crate) fn untaken(&self) -> usize {
        let untaken = self.stream.as_ref().map_or(0, |stream| stream.output.untaken());
        untaken.saturating_add(self.early.untaken())
    }

    /// Bytes taken from the connection and in no message yet.
    pub(crate) fn unframed(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.input_bytes)
    }

    /// The connection, if this is it.
    pub(crate) fn get(&mut self, local: LocalId) -> Option<&mut Stream> {
        self.stream.as_mut().filter(|stream| stream.local == local)
    }

    /// Takes bytes of the connection; says whether they belong to the session.
    pub(crate) fn handle_local_data(&mut self, local: LocalId, bytes: Bytes, now: Timestamp) -> bool {
        let Some(stream) = self.get(local) else {
            return false;
        };
        if stream.local_reset || stream.local_eof || stream.told || bytes.is_empty() {
            return false;
        }
        stream.touch(now);
        stream.take_input(bytes);
        stream.starved = true;
        true
    }

    /// The connection is gone: nothing of what was taken and given waits any more; says whether that is news.
    pub(crate) fn handle_local_reset(&mut self, local: LocalId) -> bool {
        let Some(stream) = self.get(local) else {
            return false;
        };
        if std::mem::replace(&mut stream.local_reset, true) {
            return false;
        }
        stream.drop_input();
        stream.output.clear();
        true
    }

    /// Bytes for the message with this number, and the connection if it is to be told that there is room again.
    pub(crate) fn next_input(&mut self, payload: usize, number: u64) -> Option<(Bytes, Option<LocalId>)> {
        let stream = self.stream.as_mut()?;
        let bytes = stream.next_input(payload)?;
        stream.last_number = Some(number);
        let roomy = stream.starved && stream.room() >= INPUT / 2;
        if roomy {
            stream.starved = false;
        }
        Some((bytes, roomy.then_some(stream.local)))
    }
}
