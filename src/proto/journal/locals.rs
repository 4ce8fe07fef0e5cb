//! What becomes of the local connections that survived a process.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::State;
use crate::session::LocalId;

/// What becomes of a local connection that survived the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalFate {
    /// Its stream goes on.
    GoesOn,
    /// Its stream has ended: write what is left, then close it.
    Finished(VecDeque<Bytes>),
    /// Its session has ended: reset it.
    Lost,
    /// It never had a stream: it waits for one.
    Waits,
}

impl State {
    /// What becomes of a local connection. They got their streams in the order of their numbers.
    pub fn fate(&self, local: LocalId) -> LocalFate {
        if self.streams.values().any(|state| state.stream.local == local) {
            return LocalFate::GoesOn;
        }
        if let Some(state) = self.finishing.get(&local) {
            return LocalFate::Finished(state.stream.output.clone());
        }
        match self.opened {
            Some((first, last)) if (first..=last).contains(&local) => LocalFate::Finished(VecDeque::new()),
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

    /// What has been written to local connections, as far as their sockets tell: it may be more than was recorded.
    pub fn correct_written(&mut self, written: impl Fn(LocalId) -> u64) {
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for id in ids {
            if let Some(state) = self.streams.get_mut(&id) {
                let unrecorded = written(state.stream.local).saturating_sub(state.written);
                state.handle_written(unrecorded);
            }
        }
        for (local, state) in &mut self.finishing {
            state.handle_written(written(*local).saturating_sub(state.written));
        }
    }
}
