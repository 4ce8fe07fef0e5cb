//! What goes into a [`Mux`](super::Mux) and comes out of it.

use bytes::Bytes;

use super::frame::FrameCommand;
use super::guard::Kind;

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
