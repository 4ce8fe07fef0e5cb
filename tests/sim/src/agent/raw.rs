//! The agent's port handler without a multiplexer: one connection, bytes as they are (AWS's "basic" port session).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::destinations::Destination;

/// What the agent reads from the destination before it sends a message.
const READ_SIZE: usize = 1024;

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

enum Connection {
    Dialing(Dial),
    Open(TcpStream),
    /// Over. A port whose document forwards waits for input to dial again, the others end the session.
    Closed,
}

/// One connection to the destination.
pub(crate) struct RawPort {
    destination: Destination,
    connection: Connection,
    /// Dials again when input comes: a forward through an agent that cannot multiplex.
    reconnects: bool,
    /// It was open once: then input is taken, whatever becomes of it.
    available: bool,
    /// The input message that is being written.
    input: Bytes,
    output: BytesMut,
    /// What the session ends with, once `output` is sent.
    over: Option<String>,
}

impl fmt::Debug for RawPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPort")
            .field("destination", &self.destination)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

impl RawPort {
    pub(crate) fn new(destination: Destination, reconnects: bool) -> Self {
        let mut port = Self {
            destination,
            connection: Connection::Closed,
            reconnects,
            available: false,
            input: Bytes::new(),
            output: BytesMut::new(),
            over: None,
        };
        port.dial();
        port
    }

    fn dial(&mut self) {
        let Destination { host, port } = self.destination.clone();
        let dial = async move { TcpStream::connect((host, port)).await };
        self.connection = Connection::Dialing(Box::pin(dial));
    }

    /// Whether input is taken; until then it is not acknowledged.
    pub(crate) const fn is_available(&self) -> bool {
        self.available
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.connection, Connection::Open(_))
    }

    /// The payload of an input message.
    pub(crate) fn write(&mut self, payload: Bytes) {
        if matches!(self.connection, Connection::Closed) && self.reconnects {
            self.dial();
        }
        self.input = payload;
    }

    /// Whether the last message is still being written.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.input.is_empty() && self.over.is_none()
    }

    /// Bytes of the client that the destination has not taken.
    pub(crate) fn unread(&self) -> usize {
        self.input.len()
    }

    /// The client has closed its side.
    pub(crate) fn disconnect(&mut self) {
        self.close(String::new());
    }

    fn close(&mut self, reason: String) {
        self.connection = Connection::Closed;
        self.input.clear();
        if !self.reconnects {
            self.over.get_or_insert(reason);
        }
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    pub(crate) fn take_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// The reason for the session's end, once all output was taken.
    pub(crate) fn poll_over(&mut self) -> Option<String> {
        if self.output.is_empty() { self.over.take() } else { None }
    }

    /// Dials, writes and reads what can be done now; true when something moved.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Connection::Dialing(dial) = &mut self.connection {
            let Poll::Ready(dialed) = dial.as_mut().poll(cx) else {
                return false;
            };
            progress = true;
            match dialed.and_then(|socket| socket.set_nodelay(true).map(|()| socket)) {
                Ok(socket) => {
                    self.connection = Connection::Open(socket);
                    self.available = true;
                }
                Err(error) => {
                    tracing::info!(%error, "agent: destination cannot be reached");
                    let Destination { host, port } = &self.destination;
                    let reason = format!("Unable to connect to specified port: dial tcp {host}:{port}: {error}");
                    // Without its first connection the session ends, whatever it would do later.
                    self.reconnects &= self.available;
                    self.close(reason);
                }
            }
        }
        let Connection::Open(socket) = &self.connection else {
            return progress;
        };
        match exchange(cx, socket, &mut self.input, &mut self.output) {
            Ok(moved) => progress | moved,
            Err(End) => {
                self.close(String::new());
                true
            }
        }
    }
}

/// The connection is over.
struct End;

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "agent: destination connection failed");
        Self
    }
}

fn exchange(cx: &mut Context<'_>, socket: &TcpStream, input: &mut Bytes, output: &mut BytesMut) -> Result<bool, End> {
    let mut progress = false;
    while !input.is_empty() {
        match socket.try_write(input) {
            Ok(count) => {
                input.advance(count);
                progress = true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match socket.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => break,
            },
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = [0; READ_SIZE];
    // One message at a time: what it has not sent it has not read.
    while output.is_empty() {
        match socket.try_read(&mut buffer) {
            Ok(0) => return Err(End),
            Ok(count) => {
                output.extend_from_slice(buffer.get(..count).unwrap_or_default());
                progress = true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match socket.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => break,
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(progress)
}
