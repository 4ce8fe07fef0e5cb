//! What goes into a [`Mux`](super::Mux) and comes out of it.

use std::time::Duration;

use bytes::Bytes;

use super::frame::FrameCommand;
use super::guard::Kind;
use crate::session::{LocalId, ResetCause};

/// Bounds and timings of a [`Mux`](super::Mux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MuxLimits {
    /// Bytes of payload in one message, resend form included.
    pub payload: usize,
    /// Untaken bytes of one stream before reading stops.
    pub per_stream: usize,
    /// Untaken bytes of all streams before reading stops.
    pub total: usize,
    /// Quiet time after a local half-close before FIN goes out.
    pub fin_grace: Duration,
}

/// Part of a message, for the journal: the bytes themselves are known from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePart {
    /// What the frame does.
    pub command: FrameCommand,
    /// The stream.
    pub stream: u32,
    /// Its data's length.
    pub length: usize,
}

/// A message's payload, ready to be numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// In its first form.
    pub payload: Bytes,
    /// Which form that is.
    pub kind: Kind,
    /// Its frames.
    pub parts: Vec<FramePart>,
}

/// What a stream tells its local connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxEvent {
    /// Bytes to write.
    Data {
        /// The connection.
        local: LocalId,
        /// The bytes.
        bytes: Bytes,
    },
    /// Nothing more will come: close after writing.
    Finished {
        /// The connection.
        local: LocalId,
    },
    /// Reset it now.
    Reset {
        /// The connection.
        local: LocalId,
        /// Why.
        cause: ResetCause,
    },
    /// It may be read again.
    Room {
        /// The connection.
        local: LocalId,
    },
}
