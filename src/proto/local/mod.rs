//! What every workload keeps for a local connection: what it has taken from it, and what it is to be given.

mod only;
mod output;
mod stream;

use std::time::Duration;

use bytes::Bytes;

pub(crate) use only::Only;
pub use stream::RestoredStream;
pub(crate) use stream::{INPUT, Stream};

use crate::session::{LocalId, ResetCause};

/// Bounds and timings of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadLimits {
    /// Bytes of payload in one message, resend form included.
    pub payload: usize,
    /// Untaken bytes of one connection before reading stops.
    pub per_stream: usize,
    /// Untaken bytes of all connections before reading stops.
    pub total: usize,
    /// Quiet time after a local half-close before its end goes out.
    pub fin_grace: Duration,
}

/// What a workload tells a local connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadEvent {
    /// Bytes to write.
    Data {
        /// The connection.
        local: LocalId,
        /// The bytes.
        bytes: Bytes,
    },
    /// Bytes of a command's standard error, where the document separates it.
    StdErr {
        /// The connection.
        local: LocalId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The command has ended; all its output was told before.
    Exit {
        /// The connection.
        local: LocalId,
        /// With this code.
        code: i32,
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
