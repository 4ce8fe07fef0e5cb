//! What a new process would need to go on with a session: small records, emitted before the effect that depends
//! on them, and the state they add up to.
//!
//! Bytes appear once: input of a local connection when it is taken, messages of the agent when they are received.
//! Never in here: tokens and plain keys. Of an encrypted session the answer to the agent's request is in here, and in it
//! the data key as KMS has encrypted it.

mod locals;
mod raw;
mod shell;
mod state;
mod stream;

pub use locals::LocalFate;
pub use state::State;

use std::fmt;

use bytes::Bytes;

use crate::handshake::Carriage;
use crate::mux::FramePart;
use crate::session::LocalId;
use crate::wire::{PayloadType, Uuid};

/// One step in a session's life.
#[derive(Clone, PartialEq, Eq)]
pub enum Record {
    /// An AWS session was started; whatever came before belongs to another one.
    Started {
        /// Its id.
        session_id: String,
        /// The client's id, the same for the session's whole life.
        client_id: Uuid,
    },
    /// The session was begun by another client, and goes on with this number of the input.
    Adopted {
        /// The next message's number.
        number: u64,
        /// What it carries.
        carriage: Carriage,
    },
    /// What the agent sends in an adopted session begins with this number.
    OutputBegins {
        /// The lowest number that belongs to this client.
        number: u64,
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
    /// The far side has ended this stream for good, everything it sent was received: what is not yet written is still
    /// to be written, whatever becomes of the session.
    Finished {
        /// The stream.
        stream: u32,
    },
    /// The AWS session is over.
    Ended,
}

/// What a numbered message holds.
#[derive(Clone, PartialEq, Eq)]
pub enum SentBody {
    /// Frames of the multiplexer; the data is the streams' input, in order.
    Frames(Vec<FramePart>),
    /// So many bytes of the input of a raw session or a shell, in order.
    Input(usize),
    /// These bytes.
    Bytes(Bytes),
}

/// Without the bytes, which are the user's.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { session_id, .. } => write!(f, "Started({session_id:?})"),
            Self::Adopted { number, carriage } => write!(f, "Adopted({number}, {carriage:?})"),
            Self::OutputBegins { number } => write!(f, "OutputBegins({number})"),
            Self::Opened { stream, local } => write!(f, "Opened({stream}, {local:?})"),
            Self::Input { stream, bytes } => write!(f, "Input({stream}, {} bytes)", bytes.len()),
            Self::LocalEof { stream } => write!(f, "LocalEof({stream})"),
            Self::LocalReset { stream } => write!(f, "LocalReset({stream})"),
            Self::Written { stream, bytes } => write!(f, "Written({stream}, {bytes} bytes)"),
            Self::Sent {
                number,
                payload_type,
                body,
            } => write!(f, "Sent({number}, {payload_type:?}, {body:?})"),
            Self::Acknowledged { number } => write!(f, "Acknowledged({number})"),
            Self::Received {
                number,
                payload_type,
                payload,
                ..
            } => write!(f, "Received({number}, {payload_type:?}, {} bytes)", payload.len()),
            Self::Finished { stream } => write!(f, "Finished({stream})"),
            Self::Ended => f.write_str("Ended"),
        }
    }
}

impl fmt::Debug for SentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames(parts) => write!(f, "Frames({parts:?})"),
            Self::Input(length) => write!(f, "Input({length} bytes)"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}
