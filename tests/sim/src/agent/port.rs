//! The port handler behind a ready agent: the smux server with its destinations, or one connection.

use std::task::Context;

use bytes::Bytes;

use super::destinations::{Destination, Destinations, Round};
use super::mux::{MuxServer, ProtocolError};
use super::raw::RawPort;

/// The port handler with its sockets.
#[derive(Debug)]
pub(crate) enum Port {
    Mux(Box<MuxServer>, Destinations),
    Raw(Box<RawPort>),
}

impl Port {
    pub(crate) fn mux(destination: Destination) -> Self {
        Self::Mux(Box::default(), Destinations::new(destination))
    }

    pub(crate) fn raw(destination: Destination, reconnects: bool) -> Self {
        Self::Raw(Box::new(RawPort::new(destination, reconnects)))
    }

    /// Whether input is taken; until then it is not acknowledged.
    pub(crate) fn is_available(&self) -> bool {
        match self {
            Self::Mux(..) => true,
            Self::Raw(raw) => raw.is_available(),
        }
    }

    /// The payload of an input message.
    pub(crate) fn write(&mut self, payload: Bytes) {
        match self {
            Self::Mux(mux, _) => mux.push(payload),
            Self::Raw(raw) => raw.write(payload),
        }
    }

    /// Whether the write of the last payload still waits for room.
    pub(crate) fn is_blocked(&self) -> bool {
        match self {
            Self::Mux(mux, _) => mux.is_blocked(),
            Self::Raw(raw) => raw.is_blocked(),
        }
    }

    /// DisconnectToPort; a multiplexed port does not know it.
    pub(crate) fn disconnect(&mut self) {
        if let Self::Raw(raw) = self {
            raw.disconnect();
        }
    }

    /// Moves what can be moved between the session and the sockets.
    ///
    /// # Errors
    /// [`ProtocolError`] when the input should be smux and is not.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Round, ProtocolError> {
        match self {
            Self::Mux(mux, destinations) => {
                mux.advance()?;
                let round = destinations.poll(cx, mux);
                mux.advance()?;
                Ok(round)
            }
            Self::Raw(raw) => Ok(Round {
                progress: raw.poll(cx),
                connect_failed: false,
            }),
        }
    }

    /// The input was not smux: connections end, nothing more is read, and the session ends with the next output.
    pub(crate) fn break_down(&mut self) {
        if let Self::Mux(mux, destinations) = self {
            destinations.close_all(mux);
            mux.stop_reading();
        }
    }

    /// Whether [`Port::break_down`] was called.
    pub(crate) const fn is_broken(&self) -> bool {
        match self {
            Self::Mux(mux, _) => mux.is_broken(),
            Self::Raw(_) => false,
        }
    }

    pub(crate) fn has_output(&self) -> bool {
        match self {
            Self::Mux(mux, _) => mux.has_output(),
            Self::Raw(raw) => raw.has_output(),
        }
    }

    /// Up to `max` bytes for the client.
    pub(crate) fn take_output(&mut self, max: usize) -> Option<Bytes> {
        match self {
            Self::Mux(mux, _) => mux.take_output(max),
            Self::Raw(raw) => raw.take_output(),
        }
    }

    /// The reason, when the connection's end is the session's.
    pub(crate) fn poll_over(&mut self) -> Option<String> {
        match self {
            Self::Mux(..) => None,
            Self::Raw(raw) => raw.poll_over(),
        }
    }

    /// Bytes of the client that no destination has taken.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Mux(mux, _) => mux.unread(),
            Self::Raw(raw) => raw.unread(),
        }
    }

    pub(crate) fn open_connections(&self) -> usize {
        match self {
            Self::Mux(_, destinations) => destinations.len(),
            Self::Raw(raw) => usize::from(raw.is_open()),
        }
    }
}
