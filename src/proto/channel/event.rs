//! What the data channel says, and how far it is.

use bytes::Bytes;

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

/// What the data channel tells the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// A frame of the agent itself has come: the attach is proven.
    Proven,
    /// The handshake is settled: data may flow.
    Ready,
    /// The payload of an Output message, in order.
    Payload(Bytes),
    /// The agent is still refilling what was lost: other output may wait behind it.
    Late,
    /// The agent could not reach the destination.
    Refused,
    /// The session has ended, with the service's or agent's reason.
    Ended {
        /// The session the service's word is about.
        session_id: Option<String>,
        /// For the user.
        reason: String,
    },
    /// The session cannot be used by this client: it must be terminated.
    Failed {
        /// For the user.
        reason: String,
    },
}
