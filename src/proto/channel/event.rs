//! What the data channel says, and how far it is.

use bytes::Bytes;

use crate::handshake::Carriage;

/// What the data channel tells the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// A frame of the agent itself has come: the attach is proven.
    Proven,
    /// The agent has said what kind of session it is; its output may follow at once.
    Agreed(Carriage),
    /// The session must be encrypted: a data key is needed.
    KeyWanted,
    /// The handshake is settled: data may flow.
    Ready,
    /// The payload of an Output message, in order.
    Payload(Bytes),
    /// Bytes of a command's standard error, in order with its output.
    StdErr(Bytes),
    /// A command has ended with this code; all its output came before.
    ExitCode(i32),
    /// The agent is still refilling what was lost: other output may wait behind it.
    Late,
    /// The agent could not reach the destination.
    Refused,
    /// The session has ended, with the service's or agent's reason.
    Ended {
        /// The session the service's word is about.
        session_id: Option<String>,
        /// For the user; none was given.
        reason: Option<String>,
    },
    /// A session that another client has left cannot be taken over; it is not ours to terminate.
    NotAdopted {
        /// For the user.
        reason: String,
    },
    /// The session cannot be used by this client: it must be terminated.
    Failed {
        /// For the user.
        reason: String,
    },
}
