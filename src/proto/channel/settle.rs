//! How the gap after the handshake is closed.

use std::time::Duration;

use bytes::Bytes;

use crate::wire::PayloadType;

/// The payload of a harmless message. The agent's acknowledge of it proves that the agent is there and reads.
pub fn harmless() -> Bytes {
    Bytes::copy_from_slice(&PayloadType::FLAG_HARMLESS.to_be_bytes())
}

/// The payload that closes a raw session's connection at the destination.
pub fn disconnect() -> Bytes {
    Bytes::copy_from_slice(&PayloadType::FLAG_DISCONNECT_TO_PORT.to_be_bytes())
}

/// How long after HandshakeComplete an agent may still throw input away. Its acknowledge looks the same in the gap and
/// after it, so on a path shorter than the gap the acknowledge alone proves nothing.
pub(super) const GAP: Duration = Duration::from_millis(50);

/// How far the gap after the handshake is closed. The agent marks the handshake complete only after it has said
/// so; what arrives in between is acknowledged and thrown away. A harmless message goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// The harmless message has not been sent.
    NotYet,
    /// It has this number and is not acknowledged.
    Waiting(u64),
    /// Acknowledged, but so soon that the agent may still be in the gap and may have thrown it away.
    Gap,
    /// Acknowledged: data may flow.
    Done,
}
