//! What a new process would need to go on with a session: small records, emitted before the effect that depends
//! on them, and the state they add up to.
//!
//! Bytes appear once: input of a local connection when it is taken, messages of the agent when they are received.
//! Never in here: tokens and plain keys.

mod state;
mod stream;

pub use state::{LocalFate, State};

use bytes::Bytes;

use crate::mux::FramePart;
use crate::session::LocalId;
use crate::wire::{PayloadType, Uuid};

/// One step in a session's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An AWS session was started; whatever came before belongs to another one.
    Started {
        /// Its id.
        session_id: String,
        /// The client's id, the same for the session's whole life.
        client_id: Uuid,
    },
    /// A local connection got a stream.
    Opened {
        /// The stream.
        stream: u32,
        /// The connection.
        local: LocalId,
    },
    /// Bytes were taken from a local connection. Only now may they leave its socket.
    Input {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// The local side has closed its half.
    LocalEof {
        /// The stream.
        stream: u32,
    },
    /// The local side is gone.
    LocalReset {
        /// The stream.
        stream: u32,
    },
    /// Bytes were written to the local connection.
    Written {
        /// The stream.
        stream: u32,
        /// How many.
        bytes: u64,
    },
    /// A message was numbered; it may be written from now on.
    Sent {
        /// Its number.
        number: u64,
        /// How the agent reads it.
        payload_type: PayloadType,
        /// What it holds.
        body: SentBody,
    },
    /// A message was acknowledged.
    Acknowledged {
        /// Its number.
        number: u64,
    },
    /// A message was received; only now may it be acknowledged.
    Received {
        /// Its number.
        number: u64,
        /// The id its acknowledge names.
        message_id: Uuid,
        /// How to read it.
        payload_type: PayloadType,
        /// Its bytes.
        payload: Bytes,
    },
    /// The AWS session is over.
    Ended,
}

/// What a numbered message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentBody {
    /// Frames of the multiplexer; the data is the streams' input, in order.
    Frames(Vec<FramePart>),
    /// These bytes.
    Bytes(Bytes),
}
