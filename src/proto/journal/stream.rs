//! What a journal knows of one stream.

use bytes::{Bytes, BytesMut};

use crate::local::RestoredStream;

/// A stream and how much of what came for it has reached its local connection.
#[derive(Clone, Debug)]
pub(super) struct StreamState {
    pub(super) stream: RestoredStream,
    pub(super) written: u64,
}

impl StreamState {
    pub(super) fn take_input(&mut self, length: usize) -> Bytes {
        let mut data = BytesMut::with_capacity(length);
        while data.len() < length {
            let Some(front) = self.stream.input.front_mut() else {
                break;
            };
            let piece = front.split_to(length.saturating_sub(data.len()).min(front.len()));
            data.extend_from_slice(&piece);
            if front.is_empty() {
                self.stream.input.pop_front();
            }
        }
        data.freeze()
    }

    pub(super) fn handle_written(&mut self, bytes: u64) {
        self.written = self.written.saturating_add(bytes);
        let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
        while left > 0 {
            let Some(front) = self.stream.output.front_mut() else {
                break;
            };
            let piece = front.split_to(left.min(front.len()));
            left = left.saturating_sub(piece.len());
            if front.is_empty() {
                self.stream.output.pop_front();
            }
        }
    }
}
