//! The port handler behind a ready agent: the smux server with its destinations, or one connection.

use std::task::Context;

use autossm_proto::wire::PayloadType;
use bytes::Bytes;
use tokio::time::Instant;

use super::destinations::{Destination, Destinations, Round};
use super::mux::{MuxServer, ProtocolError};
use super::raw::RawPort;
use super::shell::ShellPort;

/// The port handler with its sockets.
#[derive(Debug)]
pub(crate) enum Port {
    Mux(Box<MuxServer>, Destinations),
    Raw(Box<RawPort>),
    Shell(Box<ShellPort>),
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
            Self::Mux(..) | Self::Shell(_) => true,
            Self::Raw(raw) => raw.is_available(),
        }
    }

    /// The payload of an input message.
    pub(crate) fn write(&mut self, payload: Bytes) {
        match self {
            Self::Mux(mux, _) => mux.push(payload),
            Self::Raw(raw) => raw.write(payload),
            Self::Shell(shell) => shell.write(payload),
        }
    }

    /// Whether the write of the last payload still waits for room.
    pub(crate) fn is_blocked(&self) -> bool {
        match self {
            Self::Mux(mux, _) => mux.is_blocked(),
            Self::Raw(raw) => raw.is_blocked(),
            Self::Shell(shell) => shell.is_blocked(),
        }
    }

    /// A Size message; only a shell knows what to do with it.
    pub(crate) fn resize(&self, payload: &[u8]) {
        if let Self::Shell(shell) = self {
            shell.resize(payload);
        }
    }

    /// When it has something to do next by itself.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Mux(..) | Self::Raw(_) => None,
            Self::Shell(shell) => shell.poll_timeout(now),
        }
    }

    /// DisconnectToPort; a multiplexed port does not know it.
    pub(crate) fn disconnect(&mut self) {
        if let Self::Raw(raw) = self {
            raw.disconnect();
        }
    }

    /// Moves what can be moved between the session and the sockets or processes; `active` says that the client is there.
    ///
    /// # Errors
    /// [`ProtocolError`] when the input should be smux and is not.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, active: bool, now: Instant) -> Result<Round, ProtocolError> {
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
            Self::Shell(shell) => Ok(Round {
                progress: shell.poll(cx, active, now),
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
            Self::Raw(_) | Self::Shell(_) => false,
        }
    }

    pub(crate) fn has_output(&self) -> bool {
        match self {
            Self::Mux(mux, _) => mux.has_output(),
            Self::Raw(raw) => raw.has_output(),
            Self::Shell(shell) => shell.has_output(),
        }
    }

    /// Up to `max` bytes for the client.
    pub(crate) fn take_output(&mut self, max: usize) -> Option<(PayloadType, Bytes)> {
        let data = |bytes| (PayloadType::OUTPUT, bytes);
        match self {
            Self::Mux(mux, _) => mux.take_output(max).map(data),
            Self::Raw(raw) => raw.take_output().map(data),
            Self::Shell(shell) => shell.take_output(),
        }
    }

    /// The payload of a command's exit code, once it is its turn.
    pub(crate) fn take_exit(&mut self, active: bool) -> Option<Bytes> {
        match self {
            Self::Mux(..) | Self::Raw(_) => None,
            Self::Shell(shell) => shell.take_exit(active),
        }
    }

    /// The reason, when the connection's end is the session's.
    pub(crate) fn poll_over(&mut self) -> Option<String> {
        match self {
            Self::Mux(..) => None,
            Self::Raw(raw) => raw.poll_over(),
            Self::Shell(shell) => shell.is_over().then(String::new),
        }
    }

    /// Bytes of the client that no destination has taken.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Mux(mux, _) => mux.unread(),
            Self::Raw(raw) => raw.unread(),
            Self::Shell(shell) => shell.unread(),
        }
    }

    pub(crate) fn open_connections(&self) -> usize {
        match self {
            Self::Mux(_, destinations) => destinations.len(),
            Self::Raw(raw) => usize::from(raw.is_open()),
            Self::Shell(shell) => usize::from(!shell.is_over()),
        }
    }
}
