//! The state of a raw session, and what it has in common with a shell.

use bytes::Bytes;

use super::State;
use super::stream::StreamState;
use crate::handshake::Carriage;
use crate::raw::{RAW_STREAM, RestoredRaw};

impl State {
    /// How the bytes of local connections travel, as far as the agent has said it.
    pub(crate) fn carriage(&self) -> Carriage {
        let agreement = self.handshake.agreement();
        agreement.map_or(Carriage::Multiplexed, |agreement| agreement.carriage)
    }

    /// The raw session as it was.
    pub(crate) fn raw(&self) -> RestoredRaw {
        RestoredRaw {
            stream: self.streams.get(&RAW_STREAM).map(|state| state.stream.clone()),
            taken: self.opened.is_some(),
            early: self.early.clone(),
            parted: self.parted,
        }
    }

    /// Bytes of the agent.
    pub(super) fn take_raw(&mut self, bytes: Bytes) {
        if let Some(StreamState { stream, .. }) = self.streams.get_mut(&RAW_STREAM) {
            if !stream.local_reset {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                stream.received = stream.received.saturating_add(length);
                stream.output.push_back(bytes);
            }
        } else if self.opened.is_none() {
            self.early.push_back(bytes);
        }
    }
}
