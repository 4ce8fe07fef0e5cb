//! The port handler behind a ready agent: the smux server and its destinations.

use std::task::Context;

use bytes::Bytes;

use super::destinations::{Destination, Destinations, Round};
use super::mux::{MuxServer, ProtocolError};

/// The smux server with its sockets.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) mux: MuxServer,
    destinations: Destinations,
}

impl Port {
    pub(crate) fn new(destination: Destination) -> Self {
        Self {
            mux: MuxServer::default(),
            destinations: Destinations::new(destination),
        }
    }

    /// The payload of an input message.
    pub(crate) fn write(&mut self, payload: Bytes) {
        self.mux.push(payload);
    }

    /// Moves what can be moved between the mux and the sockets.
    ///
    /// # Errors
    /// [`ProtocolError`] when the input is not smux.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Round, ProtocolError> {
        self.mux.advance()?;
        let round = self.destinations.poll(cx, &mut self.mux);
        self.mux.advance()?;
        Ok(round)
    }

    /// The input was not smux: connections end, nothing more is read, and the session ends with the next output.
    pub(crate) fn break_down(&mut self) {
        self.destinations.close_all(&mut self.mux);
        self.mux.stop_reading();
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.destinations.len()
    }
}
