//! The bytes of the data channel: binary `ClientMessage`s and the JSON bodies some of them carry.
//!
//! Everything here is a pure function between bytes and values. Decoding never copies a payload: it is a slice
//! of the frame it came in. The facts come from AWS's open-source plugin and agent; `tests/vectors.json`
//! holds bytes made by their serializers.

mod bodies;
mod message;
#[cfg(test)]
pub(crate) mod testing;
mod uuid;

pub use bodies::{
    AcknowledgeBody, ActionResult, ActionStatus, ChallengeBody, ChannelClosedBody, CompleteBody, HandshakeRequestBody,
    HandshakeResponseBody, OpenDataChannelBody, ProcessedAction, RequestedAction, SizeBody, exit_code,
};
pub use message::{ClientMessage, HEADER_LENGTH, InvalidMessage, MIN_FRAME, MessageType, PayloadType};
pub use uuid::Uuid;
